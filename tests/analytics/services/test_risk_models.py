"""Value at risk three ways with backtests, and risk contributions: as of the day a run ends on."""

import datetime as dt
from typing import Any

import numpy as np
import pytest
from django.db import models

from analytics.models import (
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
)
from analytics.services.risk_models import BACKTESTS, CONTRIBUTIONS
from portfolios.models import (
    Asset,
    ChangeCause,
    ExchangeRate,
    Portfolio,
    PriceBar,
    Transaction,
    TransactionKind,
)
from portfolios.services.portfolios import portfolio_update
from portfolios.services.staleness import mark_assets_stale, mark_portfolio_stale
from portfolios.services.transactions import transaction_reverse
from tests.support import factories as make
from tests.support.house import DAYS, LAST_DAY, House, make_computed_house, make_house, run

pytestmark = [pytest.mark.django_db, pytest.mark.once]

LONG = [
    day
    for day in np.arange(np.datetime64("2021-06-01"), np.datetime64("2024-02-01")).tolist()
    if day.isoweekday() <= 5
]
TESTS = ("kupiec_lr", "kupiec_p", "christoffersen_lr", "christoffersen_p", "joint_lr", "joint_p")
FIGURES = {
    "weight",
    "volatility",
    "marginal_var",
    "component_var",
    "component_var_percentage",
    "component_volatility",
}


@pytest.fixture
def short_house() -> House:
    return make_house()


@pytest.fixture
def house() -> House:
    return make_computed_house(LONG)


def stored() -> list[list[dict[str, Any]]]:
    tables: list[type[models.Model]] = [PortfolioVarBacktest, PortfolioRiskContribution]
    return [list(model._default_manager.order_by("pk").values()) for model in tables]


def methods_of(portfolio: Portfolio) -> dict[tuple[str, float], PortfolioVarBacktest]:
    rows = PortfolioVarBacktest.objects.filter(portfolio=portfolio)
    return {(row.method, row.level): row for row in rows}


def positions_of(portfolio: Portfolio) -> dict[str, PortfolioRiskContribution]:
    rows = PortfolioRiskContribution.objects.filter(portfolio=portfolio).select_related("asset")
    return {row.asset.symbol: row for row in rows}


def base_returns(asset: Asset, rates: dict[dt.date, float] | None = None) -> np.ndarray:
    closes = [
        float(bar.close) * (rates[bar.date] if rates else 1)
        for bar in PriceBar.objects.filter(asset=asset).order_by("date")
    ]
    return np.diff(closes) / closes[:-1]


def test_methods_and_backtests_of_one_position_by_hand(house: House) -> None:
    """All of the risk of `home` is in one share, so its frozen returns are the share's, weighted."""
    rows = methods_of(house.home)
    assert len(rows) == 6
    held = positions_of(house.home)["ACME"]
    frozen = held.weight * base_returns(house.acme)
    for level in (0.95, 0.99):
        row = rows["historical", level]
        assert (row.calculation_date, row.window) == (LONG[-1], len(LONG) - 1)
        assert row.var == pytest.approx(-np.quantile(frozen, round(1 - level, 2)), rel=1e-9)
        hits = [
            r < np.quantile(frozen[:day], round(1 - level, 2)) for day, r in enumerate(frozen) if day >= 252
        ]
        assert (row.observations, row.exceptions) == (len(hits), sum(hits))
        assert row.expected == pytest.approx(len(hits) * (1 - level))
        for method in ("historical", "normal", "cornish_fisher"):
            assert rows[method, level].cvar > rows[method, level].var > 0
    worst = rows["historical", 0.99]
    assert (worst.zone, worst.zone_exceptions) == ("green", sum(hits[-250:]))
    assert rows["normal", 0.95].var == pytest.approx(
        -(frozen.mean() - 1.6448536269514722 * frozen.std(ddof=1)), rel=1e-9
    )


def test_every_missing_figure_has_its_reason(house: House) -> None:
    for row in PortfolioVarBacktest.objects.all():
        missing = {
            name
            for name in ("var", "cvar", "exceptions", "expected", *TESTS, "zone", "zone_exceptions")
            if getattr(row, name) is None
        }
        assert missing <= row.quality.keys()
        assert {"zone", "zone_exceptions"} == missing if row.level == 0.95 else not missing
    for line in PortfolioRiskContribution.objects.all():
        assert not {name for name in FIGURES if getattr(line, name) is None}
        assert line.quality["covariance"] == f"sample covariance, {len(LONG) - 1} common returns"


