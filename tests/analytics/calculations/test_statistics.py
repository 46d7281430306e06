import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.constants import MIN_RETURNS_VOLATILITY
from analytics.calculations.statistics import downside_deviation, sharpe_ratio, sortino_ratio, volatility

ALL = (volatility, downside_deviation, sharpe_ratio, sortino_ratio)
RETURNS = np.random.default_rng(2).normal(0.0005, 0.011, (3, 500))
WORKED = np.array([0.005, -1 / 300, -0.005, 0.01, 0.01, -0.005])


def test_case_b12_volatility_of_six_daily_returns():
    """The case quotes the SD of the log returns; ours of simple ones, on the same six days, is beside it."""
    logarithmic = np.log1p(WORKED)
    assert volatility(logarithmic, periods_per_year=6, minimum=2) == pytest.approx(0.017736692475309956)
    assert volatility(logarithmic, periods_per_year=1, minimum=2) == pytest.approx(0.0072409743815285525)
    assert volatility(logarithmic, minimum=2) == pytest.approx(0.11494690477988569, rel=1e-13)
    # Σ(r − mean)² = 0.000263425926 for the simple returns, over 5
    assert volatility(WORKED, periods_per_year=1, minimum=2) == pytest.approx(0.007258456115813, rel=1e-12)
    assert np.isnan(volatility(WORKED))


@pytest.mark.parametrize("series", [np.full(300, 0.0), np.full(300, 0.001), np.array([0.01]), np.array([])])
def test_case_b12_constant_single_and_empty_series_have_no_volatility(series):
    assert np.isnan(volatility(series))
    assert np.isnan(sharpe_ratio(series))


def test_prices_growing_at_one_rate_have_no_sharpe_ratio_in_spite_of_rounding():
    prices = 100 * 1.0003 ** np.arange(300)
    returns = prices[1:] / prices[:-1] - 1
    assert np.ptp(returns) > 0
    assert np.isnan(volatility(returns))
    assert np.isnan(sharpe_ratio(returns))


def test_by_hand():
    excess = np.tile([0.02, -0.01], 10)
    mean, spread = 0.005, 0.015 * np.sqrt(20 / 19)
    downside = np.sqrt(0.01**2 / 2 * 252)
    assert downside_deviation(excess) == pytest.approx(downside, rel=1e-14)
    assert sharpe_ratio(excess) == pytest.approx(mean / spread * np.sqrt(252), rel=1e-14)
    assert sortino_ratio(excess) == pytest.approx(mean * 252 / downside, rel=1e-14)


def test_agrees_with_empyrical():
    for row in RETURNS:
        assert volatility(row) == pytest.approx(empyrical.annual_volatility(row), rel=1e-12)
        assert downside_deviation(row) == pytest.approx(empyrical.downside_risk(row), rel=1e-12)
        assert sharpe_ratio(row) == pytest.approx(empyrical.sharpe_ratio(row), rel=1e-12)
        assert sortino_ratio(row) == pytest.approx(empyrical.sortino_ratio(row), rel=1e-12)


@pytest.mark.parametrize("figure", ALL)
def test_rows_are_independent_and_nan_is_no_observation(figure):
    together = figure(RETURNS)
    holes = np.insert(RETURNS, [0, 100, 100, 500], np.nan, axis=1)
    for k, row in enumerate(RETURNS):
        assert figure(row) == together[k]
        assert figure(holes)[k] == pytest.approx(together[k], rel=1e-12)


@pytest.mark.parametrize("figure", ALL)
def test_minimum_sample(figure):
    enough = RETURNS[0, :MIN_RETURNS_VOLATILITY]
    assert np.isfinite(figure(enough))
    assert np.isnan(figure(enough[1:]))
    assert np.isnan(figure(np.concatenate([[np.nan], enough[1:]])))


def test_no_losing_day_has_zero_downside_and_no_sortino_ratio():
    gains = np.linspace(0.001, 0.002, 30)
    assert downside_deviation(gains) == 0
    assert np.isnan(sortino_ratio(gains))


@given(st.floats(0.01, 100.0), st.integers(0, 2**32 - 1))
def test_scaling_returns_scales_dispersion_and_keeps_ratios(k, seed):
    excess = np.random.default_rng(seed).normal(0.0003, 0.01, 60)
    assert volatility(k * excess) == pytest.approx(k * volatility(excess), rel=1e-9)
    assert downside_deviation(k * excess) == pytest.approx(k * downside_deviation(excess), rel=1e-9)
    assert sharpe_ratio(k * excess) == pytest.approx(sharpe_ratio(excess), rel=1e-9, abs=1e-12)
    assert sortino_ratio(k * excess) == pytest.approx(sortino_ratio(excess), rel=1e-9, abs=1e-12)
