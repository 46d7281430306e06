import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.windows import trailing_reduce, trailing_windows

LEVELS = np.array([1.0, 2.0, 3.0, 4.0])
NAN = np.nan


def test_window_ends_at_its_row_and_is_padded_on_the_left():
    rows = np.array([3, 0, -1])
    expected = [[2.0, 3.0, 4.0], [NAN, NAN, 1.0], [NAN, NAN, NAN]]
    np.testing.assert_equal(trailing_windows(LEVELS, 3, rows), expected)


def test_window_wider_than_the_history():
    np.testing.assert_equal(trailing_windows(LEVELS[:1], 3, np.array([0])), [[NAN, NAN, 1.0]])


@pytest.mark.parametrize("rows", [[], [-1]])
def test_a_window_of_nothing_gives_empty_rows(rows):
    assert trailing_windows(LEVELS, 0, np.array(rows, dtype=int)).shape == (len(rows), 0)


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.minimum])
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 2, 3, 5, 8, 39, 40, 41, None]))
def test_reduced_windows_are_those_written_out(ufunc, seed, length, window):
    x = np.random.default_rng(seed).normal(0.5, 1.0, (2, length))
    reduced = trailing_reduce(ufunc, x, window)
    for row in range(length):
        first = 0 if window is None else max(row + 1 - window, 0)
        np.testing.assert_allclose(
            reduced[:, row], ufunc.reduce(x[:, first : row + 1], axis=-1), rtol=1e-12, atol=1e-13
        )
    earlier = trailing_reduce(ufunc, x[:, : length // 2], window)
    np.testing.assert_array_equal(earlier, reduced[:, : length // 2])


def test_what_has_left_the_window_takes_no_digit_with_it():
    x = np.array([1e16, 1.0, 2.0, 3.0, 4.0])
    assert trailing_reduce(np.add, x, 2).tolist() == [1e16, 1e16, 3.0, 5.0, 7.0]
