"""A portfolio that is valued every month: returns on month ends, and nothing that needs daily ones."""

import datetime as dt

import pytest

from analytics.models import PortfolioBenchmark, PortfolioPerformanceHistory, PortfolioRiskMetrics
from portfolios.services.portfolios import portfolio_update
from tests.support.house import House, make_computed_house, run

pytestmark = pytest.mark.django_db

MONTH_ENDS = [dt.date(2024, 2, 29), dt.date(2024, 3, 28), dt.date(2024, 4, 30), dt.date(2024, 5, 31)]


@pytest.fixture
def house() -> House:
    return make_computed_house()


def test_returns_stand_on_month_ends_and_link_to_the_same_index(house: House) -> None:
    """Without flows Modified Dietz is the time-weighted return."""
    daily = {
        row.snapshot_date: row for row in PortfolioPerformanceHistory.objects.filter(portfolio=house.home)
    }
    portfolio_update(house.home, valuation_frequency="monthly")
    run()
    rows = PortfolioPerformanceHistory.objects.filter(portfolio=house.home)
    assert {row.snapshot_date for row in rows} == daily.keys()
    assert [
        row.snapshot_date for row in rows.exclude(daily_return=None).order_by("snapshot_date")
    ] == MONTH_ENDS
    for row in rows:
        before = daily[row.snapshot_date]
        assert row.total_value == before.total_value
        if row.snapshot_date in MONTH_ENDS:
            assert row.twr_index == pytest.approx(before.twr_index, rel=1e-12)
            place = MONTH_ENDS.index(row.snapshot_date)
            if place:
                opening = daily[MONTH_ENDS[place - 1]].twr_index
                assert row.return_1m == pytest.approx(before.twr_index / opening - 1, rel=1e-9)
        else:
            assert row.twr_index is None
            assert row.quality["twr_index"] == "valued monthly: no valuation on this day"
        assert (row.volatility, row.sharpe_ratio, row.beta, row.var_95) == (None, None, None, None)
        assert row.quality["volatility"] == "valued monthly: there are no daily returns"


def test_risk_and_benchmark_figures_of_daily_returns_are_unknown(house: House) -> None:
    portfolio_update(house.home, valuation_frequency="monthly")
    run()
    risk = PortfolioRiskMetrics.objects.filter(portfolio=house.home).latest("calculation_date")
    assert (risk.volatility, risk.var_95_1d, risk.observations) == (None, None, 0)
    assert risk.concentration_hhi == pytest.approx(1)
    benchmark = PortfolioBenchmark.objects.get(portfolio=house.home)
    assert (benchmark.beta, benchmark.tracking_error) == (None, None)
    other = PortfolioRiskMetrics.objects.filter(portfolio=house.abroad).latest("calculation_date")
    assert other.volatility is not None


def test_back_to_daily_is_as_it_was(house: House) -> None:
    def figures() -> list[tuple]:
        rows = PortfolioPerformanceHistory.objects.filter(portfolio=house.home).order_by("snapshot_date")
        return list(rows.values_list("snapshot_date", "daily_return", "twr_index", "volatility", "beta"))

    before = figures()
    portfolio_update(house.home, valuation_frequency="quarterly")
    run()
    assert figures() != before
    portfolio_update(house.home, valuation_frequency="daily")
    run()
    assert figures() == before
