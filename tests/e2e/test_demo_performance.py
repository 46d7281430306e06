"""Returns and statistics of the performance history, from the second ledger and other people's libraries."""

import empyrical
import numpy as np
import pandas as pd
import pytest
import pyxirr
import statsmodels.api as sm
from scipy.optimize import brentq

from tests.support.demo_files import CODES, SESSIONS
from tests.support.demo_house import DEMO_MARKS, DemoHouse
from tests.support.oracle_series import (
    ONE_DAY,
    PortfolioSeries,
    assert_equal,
    months_before,
    portfolio_series,
    returns_since,
)

pytestmark = DEMO_MARKS

# Days around every minimum sample (20, 60, 100, 250 returns, 365 days), some between, and the last one.
POSITIONS = (0, 18, 19, 58, 59, 98, 99, 147, 248, 249, 254, 500, 753, 1000, -1)
MONTHS = {
    "return_1m": 1,
    "return_3m": 3,
    "return_6m": 6,
    "return_1y": 12,
    "return_3y": 36,
    "return_5y": 60,
}
YEAR = 365
SAMPLES = [(code, position) for code in CODES for position in POSITIONS if position < SESSIONS[code]]


@pytest.mark.parametrize("code", CODES)
def test_daily_return_and_index_of_every_day(demo_house: DemoHouse, code: str) -> None:
    stored, expected = demo_house.of("performance", portfolio=code), portfolio_series(code)
    assert_equal(stored["daily_return"], expected.returns)
    assert_equal(stored["twr_index"], expected.index)
    assert_equal(stored["cumulative_return"], expected.index - 1)


@pytest.mark.parametrize("code", CODES)
def test_returns_by_calendar_on_every_day(demo_house: DemoHouse, code: str) -> None:
    stored, expected = demo_house.of("performance", portfolio=code), portfolio_series(code)
    levels = expected.levels(len(expected.dates) - 1)
    days = {name: [months_before(day, months) for day in expected.dates] for name, months in MONTHS.items()}
    days["return_ytd"] = [pd.Timestamp(day.year - 1, 12, 31) for day in expected.dates]
    for name, anchors in days.items():
        figures = returns_since(levels, expected.dates, anchors)
        assert_equal(stored[name], figures)
        unknown = {expected.dates[row] for row in np.flatnonzero(np.isnan(figures))}
        assert {day for day, reasons in stored["quality"].items() if name in reasons} == unknown


@pytest.mark.parametrize("code", CODES)
def test_benchmark_columns_of_every_day(demo_house: DemoHouse, code: str) -> None:
    stored, expected = demo_house.of("performance", portfolio=code), portfolio_series(code)
    daily = expected.benchmarks[expected.primary]
    since_start = np.cumprod(1 + daily) - 1
    assert set(stored["benchmark"]) == {expected.primary}
    assert_equal(stored["benchmark_return"], daily)
    assert_equal(stored["benchmark_cumulative_return"], since_start)
    assert_equal(stored["excess_return"], expected.index - 1 - since_start)


@pytest.mark.parametrize(("code", "position"), SAMPLES)
def test_statistics_since_inception(demo_house: DemoHouse, code: str, position: int) -> None:
    stored, series = demo_house.of("performance", portfolio=code), portfolio_series(code)
    position %= len(series.dates)
    for name, figure in statistics(series, position).items():
        assert_figure(stored, position, name, figure)


