"""A portfolio against its benchmark, on the days both have a return.

Functions take simple daily returns (..., n) and reduce the last axis as `over` says; NaN on either side
removes the day. The result is NaN below the minimum number of common days.
"""

import numpy as np

from analytics.calculations.constants import (
    MIN_REGRESSION,
    MIN_RETURNS_VOLATILITY,
    ROUNDING_NOISE,
    SESSIONS_PER_YEAR,
)
from analytics.calculations.observations import Floats, common_days, count, known_where, ratio
from analytics.calculations.reductions import WHOLE, Reduction
from analytics.calculations.returns import geometric_return
from analytics.calculations.statistics import standard_deviation


def beta_alpha(
    excess: Floats, benchmark_excess: Floats, minimum: int = MIN_REGRESSION, over: Reduction = WHOLE
) -> tuple[Floats, Floats]:
    """Slope and annualised intercept (·252) of least squares e = α + β·e_b + ε (Jensen 1968).

    NaN also where the benchmark does not move.
    """
    x, y = common_days(benchmark_excess, excess)
    usable = (over.count(x) >= minimum) & over.moves(x)
    beta = known_where(usable, ratio(over.products(x, y), over.products(x, x)))
    return beta, (over.mean(y) - beta * over.mean(x)) * SESSIONS_PER_YEAR


def correlation(x: Floats, y: Floats, minimum: int = MIN_REGRESSION, over: Reduction = WHOLE) -> Floats:
    """Pearson's coefficient, within [−1, 1]; NaN where either side is constant."""
    x, y = common_days(x, y)
    usable = (over.count(x) >= minimum) & over.moves(x) & over.moves(y)
    coefficient = ratio(over.products(x, y), np.sqrt(over.products(x, x) * over.products(y, y)))
    return known_where(usable, np.clip(coefficient, -1.0, 1.0))


def tracking_error(
    returns: Floats, benchmark: Floats, minimum: int = MIN_RETURNS_VOLATILITY, over: Reduction = WHOLE
) -> Floats:
    """Annualised standard deviation of the return differences: SD(r − b)·√252. 0 for a perfect copy."""
    active = returns - benchmark
    spread = standard_deviation(active, over)
    return known_where(over.count(active) >= minimum, spread * np.sqrt(SESSIONS_PER_YEAR))


def active_return(
    returns: Floats, benchmark: Floats, minimum: int = MIN_RETURNS_VOLATILITY, over: Reduction = WHOLE
) -> Floats:
    """Annualised mean of the return differences: mean(r − b)·252."""
    active = returns - benchmark
    return known_where(over.count(active) >= minimum, over.mean(active) * SESSIONS_PER_YEAR)


def information_ratio(
    returns: Floats, benchmark: Floats, minimum: int = MIN_RETURNS_VOLATILITY, over: Reduction = WHOLE
) -> Floats:
    """Active return over tracking error (Goodwin 1998); NaN where the differences do not vary."""
    error = tracking_error(returns, benchmark, minimum, over)
    varying = known_where(error > ROUNDING_NOISE, error)
    return ratio(active_return(returns, benchmark, minimum, over), varying)


def treynor_ratio(excess: Floats, beta: Floats, over: Reduction = WHOLE) -> Floats:
    """mean(e)·252 / β (Treynor 1965), β of the same returns; NaN where β is unknown or 0."""
    return ratio(over.mean(excess) * SESSIONS_PER_YEAR, known_where(np.abs(beta) > ROUNDING_NOISE, beta))


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
