"""Sums and moments over the last axis, where NaN means "no observation that day".

All statistics are built on `total`, whose result does not change by a bit when a row is padded with more
NaN on the left. So a row comes out the same whether it is computed alone or inside a long backfill.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Days = NDArray[np.datetime64]

# numpy adds up to 128 contiguous numbers in one fixed pattern; beyond that the pattern depends on the length.
_CHUNK = 128


def count(x: Floats) -> Integers:
    """Number of observations, (..., n) -> (...)."""
    unknown = np.isnan(x)
    if not unknown.any():
        return np.full(x.shape[:-1], x.shape[-1], dtype=np.int64)
    return x.shape[-1] - np.count_nonzero(unknown, axis=-1).astype(np.int64)


def total(x: Floats) -> Floats:
    """Sum of the observations, (..., n) -> (...); 0 where there are none.

    The chunks are counted from the right end, so leading NaN only add exact zeros in front.
    """
    filled = np.ascontiguousarray(x, dtype=np.float64)
    if np.isnan(filled).any():
        filled = np.where(np.isnan(filled), 0.0, filled)
    *outer, n = x.shape
    chunks, rest = divmod(n, _CHUNK)
    first = np.zeros((*outer, _CHUNK))
    first[..., _CHUNK - rest :] = filled[..., :rest]
    sums = np.empty((*outer, chunks + 1))
    first.sum(axis=-1, out=sums[..., 0])
    strides = (*filled.strides[:-1], _CHUNK * filled.itemsize, filled.itemsize)
    whole_chunks = as_strided(filled[..., rest:], (*outer, chunks, _CHUNK), strides, writeable=False)
    whole_chunks.sum(axis=-1, out=sums[..., 1:])
    summed: Floats = np.add.accumulate(sums, axis=-1)[..., -1]
    return summed


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
    unknown = np.isnan(x) | np.isnan(y)
    if not unknown.any():
        return x, y
    return known_where(~unknown, x), known_where(~unknown, y)