def test_components_add_up_to_the_figures_of_the_portfolio(house: House) -> None:
    for portfolio in (house.home, house.abroad):
        lines = list(positions_of(portfolio).values())
        loss = methods_of(portfolio)["historical", 0.95].var
        assert sum(line.component_var for line in lines) == pytest.approx(loss, rel=1e-12)
        assert sum(line.component_var_percentage for line in lines) == pytest.approx(100, rel=1e-12)
        for line in lines:
            assert line.component_var == pytest.approx(line.weight * line.marginal_var, rel=1e-12)
        snapshot = PortfolioPerformanceHistory.objects.get(portfolio=portfolio, snapshot_date=LONG[-1])
        assert sum(line.weight for line in lines) == pytest.approx(
            float(snapshot.invested_value / snapshot.total_value), rel=1e-9
        )
    alone = positions_of(house.home)["ACME"]
    assert alone.component_volatility == pytest.approx(alone.weight * alone.volatility, rel=1e-12)


def test_volatility_of_two_positions_in_two_currencies(house: House) -> None:
    rates = {rate.date: float(rate.rate) for rate in ExchangeRate.objects.all()}
    returns = np.stack([base_returns(house.acme), base_returns(house.rhein, rates)])
    lines = positions_of(house.abroad)
    weights = np.array([lines["ACME"].weight, lines["RHEIN"].weight])
    total = (weights @ returns).std(ddof=1) * np.sqrt(252)
    assert sum(line.component_volatility for line in lines.values()) == pytest.approx(total, rel=1e-9)
    assert lines["RHEIN"].volatility == pytest.approx(returns[1].std(ddof=1) * np.sqrt(252), rel=1e-9)
    assert lines["RHEIN"].quality["positions"] == "without the exchange-rate risk of the cash in EUR"
    assert "positions" not in positions_of(house.home)["ACME"].quality


def test_effective_bets_stand_beside_effective_assets(house: House) -> None:
    one = PortfolioRiskMetrics.objects.get(portfolio=house.home, calculation_date=LONG[-1])
    assert [one.effective_assets, one.effective_bets] == pytest.approx([1, 1])
    two = PortfolioRiskMetrics.objects.get(portfolio=house.abroad, calculation_date=LONG[-1])
    assert two.effective_bets is not None
    assert 1 < two.effective_bets <= 2
    early = PortfolioRiskMetrics.objects.get(portfolio=house.abroad, calculation_date=LONG[30])
    assert early.effective_bets is None
    assert early.quality["effective_bets"] == "insufficient data: 31 of 60"


def test_a_second_run_changes_nothing(house: House) -> None:
    before = stored()
    again = run(calculation_date=LONG[-1], from_date=LONG[0])
    assert stored() == before
    assert (
        {again.rows_by_table.get(table, 0) for table in (BACKTESTS, CONTRIBUTIONS)} == {0}
        if hasattr(again, "rows_by_table")
        else True
    )
    assert not PortfolioVarBacktest.objects.filter(run=again).exists()


def test_rows_say_who_computed_them(house: House) -> None:
    for model in (PortfolioVarBacktest, PortfolioRiskContribution):
        for row in model._default_manager.all():
            risk = PortfolioRiskMetrics.objects.get(portfolio=row.portfolio, calculation_date=LONG[-1])
            assert (row.run_id, row.inputs_hash, row.engine_version) == (
                risk.run_id,
                risk.inputs_hash,
                risk.engine_version,
            )
            assert row.inputs_hash


def test_every_day_a_run_ends_on_keeps_its_rows(short_house: House) -> None:
    for day in DAYS[-2:]:
        run(calculation_date=day)
    days = PortfolioVarBacktest.objects.filter(portfolio=short_house.home, level=0.95, method="normal")
    assert set(days.values_list("calculation_date", flat=True)) == set(DAYS[-2:])


def test_a_run_over_earlier_days_leaves_the_rows_of_the_latest_alone(house: House) -> None:
    before = stored()
    run(calculation_date=LONG[-30], from_date=LONG[0])
    assert stored() == before


def test_runs_of_other_sections_write_none(short_house: House) -> None:
    run(only=["performance", "benchmarks"])
    assert stored() == [[], []]


def test_four_months_are_too_few_and_say_so(short_house: House) -> None:
    run()
    days = len(DAYS) - 1
    for row in methods_of(short_house.home).values():
        needed = 100 if row.level == 0.95 else 250
        assert (row.var, row.cvar, row.exceptions, row.kupiec_p, row.zone) == (None,) * 5
        assert (row.window, row.observations) == (days, 0)
        assert row.quality["var"] == f"insufficient data: {days} of {needed} common returns; ACME has {days}"
        assert row.quality["kupiec_p"] == f"insufficient data: {days} of 253 common returns; ACME has {days}"
    line = positions_of(short_house.home)["ACME"]
    assert line.weight is not None
    assert line.component_volatility is not None
    assert (line.component_var, line.marginal_var) == (None, None)
    assert line.quality["component_var"].startswith(f"insufficient data: {days} of 100 common returns")


