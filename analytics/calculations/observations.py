"""Sums and moments over the last axis, where NaN means "no observation that day".

All statistics are built on `total`, whose result does not change by a bit when a row is padded with more
NaN on the left. So a row comes out the same whether it is computed alone or inside a long backfill.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Days = NDArray[np.datetime64]

# numpy adds up to 128 contiguous numbers in one fixed pattern; beyond that the pattern depends on the length.
_CHUNK = 128


def count(x: Floats) -> Integers:
    """Number of observations, (..., n) -> (...)."""
    return np.count_nonzero(~np.isnan(x), axis=-1).astype(np.int64)


def total(x: Floats) -> Floats:
    """Sum of the observations, (..., n) -> (...); 0 where there are none.

    The chunks are counted from the right end, so leading NaN only add exact zeros in front.
    """
    *outer, n = x.shape
    chunks = max(-(-n // _CHUNK), 1)
    filled = np.zeros((*outer, chunks * _CHUNK))
    np.copyto(filled[..., chunks * _CHUNK - n :], x, where=~np.isnan(x))
    chunk_sums = filled.reshape(*outer, chunks, _CHUNK).sum(axis=-1)
    sums: Floats = np.add.accumulate(chunk_sums, axis=-1)[..., -1]
    return sums


def ratio(numerator: Floats | float, denominator: Floats | float) -> Floats:
    """numerator / denominator, NaN (never infinity) where the denominator is 0."""
    top, bottom = np.broadcast_arrays(
        np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    )
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def mean(x: Floats) -> Floats:
    """Mean of the observations, (..., n) -> (...); NaN where there are none."""
    return ratio(total(x), count(x).astype(float))


def deviations(x: Floats) -> Floats:
    """Distance of each observation from the mean of its row, same shape."""
    return np.asarray(x - mean(x)[..., None])


def standard_deviation(x: Floats) -> Floats:
    """Sample standard deviation (n − 1), two passes, (..., n) -> (...); NaN below two observations."""
    freedom = np.maximum(count(x) - 1, 0).astype(float)
    return np.sqrt(ratio(total(deviations(x) ** 2), freedom))


def known_where(condition: NDArray[np.bool_], figure: Floats) -> Floats:
    """The figure where the condition holds, else NaN."""
    return np.where(condition, figure, np.nan)


def common_days(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Both series with NaN wherever either has no observation."""
    both = ~(np.isnan(x) | np.isnan(y))
    return known_where(both, x), known_where(both, y)
