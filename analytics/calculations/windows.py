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
    reduced = np.empty(x.shape)
    for start in range(0, length, window):
        block = reduced[..., start : start + window]
        ufunc.accumulate(x[..., start : start + window], axis=-1, out=block)
        if start:
            # What each window has of the block before; the last of a full block has nothing.
            remaining = ufunc.accumulate(x[..., start - window + 1 : start][..., ::-1], axis=-1)[..., ::-1]
            shared = min(block.shape[-1], window - 1)
            ufunc(remaining[..., :shared], block[..., :shared], out=block[..., :shared])
    return reduced
