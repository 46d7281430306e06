"""Explanations of real books: figures that fit together, and refusals that say why."""

import datetime as dt
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from analytics.models import BlendComponent, BlendedBenchmark, RebalanceFrequency
from analytics.selectors.attribution import (
    CASH,
    NO_SECTOR,
    AttributionError,
    Explanation,
    SectorAttribution,
    StatedWeight,
    panel_through,
    performance_explanation,
    stated_benchmark,
)
from analytics.selectors.portfolio_panels import PortfolioPanel
from portfolios.models import Asset, ExchangeRate, InterestRate, Portfolio, PriceBar, TransactionKind
from tests.support import factories as make
from tests.support.house import DAYS, FIRST_DAY, LAST_DAY, House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MONDAY, TUESDAY, WEDNESDAY = dt.date(2024, 3, 4), dt.date(2024, 3, 5), dt.date(2024, 3, 6)
EFFECTS = ("allocation", "selection", "interaction")


@dataclass(frozen=True)
class Shop:
    """1000 on Monday: 600 of energy, 300 of banks, 100 of cash. Benchmarks of both sectors, from 100 each."""

    portfolio: Portfolio
    oil: Asset
    bank: Asset
    energy: Asset
    banks: Asset


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def shop() -> Shop:
    portfolio = make.make_portfolio("SHOP", risk_free="RF")
    InterestRate.objects.create(name="RF", date=MONDAY, annual_rate=Decimal("0.05"))
    closes: dict[str, tuple[Any, ...]] = {
        "OIL": (60, 66, 66),
        "BANK": (30, "28.5", 30),
        "ENERGY": (100, 104, 104),
        "BANKS": (100, 102, 51),
    }
    sectors = {"OIL": "Energy", "BANK": "Banks", "ENERGY": "Energy", "BANKS": "Banks"}
    assets = []
    for symbol, prices in closes.items():
        assets.append(make.make_asset(symbol, sector=sectors[symbol]))
        for day, close in zip((MONDAY, TUESDAY, WEDNESDAY), prices, strict=True):
            make.make_price(assets[-1], day, Decimal(close))
    make.make_transaction(portfolio, amount=1_000, trade_date=MONDAY)
    for asset, price in ((assets[0], 60), (assets[1], 30)):
        buy(portfolio, asset, 10, price, MONDAY)
    return Shop(portfolio, *assets)


def buy(portfolio: Portfolio, asset: Asset, quantity: int, price: int, day: dt.date) -> None:
    make.make_transaction(
        portfolio,
        kind=TransactionKind.BUY,
        asset=asset,
        quantity=quantity,
        price=price,
        amount=None,
        trade_date=day,
    )


def explain(
    portfolio: Portfolio, first: dt.date = FIRST_DAY, last: dt.date = LAST_DAY, grouping: str = "asset"
) -> Explanation:
    return performance_explanation(panel_through(portfolio, last), first, last, grouping=grouping)


def explain_against(
    portfolio: Portfolio, stated: list[tuple[str, str, str]], last: dt.date = TUESDAY
) -> Explanation:
    """Tuesday, or Tuesday and Wednesday."""
    panel = panel_through(portfolio, last)
    rows = [StatedWeight(sector, Decimal(weight), symbol) for sector, weight, symbol in stated]
    return performance_explanation(panel, TUESDAY, last, benchmark=stated_benchmark(panel, rows))


def attribution_of(found: Explanation) -> SectorAttribution:
    assert found.attribution is not None, found.quality
    return found.attribution


def effects_of(found: SectorAttribution) -> dict[str, list[float]]:
    return {effect.sector: [getattr(effect, name) for name in EFFECTS] for effect in found.effects}


