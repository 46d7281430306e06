"""Changing blends, and what portfolios look like that are measured against them."""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.models import BlendComponent, BlendedBenchmark, PortfolioBenchmark, PortfolioPerformanceHistory
from analytics.selectors.portfolio_panels import PanelFault, PortfolioPanel, portfolio_panels
from analytics.services.blends import blend_save
from portfolios.models import Asset, AuditEvent, ExchangeRate, Portfolio, PriceBar, StaleMark
from portfolios.services.import_prices import prices_import
from tests.support import factories as make
from tests.support.house import DAYS, FIRST_DAY, LAST_DAY, House, make_house, run, undisturbed_tables
from tests.support.imports import last_event, nothing_written, write_file

pytestmark = pytest.mark.django_db

SIXTY_FORTY = (Decimal(60), Decimal(40))
SESSIONS = 252
ONE_RATE = 1.05 ** (1 / SESSIONS) - 1


@pytest.fixture
def house() -> House:
    return make_house()


def save(*components: Asset, weights: tuple[Decimal, ...] = SIXTY_FORTY, **changes: Any) -> BlendedBenchmark:
    settings: dict[str, Any] = {
        "symbol": "MIX",
        "name": "The mix",
        "currency": "USD",
        "rebalance_frequency": "monthly",
    }
    return blend_save(**settings | changes, components=dict(zip(components, weights, strict=True)))


def measure(portfolio: Portfolio, asset: Asset) -> PortfolioBenchmark:
    """Against this alone, as the primary benchmark."""
    PortfolioBenchmark.objects.filter(portfolio=portfolio).delete()
    return make.make_benchmark(portfolio, asset, is_primary=True)


def panel_of(portfolio: Portfolio, through: dt.date = LAST_DAY) -> PortfolioPanel:
    panel = next(portfolio_panels([portfolio], through))
    assert not isinstance(panel, PanelFault)
    return panel


def marks() -> list[tuple[str, dt.date, str]]:
    return list(StaleMark.objects.values_list("portfolio__code", "from_date", "cause"))


# --- the independent loop -------------------------------------------------------------------------


def prices_in(currency: str, asset: Asset) -> dict[dt.date, float]:
    """Closes times or over the euro's rate of the day."""
    euro = {rate.date: float(rate.rate) for rate in ExchangeRate.objects.filter(base="EUR", quote="USD")}
    factor = {("USD", "USD"): 0, ("EUR", "EUR"): 0, ("EUR", "USD"): 1, ("USD", "EUR"): -1}
    power = factor[asset.currency_id, currency]
    bars = PriceBar.objects.filter(asset=asset).order_by("date")
    return {bar.date: float(bar.close) * euro[bar.date] ** power for bar in bars}


def monthly_blend(prices: Mapping[Asset, Mapping[dt.date, float]], weights: Mapping[Asset, float]) -> Any:
    """The return of each day, by a purse of shares that is filled anew with the first session of a month."""
    days = sorted(set().union(*prices.values()))
    last: dict[Asset, float] = {}
    shares: dict[Asset, float] = {}
    month = None
    for day in days:
        if len(last) == len(prices):
            if not shares or month != day.month:
                shares = {asset: weights[asset] / last[asset] for asset in prices}
            before = sum(shares[asset] * last[asset] for asset in prices)
            last.update({asset: series[day] for asset, series in prices.items() if day in series})
            yield day, sum(shares[asset] * last[asset] for asset in prices) / before - 1
        else:
            last.update({asset: series[day] for asset, series in prices.items() if day in series})
        month = day.month


def check_history(portfolio: Portfolio, expected: Iterator[tuple[dt.date, float]]) -> None:
    """Returns, their product, beta and tracking error of every stored day against plain numpy."""
    blend = dict(expected)
    rows = list(PortfolioPerformanceHistory.objects.filter(portfolio=portfolio).order_by("snapshot_date"))
    assert [row.snapshot_date for row in rows] == DAYS
    assert rows[0].benchmark_return is None
    common: list[tuple[float, float]] = []
    wealth = 1.0
    for row in rows[1:]:
        wealth *= 1 + blend[row.snapshot_date]
        common.append((row.daily_return, blend[row.snapshot_date]))
        assert row.benchmark_return == pytest.approx(blend[row.snapshot_date], abs=1e-12)
        assert row.benchmark_cumulative_return == pytest.approx(wealth - 1, abs=1e-12)
        assert row.excess_return == pytest.approx(row.cumulative_return - wealth + 1, abs=1e-12)
    own, other = np.array(common).T
    slope, level = np.polyfit(other - ONE_RATE, own - ONE_RATE, 1)
    assert rows[-1].beta == pytest.approx(slope, rel=1e-9)
    assert rows[-1].alpha == pytest.approx(level * SESSIONS, rel=1e-9)
    assert rows[-1].tracking_error == pytest.approx(np.std(own - other, ddof=1) * SESSIONS**0.5, rel=1e-9)
    line = PortfolioBenchmark.objects.get(portfolio=portfolio)
    assert line.beta == pytest.approx(slope, rel=1e-9)
    assert line.window == len(common)


