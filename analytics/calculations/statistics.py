"""Dispersion of daily returns and the return earned for it.

Every function takes simple daily returns as fractions, shape (..., n), and reduces the last axis. NaN is no
observation; the result is NaN below the minimum sample. Standard deviations have n − 1 in the denominator.
"""

import numpy as np

from analytics.calculations.constants import MIN_RETURNS_VOLATILITY, ROUNDING_NOISE, SESSIONS_PER_YEAR
from analytics.calculations.observations import (
    Floats,
    count,
    known_where,
    mean,
    ratio,
    standard_deviation,
    total,
)


def volatility(
    returns: Floats, periods_per_year: int = SESSIONS_PER_YEAR, minimum: int = MIN_RETURNS_VOLATILITY
) -> Floats:
    """Annualised standard deviation of the returns: SD·√periods.

    NaN also for a constant series: nothing in it tells how far the returns may spread.
    """
    spread = _real_spread(returns)
    return known_where(count(returns) >= minimum, spread * np.sqrt(periods_per_year))


def downside_deviation(excess: Floats, minimum: int = MIN_RETURNS_VOLATILITY) -> Floats:
    """Annualised root mean square of the negative excess returns: √(Σ min(e, 0)² / n)·√252.

    n counts all days, not only the losing ones (Sortino and Price 1994, target = risk-free rate). 0 when no
    day fell behind the risk-free rate.
    """
    observed = count(excess)
    semivariance = ratio(total(np.minimum(excess, 0.0) ** 2), observed.astype(float))
    return known_where(observed >= minimum, np.sqrt(semivariance * SESSIONS_PER_YEAR))


def sharpe_ratio(excess: Floats, minimum: int = MIN_RETURNS_VOLATILITY) -> Floats:
    """mean(e) / SD(e)·√252 on excess returns e (Sharpe 1994); NaN for a constant series."""
    per_day = ratio(mean(excess), _real_spread(excess))
    return known_where(count(excess) >= minimum, per_day * np.sqrt(SESSIONS_PER_YEAR))


def sortino_ratio(excess: Floats, minimum: int = MIN_RETURNS_VOLATILITY) -> Floats:
    """mean(e)·252 / downside deviation (Sortino and Price 1994); NaN without a losing day."""
    downside = downside_deviation(excess, minimum)
    return ratio(mean(excess) * SESSIONS_PER_YEAR, known_where(downside > ROUNDING_NOISE, downside))


def _real_spread(x: Floats) -> Floats:
    """Standard deviation, NaN where it is nothing but rounding."""
    spread = standard_deviation(x)
    return known_where(spread > ROUNDING_NOISE, spread)
