"""Value at risk and expected shortfall: losses as positive fractions over the horizon of the returns given.

Functions take simple returns (..., n) and reduce the last axis; NaN is no observation, the result is NaN
below the minimum sample. A negative figure means that even the bad case was a gain.
"""

from bisect import insort
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import rank_filter

from analytics.calculations.constants import (
    MIN_TAIL_95,
    MIN_TAIL_99,
    MIN_VAR_95,
    MIN_VAR_99,
    SESSIONS_PER_MONTH,
)
from analytics.calculations.observations import (
    Floats,
    Integers,
    count,
    known_where,
    ratio,
    total,
)

MIN_RETURNS = {0.95: MIN_VAR_95, 0.99: MIN_VAR_99}
MIN_TAIL_RETURNS = {0.95: MIN_TAIL_95, 0.99: MIN_TAIL_99}
# Rows whose tails are added up together: they share most of their windows.
BLOCK_ROWS = 256


def historical_tails(
    returns: Floats, levels: Sequence[float] = (0.95, 0.99), minimum: int | None = None
) -> dict[float, tuple[Floats, Floats]]:
    """Value at risk and expected shortfall at each confidence level, all from one sort.

    VaR = −quantile(r, 1 − level), linear between order statistics (type 7, Hyndman and Fan 1996).
    Shortfall = −mean of the returns at or below that quantile (Acerbi and Tasche 2002); NaN where fewer than
    MIN_TAIL_RETURNS lie there. `minimum` replaces the least number of returns of the level.
    """
    observed = count(returns)
    ordered = np.sort(returns, axis=-1)  # NaN go last
    tails = {}
    for level in levels:
        quantile = _quantile(ordered, observed, round(1 - level, 12))
        size = np.count_nonzero(ordered <= quantile[..., None], axis=-1)
        lowest = ordered[..., : size.max(initial=0)]
        shortfall = ratio(total(known_where(lowest <= quantile[..., None], lowest)), size.astype(float))
        enough = observed >= (MIN_RETURNS[level] if minimum is None else minimum)
        # 0 − x, because −0.0 would show as a loss of "−0".
        tails[level] = (
            known_where(enough, 0.0 - quantile),
            known_where(enough & (size >= MIN_TAIL_RETURNS[level]), 0.0 - shortfall),
        )
    return tails


def trailing_tails(
    returns: Floats,
    window: int | None = None,
    levels: Sequence[float] = (0.95, 0.99),
    minimum: int | None = None,
) -> dict[float, tuple[Floats, Floats]]:
    """`historical_tails` of the last `window` returns up to each one, or of all of them: (T,) each.

    `returns` (T,) without NaN. The shortfalls are unknown where `window` is None: nobody asks for them.
    """
    size, tails = len(returns), {}
    observed = _window_sizes(size, window)
    for level, quantile in trailing_quantiles(returns, window, levels).items():
        enough = observed >= (MIN_RETURNS[level] if minimum is None else minimum)
        shortfall = np.full(size, np.nan)
        if window is not None:
            rows = np.flatnonzero(enough)
            shortfall = _mean_at_or_below(returns, quantile, observed, rows, MIN_TAIL_RETURNS[level])
        tails[level] = known_where(enough, 0.0 - quantile), 0.0 - shortfall
    return tails


def trailing_quantiles(returns: Floats, window: int | None, levels: Sequence[float]) -> dict[float, Floats]:
    """Type-7 quantiles at 1 − level of the last `window` returns up to each one, (T,), without NaN."""
    statistics = _order_statistics(returns, _window_sizes(len(returns), window), window, levels)
    quantiles = {}
    for level, (below, above, weight) in statistics.items():
        # From the nearer end, as numpy does.
        step = above - below
        quantiles[level] = np.where(weight < 0.5, below + step * weight, above - step * (1 - weight))
    return quantiles


def _window_sizes(size: int, window: int | None) -> Integers:
    so_far = np.arange(1, size + 1)
    return so_far if window is None else np.minimum(so_far, window)