def test_a_portfolio_is_measured_against_sixty_and_forty_by_the_month(house: House) -> None:
    blend = save(house.market, house.acme)
    measure(house.home, blend.asset)
    run()
    prices = {asset: prices_in("USD", asset) for asset in (house.market, house.acme)}
    check_history(house.home, monthly_blend(prices, {house.market: 0.6, house.acme: 0.4}))


def test_a_euro_portfolio_sees_dollar_components_in_euros(house: House) -> None:
    blend = save(house.market, house.rhein)
    Portfolio.objects.filter(pk=house.abroad.pk).update(base_currency="EUR")
    measure(house.abroad, blend.asset)
    run()
    prices = {asset: prices_in("EUR", asset) for asset in (house.market, house.rhein)}
    check_history(house.abroad, monthly_blend(prices, {house.market: 0.6, house.rhein: 0.4}))
    in_dollars = {asset: prices_in("USD", asset) for asset in (house.market, house.rhein)}
    with pytest.raises(AssertionError):
        check_history(house.abroad, monthly_blend(in_dollars, {house.market: 0.6, house.rhein: 0.4}))


def test_a_corrected_price_of_a_component_recomputes_who_is_measured_against_it(
    house: House, tmp_path: Any
) -> None:
    save(house.market, house.rhein)
    measure(house.home, Asset.objects.get(symbol="MIX"))
    run()
    day = dt.date(2024, 3, 28)
    history = PortfolioPerformanceHistory.objects.filter(portfolio=house.home)
    before = dict(history.values_list("snapshot_date", "benchmark_return"))
    header = "symbol,date,open,high,low,close,volume"
    assert prices_import(write_file(tmp_path, header, f"RHEIN,{day},,,,30,")).updated == 1
    assert undisturbed_tables(from_date=FIRST_DAY) == undisturbed_tables()
    run()
    after = dict(history.values_list("snapshot_date", "benchmark_return"))
    # The last price of March is also the one at which April's weights were bought.
    assert {d for d in DAYS if before[d] != after[d]} == {d for d in DAYS if day <= d < dt.date(2024, 5, 1)}


def test_a_changed_rule_recomputes_the_whole_history(house: House) -> None:
    blend = save(house.market, house.acme)
    measure(house.home, blend.asset)
    run()
    save(house.market, house.acme, rebalance_frequency="none")
    assert undisturbed_tables(from_date=FIRST_DAY) == undisturbed_tables()
    # In the first month both rules hold the same shares.
    rows = PortfolioPerformanceHistory.objects.filter(
        portfolio=house.home, snapshot_date__gte=dt.date(2024, 3, 1)
    )
    before = {row.snapshot_date: (row.benchmark_return, row.inputs_hash) for row in rows}
    run()
    for row in rows.all():
        assert row.benchmark_return != before[row.snapshot_date][0]
        assert row.inputs_hash != before[row.snapshot_date][1]


# --- panels ---------------------------------------------------------------------------------------


def test_a_blend_of_one_is_that_one(house: House) -> None:
    plain = panel_of(house.abroad)
    blend = save(house.market, weights=(Decimal(100),), rebalance_frequency="daily")
    measure(house.abroad, blend.asset)
    panel = panel_of(house.abroad)
    assert panel.series.benchmark is not None
    assert plain.series.benchmark is not None
    np.testing.assert_array_equal(panel.series.benchmark, plain.series.benchmark)
    np.testing.assert_array_equal(panel.dates, plain.dates)
    assert panel.hashes.tolist() == plain.hashes.tolist()
    assert plain.primary_parts is not None
    np.testing.assert_array_equal(plain.primary_parts.weights[house.market.pk][1:], 1)


def test_the_rule_is_part_of_the_inputs(house: House) -> None:
    measure(house.home, save(house.market, house.acme).asset)
    february = panel_of(house.home, DAYS[15])
    save(house.market, house.acme, rebalance_frequency="none")
    held = panel_of(house.home, DAYS[15])
    assert held.series.benchmark is not None
    np.testing.assert_array_equal(held.series.benchmark, february.series.benchmark)
    assert not set(held.hashes.tolist()) & set(february.hashes.tolist())


