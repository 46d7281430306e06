"""Trailing windows of a daily series: each of them written out, or reduced on the way in one pass."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from analytics.calculations.observations import Floats, Integers


def trailing_windows(x: Floats, window: int, rows: Integers) -> Floats:
    """The last `window` values of x (T,) up to and including each of `rows`: (len(rows), window).

    Rows with a shorter history are padded with NaN on the left; row −1 means "before the first value" and
    is all NaN.
    """
    longest = int(max(rows, default=-1)) + 1
    padded = np.concatenate([np.full(window, np.nan), x[:longest]])
    # Windows that end just before the first value come first, so row k is window k + 1.
    return sliding_window_view(padded, window)[np.asarray(rows) + 1] if window else np.empty((len(rows), 0))


def trailing_reduce(ufunc: np.ufunc, x: Floats, window: int | None = None) -> Floats:
    """`ufunc` (add, multiply, maximum, minimum) over the last `window` values up to each one, same shape.

    Rows with a shorter history take what there is; `window` None takes all. x (..., T) without NaN.
    A window is the end of one block of `window` values and the beginning of the next (van Herk 1992, Gil and
    Werman 1993): three passes whatever its length, nothing is ever subtracted, so no digit is lost to values
    that have left, and a result does not change by a bit with what follows it.
    """
    length = x.shape[-1]
    if window is None or length <= window:
        return np.asarray(ufunc.accumulate(x, axis=-1))
    blocks = -(-length // window)
    grid = np.zeros((*x.shape[:-1], blocks * window))
    grid[..., :length] = x
    grid = grid.reshape(*x.shape[:-1], blocks, window)
    flat = (*x.shape[:-1], blocks * window)
    reduced = ufunc.accumulate(grid, axis=-1).reshape(flat)[..., :length]
    remaining = ufunc.accumulate(grid[..., ::-1], axis=-1)[..., ::-1].reshape(flat)
    joined = ufunc(remaining[..., 1 : length - window + 1], reduced[..., window:])
    # A window that is one whole block needs no second one.
    joined[..., window - 1 :: window] = reduced[..., 2 * window - 1 :: window]
    reduced[..., window:] = joined
    return np.asarray(reduced)