def assert_fits(found: Explanation) -> None:
    total = sum(line.contribution for line in found.contributions)
    assert total == pytest.approx(found.returns["net"], abs=1e-12)
    assert found.currency["base"] == pytest.approx(found.returns["net"], abs=1e-12)
    product = (1 + found.currency["local"]) * (1 + found.currency["fx"]) - 1
    assert product == pytest.approx(found.returns["net"], abs=1e-12)
    if found.attribution:
        explained = sum(sum(effects) for effects in effects_of(found.attribution).values())
        assert explained == pytest.approx(found.attribution.active_return, abs=1e-12)
        assert found.attribution.portfolio_return == pytest.approx(found.returns["net"], abs=1e-12)


def replaced(panel: PortfolioPanel, **columns: Any) -> PortfolioPanel:
    return replace(panel, valuation=replace(panel.valuation, **columns))


# Contributions.


@pytest.mark.parametrize("grouping", ["asset", "sector", "currency"])
def test_the_figures_of_a_book_in_two_currencies_fit_together(house: House, grouping: str) -> None:
    found = explain(house.abroad, grouping=grouping)
    assert_fits(found)
    assert found.currency["fx"] != 0
    panel = panel_through(house.abroad, LAST_DAY)
    assert found.returns["net"] == pytest.approx(panel.series.index[-1] - 1, abs=1e-12)
    assert found.contributions[-1].name == CASH
    assert sum(line.weight for line in found.contributions) == pytest.approx(1, abs=1e-12)


def test_lines_are_named_after_what_they_group(house: House) -> None:
    names = {
        grouping: sorted(line.name for line in explain(house.abroad, grouping=grouping).contributions)
        for grouping in ("asset", "sector", "currency")
    }
    assert names == {
        "asset": ["ACME", CASH, "RHEIN"],
        "sector": [CASH, NO_SECTOR],
        "currency": [CASH, "EUR", "USD"],
    }


def test_two_exchanges_of_one_symbol_are_two_lines(shop: Shop) -> None:
    twin = make.make_asset("OIL", exchange="XETR", sector="Energy")
    make.make_price(twin, MONDAY, Decimal(10))
    buy(shop.portfolio, twin, 1, 10, MONDAY)
    found = explain(shop.portfolio, MONDAY, TUESDAY)
    assert sorted(line.name for line in found.contributions) == ["BANK", CASH, "OIL@", "OIL@XETR"]


def test_a_book_in_one_currency_has_no_return_from_rates(house: House) -> None:
    found = explain(house.home)
    assert found.currency["fx"] == pytest.approx(0, abs=1e-12)
    assert_fits(found)


def test_two_windows_make_the_whole(house: House) -> None:
    middle = DAYS[40]
    early = explain(house.abroad, FIRST_DAY, middle)
    late = explain(house.abroad, DAYS[41], LAST_DAY)
    whole = explain(house.abroad)
    assert (early.opening, early.closing) == (None, middle)
    assert (late.opening, late.closing) == (middle, LAST_DAY)
    for found in (early, late):
        assert_fits(found)
    for name, figure in whole.returns.items():
        linked = (1 + early.returns[name]) * (1 + late.returns[name]) - 1
        assert linked == pytest.approx(figure, abs=1e-12)


def test_days_without_a_rate_are_covered_by_the_next_known_one(house: House) -> None:
    ExchangeRate.objects.filter(date__range=(DAYS[20], DAYS[40])).delete()
    panel = panel_through(house.abroad, LAST_DAY)
    assert np.isnan(panel.valuation.total_value).any()
    found = performance_explanation(panel, FIRST_DAY, LAST_DAY)
    assert_fits(found)
    assert np.isfinite([*found.currency.values()]).all()
    unknown = int(np.flatnonzero(np.isnan(panel.valuation.total_value))[0])
    late = performance_explanation(panel, DAYS[unknown], LAST_DAY)
    assert late.opening == DAYS[unknown - 1]
    with pytest.raises(AttributionError, match="no known value"):
        performance_explanation(panel, DAYS[unknown], DAYS[unknown])


