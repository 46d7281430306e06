"""Where portfolios stand against their targets, many at once, and how far they have strayed."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from analytics.models import AnalyticsRun, EventStatus, PortfolioAllocation, RebalancingPolicy
from analytics.selectors.portfolio_panels import PortfolioPanel, portfolio_panels
from analytics.services.allocation_analysis import (
    AllocationState,
    allocation_analyse,
    allocations_analyse,
    drifts_write,
)
from portfolios.models import Asset, Portfolio
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY
DAYS = [DAY - dt.timedelta(days=back) for back in range(6, -1, -1)]
AAA_CLOSES = (100, 100, 140, 120, 100, 90, 100)


def make_house(code: str) -> Portfolio:
    """10,000 on the first day: 50 AAA at 100 and 5,000 in cash; AAA should be 50 %."""
    portfolio = make.make_portfolio(code)
    asset = Asset.objects.filter(symbol="AAA").first()
    if asset is None:
        asset = make.make_asset("AAA")
        for day, close in zip(DAYS, AAA_CLOSES, strict=True):
            make.make_price(asset, day, close=Decimal(close), volume=10)
    make.make_transaction(portfolio, kind="deposit", amount=10000, trade_date=DAYS[0])
    make.make_transaction(
        portfolio, kind="buy", asset=asset, quantity=50, price=100, amount=5000, trade_date=DAYS[1]
    )
    make.make_allocation(portfolio, asset, 50, rebalance_threshold=5)
    RebalancingPolicy.objects.create(portfolio=portfolio, cash_target_percentage=50)
    return portfolio


def panels(*portfolios: Portfolio) -> list[PortfolioPanel]:
    return [panel for panel in portfolio_panels(portfolios, DAY) if isinstance(panel, PortfolioPanel)]


def analysed(*portfolios: Portfolio) -> list[AllocationState]:
    return allocations_analyse(panels(*portfolios))


def run() -> AnalyticsRun:
    return make.make_run(stage="test")


def test_many_are_analysed_as_each_alone_with_as_many_queries(django_assert_num_queries: Any) -> None:
    first, second, third = (panels(make_house(code))[0] for code in ("ONE", "TWO", "THREE"))
    with django_assert_num_queries(11):
        alone = allocation_analyse(first)
    with django_assert_num_queries(11):
        together = allocations_analyse([first, second, third])
    assert together[0] == alone
    assert [state.portfolio.code for state in together] == ["ONE", "TWO", "THREE"]


def test_the_highest_deviation_is_the_largest_since_the_share_is_held() -> None:
    """7,000 of 12,000 on the third day: 8.33 points above the target."""
    portfolio = make_house("HOME")
    (line,) = analysed(portfolio)[0].lines
    assert line.highest_drift is not None
    assert line.highest_drift[0] == pytest.approx(7000 / 12000 * 100 - 50)
    assert line.highest_drift[1] == DAYS[2]


def test_a_completed_rebalancing_starts_it_anew() -> None:
    portfolio = make_house("HOME")
    done = dt.datetime.combine(DAYS[3], dt.time(12), dt.UTC)
    make.make_event(portfolio, status=EventStatus.COMPLETED, completed_at=done)
    state = analysed(portfolio)[0]
    assert state.last_rebalanced == DAYS[3]
    (line,) = state.lines
    assert line.highest_drift is not None
    assert line.highest_drift[0] == pytest.approx(4500 / 9500 * 100 - 50)
    assert line.highest_drift[1] == DAYS[5]


def test_drift_and_its_extreme_are_stored_for_all_at_once() -> None:
    one, two = make_house("ONE"), make_house("TWO")
    states = analysed(one, two)
    assert drifts_write(run(), [(state, f"{place:032}") for place, state in enumerate(states)]) == 2
    stored = PortfolioAllocation.objects.order_by("portfolio__code")
    assert [row.inputs_hash for row in stored] == [f"{0:032}", f"{1:032}"]
    assert {(row.current_percentage, row.drift_percentage, row.is_breached) for row in stored} == {
        (50, 0, False)
    }
    assert {row.highest_drift_date for row in stored} == {DAYS[2]}
    assert drifts_write(run(), [(state, f"{place:032}") for place, state in enumerate(states)]) == 0
    assert drifts_write(run(), []) == 0


def test_a_target_that_was_never_held_deviates_by_all_of_it() -> None:
    portfolio = make_house("HOME")
    asset = make.make_asset("BBB")
    make.make_price(asset, DAY)
    make.make_allocation(portfolio, asset, 20)
    line = next(line for line in analysed(portfolio)[0].lines if line.asset == asset)
    assert line.highest_drift == (-20, DAY)


@pytest.mark.parametrize(
    ("rule", "breached"), [("absolute", False), ("relative", True), ("either", True), ("both", False)]
)
def test_the_rule_says_which_band_holds(rule: str, breached: bool) -> None:
    """52.63 % is 2.63 points and 5.3 % of the target above it; the bands are 5 points and 4 %."""
    portfolio = make_house("HOME")
    make.make_transaction(portfolio, kind="withdrawal", amount=500, trade_date=DAYS[2])
    PortfolioAllocation.objects.update(band_rule=rule, rebalance_threshold=5, rebalance_threshold_relative=4)
    assert bool(analysed(portfolio)[0].breaches) is breached


def test_a_quote_says_where_the_price_comes_from() -> None:
    portfolio = make_house("HOME")
    asset = Asset.objects.get(symbol="AAA")
    RebalancingPolicy.objects.update(impact_coefficient=1)
    make.make_asset_metrics(asset, DAYS[4], volatility_20d=0.2)
    (line,) = analysed(portfolio)[0].lines
    quote = line.quote
    assert (quote.price, quote.local, quote.rate, quote.rate_date, quote.age) == (100, 100, 1, None, 0)
    assert quote.bar == asset.price_bars.get(date=DAY).pk
    assert quote.daily_volatility == pytest.approx(0.2 / 252**0.5)
    assert quote.daily_value is None  # seven bars are no twenty
    for back in range(20):
        day = DAYS[0] - dt.timedelta(days=1 + back)
        make.make_price(asset, day, close=Decimal(100), volume=10)
    (line,) = analysed(portfolio)[0].lines
    assert line.quote.daily_value == pytest.approx((sum(AAA_CLOSES) + 13 * 100) * 10 / 20)


def test_an_old_price_is_found_however_old_it_is() -> None:
    portfolio = make_house("HOME")
    asset = make.make_asset("OLD")
    make.make_price(asset, DAY - dt.timedelta(days=300), close=Decimal(7))
    make.make_allocation(portfolio, asset, 0)
    line = next(line for line in analysed(portfolio)[0].lines if line.asset == asset)
    assert (line.price, line.price_age) == (7, 300)