def test_the_parts_of_the_primary_benchmark_add_up_to_its_return(house: House) -> None:
    measure(house.home, save(house.market, house.rhein).asset)
    panel = panel_of(house.home)
    parts = panel.primary_parts
    assert parts is not None
    assert set(parts.weights) == set(parts.component_returns) == {house.market.pk, house.rhein.pk}
    assert {series.shape for series in parts.weights.values()} == {panel.dates.shape}
    products = sum(parts.weights[i] * parts.component_returns[i] for i in parts.weights)
    np.testing.assert_allclose(products, parts.returns, atol=1e-14)
    assert panel.series.benchmark is parts.returns
    assert panel.benchmarks.keys() == panel.benchmark_parts.keys()
    first_of_march = DAYS.index(dt.date(2024, 3, 1))
    assert parts.weights[house.market.pk][first_of_march] == pytest.approx(0.6, abs=1e-15)
    assert parts.weights[house.market.pk][first_of_march + 1] != pytest.approx(0.6, abs=1e-6)


def test_the_days_of_the_components_are_days_of_the_portfolio(house: House) -> None:
    saturday = dt.date(2024, 5, 4)
    coin = make.make_asset("COIN", asset_class="crypto")
    for day, close in ((dt.date(2024, 5, 3), 100), (saturday, 110), (dt.date(2024, 5, 6), 121)):
        make.make_price(coin, day, close)
    measure(house.home, save(house.market, coin, rebalance_frequency="daily").asset)
    panel = panel_of(house.home)
    assert saturday in panel.dates.tolist()
    assert panel.series.benchmark is not None
    returns = dict(zip(panel.dates.tolist(), panel.series.benchmark, strict=True))
    assert returns[saturday] == pytest.approx(0.4 * 0.1)
    market = prices_in("USD", house.market)
    move = market[dt.date(2024, 5, 6)] / market[dt.date(2024, 5, 3)] - 1
    assert returns[dt.date(2024, 5, 6)] == pytest.approx(0.6 * move + 0.4 * 0.1)
    # Before its first price nothing takes its place.
    assert np.isnan([returns[day] for day in DAYS if day <= dt.date(2024, 5, 3)]).all()
    run()
    line = PortfolioBenchmark.objects.get(portfolio=house.home)
    assert line.quality["benchmark"].endswith("; COIN has no price before 2024-05-03")


def test_a_component_without_prices_or_rates_is_the_reason(house: House) -> None:
    blend = save(house.market, make.make_asset("BARE"))
    measure(house.home, blend.asset)
    assert panel_of(house.home).benchmarks == {blend.asset_id: "BARE has no prices"}
    assert panel_of(house.home).primary_parts is None
    kiwi = make.make_asset("KIWI", currency="NZD")
    make.make_price(kiwi, DAYS[3])
    save(house.market, kiwi)
    assert panel_of(house.home).benchmarks == {blend.asset_id: "no rate from NZD to USD"}
    run()
    assert PortfolioBenchmark.objects.get(portfolio=house.home).quality["beta"] == "no rate from NZD to USD"


def test_a_start_date_is_the_first_day_with_a_return_and_with_the_weights(house: House) -> None:
    start = DAYS[30]
    measure(
        house.home,
        save(house.market, house.acme, rebalance_frequency="none", start_date=start).asset,
    )
    panel = panel_of(house.home)
    assert panel.primary_parts is not None
    known = ~np.isnan(panel.primary_parts.returns)
    assert panel.dates[known][0].item() == start
    assert panel.primary_parts.weights[house.market.pk][30] == 0.6
    assert panel.primary_parts.weights[house.market.pk][31] != 0.6


def test_a_total_return_blend_consists_of_total_returns(house: House) -> None:
    blend = save(house.market, house.acme)
    measure(house.home, blend.asset)
    for total_returns, expected in (([], False), (["ACME"], False), (["ACME", "SPX"], True)):
        Asset.objects.filter(symbol__in=total_returns).update(is_total_return=True)
        assert panel_of(house.home).is_total_return(blend.asset_id) is expected


def test_many_portfolios_against_many_blends_take_no_more_queries(house: House) -> None:
    def queries(portfolios: list[Portfolio]) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert len(list(portfolio_panels(portfolios, LAST_DAY))) == len(portfolios)
        return len(captured)

    measure(house.home, save(house.market, house.rhein).asset)
    one = queries([house.home])
    books = [house.home, house.abroad]
    for number in range(4):
        book = make.make_portfolio(risk_free=house.home.risk_free)
        make.make_transaction(book, trade_date=FIRST_DAY)
        measure(book, save(house.acme, house.rhein, symbol=f"MIX{number}").asset)
        books.append(book)
    assert queries(books) == one


# --- saving ---------------------------------------------------------------------------------------


