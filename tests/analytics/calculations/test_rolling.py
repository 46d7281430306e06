import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from analytics.calculations.rolling import rolling_drawdown, rolling_mean, rolling_slope, rolling_spread

WINDOWS = [2, 3, 20, 31, 32, 252]


def make_series(seed=1, shape=(600,)):
    return np.random.default_rng(seed).normal(0.0005, 0.012, shape)


@pytest.mark.parametrize("window", WINDOWS)
def test_figures_equal_those_of_each_window_alone(window):
    x, driver = make_series(1), make_series(2)
    mean, spread = rolling_spread(x, window)
    slope, squares = rolling_slope(x, driver, window)
    windows, driven = sliding_window_view(x, window), sliding_window_view(driver, window)
    moves = driven - driven.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(mean[window - 1 :], windows.mean(axis=1), rtol=1e-12, atol=1e-17)
    np.testing.assert_array_equal(rolling_mean(x, window), mean)
    np.testing.assert_allclose(spread[window - 1 :], windows.std(axis=1, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(squares[window - 1 :], (moves**2).sum(axis=1), rtol=1e-12)
    expected = (moves * windows).sum(axis=1) / (moves**2).sum(axis=1)
    np.testing.assert_allclose(slope[window - 1 :], expected, rtol=1e-9, atol=1e-12)
    for figure in (mean, spread, slope, squares):
        assert np.isnan(figure[: window - 1]).all()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_drawdown_is_that_of_its_window_to_the_bit(window):
    levels = 50 * np.cumprod(1 + make_series())
    windows = sliding_window_view(levels, window)
    expected = 1 - (windows / np.maximum.accumulate(windows, axis=1)).min(axis=1)
    np.testing.assert_array_equal(rolling_drawdown(levels, window)[window - 1 :], expected)


@pytest.mark.parametrize("start", [1, 7, 300])
def test_a_window_is_the_same_to_the_bit_wherever_the_series_begins(start):
    x, market = make_series(), make_series(2)
    for found, expected in (
        (rolling_spread(x[start:], 252)[1], rolling_spread(x, 252)[1]),
        (rolling_slope(x[start:], market[start:], 252)[0], rolling_slope(x, market, 252)[0]),
        (rolling_drawdown(1 + x[start:], 253), rolling_drawdown(1 + x, 253)),
    ):
        known = ~np.isnan(found)
        assert known.any()
        np.testing.assert_array_equal(found[known], expected[start:][known])


def test_many_series_at_once_are_as_each_alone():
    many, market = make_series(1, (4, 300)), make_series(2, (300,))
    mean, spread = rolling_spread(many, 20)
    slope, squares = rolling_slope(many, market, 20)
    for row, x in enumerate(many):
        np.testing.assert_array_equal(mean[row], rolling_spread(x, 20)[0])
        np.testing.assert_array_equal(spread[row], rolling_spread(x, 20)[1])
        np.testing.assert_array_equal(slope[row], rolling_slope(x, market, 20)[0])
        np.testing.assert_array_equal(rolling_drawdown(1 + many, 20)[row], rolling_drawdown(1 + x, 20))
    assert squares.shape == (300,)


def test_a_window_with_an_unknown_value_is_unknown_and_no_other():
    x = make_series()
    x[100] = np.nan
    for found in (rolling_mean(x, 20), rolling_spread(x, 20)[1], rolling_drawdown(1 + x, 20)):
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(found)), [*range(19), *range(100, 120)])


@pytest.mark.parametrize("value", [0.01, 1e8 / 3])
def test_values_that_do_not_vary_have_no_spread_at_all(value):
    _, spread = rolling_spread(np.full(300, value), 252)
    assert (spread[251:] == 0).all()
    slope, squares = rolling_slope(make_series(1, (300,)), np.full(300, value), 252)
    assert (squares[251:] == 0).all()
    assert np.isnan(slope).all()


def test_a_large_level_costs_no_digits():
    x = make_series()
    np.testing.assert_allclose(
        rolling_spread(x + 1e6, 252)[1][251:], rolling_spread(x, 252)[1][251:], rtol=1e-7
    )


@pytest.mark.parametrize("length", [0, 1, 19])
def test_a_series_shorter_than_the_window_is_unknown(length):
    x = make_series(1, (length,))
    assert np.isnan(rolling_mean(x, 20)).all()
    assert rolling_drawdown(x, 20).shape == (length,)
    assert rolling_slope(np.ones((3, length)), x, 20)[0].shape == (3, length)
