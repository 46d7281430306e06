import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.drawdowns import (
    calmar_ratio,
    current_drawdown,
    drawdowns,
    max_drawdown,
    max_drawdown_duration,
    trailing_calmar_ratio,
    trailing_drawdown_durations,
    trailing_drawdowns,
)
from analytics.calculations.returns import simple_returns

RETURNS = np.random.default_rng(4).normal(0.0003, 0.012, (3, 700))


def returns_of(*levels):
    return simple_returns(np.array(levels, dtype=float))[1:]


def duration(returns, first_day=1):
    return max_drawdown_duration(returns, first_day - 1.0 + np.arange(len(returns) + 1.0))


def test_case_b12_levels_after_a_fall_to_a_quarter():
    levels = 1 + np.array([1, 1, -0.5, 1, 1, 2, 3, 4, 5, 6])
    assert max_drawdown(returns_of(1, *levels)) == 0.75
    assert duration(returns_of(1, *levels)) == 2


def test_case_b12_more_than_everything_lost():
    assert max_drawdown(returns_of(1, 1, 1.1, 1.2, -0.4)) == pytest.approx(4 / 3, rel=1e-14)


def test_case_b12_recovery_counts_from_the_peak_to_the_same_level():
    r = returns_of(100, 120, 110, 80, 85, 90, 95, 100, 105, 110, 115, 120)
    assert max_drawdown(r) == pytest.approx(1 / 3, rel=1e-14)
    assert duration(r) == 10
    assert duration(r[:-1]) == 9  # not recovered: up to the last day
    assert current_drawdown(r) == pytest.approx(0, abs=1e-15)


def test_drawdown_path_of_a_price():
    path = drawdowns(returns_of(10, 12, 5, 14, 14, 10, 1))
    np.testing.assert_allclose(path, [0, 7 / 12, 0, 0, 4 / 14, 13 / 14], atol=1e-15)


def test_a_loss_on_the_first_day_counts_from_the_level_before():
    r = np.array([-0.1, 0.05])
    assert max_drawdown(r) == pytest.approx(0.1)
    assert current_drawdown(r) == pytest.approx(0.055)
    assert duration(r) == 2


def test_duration_is_in_calendar_days_from_the_last_day_at_the_top():
    # Fri 4: 110, Mon 7: 110, Tue 8: 90, Mon 14: 111, Tue 15: 100
    r = returns_of(100, 110, 110, 90, 111, 100)
    assert max_drawdown_duration(r, np.array([3.0, 4.0, 7.0, 8.0, 14.0, 15.0])) == 7


def test_no_drawdown_lasts_no_day_and_has_no_calmar_ratio():
    r = np.full(30, 0.001)
    assert max_drawdown(r) == 0
    assert duration(r) == 0
    assert np.isnan(calmar_ratio(r))


def test_padding_stands_for_the_level_before_the_first_return():
    r = RETURNS[0]
    padded = np.concatenate([np.full(56, np.nan), r])
    assert max_drawdown(padded) == max_drawdown(r)
    assert current_drawdown(padded) == current_drawdown(r)


@pytest.mark.parametrize("figure", [max_drawdown, current_drawdown, calmar_ratio])
def test_nothing_observed_is_unknown(figure):
    assert np.isnan(figure(np.full((2, 3), np.nan))).all()
    assert np.isnan(figure(np.empty((2, 0)))).all()


def test_agrees_with_empyrical():
    for row, deepest, calmar in zip(RETURNS, max_drawdown(RETURNS), calmar_ratio(RETURNS), strict=True):
        assert deepest == pytest.approx(-empyrical.max_drawdown(row), rel=1e-12)
        assert calmar == pytest.approx(empyrical.calmar_ratio(row), rel=1e-11)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_duration_agrees_with_a_plain_search(seed, n):
    rng = np.random.default_rng(seed)
    r = rng.choice([-0.02, 0.0, 0.01, 0.03], n)
    days = np.cumsum(rng.integers(1, 5, n)).astype(float)
    level = np.concatenate([[1.0], np.cumprod(1 + r)])
    day = np.concatenate([[0.0], days])
    fall = [1 - level[k] / level[: k + 1].max() for k in range(n + 1)]
    trough = next(k for k in range(n + 1) if fall[k] >= max(fall) - 1e-12)
    top = level[: trough + 1].max()
    begin = max(k for k in range(trough + 1) if level[k] >= top * (1 - 1e-12))
    end = next((k for k in range(trough, n + 1) if level[k] >= top * (1 - 1e-12)), n)
    assert max_drawdown_duration(r, day) == day[end] - day[begin]
    assert max_drawdown(r) == pytest.approx(max(fall), abs=1e-15)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([1, 2, 3, 7, 20, None]))
def test_each_trailing_figure_is_that_of_its_window(seed, n, window):
    rng = np.random.default_rng(seed)
    r = rng.choice([-0.02, 0.0, 0.01, 0.03], n)
    days = np.concatenate([[0.0], np.cumsum(rng.integers(1, 5, n))])
    deepest, current = trailing_drawdowns(r, window)
    calmar = trailing_calmar_ratio(r, deepest, window)
    lasted = trailing_drawdown_durations(r, days, deepest, window)
    for row in range(n):
        first = 0 if window is None else max(row + 1 - window, 0)
        within = r[first : row + 1]
        assert deepest[row] == pytest.approx(max_drawdown(within), abs=1e-14)
        assert current[row] == pytest.approx(current_drawdown(within), abs=1e-14)
        assert lasted[row] == max_drawdown_duration(within, days[first : row + 2])
        assert calmar[row] == pytest.approx(float(calmar_ratio(within)), rel=1e-10, nan_ok=True)
    shorter = trailing_drawdowns(r[: n // 2 + 1], window)
    np.testing.assert_array_equal(shorter, [deepest[: n // 2 + 1], current[: n // 2 + 1]])


def test_windows_after_a_total_loss_start_anew():
    r = np.array([0.1, -1.0, 0.2, -0.1, 0.05])
    deepest, current = trailing_drawdowns(r, 2)
    np.testing.assert_allclose(deepest, [0, 1, 1, 0.1, 0.1], atol=1e-15)
    np.testing.assert_allclose(current, [0, 1, 1, 0.1, 0.055], atol=1e-15)