def _order_statistics(
    returns: Floats, observed: Integers, window: int | None, levels: Sequence[float]
) -> dict[float, tuple[Floats, Floats, Floats]]:
    """The two sorted returns around each quantile, and how far it lies from the lower one: (T,) each.

    While the window fills, its returns are kept in a sorted list; a full one is left to rank filters.
    """
    size = len(returns)
    filling = size if window is None else min(size, window)
    found, places = {}, []
    for level in levels:
        position = (observed - 1) * round(1 - level, 12)
        lower = np.floor(position).astype(np.int64)
        found[level] = np.empty(size), np.empty(size), position - lower
        places += [lower[:filling].tolist(), np.minimum(lower + 1, observed - 1)[:filling].tolist()]
    ordered: list[float] = []
    taken = []
    for value, *ranks in zip(returns[:filling].tolist(), *places, strict=True):
        insort(ordered, value)
        taken.append([ordered[rank] for rank in ranks])
    columns = np.array(taken).reshape(filling, len(places)).T
    for number, (level, (below, above, _)) in enumerate(found.items()):
        below[:filling], above[:filling] = columns[2 * number], columns[2 * number + 1]
        if window is not None and size > window:
            rank = int((window - 1) * round(1 - level, 12))
            below[window:], above[window:] = (
                _ranked(returns, window, min(rank + up, window - 1)) for up in (0, 1)
            )
    return found


def _ranked(returns: Floats, window: int, rank: int) -> Floats:
    """The return of the given rank within each full window after the first, (T − window,)."""
    # The filter's window is centred; position i − (window − 1) // 2 is the middle of the one that ends at i.
    ranked = rank_filter(returns, rank, size=window)
    middle = (window - 1) // 2
    return np.asarray(ranked[window - middle : len(returns) - middle])


def _mean_at_or_below(
    returns: Floats, quantile: Floats, observed: Integers, rows: Integers, minimum: int
) -> Floats:
    """Mean of the returns of the window of each of `rows` at or below its quantile, NaN on all other rows.

    NaN also where fewer than `minimum` returns are. Few returns can be in any of the tails, and only these
    are looked at row by row.
    """
    means = np.full(len(returns), np.nan)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        begin = block - observed[block] + 1
        few = begin[0] + np.flatnonzero(returns[begin[0] : block[-1] + 1] <= quantile[block].max())
        values, place = returns[few, None], few[:, None]
        in_tail = (place >= begin) & (place <= block) & (values <= quantile[block])
        size = np.count_nonzero(in_tail, axis=0)
        sums = np.add.accumulate(np.where(in_tail, values, 0.0), axis=0)[-1]
        means[block] = known_where(size >= minimum, ratio(sums, size.astype(float)))
    return means


def value_at_risk(returns: Floats, level: float, minimum: int | None = None) -> Floats:
    """Historical value at risk at one confidence level (0.95 or 0.99), see `historical_tails`."""
    return historical_tails(returns, (level,), minimum)[level][0]


def expected_shortfall(returns: Floats, level: float, minimum: int | None = None) -> Floats:
    """Historical expected shortfall at one confidence level (0.95 or 0.99), see `historical_tails`."""
    return historical_tails(returns, (level,), minimum)[level][1]


def monthly_returns(returns: Floats) -> Floats:
    """Compound return of each day and the 20 before it, same shape (T,); they overlap.

    NaN on the first 20 days and where one of the 21 is unknown.
    """
    compound = np.full(returns.shape, np.nan)
    if len(returns) >= SESSIONS_PER_MONTH:
        windows = sliding_window_view(1 + returns, SESSIONS_PER_MONTH)
        compound[SESSIONS_PER_MONTH - 1 :] = np.multiply.reduce(windows, axis=-1) - 1
    return compound


def _quantile(ordered: Floats, observed: np.ndarray, probability: float) -> Floats:
    """Type-7 quantile of sorted rows with NaN last: bit for bit what numpy.quantile gives for each row."""
    if not ordered.shape[-1]:
        return np.full(ordered.shape[:-1], np.nan)
    position = np.maximum(observed - 1, 0) * probability
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(observed - 1, 0))
    low, high = (np.take_along_axis(ordered, k[..., None], axis=-1)[..., 0] for k in (below, above))
    weight = position - below
    # From the nearer end, as numpy does, so that a tie of both ends is met exactly.
    step = high - low
    return np.where(weight < 0.5, low + step * weight, high - step * (1 - weight))
