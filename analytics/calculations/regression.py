"""A portfolio against its benchmark, on the days both have a return.

Functions take simple daily returns (..., n) and reduce the last axis; NaN on either side removes the day.
The result is NaN below the minimum number of common days.
"""

import numpy as np

from analytics.calculations.constants import (
    MIN_REGRESSION,
    MIN_RETURNS_VOLATILITY,
    ROUNDING_NOISE,
    SESSIONS_PER_YEAR,
)
from analytics.calculations.observations import (
    Floats,
    common_days,
    count,
    deviations,
    known_where,
    mean,
    ratio,
    standard_deviation,
    total,
)
from analytics.calculations.returns import geometric_return


def beta_alpha(
    excess: Floats, benchmark_excess: Floats, minimum: int = MIN_REGRESSION
) -> tuple[Floats, Floats]:
    """Slope and annualised intercept (·252) of least squares e = α + β·e_b + ε (Jensen 1968).

    NaN also where the benchmark does not move.
    """
    x, y = common_days(benchmark_excess, excess)
    from_mean = deviations(x)
    moves = standard_deviation(x) > ROUNDING_NOISE
    beta = ratio(total(from_mean * deviations(y)), total(from_mean**2))
    beta = known_where((count(x) >= minimum) & moves, beta)
    return beta, (mean(y) - beta * mean(x)) * SESSIONS_PER_YEAR


def correlation(x: Floats, y: Floats, minimum: int = MIN_REGRESSION) -> Floats:
    """Pearson's coefficient, within [−1, 1]; NaN where either side is constant."""
    x, y = common_days(x, y)
    moves = (standard_deviation(x) > ROUNDING_NOISE) & (standard_deviation(y) > ROUNDING_NOISE)
    dx, dy = deviations(x), deviations(y)
    coefficient = ratio(total(dx * dy), np.sqrt(total(dx**2) * total(dy**2)))
    return known_where((count(x) >= minimum) & moves, np.clip(coefficient, -1.0, 1.0))


def tracking_error(returns: Floats, benchmark: Floats, minimum: int = MIN_RETURNS_VOLATILITY) -> Floats:
    """Annualised standard deviation of the return differences: SD(r − b)·√252. 0 for a perfect copy."""
    active = returns - benchmark
    return known_where(count(active) >= minimum, standard_deviation(active) * np.sqrt(SESSIONS_PER_YEAR))


def active_return(returns: Floats, benchmark: Floats, minimum: int = MIN_RETURNS_VOLATILITY) -> Floats:
    """Annualised mean of the return differences: mean(r − b)·252."""
    active = returns - benchmark
    return known_where(count(active) >= minimum, mean(active) * SESSIONS_PER_YEAR)


def information_ratio(returns: Floats, benchmark: Floats, minimum: int = MIN_RETURNS_VOLATILITY) -> Floats:
    """Active return over tracking error (Goodwin 1998); NaN where the differences do not vary."""
    error = tracking_error(returns, benchmark, minimum)
    varying = known_where(error > ROUNDING_NOISE, error)
    return ratio(active_return(returns, benchmark, minimum), varying)


def treynor_ratio(excess: Floats, beta: Floats) -> Floats:
    """mean(e)·252 / β (Treynor 1965), β of the same returns; NaN where β is unknown or 0."""
    return ratio(mean(excess) * SESSIONS_PER_YEAR, known_where(np.abs(beta) > ROUNDING_NOISE, beta))


def up_down_capture(
    returns: Floats, benchmark: Floats, minimum: int = MIN_REGRESSION
) -> tuple[Floats, Floats]:
    """Annualised geometric return over the benchmark's, on the days b > 0 and on the days b < 0.

    1 means that the portfolio moved as much as the benchmark. NaN without such a day.
    """
    r, b = common_days(returns, benchmark)
    enough = count(b) >= minimum
    up, down = (
        ratio(geometric_return(known_where(days, r)), geometric_return(known_where(days, b)))
        for days in (b > 0, b < 0)
    )
    return known_where(enough, up), known_where(enough, down)