def test_a_new_blend_is_an_index_with_components_and_an_audit_row(house: House) -> None:
    blend = save(house.market, house.acme)
    assert (blend.asset.symbol, blend.asset.asset_class, blend.asset.currency_id) == ("MIX", "index", "USD")
    assert blend.rule == "60 % SPX, 40 % ACME, rebalanced on the first session of each month"
    action, before, after = last_event()
    assert (action, before) == ("blend.created", {})
    assert after["components"] == {"SPX": "60", "ACME": "40"}
    assert marks() == []


def test_saving_the_same_again_writes_nothing(house: House) -> None:
    measure(house.home, save(house.market, house.acme).asset)
    with nothing_written():
        save(house.market, house.acme)


def test_components_are_replaced_as_a_whole(house: House) -> None:
    measure(house.home, save(house.market, house.acme).asset)
    make.make_benchmark(make.make_portfolio("UNBOOKED"), Asset.objects.get(symbol="MIX"))
    blend = save(house.rhein, house.acme, weights=(Decimal("33.333333"), Decimal("66.666667")))
    assert BlendedBenchmark.objects.get() == blend
    assert set(BlendComponent.objects.values_list("asset__symbol", flat=True)) == {"RHEIN", "ACME"}
    action, before, after = last_event()
    assert action == "blend.changed"
    assert before["components"] == {"SPX": "60", "ACME": "40"}
    assert after["components"] == {"RHEIN": "33.333333", "ACME": "66.666667"}
    assert marks() == [("HOME", FIRST_DAY, "parameter")]


@pytest.mark.parametrize(
    ("change", "is_stale"),
    [
        ({"rebalance_frequency": "none"}, True),
        ({"start_date": dt.date(2024, 3, 1)}, True),
        ({"weights": (Decimal(50), Decimal(50))}, True),
        ({"name": "Another name"}, False),
        ({"currency": "EUR"}, False),
    ],
)
def test_what_changes_returns_makes_stale(house: House, change: dict[str, Any], is_stale: bool) -> None:
    measure(house.home, save(house.market, house.acme).asset)
    save(house.market, house.acme, **change)
    assert AuditEvent.objects.filter(action="blend.changed").count() == 1
    assert marks() == ([("HOME", FIRST_DAY, "parameter")] if is_stale else [])


def test_weights_must_make_100(house: House) -> None:
    for weights in ((Decimal(60), Decimal("39.999999")), (Decimal(60), Decimal(41))):
        with nothing_written(), pytest.raises(ValidationError, match=r"the weights of MIX make .*, not 100"):
            save(house.market, house.acme, weights=weights)
    for weights in ((Decimal(110), Decimal(-10)), (Decimal(100), Decimal(0))):
        with nothing_written(), pytest.raises(ValidationError, match="blend_components_weight"):
            save(house.market, house.acme, weights=weights)
    with nothing_written(), pytest.raises(ValidationError, match="make 0, not 100"):
        save(weights=())


def test_no_blend_of_blends(house: House) -> None:
    mix = save(house.market, house.acme).asset
    with nothing_written(), pytest.raises(ValidationError, match="MIX is itself a blend"):
        save(mix, house.acme, symbol="MORE")
    with nothing_written(), pytest.raises(ValidationError, match="MIX is itself a blend"):
        save(mix, house.acme)
    bare = make.make_asset("BARE", asset_class="index")
    save(house.market, bare)
    with nothing_written(), pytest.raises(ValidationError, match="BARE is a component of MIX"):
        save(house.market, house.acme, symbol="BARE")


def test_what_trades_or_has_prices_is_no_blend(house: House) -> None:
    make.make_asset("LISTED", exchange="XNYS", asset_class="index")
    booked = make.make_asset("BOOKED", asset_class="index")
    make.make_transaction(house.home, kind="buy", asset=booked, quantity=1, price=1, amount=None)
    for symbol, reason in {
        "SPX": "SPX has prices of its own",
        "ACME": "ACME is an asset of class equity",
        "LISTED": "LISTED is traded on an exchange",
        "BOOKED": "BOOKED is traded",
    }.items():
        with nothing_written(), pytest.raises(ValidationError, match=reason):
            save(house.market, house.rhein, symbol=symbol)


def test_an_index_without_prices_can_become_a_blend(house: House) -> None:
    bare = make.make_asset("BARE", asset_class="index")
    assert save(house.market, house.acme, symbol="BARE").asset == bare


@pytest.mark.parametrize(
    "change", [{"rebalance_frequency": "often"}, {"currency": "XXX"}, {"name": ""}, {"symbol": "M" * 33}]
)
def test_fields_are_checked(house: House, change: dict[str, Any]) -> None:
    with nothing_written(), pytest.raises(ValidationError):
        save(house.market, house.acme, **change)
