import numpy as np
import pytest

from analytics.calculations import windows
from analytics.calculations.windows import compute_in_blocks, trailing_windows

LEVELS = np.array([1.0, 2.0, 3.0, 4.0])
NAN = np.nan


def test_window_ends_at_its_row_and_is_padded_on_the_left():
    rows = np.array([3, 0, -1])
    expected = [[2.0, 3.0, 4.0], [NAN, NAN, 1.0], [NAN, NAN, NAN]]
    np.testing.assert_equal(trailing_windows(LEVELS, 3, rows), expected)


def test_whole_history_is_as_wide_as_the_last_row_needs():
    windows_of_two = trailing_windows(LEVELS, None, np.array([0, 2]))
    np.testing.assert_equal(windows_of_two, [[NAN, NAN, 1.0], [1.0, 2.0, 3.0]])


def test_window_wider_than_the_history():
    np.testing.assert_equal(trailing_windows(LEVELS[:1], 3, np.array([0])), [[NAN, NAN, 1.0]])


@pytest.mark.parametrize("rows", [[], [-1]])
def test_no_history_gives_empty_rows(rows):
    assert trailing_windows(LEVELS, None, np.array(rows, dtype=int)).shape == (len(rows), 0)


def test_blocks_keep_the_order_of_the_rows(monkeypatch):
    monkeypatch.setattr(windows, "BLOCK_ROWS", 2)
    sizes = []

    def compute(rows):
        sizes.append(len(rows))
        return {"double": rows * 2.0}

    columns = compute_in_blocks(np.array([5, 1, 3, 0, 9]), compute)
    assert columns["double"].tolist() == [10.0, 2.0, 6.0, 0.0, 18.0]
    assert sizes == [2, 2, 1]
    assert compute_in_blocks(np.array([], dtype=int), compute)["double"].tolist() == []
