"""Arrays of floats are rounded to the digits of a column exactly as one number at a time is."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portfolio_site.kernel.decimals import (
    as_floats,
    decimals_as_last_digits,
    floats_as_last_digits,
    last_digits,
    rounded_decimal,
)

DIGITS = 30
PLACES = st.sampled_from([0, 2, 6, 10, 12])
# Ordinary amounts, amounts of whole cents and more, halves of the last digit, and anything that fits.
AMOUNTS = st.one_of(
    st.floats(-1e9, 1e9),
    st.integers(-(10**14), 10**14).map(lambda number: number / 1e6),
    st.integers(-(10**9), 10**9).map(lambda number: (number + 0.5) / 1e6),
    st.floats(-1e17, 1e17),
)


@given(st.lists(AMOUNTS, max_size=30), PLACES)
@example([5e-07, 1.5e-06, 2.5e-06, 0.0000005000000001, -0.0, 8589934592.123457, 9007199254.740993], 6)
@example([1e17, -1e17, 123456789012345.67], 12)
@example([0.1 + 0.2, 1 / 3, 2 / 3, 1e-300, 5e-324], 12)
def test_many_floats_round_as_one_does(amounts: list[float], places: int) -> None:
    found = floats_as_last_digits(np.array(amounts), DIGITS, places)
    exact = [rounded_decimal(amount, DIGITS, places) for amount in amounts]
    assert found.tolist() == [last_digits(value, DIGITS, places) for value in exact if value is not None]


def test_ordinary_amounts_need_no_decimal_each(monkeypatch: pytest.MonkeyPatch) -> None:
    amounts = np.round(np.random.default_rng(1).uniform(-1e9, 1e9, 5000), 6)
    expected = [round(Decimal(repr(amount)) * 10**6) for amount in amounts.tolist()]

    def refuse(*given: object) -> None:
        raise AssertionError(f"{given} was rounded one by one")

    monkeypatch.setattr("portfolio_site.kernel.decimals.rounded_decimal", refuse)
    assert floats_as_last_digits(amounts, DIGITS, 6).tolist() == expected


@pytest.mark.parametrize("amount", [1e4, 9999.9999996, -1e30, 1.7e308])
def test_more_digits_than_the_column_has_are_refused(amount: float) -> None:
    with pytest.raises(ArithmeticError):
        floats_as_last_digits(np.array([1.0, amount]), 10, 6)


def test_exact_decimals_keep_all_their_digits() -> None:
    huge = Decimal("123456789012345678.123456789012")
    assert decimals_as_last_digits([huge, None, Decimal("NaN"), 2], 30, 12).tolist() == [
        123456789012345678123456789012,
        0,
        0,
        2 * 10**12,
    ]


@pytest.mark.parametrize("exact", [[Decimal(1), 2.0], [10**17], np.array([Decimal(1)])])
def test_what_a_float_may_not_hold_does_not_become_one(exact: object) -> None:
    assert as_floats(exact) is None
    assert as_floats([1.5, None]) is not None
