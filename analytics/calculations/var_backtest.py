"""Out-of-sample tests of value at risk: the forecast of the days before against the return of the day.

Series are simple returns (..., T), one or many alike; NaN is no observation, and a window counts
observations. An exception is a loss larger than the forecast. Hand in the returns that today's positions
would have had, and the model is tested on what is held; the portfolio's own returns do as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, xlogy

from analytics.calculations.constants import RISK_WINDOW, ROUNDING_NOISE, SESSIONS_PER_YEAR
from analytics.calculations.observations import Floats, Integers, count, known_where, mean, ratio
from analytics.calculations.reductions import Trailing
from analytics.calculations.tails import trailing_quantiles
from analytics.calculations.var_models import HISTORICAL, LEVELS, METHODS, MODELS_OF_MOMENTS, Moments
from analytics.calculations.windows import trailing_reduce

# A method and its level.
Case = tuple[str, float]
CASES: tuple[Case, ...] = tuple((method, level) for method in METHODS for level in LEVELS)

# Returns before the first forecast; from then on the window grows to RISK_WINDOW.
MIN_FORECAST_RETURNS = SESSIONS_PER_YEAR
# Days tested below which the tests are unknown: they lean on large samples.
MIN_TESTED_DAYS = 60

# The traffic light of the Basel Committee, 1996: exceptions on the last 250 days at 99 %.
BASEL_DAYS = 250
BASEL_LEVEL = 0.99
YELLOW_FROM, RED_FROM = 5, 10
GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True)
class VarBacktest:
    """A method at one level, tested on every day it had a forecast for; every array is (...).

    `left_out`: days without a forecast after the first one. `zone_exceptions` are those of the last
    BASEL_DAYS; NaN, and the zone None, where one of these days has no forecast. The tests are likelihood
    ratios with their p-values, NaN below MIN_TESTED_DAYS.
    """

    observations: Integers
    exceptions: Integers
    expected: Floats
    left_out: Integers
    kupiec_lr: Floats
    kupiec_p: Floats
    christoffersen_lr: Floats
    christoffersen_p: Floats
    joint_lr: Floats
    joint_p: Floats
    zone_exceptions: Floats
    zone: NDArray[Any]


def var_backtests(
    returns: Floats,
    cases: Sequence[Case] = CASES,
    window: int = RISK_WINDOW,
    minimum: int = MIN_FORECAST_RETURNS,
    min_tested: int = MIN_TESTED_DAYS,
) -> dict[Case, VarBacktest]:
    """Test methods at levels, by default all of them, on returns (..., T), see `var_forecasts`."""
    known = known_last(returns)
    return {
        (method, level): exceptions_test(known, forecasts, level, min_tested)
        for (method, level), forecasts in var_forecasts(known, cases, window, minimum).items()
    }


def var_forecasts(
    returns: Floats,
    cases: Sequence[Case] = CASES,
    window: int = RISK_WINDOW,
    minimum: int = MIN_FORECAST_RETURNS,
) -> dict[Case, Floats]:
    """Value at risk of each day from the `window` returns before it, (..., T) -> (..., T) for each case.

    NaN where fewer than `minimum` lie before the day, where the method has no figure, and where the return
    itself is unknown.
    """
    if returns.shape[-1] <= minimum:
        return {case: np.full(returns.shape, np.nan) for case in cases}
    known = known_last(returns)
    is_foretold = _counts(known) > minimum
    moments = _rolling_moments(known, window)
    found = {}
    for method, level in cases:
        if method == HISTORICAL:
            as_of_day = _rolling_historical(known, level, window)
        else:
            as_of_day = MODELS_OF_MOMENTS[method](moments, level)[0]
        forecasts = np.full(known.shape, np.nan)
        forecasts[..., 1:] = known_where(is_foretold[..., 1:], as_of_day[..., :-1])
        found[method, level] = np.full(known.shape, np.nan)
        found[method, level][~np.isnan(returns)] = forecasts[~np.isnan(known)]
    return found


def exceptions_test(
    returns: Floats, forecasts: Floats, level: float, min_tested: int = MIN_TESTED_DAYS
) -> VarBacktest:
    """Count the exceptions of forecasts (..., T), losses positive, and test them."""
    tested = ~np.isnan(returns) & ~np.isnan(forecasts)
    hits = known_where(tested, (returns < -forecasts).astype(float))
    observations, exceptions = count(hits), np.nansum(hits, axis=-1).astype(np.int64)
    probability = round(1 - level, 12)
    kupiec_lr, kupiec_p = kupiec_test(exceptions, observations, probability)
    in_order = known_last(known_where(~np.isnan(returns), np.where(tested, hits, -1.0)))
    christoffersen_lr, christoffersen_p = christoffersen_test(known_where(in_order >= 0, in_order))
    joint_lr = kupiec_lr + christoffersen_lr
    enough = observations >= min_tested
    last = in_order[..., -BASEL_DAYS:]
    complete = (np.count_nonzero(last >= 0, axis=-1) == BASEL_DAYS) & (level == BASEL_LEVEL)
    zone_exceptions = known_where(complete, np.count_nonzero(last == 1, axis=-1).astype(float))
    begun = np.cumsum(tested, axis=-1) > 0
    return VarBacktest(
        observations=observations,
        exceptions=exceptions,
        expected=np.asarray(observations * probability, dtype=float),
        left_out=np.count_nonzero(begun & ~tested & ~np.isnan(returns), axis=-1).astype(np.int64),
        kupiec_lr=known_where(enough, kupiec_lr),
        kupiec_p=known_where(enough, kupiec_p),
        christoffersen_lr=known_where(enough, christoffersen_lr),
        christoffersen_p=known_where(enough, christoffersen_p),
        joint_lr=known_where(enough, joint_lr),
        joint_p=known_where(enough, chdtrc(2, joint_lr)),
        zone_exceptions=zone_exceptions,
        zone=basel_zone(zone_exceptions),
    )


def kupiec_test(
    exceptions: Integers | int, observations: Integers | int, probability: float
) -> tuple[Floats, Floats]:
    """Whether there are as many exceptions as there should be: likelihood ratio and p, chi-square 1.

    LR = −2 ln[(1−p)ⁿ⁻ˣpˣ / ((1−x/n)ⁿ⁻ˣ(x/n)ˣ)], 0·ln 0 = 0 (proportion of failures, Kupiec 1995). NaN
    without a day tested.
    """
    x, n = np.asarray(exceptions, dtype=float), np.asarray(observations, dtype=float)
    share = ratio(x, n)
    given = _log_likelihood(x, n - x, probability)
    lr = np.maximum(2 * (_log_likelihood(x, n - x, share) - given), 0.0)
    return lr, chdtrc(1, lr)


def christoffersen_test(hits: Floats) -> tuple[Floats, Floats]:
    """Whether exceptions come alone: likelihood ratio and p against a chain of order one, chi-square 1.

    `hits` (..., T): 1 on an exception, 0 on another day tested, NaN on a day that was not; only neighbours
    both tested make a transition. 0·ln 0 = 0, so no exception at all is no clustering (Christoffersen 1998).
    NaN without a transition. The joint test adds Kupiec's ratio, chi-square 2.
    """
    before, after = hits[..., :-1], hits[..., 1:]
    n00, n01, n10, n11 = (
        np.count_nonzero((before == i) & (after == j), axis=-1).astype(float)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    transitions = n00 + n01 + n10 + n11
    alike = _log_likelihood(n01 + n11, n00 + n10, ratio(n01 + n11, transitions))
    # A state never left has no share of its own, and its likelihood is that of no day: one.
    calm, hit = (np.nan_to_num(ratio(on, on + off)) for on, off in ((n01, n00), (n11, n10)))
    chained = _log_likelihood(n01, n00, calm) + _log_likelihood(n11, n10, hit)
    lr = np.maximum(2 * (chained - alike), 0.0)
    return lr, chdtrc(1, lr)


def basel_zone(exceptions: Floats) -> NDArray[Any]:
    """Green up to 4 exceptions on 250 days at 99 %, yellow from 5, red from 10 on; None for NaN."""
    x = np.asarray(exceptions, dtype=float)
    zones = np.select([x >= RED_FROM, x >= YELLOW_FROM, x >= 0], [RED, YELLOW, GREEN], "")
    named = np.asarray(zones, dtype=object)
    named[zones == ""] = None
    return named


def known_last(x: Floats) -> Floats:
    """The observations of each row (..., T) moved to its end in their order, NaN in front of them."""
    order = np.argsort(~np.isnan(x), axis=-1, kind="stable")
    return np.take_along_axis(np.asarray(x, dtype=float), order, axis=-1)


def _log_likelihood(hits: Floats, misses: Floats, probability: Floats | float) -> Floats:
    return np.asarray(xlogy(hits, probability) + xlogy(misses, 1 - np.asarray(probability)))


def _counts(known: Floats) -> Integers:
    """Observations up to and including each day."""
    return np.cumsum(~np.isnan(known), axis=-1)


def _rolling_historical(known: Floats, level: float, window: int) -> Floats:
    """−quantile of type 7 of the last `window` observations at each day, (..., T), bit for bit numpy's."""
    losses = np.full(known.shape, np.nan)
    for row in np.ndindex(known.shape[:-1]):
        first = int(np.count_nonzero(np.isnan(known[row])))
        losses[row][first:] = 0.0 - trailing_quantiles(known[row][first:], window, (level,))[level]
    return losses


def _rolling_moments(known: Floats, window: int) -> Moments:
    """Moments of the last `window` observations at each day, (..., T) each.

    Sums over the window itself of powers of the distance from the mean of the first year: what has left the
    window, or is yet to come, moves them by no rounding. A constant window is found by its values, not by
    its sums.
    """
    counts = _counts(known)
    observed = np.minimum(counts, window)
    n = observed.astype(float)
    middle = mean(known_where(counts <= SESSIONS_PER_YEAR, known))[..., None]
    distance = np.nan_to_num(known - middle)
    first, second, third, fourth = (
        ratio(trailing_reduce(np.add, distance**k, window), n) for k in (1, 2, 3, 4)
    )
    variance = second - first**2
    is_still = ~Trailing(window).moves(known)
    variance = known_where(~is_still & (variance > ROUNDING_NOISE**2) & (observed > 1), variance)
    third_central = third - 3 * first * second + 2 * first**3
    fourth_central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    return Moments(
        observations=observed,
        mean=first + middle,
        spread=np.sqrt(variance * ratio(n, n - 1)),
        skewness=ratio(third_central, variance**1.5),
        kurtosis=ratio(fourth_central, variance**2) - 3,
    )
