"""Dispersion of daily returns and the return earned for it.

Every function takes simple daily returns as fractions, shape (..., n), NaN for no observation, and reduces
the last axis as `over` says. The result is NaN below the minimum sample. Standard deviations have n − 1 in
the denominator.
"""

import numpy as np

from analytics.calculations.constants import MIN_RETURNS_VOLATILITY, ROUNDING_NOISE, SESSIONS_PER_YEAR
from analytics.calculations.observations import Floats, known_where, ratio
from analytics.calculations.reductions import WHOLE, Reduction


def volatility(
    returns: Floats,
    periods_per_year: int = SESSIONS_PER_YEAR,
    minimum: int = MIN_RETURNS_VOLATILITY,
    over: Reduction = WHOLE,
) -> Floats:
    """Annualised standard deviation of the returns: SD·√periods.

    NaN also for a constant series: nothing in it tells how far the returns may spread.
    """
    spread = _real_spread(returns, over)
    return known_where(over.count(returns) >= minimum, spread * np.sqrt(periods_per_year))


def downside_deviation(
    excess: Floats, minimum: int = MIN_RETURNS_VOLATILITY, over: Reduction = WHOLE
) -> Floats:
    """Annualised root mean square of the negative excess returns: √(Σ min(e, 0)² / n)·√252.

    n counts all days, not only the losing ones (Sortino and Price 1994, target = risk-free rate). 0 when no
    day fell behind the risk-free rate.
    """
    shortfalls = np.minimum(excess, 0.0)
    semivariance = over.mean(np.square(shortfalls, out=shortfalls))
    return known_where(over.count(excess) >= minimum, np.sqrt(semivariance * SESSIONS_PER_YEAR))


def sharpe_ratio(excess: Floats, minimum: int = MIN_RETURNS_VOLATILITY, over: Reduction = WHOLE) -> Floats:
    """mean(e) / SD(e)·√252 on excess returns e (Sharpe 1994); NaN for a constant series."""
    per_day = ratio(over.mean(excess), _real_spread(excess, over))
    return known_where(over.count(excess) >= minimum, per_day * np.sqrt(SESSIONS_PER_YEAR))


def sortino_ratio(excess: Floats, minimum: int = MIN_RETURNS_VOLATILITY, over: Reduction = WHOLE) -> Floats:
    """mean(e)·252 / downside deviation (Sortino and Price 1994); NaN without a losing day."""
    downside = downside_deviation(excess, minimum, over)
    return ratio(over.mean(excess) * SESSIONS_PER_YEAR, known_where(downside > ROUNDING_NOISE, downside))


def standard_deviation(x: Floats, over: Reduction = WHOLE) -> Floats:
    """Sample standard deviation (n − 1); NaN below two observations, 0 for equal ones."""
    freedom = np.maximum(over.count(x) - 1, 0).astype(float)
    return np.sqrt(ratio(over.products(x, x), freedom))


def _real_spread(x: Floats, over: Reduction) -> Floats:
    """Standard deviation, NaN where it is nothing but rounding."""
    spread = standard_deviation(x, over)
    return known_where(over.moves(x) & (spread > ROUNDING_NOISE), spread)
