"""Weights and returns of components on the days of a portfolio, and their sums by group."""

import numpy as np
import pytest

from analytics.calculations.component_returns import (
    next_known,
    on_sub_periods,
    returns_of_bars,
    without_holidays,
)
from analytics.calculations.group_sides import group_side

NAN = np.nan
HOLIDAYS = np.timedelta64(10, "D")


def days(*written: str) -> np.ndarray:
    return np.array(written, dtype="datetime64[D]")


def test_weights_are_those_of_the_next_day_that_has_any_or_of_the_last() -> None:
    weights = np.array([[NAN, 0.6, NAN, 0.5, NAN], [NAN, 0.4, NAN, 0.5, NAN]])
    np.testing.assert_array_equal(next_known(weights), [[0.6, 0.6, 0.5, 0.5, 0.5], [0.4, 0.4, 0.5, 0.5, 0.5]])


def test_a_holiday_is_a_day_without_a_change_and_a_long_silence_is_not() -> None:
    dates = days("2024-01-02", "2024-01-03", "2024-01-12", "2024-01-14", "2024-01-15")
    returns = np.array([[NAN, 0.01, NAN, NAN, 0.02], [NAN, NAN, NAN, NAN, NAN]])
    np.testing.assert_array_equal(
        without_holidays(dates, returns, HOLIDAYS),
        [[0.0, 0.01, 0.0, NAN, 0.02], [0.0, 0.0, 0.0, NAN, NAN]],
    )


def test_a_return_over_several_days_comes_with_the_bar_that_ends_them() -> None:
    dates = days("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")
    own = days("2023-12-29", "2024-01-03", "2024-01-05")
    found = returns_of_bars(dates, own, np.array([100.0, 110.0, 99.0]), HOLIDAYS)
    np.testing.assert_allclose(found, [0, 0.1, 0, -0.1], atol=1e-15)


def test_before_the_first_bar_and_after_the_last_only_holidays_are_known() -> None:
    dates = days("2024-01-02", "2024-02-01", "2024-02-05", "2024-02-12", "2024-03-01")
    found = returns_of_bars(dates, days("2024-02-05"), np.array([100.0]), HOLIDAYS)
    np.testing.assert_array_equal(found, [NAN, 0, 0, 0, NAN])


def test_a_price_in_an_unknown_rate_leaves_both_returns_beside_it_unknown() -> None:
    dates = days("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")
    found = returns_of_bars(dates, dates, np.array([100.0, NAN, 120.0, 132.0]), HOLIDAYS)
    np.testing.assert_allclose(found, [0, NAN, NAN, 0.1], atol=1e-15)


def test_sub_periods_start_with_the_weight_of_their_first_day_and_link_its_days() -> None:
    """A timeline of five days, of which the third is none of the calendar; the third day ends no period."""
    weights, returns = np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([[0.1, 0.2, 0.3, NAN]])
    places, ends = np.array([0, 1, 3, 4]), np.array([0, 3, 4])
    found = on_sub_periods(weights, returns, places, ends)
    np.testing.assert_array_equal(found[0], [[0.1, 0.2, 0.4]])
    np.testing.assert_allclose(found[1], [[0.1, 1.2 * 1.3 - 1, NAN]])


def test_lines_of_a_group_add_up_and_what_has_no_weight_has_no_return() -> None:
    weights = np.array([[0.5, 0.0], [0.3, 1e-12], [0.2, 1.0]])
    earned = np.array([[0.05, 0.0], [-0.01, 0.01], [0.0, NAN]])
    side = group_side(["Tech", "Cash", "Banks"], ["Tech", "Tech", "Cash"], weights, earned)
    np.testing.assert_allclose(side.weights, [[0.8, 1e-12], [0.2, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(side.earned, [[0.04, 0.01], [0.0, NAN], [0.0, 0.0]])
    np.testing.assert_allclose(side.returns, [[0.05, NAN], [0.0, NAN], [NAN, NAN]])


def test_a_line_of_no_group_is_left_out() -> None:
    side = group_side(["Tech"], ["Tech", "Banks"], np.array([[0.5], [0.5]]), np.array([[0.1], [0.2]]))
    assert side.earned.tolist() == [[pytest.approx(0.1)]]