@pytest.mark.parametrize(("code", "position"), SAMPLES)
def test_money_weighted_return(demo_house: DemoHouse, code: str, position: int) -> None:
    stored, series = demo_house.of("performance", portfolio=code), portfolio_series(code)
    position %= len(series.dates)
    row = stored.iloc[position]
    dates, amounts = cash_flows(series, position)
    days = (dates[-1] - dates[0]).days
    if days == 0:
        assert np.isnan(row["money_weighted_return"])
        assert row["quality"]["money_weighted_return"] == "no root: all flows fall on one day"
        return
    rate = internal_rate(dates, amounts)
    assert pyxirr.xirr(dates, amounts) == pytest.approx(rate, rel=1e-6, abs=1e-8)
    if days >= YEAR:
        assert row["money_weighted_return"] == pytest.approx(rate, rel=1e-9)
        return
    assert np.isnan(row["money_weighted_return"])
    reason = row["quality"]["money_weighted_return"]
    assert reason.startswith(f"span under a year: {days} of 365 days, period return ")
    assert float(reason.rpartition(" ")[2]) == pytest.approx(
        (1 + rate) ** (days / YEAR) - 1, rel=1e-8, abs=1e-9
    )


def assert_figure(stored: pd.DataFrame, position: int, name: str, figure: float | None) -> None:
    """Equal, or unknown in both with a reason beside it."""
    value, where = stored[name].iloc[position], (name, stored.index[position])
    if figure is None:
        assert pd.isna(value), where
        assert stored["quality"].iloc[position].get(name), where
    else:
        assert value == pytest.approx(figure, rel=1e-9, abs=1e-12), where


def statistics(series: PortfolioSeries, position: int) -> dict[str, float | None]:
    """Figures of all returns up to a day; None where the minimum sample is not reached."""
    past = slice(None, position + 1)
    r, f, b = series.returns[past], series.risk_free[past], series.benchmarks[series.primary][past]
    n = len(r)
    days = (series.dates[position] - (series.dates[0] - ONE_DAY)).days
    fit = sm.OLS(r - f, sm.add_constant(b - f)).fit() if n >= 60 else None
    levels = series.levels(position).to_numpy()
    active = r - b
    error = np.std(active, ddof=1) * np.sqrt(252) if n > 1 else 0.0

    def at_least(minimum: int, figure: float) -> float | None:
        return float(figure) if n >= minimum else None

    return {
        "annualized_return": (float(series.index[position] ** (YEAR / days) - 1) if days >= YEAR else None),
        "volatility": at_least(20, empyrical.annual_volatility(r)),
        "downside_deviation": at_least(20, empyrical.downside_risk(r, f)),
        "sharpe_ratio": at_least(20, empyrical.sharpe_ratio(r - f)) if n > 1 else None,
        "sortino_ratio": at_least(20, empyrical.sortino_ratio(r - f)) if n > 1 else None,
        "max_drawdown": float(-empyrical.max_drawdown(r)),
        "current_drawdown": float(1 - levels[-1] / levels.max()),
        "var_95": at_least(100, -np.quantile(r, 0.05)),
        "var_99": at_least(250, -np.quantile(r, 0.01)),
        "beta": float(fit.params[1]) if fit else None,
        "alpha": float(fit.params[0] * 252) if fit else None,
        "tracking_error": at_least(20, error),
        "information_ratio": at_least(20, active.mean() * 252 / error) if n >= 20 else None,
    }


def cash_flows(series: PortfolioSeries, position: int) -> tuple[list[pd.Timestamp], list[float]]:
    """What the investor paid in (negative) and took out, and the value at the end."""
    past = [(close.date, -float(close.inflow - close.outflow)) for close in series.closes[: position + 1]]
    moved = [(day, amount) for day, amount in past if amount]
    moved.append((series.dates[position], float(series.closes[position].figures["total_value"])))
    return [day for day, _ in moved], [amount for _, amount in moved]


def internal_rate(dates: list[pd.Timestamp], amounts: list[float]) -> float:
    """The annual effective rate, ACT/365, by bracketing."""
    years = np.array([(day - dates[0]).days / YEAR for day in dates])
    scaled = np.array(amounts) / max(abs(amount) for amount in amounts)
    log_rate = brentq(lambda x: float((scaled * np.exp(-x * years)).sum()), -50, 50, xtol=1e-15, rtol=1e-14)
    return float(np.expm1(log_rate))
