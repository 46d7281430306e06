"""Value at risk and expected shortfall: losses as positive fractions over the horizon of the returns given.

Functions take simple returns (..., n) and reduce the last axis; NaN is no observation, the result is NaN
below the minimum sample. A negative figure means that even the bad case was a gain.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from analytics.calculations.constants import (
    MIN_TAIL_95,
    MIN_TAIL_99,
    MIN_VAR_95,
    MIN_VAR_99,
    SESSIONS_PER_MONTH,
)
from analytics.calculations.observations import (
    Floats,
    count,
    known_where,
    ratio,
    total,
)

MIN_RETURNS = {0.95: MIN_VAR_95, 0.99: MIN_VAR_99}
MIN_TAIL_RETURNS = {0.95: MIN_TAIL_95, 0.99: MIN_TAIL_99}


def historical_tails(
    returns: Floats, levels: Sequence[float] = (0.95, 0.99), minimum: int | None = None
) -> dict[float, tuple[Floats, Floats]]:
    """Value at risk and expected shortfall at each confidence level, all from one sort.

    VaR = −quantile(r, 1 − level), linear between order statistics (type 7, Hyndman and Fan 1996).
    Shortfall = −mean of the returns at or below that quantile (Acerbi and Tasche 2002); NaN where fewer than
    MIN_TAIL_RETURNS lie there. `minimum` replaces the least number of returns of the level.
    """
    ordered = np.sort(returns, axis=-1)  # NaN go last
    observed = count(returns)
    tails = {}
    for level in levels:
        quantile = _quantile(ordered, observed, round(1 - level, 12))
        in_tail = returns <= quantile[..., None]
        size = np.count_nonzero(in_tail, axis=-1)
        shortfall = ratio(total(known_where(in_tail, returns)), size.astype(float))
        enough = observed >= (MIN_RETURNS[level] if minimum is None else minimum)
        # 0 − x, because −0.0 would show as a loss of "−0".
        tails[level] = (
            known_where(enough, 0.0 - quantile),
            known_where(enough & (size >= MIN_TAIL_RETURNS[level]), 0.0 - shortfall),
        )
    return tails


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