def test_a_deposit_at_a_weekend_belongs_to_its_own_sub_period(shop: Shop) -> None:
    saturday, monday = dt.date(2024, 3, 9), dt.date(2024, 3, 11)
    for asset in (shop.oil, shop.energy):
        make.make_price(asset, monday, 120)
    make.make_transaction(shop.portfolio, amount=500, trade_date=saturday)
    found = explain_against(shop.portfolio, [("Energy", "100", "ENERGY")], monday)
    assert_fits(found)
    linked = (1060 / 1000) * ((1060 + 500 + 540) / (1060 + 500)) - 1
    assert found.returns["net"] == pytest.approx(linked, abs=1e-12)
    assert attribution_of(found).benchmark_return == pytest.approx(0.2, abs=1e-12)


def test_contributions_of_one_day_by_hand_the_largest_first(shop: Shop) -> None:
    found = explain(shop.portfolio, TUESDAY, TUESDAY)
    assert [line.name for line in found.contributions] == ["OIL", "BANK", CASH]
    assert [line.contribution for line in found.contributions] == pytest.approx([0.06, -0.015, 0], abs=1e-12)
    assert [line.weight for line in found.contributions] == pytest.approx([0.6, 0.3, 0.1], abs=1e-12)


def test_the_four_returns_by_hand(shop: Shop) -> None:
    kinds = TransactionKind
    make.make_transaction(shop.portfolio, kind=kinds.DIVIDEND, asset=shop.oil, amount=20, trade_date=TUESDAY)
    make.make_transaction(shop.portfolio, kind=kinds.FEE, amount=7, trade_date=TUESDAY)
    make.make_transaction(shop.portfolio, kind=kinds.TAX, amount=10, trade_date=TUESDAY)
    make.make_transaction(
        shop.portfolio,
        kind=kinds.SELL,
        asset=shop.oil,
        quantity=1,
        price=66,
        amount=None,
        fee=3,
        trade_date=TUESDAY,
    )
    found = explain(shop.portfolio, TUESDAY, TUESDAY)
    # 45 of prices; 3 of costs to trade, then 20 of income, 7 of other fees, 10 of tax.
    expected = {"price": 0.042, "gross": 0.062, "net_of_fees": 0.055, "net": 0.045}
    assert found.returns == pytest.approx(expected, abs=1e-12)
    lines = {line.name: line.contribution for line in found.contributions}
    assert lines == pytest.approx({"OIL": 0.077, "BANK": -0.015, CASH: -0.017}, abs=1e-12)


def test_a_deposit_in_the_evening_changes_nothing(shop: Shop) -> None:
    Portfolio.objects.filter(pk=shop.portfolio.pk).update(inflow_timing="end")
    portfolio = Portfolio.objects.get(pk=shop.portfolio.pk)
    make.make_transaction(portfolio, amount=1_000, trade_date=dt.date(2024, 3, 3))
    before = explain(portfolio, TUESDAY, TUESDAY)
    make.make_transaction(portfolio, amount=5_000, trade_date=TUESDAY)
    after = explain(portfolio, TUESDAY, TUESDAY)
    assert after.as_json() == before.as_json()


# Attribution.

HALVES = [("Energy", "50", "ENERGY"), ("Banks", "50", "BANKS")]


def test_effects_of_one_day_by_hand(shop: Shop) -> None:
    found = explain_against(shop.portfolio, HALVES)
    assert_fits(found)
    attribution = attribution_of(found)
    # 60 % with 10 %, 30 % with -5 % and cash, against halves with 4 % and 2 %.
    assert attribution.portfolio_return == pytest.approx(0.045, abs=1e-12)
    assert attribution.benchmark_return == pytest.approx(0.03, abs=1e-12)
    effects = effects_of(attribution)
    assert list(effects) == ["Banks", "Energy", CASH]
    assert effects["Energy"] == pytest.approx([0.001, 0.03, 0.006], abs=1e-12)
    assert effects["Banks"] == pytest.approx([0.002, -0.035, 0.014], abs=1e-12)
    assert effects[CASH] == pytest.approx([-0.003, 0, 0], abs=1e-12)
    weights = [(effect.portfolio_weight, effect.benchmark_weight) for effect in attribution.effects]
    np.testing.assert_allclose(weights, [(0.3, 0.5), (0.6, 0.5), (0.1, 0)], atol=1e-12)


