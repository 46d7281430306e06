"""Drift, bands and the newest rows behind the front page, against numbers worked out by hand."""

import datetime as dt
from typing import Any

import pytest

from analytics.models import EventStatus, RebalancingPolicy
from analytics.selectors.dashboard import Standing, dashboard
from portfolios.models import Portfolio, PortfolioStatus
from tests.support import factories as make

pytestmark = pytest.mark.django_db

DAY = make.DAY


def standing_of(portfolio: Portfolio) -> Standing:
    found = {row.portfolio: row for row in dashboard(make.make_superuser()).standings}
    return found[portfolio]


def line(portfolio: Portfolio, target: float, current: float, **fields: Any) -> None:
    defaults = {"calculation_date": DAY, "current_percentage": current, "drift_percentage": current - target}
    make.make_allocation(portfolio, make.make_asset(fields.pop("symbol", "")), target, **defaults | fields)


def test_drift_counts_lines_cash_and_what_has_no_target() -> None:
    portfolio = make.make_portfolio()
    RebalancingPolicy.objects.create(portfolio=portfolio, cash_target_percentage=4)
    make.make_performance(portfolio, total_value=1000, cash_value=70)
    line(portfolio, 60, 55)
    line(portfolio, 36, 33)
    # 5 + 3 of the lines, 7 - 4 of cash, 100 - 55 - 33 - 7 held without a target: half of 16.
    assert standing_of(portfolio).drift == pytest.approx(8)


def test_the_tightest_line_has_used_most_of_its_room() -> None:
    portfolio = make.make_portfolio()
    line(portfolio, 50, 54, rebalance_threshold=5, symbol="WIDE")
    line(
        portfolio,
        20,
        18,
        rebalance_threshold=5,
        rebalance_threshold_relative=5,
        symbol="RELATIVE",
        is_breached=True,
    )
    line(portfolio, 30, 31, max_percentage=40, symbol="LIMITS")
    standing = standing_of(portfolio)
    tightest = standing.tightest_line
    assert tightest is not None
    # Five percent of a target of 20 is one point: tighter than the band of five points.
    assert (tightest.symbol, tightest.deviation, tightest.room) == ("RELATIVE", -2, 1)
    assert tightest.used == 2
    assert standing.breaches == 1


def test_drift_of_another_day_is_not_mixed_in() -> None:
    portfolio = make.make_portfolio()
    make.make_performance(portfolio, total_value=1000, cash_value=0)
    line(portfolio, 100, 90, calculation_date=DAY - dt.timedelta(days=1))
    standing = standing_of(portfolio)
    assert standing.drift is None
    assert "not computed yet" in standing.drift_reason


@pytest.mark.parametrize(("value", "reason"), [(None, "no valuation yet"), (0, "no valuation yet")])
def test_drift_needs_a_value(value: int | None, reason: str) -> None:
    portfolio = make.make_portfolio()
    make.make_performance(portfolio, total_value=value, cash_value=0)
    line(portfolio, 100, 100)
    assert (standing_of(portfolio).drift, standing_of(portfolio).drift_reason) == (None, reason)


def test_without_targets_there_is_no_drift() -> None:
    portfolio = make.make_portfolio()
    make.make_performance(portfolio, total_value=1000, cash_value=0)
    assert (standing_of(portfolio).drift, standing_of(portfolio).tightest_line) == (None, None)


def test_the_newest_rows_count() -> None:
    portfolio, other = make.make_portfolio(), make.make_portfolio()
    newest = make.make_performance(portfolio, DAY, total_value=2)
    make.make_performance(portfolio, DAY - dt.timedelta(days=1), total_value=1)
    make.make_performance(other, DAY + dt.timedelta(days=9), total_value=3)
    risk = make.make_risk(portfolio, DAY)
    make.make_risk(portfolio, DAY - dt.timedelta(days=1))
    standing = standing_of(portfolio)
    assert standing.performance == newest
    assert standing.risk == risk


def test_only_open_events_and_active_portfolios_show() -> None:
    portfolio = make.make_portfolio()
    make.make_portfolio(status=PortfolioStatus.CLOSED)
    make.make_event(portfolio, status=EventStatus.REJECTED)
    opened = make.make_event(portfolio, status=EventStatus.APPROVED)
    shown = dashboard(make.make_superuser()).standings
    assert [row.open_event for row in shown] == [opened]
