"""Trailing windows of a daily series, and the walk through many rows of them in bounded memory."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from analytics.calculations.observations import Floats, Integers

# Rows per block: 256 windows of five years are 2.6 MB, which stays in the cache and is freed in between.
BLOCK_ROWS = 256


def trailing_windows(x: Floats, window: int | None, rows: Integers) -> Floats:
    """The last `window` values of x (T,) up to and including each of `rows`: (len(rows), window).

    Rows with a shorter history are padded with NaN on the left; row −1 means "before the first value" and
    is all NaN. `window` None is the whole history, as wide as the last of the rows needs.
    """
    longest = int(max(rows, default=-1)) + 1
    width = longest if window is None else window
    padded = np.concatenate([np.full(width, np.nan), x[:longest]])
    # Windows that end just before the first value come first, so row k is window k + 1.
    return sliding_window_view(padded, width)[np.asarray(rows) + 1] if width else np.empty((len(rows), 0))


def row_blocks(rows: Integers) -> Iterator[Integers]:
    """`rows` in blocks of at most BLOCK_ROWS."""
    for start in range(0, len(rows), BLOCK_ROWS):
        yield rows[start : start + BLOCK_ROWS]


def compute_in_blocks(rows: Integers, compute: Callable[[Integers], dict[str, Floats]]) -> dict[str, Floats]:
    """Call `compute` block by block and join its columns in the order of `rows`."""
    parts = [compute(block) for block in row_blocks(rows)] or [compute(rows)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