def test_effects_of_several_days_are_linked(shop: Shop) -> None:
    found = explain_against(shop.portfolio, HALVES, WEDNESDAY)
    assert_fits(found)
    # The weights are those stated, every morning.
    assert attribution_of(found).benchmark_return == pytest.approx(1.03 * 0.75 - 1, abs=1e-12)


def test_cash_without_a_symbol_earns_the_risk_free_rate(shop: Shop) -> None:
    stated = [("Energy", "50", "ENERGY"), ("Banks", "40", "BANKS"), (CASH, "10", "")]
    attribution = attribution_of(explain_against(shop.portfolio, stated))
    rate = 1.05 ** (1 / 252) - 1
    assert attribution.benchmark_return == pytest.approx(0.02 + 0.008 + 0.1 * rate, abs=1e-12)
    assert effects_of(attribution)[CASH] == pytest.approx([0, -0.1 * rate, 0], abs=1e-12)


def test_components_of_one_sector_are_one_group(shop: Shop) -> None:
    stated = [("Energy", "25", "ENERGY"), ("Energy", "25", "OIL"), ("Banks", "50", "BANKS")]
    attribution = attribution_of(explain_against(shop.portfolio, stated))
    assert attribution.benchmark_return == pytest.approx(0.25 * 0.04 + 0.25 * 0.1 + 0.01, abs=1e-12)
    assert len(attribution.effects) == 3


def test_a_component_in_another_currency_is_converted(shop: Shop) -> None:
    rhein = make.make_asset("RHEIN", currency="EUR")
    for day, close, rate in ((MONDAY, 50, "1.1"), (TUESDAY, 50, "1.21")):
        make.make_price(rhein, day, close)
        make.make_exchange_rate(date=day, rate=Decimal(rate))
    attribution = attribution_of(explain_against(shop.portfolio, [("Energy", "100", "RHEIN")]))
    assert attribution.benchmark_return == pytest.approx(0.1, abs=1e-12)


def test_a_component_on_holiday_catches_up(shop: Shop) -> None:
    PriceBar.objects.filter(asset=shop.energy, date=TUESDAY).delete()
    found = explain_against(shop.portfolio, [("Energy", "100", "ENERGY")])
    assert attribution_of(found).benchmark_return == 0
    found = explain_against(shop.portfolio, [("Energy", "100", "ENERGY")], WEDNESDAY)
    assert attribution_of(found).benchmark_return == pytest.approx(0.04, abs=1e-12)


def test_a_component_that_stopped_is_refused_and_the_contributions_stay(house: House) -> None:
    stopped = make.make_asset("STOPPED")
    for day in DAYS[:10]:
        make.make_price(stopped, day)
    panel = panel_through(house.home, LAST_DAY)
    benchmark = stated_benchmark(panel, [StatedWeight("Energy", Decimal(100), "STOPPED")])
    found = performance_explanation(panel, FIRST_DAY, LAST_DAY, benchmark=benchmark)
    assert found.attribution is None
    silent = next(day for day in DAYS if day > DAYS[9] + dt.timedelta(days=7))
    assert found.quality == {"attribution": f"return of Energy in the benchmark unknown on {silent}"}
    assert_fits(found)
    assert performance_explanation(panel, FIRST_DAY, DAYS[12], benchmark=benchmark).attribution is not None


def make_blend(shop: Shop) -> None:
    blend = BlendedBenchmark.objects.create(
        asset=make.make_asset("BLEND", asset_class="index"), rebalance_frequency=RebalanceFrequency.DAILY
    )
    for asset in (shop.energy, shop.banks):
        BlendComponent.objects.create(blend=blend, asset=asset, weight_percentage=50)
    make.make_benchmark(shop.portfolio, blend.asset, is_primary=True)


