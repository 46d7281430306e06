import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.returns import (
    annualized_return,
    carry_forward,
    daily_risk_free,
    geometric_return,
    linked_index,
    months_earlier,
    period_return,
    simple_returns,
    year_to_date_return,
)

NAN = np.nan


def days(*texts):
    return np.array(texts, dtype="datetime64[D]")


def test_simple_returns_need_two_known_levels_and_a_positive_base():
    np.testing.assert_allclose(
        simple_returns(np.array([100, 110, NAN, 99, 0, 5, -2, 3.0])),
        [NAN, 0.1, NAN, NAN, -1, NAN, -1.4, NAN],
    )
    assert simple_returns(np.array([[1.0, 2.0], [4.0, 3.0]]))[:, 1].tolist() == [1.0, -0.25]


def test_linked_index_stays_on_unknown_days():
    np.testing.assert_allclose(linked_index(np.array([NAN, 0.1, NAN, -0.5])), [1, 1.1, 1.1, 0.55])


def test_risk_free_of_252_sessions_is_the_annual_rate():
    daily = daily_risk_free(np.array([0.0523, 0.0, -0.001, NAN]))
    np.testing.assert_allclose((1 + daily) ** 252 - 1, [0.0523, 0, -0.001, NAN], atol=1e-13)
    assert daily[0] == pytest.approx(1.0523 ** (1 / 252) - 1, rel=1e-11)


def test_geometric_return_by_hand():
    assert geometric_return(np.array([0.1, NAN, -0.05])) == pytest.approx((1.1 * 0.95) ** 126 - 1)
    assert geometric_return(np.array([0.1, -1.0])) == -1
    assert np.isnan(geometric_return(np.array([0.1, -1.5])))
    assert np.isnan(geometric_return(np.array([NAN])))


def test_annualized_return_needs_a_year_and_something_left():
    result = annualized_return(np.array([0.21, 0.21, 0.21, -1.0, -1.2]), np.array([730, 365, 364, 730, 730]))
    np.testing.assert_allclose(result, [0.1, 0.21, NAN, -1, NAN])


def test_carry_forward_never_looks_ahead_and_skips_unpublished_values():
    source = days("2024-01-02", "2024-01-03", "2024-01-05")
    carried = carry_forward(
        source,
        np.array([1.0, NAN, 3.0]),
        days("2024-01-01", "2024-01-02", "2024-01-04", "2024-01-05", "2024-02-01"),
    )
    np.testing.assert_equal(carried, [NAN, 1, 1, 3, 3])
    np.testing.assert_equal(carry_forward(source, np.full(3, NAN), source), np.full(3, NAN))


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        ("2024-03-15", 1, "2024-02-15"),
        ("2024-03-30", 1, "2024-02-29"),
        ("2024-03-31", 1, "2024-02-29"),
        ("2024-02-29", 1, "2024-01-31"),  # month end stays month end
        ("2024-02-28", 1, "2024-01-28"),
        ("2023-02-28", 12, "2022-02-28"),
        ("2024-02-29", 12, "2023-02-28"),
        ("2025-02-28", 12, "2024-02-29"),
        ("2024-06-30", 60, "2019-06-30"),
        ("2024-01-10", 3, "2023-10-10"),
    ],
)
def test_months_earlier(day, months, expected):
    assert months_earlier(days(day), months) == days(expected)


@given(st.integers(0, 30_000), st.sampled_from([1, 3, 6, 12, 36, 60]))
def test_months_earlier_lands_in_the_right_month(number, months):
    day = np.array([number], dtype="datetime64[D]")
    earlier = months_earlier(day, months)
    assert earlier.astype("datetime64[M]") == day.astype("datetime64[M]") - months


def test_period_return_starts_at_the_last_day_on_or_before_the_anchor():
    dates = days("2024-01-12", "2024-01-16", "2024-02-15", "2024-02-16", "2024-03-18")
    levels = np.array([1.0, 1.1, 1.21, 1.0, 2.0])
    # anchors: 2023-12-12 (no history), 01-15 -> 01-12, 01-16 itself, 02-18 -> 02-16
    np.testing.assert_allclose(
        period_return(dates, levels, np.array([0, 2, 3, 4]), 1), [NAN, 0.21, 1 / 1.1 - 1, 1.0]
    )


def test_period_return_from_an_unknown_level_is_unknown():
    dates = days("2024-01-15", "2024-02-15")
    assert np.isnan(period_return(dates, np.array([NAN, 1.0]), np.array([1]), 1))


def test_year_to_date_starts_on_the_last_day_of_the_year_before():
    dates = days("2022-12-30", "2023-01-03", "2023-12-29", "2024-01-02")
    levels = np.array([2.0, 3.0, 4.0, 5.0])
    np.testing.assert_allclose(year_to_date_return(dates, levels, np.arange(4)), [NAN, 0.5, 1.0, 0.25])
