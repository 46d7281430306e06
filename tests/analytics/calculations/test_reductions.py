"""One statistic, two ways to reduce its series: the last day of the trailing way is the whole way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.reductions import WHOLE, Trailing
from analytics.calculations.regression import beta_alpha, correlation, information_ratio, tracking_error
from analytics.calculations.returns import geometric_return
from analytics.calculations.statistics import downside_deviation, sharpe_ratio, sortino_ratio, volatility

ALONE = [volatility, downside_deviation, sharpe_ratio, sortino_ratio]
AGAINST = [tracking_error, information_ratio, correlation]


def make_returns(seed, days, holes):
    random = np.random.default_rng(seed)
    returns = random.normal(0.0003, 0.01, (2, days)) + random.normal(0, 0.005, days)
    returns[random.random(returns.shape) < holes] = np.nan
    return returns


@pytest.mark.parametrize("statistic", ALONE)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.sampled_from([5, 30, 60, None]), st.floats(0, 0.3))
def test_each_day_is_the_whole_of_its_window(statistic, seed, days, window, holes):
    returns = make_returns(seed, days, holes)
    trailing = statistic(returns, minimum=3, over=Trailing(window))
    for day in {0, days // 2, days - 1}:
        within = returns[:, 0 if window is None else max(day + 1 - window, 0) : day + 1]
        np.testing.assert_allclose(trailing[:, day], statistic(within, minimum=3), rtol=1e-9)
    earlier = statistic(returns[:, : days // 2], minimum=3, over=Trailing(window))
    np.testing.assert_array_equal(earlier, trailing[:, : days // 2])


@pytest.mark.parametrize("statistic", AGAINST)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.sampled_from([5, 30, 60, None]), st.floats(0, 0.3))
def test_each_day_against_a_benchmark(statistic, seed, days, window, holes):
    returns, benchmark = make_returns(seed, days, holes)
    trailing = statistic(returns, benchmark, minimum=3, over=Trailing(window))
    slopes, intercepts = beta_alpha(returns, benchmark, minimum=3, over=Trailing(window))
    for day in {0, days // 2, days - 1}:
        part = slice(0 if window is None else max(day + 1 - window, 0), day + 1)
        whole = statistic(returns[part], benchmark[part], minimum=3)
        np.testing.assert_allclose(trailing[day], whole, rtol=1e-8, atol=1e-12)
        expected = beta_alpha(returns[part], benchmark[part], minimum=3)
        np.testing.assert_allclose((slopes[day], intercepts[day]), expected, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("over", [WHOLE, Trailing(), Trailing(7)])
def test_a_constant_series_does_not_move(over):
    returns = np.full(30, 0.1)
    returns[::4] = np.nan
    assert not np.any(over.moves(returns))
    assert np.isnan(volatility(returns, minimum=2, over=over)).all()
    assert not np.any(over.moves(np.full(30, np.nan)))


def test_growth_over_a_window_is_the_compound_return_of_it():
    returns = make_returns(1, 40, 0.1)
    annual = geometric_return(returns, Trailing(9))
    np.testing.assert_allclose(annual[:, -1], geometric_return(returns[:, -9:]), rtol=1e-12)