def test_a_blend_is_taken_apart_by_the_sectors_of_its_components(shop: Shop) -> None:
    make_blend(shop)
    found = explain(shop.portfolio, TUESDAY, WEDNESDAY)
    assert_fits(found)
    stated = explain_against(shop.portfolio, HALVES, WEDNESDAY)
    ours, theirs = effects_of(attribution_of(found)), effects_of(attribution_of(stated))
    assert attribution_of(found).benchmark == "BLEND"
    for sector, effects in theirs.items():
        assert ours[sector] == pytest.approx(effects, abs=1e-12)


def test_a_blend_on_holiday_catches_up(shop: Shop) -> None:
    make_blend(shop)
    PriceBar.objects.filter(asset__in=[shop.energy, shop.banks], date=TUESDAY).delete()
    found = explain(shop.portfolio, TUESDAY, WEDNESDAY)
    assert_fits(found)
    assert attribution_of(found).benchmark_return == pytest.approx(0.5 * 0.04 - 0.5 * 0.49, abs=1e-12)
    quiet = performance_explanation(panel_through(shop.portfolio, WEDNESDAY), TUESDAY, TUESDAY)
    assert attribution_of(quiet).benchmark_return == 0
    assert [effect.benchmark_weight for effect in attribution_of(quiet).effects] == [0.5, 0.5, 0]
    assert explain(shop.portfolio, TUESDAY, TUESDAY).quality == {"attribution": "BLEND: no returns"}


def test_a_blend_of_assets_without_sectors_is_refused(shop: Shop) -> None:
    make_blend(shop)
    Asset.objects.filter(pk__in=[shop.energy.pk, shop.banks.pk]).update(sector="")
    found = explain(shop.portfolio, TUESDAY, WEDNESDAY)
    assert found.attribution is None
    assert found.quality == {"attribution": "the components of BLEND have no sectors"}


def test_an_index_without_known_constituents_is_refused_and_the_contributions_stay(house: House) -> None:
    found = explain(house.home)
    assert found.attribution is None
    assert found.quality == {
        "attribution": "SPX is an index without known constituents: state weights by sector"
    }
    assert_fits(found)


def test_without_a_benchmark_there_is_no_attribution(shop: Shop) -> None:
    found = explain(shop.portfolio, MONDAY, WEDNESDAY)
    assert found.attribution is None
    assert found.quality == {"attribution": "no primary benchmark and no stated weights"}


def test_days_without_capital_are_left_out_of_the_attribution(shop: Shop) -> None:
    portfolio = make.make_portfolio("EMPTY")
    make.make_transaction(portfolio, amount=1_000, trade_date=MONDAY)
    make.make_transaction(portfolio, kind=TransactionKind.WITHDRAWAL, amount=1_000, trade_date=MONDAY)
    make.make_transaction(portfolio, amount=1_000, trade_date=WEDNESDAY)
    make.make_benchmark(portfolio, shop.oil)  # for its days
    found = explain_against(portfolio, HALVES, WEDNESDAY)
    assert found.quality["attribution"] == "sub-periods without capital are left out"
    assert attribution_of(found).benchmark_return == pytest.approx(-0.25, abs=1e-12)
    assert_fits(found)


# What is unknown.


def test_an_unknown_fee_leaves_the_rest_known(house: House) -> None:
    panel = panel_through(house.home, LAST_DAY)
    fees = panel.valuation.fees.copy()
    fees[10] = np.nan
    panel.valuation.reasons[10]["fees"] = "no USD rate for EUR"
    found = performance_explanation(replaced(panel, fees=fees), FIRST_DAY, LAST_DAY)
    why = f"unknown on {DAYS[10]}: no USD rate for EUR"
    assert (found.quality["gross"], found.quality["price"]) == (why, why)
    assert np.isnan([found.returns["gross"], found.returns["price"]]).all()
    assert np.isfinite([found.returns["net_of_fees"], found.returns["net"]]).all()
    assert_fits(found)
    assert found.as_json()["returns"]["gross"] is None


