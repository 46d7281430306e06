"""Carrying forward: the last known price or rate on or before a day, and how old it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class Carried:
    """values: the last known ones, NaN before the first. age: days since they were published, or NaN."""

    values: Floats
    age: Floats


def carry_forward(days: Days, dates: Days, values: Floats) -> Carried:
    """The last value on or before each of `days`, whatever its age; a later value is never used.

    days: (T,). dates: (N,) strictly ascending. values: (..., N), NaN = none on that date. Results: (..., T).
    Raises ValueError when the dates do not ascend.
    """
    if (np.diff(dates) <= np.timedelta64(0, "D")).any():
        raise ValueError("dates of prices and rates must ascend without repetition")
    # Position of the last known value up to each date; 0 stands for "none yet" and leads to a NaN in front.
    known = np.where(np.isfinite(values), np.arange(1, len(dates) + 1), 0)
    last_known = np.maximum.accumulate(known, axis=-1)
    none_yet = np.zeros((*values.shape[:-1], 1), dtype=last_known.dtype)
    source = np.concatenate([none_yet, last_known], axis=-1)[..., np.searchsorted(dates, days, side="right")]

    blank = np.full((*values.shape[:-1], 1), np.nan)
    carried = np.take_along_axis(np.concatenate([blank, values], axis=-1), source, axis=-1)
    published = np.concatenate([np.array(["NaT"], dtype="datetime64[D]"), dates])[source]
    age = np.where(source > 0, (days - published).astype(np.float64), np.nan)
    return Carried(carried, age)