@pytest.mark.parametrize("frequency", ["monthly", "quarterly"])
def test_portfolios_that_are_not_valued_daily_have_reasons(house: House, frequency: str) -> None:
    portfolio_update(house.home, valuation_frequency=frequency)
    run(calculation_date=LONG[-1])
    reason = f"valued {frequency}: there are no daily returns"
    for row in methods_of(house.home).values():
        assert (row.var, row.exceptions, row.expected, row.joint_p) == (None,) * 4
        assert (row.quality["var"], row.quality["joint_p"]) == (reason, reason)
    line = positions_of(house.home)["ACME"]
    assert line.weight is not None
    assert (line.volatility, line.component_var, line.component_volatility) == (None, None, None)
    assert line.quality["component_var"] == line.quality["volatility"] == reason
    assert methods_of(house.abroad)["normal", 0.95].var is not None


def test_cash_alone_has_no_positions(short_house: House) -> None:
    cash = make.make_portfolio("CASH")
    make.make_transaction(cash, amount=1000, trade_date=DAYS[0])
    run()
    rows = methods_of(cash)
    assert len(rows) == 6
    assert {row.quality["var"] for row in rows.values()} == {"no positions"}
    assert positions_of(cash) == {}


def test_a_missing_exchange_rate_leaves_the_whole_unknown(short_house: House) -> None:
    stranded = make.make_portfolio("STRANDED")
    krona = make.make_currency("SEK")
    make.make_transaction(stranded, amount=1000, currency=krona, trade_date=DAYS[0])
    make.make_transaction(
        stranded,
        kind=TransactionKind.BUY,
        asset=short_house.acme,
        quantity=1,
        price=100,
        amount=None,
        trade_date=DAYS[1],
    )
    run()
    for row in methods_of(stranded).values():
        assert row.var is None
        assert "SEK" in row.quality["var"]
    line = positions_of(stranded)["ACME"]
    assert (line.weight, line.component_var) == (None, None)
    assert "SEK" in line.quality["weight"]


def test_a_sold_position_has_no_row_any_more(house: House) -> None:
    assert positions_of(house.abroad).keys() == {"ACME", "RHEIN"}
    make.make_transaction(
        house.abroad,
        kind=TransactionKind.SELL,
        asset=house.acme,
        quantity=300,
        price=100,
        amount=None,
        trade_date=LONG[-1],
        settle_date=LONG[-1],
    )
    mark_portfolio_stale(house.abroad, LONG[-1], ChangeCause.TRANSACTION)
    run(calculation_date=LONG[-1])
    assert positions_of(house.abroad).keys() == {"RHEIN"}


def test_a_hole_in_the_prices_leaves_the_day_out(house: House) -> None:
    before = methods_of(house.abroad)["historical", 0.95]
    PriceBar.objects.filter(asset=house.rhein, date=LONG[300]).delete()
    mark_assets_stale({house.rhein.pk: LONG[300]}, ChangeCause.PRICE)
    run(calculation_date=LONG[-1])
    after = methods_of(house.abroad)["historical", 0.95]
    assert (after.window, after.observations) == (before.window - 1, before.observations - 1)


def test_a_flat_price_has_no_loss_and_no_spread(house: House) -> None:
    flat = make.make_asset("FLAT")
    PriceBar.objects.bulk_create(
        PriceBar(asset=flat, date=day, high=1, low=1, close=1, volume=1) for day in LONG
    )
    still = make.make_portfolio("STILL")
    make.make_transaction(still, amount=1000, trade_date=LONG[0])
    make.make_transaction(
        still, kind=TransactionKind.BUY, asset=flat, quantity=500, price=1, amount=None, trade_date=LONG[1]
    )
    run(calculation_date=LONG[-1])
    rows = methods_of(still)
    assert rows["historical", 0.95].var == 0
    assert rows["normal", 0.95].var is None
    assert rows["normal", 0.95].quality["var"] == "insufficient data: constant returns"
    assert (
        positions_of(still)["FLAT"].quality["component_volatility"] == "insufficient data: constant returns"
    )
    assert positions_of(still)["FLAT"].quality["component_var"] == "the tail is no loss on average"


def test_a_book_with_nothing_left_keeps_no_rows(house: House) -> None:
    for line in Transaction.objects.booked().filter(portfolio=house.home).order_by("-trade_date", "-pk"):
        transaction_reverse(line, reason="wrong client")
    run(calculation_date=LONG[-1])
    assert methods_of(house.home) == {}
    assert positions_of(house.home) == {}
    assert methods_of(house.abroad)


def test_the_last_day_is_the_portfolios_last_trading_day(short_house: House) -> None:
    run(calculation_date=LAST_DAY + dt.timedelta(days=2))
    assert set(PortfolioVarBacktest.objects.values_list("calculation_date", flat=True)) == {LAST_DAY}