def test_an_unknown_purchase_leaves_its_line_unknown(house: House) -> None:
    panel = panel_through(house.abroad, LAST_DAY)
    purchases = panel.valuation.net_purchases.copy()
    purchases[0, 10] = np.nan
    benchmark = stated_benchmark(panel, [StatedWeight("Energy", Decimal(100), "SPX")])
    found = performance_explanation(
        replaced(panel, net_purchases=purchases), FIRST_DAY, LAST_DAY, benchmark=benchmark
    )
    unknown = {line.name for line in found.contributions if np.isnan(line.contribution)}
    assert unknown == {panel.assets[panel.valuation.asset_ids[0]].symbol, CASH}
    assert found.quality["contributions"] == f"unknown on {DAYS[10]}"
    assert found.attribution is None
    assert f"unknown on {DAYS[10]}" in found.quality["attribution"]
    assert np.isfinite(found.returns["net"])


def test_a_total_loss_is_shown_and_not_linked(shop: Shop) -> None:
    panel = panel_through(shop.portfolio, TUESDAY)
    value = panel.valuation.total_value.copy()
    value[-1] = 0
    found = performance_explanation(replaced(panel, total_value=value), MONDAY, TUESDAY)
    assert found.returns["net"] == -1
    assert found.quality["contributions"] == "everything was lost: contributions cannot be linked"


# Bad questions.


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (dt.date(2024, 1, 31), LAST_DAY, f"HOME has no history on 2024-01-31: it begins on {FIRST_DAY}"),
        (LAST_DAY, dt.date(2024, 6, 20), f"HOME has no history on 2024-06-20: it ends on {LAST_DAY}"),
        (LAST_DAY, FIRST_DAY, f"{FIRST_DAY} is before {LAST_DAY}"),
        (
            dt.date(2024, 6, 1),
            dt.date(2024, 6, 2),
            "HOME has no known value from 2024-06-01 to 2024-06-02",
        ),
        (FIRST_DAY, dt.date(2024, 1, 31), "HOME has no settled transactions up to 2024-01-31"),
    ],
)
def test_days_without_history_are_refused(house: House, first: dt.date, last: dt.date, message: str) -> None:
    with pytest.raises(AttributionError, match=f"^{message}$"):
        explain(house.home, first, last)


def test_a_weekend_at_the_end_is_the_friday_before(house: House) -> None:
    assert explain(house.home, FIRST_DAY, dt.date(2024, 6, 2)).closing == LAST_DAY


def test_books_that_cannot_be_walked_are_refused(shop: Shop) -> None:
    make.make_transaction(
        shop.portfolio,
        kind=TransactionKind.SELL,
        asset=shop.oil,
        quantity=99,
        price=1,
        amount=None,
        trade_date=TUESDAY,
    )
    with pytest.raises(AttributionError, match=r"^SHOP: .* but only 10\.0* held$"):
        explain(shop.portfolio, MONDAY, TUESDAY)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ([("Energy", "50", "ENERGY"), ("Banks", "49.5", "BANKS")], "the weights make 99.5, not 100"),
        ([], "the weights make 0, not 100"),
        ([("Energy", "120", "ENERGY"), ("Banks", "-20", "BANKS")], "column weight: must not be negative"),
        ([("Energy", "100", "")], "column symbol: only Cash goes without a symbol"),
        ([("Energy", "100", "NONE")], r"column symbol: no asset has this symbol \(NONE\)"),
        ([("Energy", "100", "TWIN")], r"column symbol: several exchanges list this symbol \(TWIN\)"),
        ([("Energy", "100", "SILENT")], "SILENT has no prices up to 2024-03-05"),
        ([("Energy", "100", "FAR")], "no rate from JPY to USD, which FAR needs"),
    ],
)
def test_stated_weights_that_cannot_be_a_benchmark_are_refused(
    shop: Shop, stated: list[tuple[str, str, str]], message: str
) -> None:
    for exchange in ("XETR", "XLON"):
        make.make_asset("TWIN", exchange=exchange)
    make.make_asset("SILENT")
    make.make_price(make.make_asset("FAR", currency="JPY"), MONDAY)
    with pytest.raises(AttributionError, match=message):
        explain_against(shop.portfolio, stated)
