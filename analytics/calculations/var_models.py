"""One-day value at risk and expected shortfall by three models: historical, normal, Cornish–Fisher.

Losses are positive fractions. Functions take simple returns (..., n) and reduce the last axis; NaN is no
observation, the result is NaN below the minimum sample of the level. The two models of moments are unknown
for a constant series: nothing in it tells how far the returns may spread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from analytics.calculations.constants import ROUNDING_NOISE
from analytics.calculations.observations import (
    Floats,
    Integers,
    count,
    deviations,
    known_where,
    mean,
    ratio,
    standard_deviation,
    total,
)
from analytics.calculations.tails import MIN_RETURNS, historical_tails

LEVELS = (0.95, 0.99)
HISTORICAL, NORMAL, CORNISH_FISHER = "historical", "normal", "cornish_fisher"

Tails = tuple[Floats, Floats]
"""Value at risk and expected shortfall, (...) each."""


@dataclass(frozen=True)
class Moments:
    """What the models of moments know of a series; every array is (...).

    The spread has n − 1 in the denominator; skewness and excess kurtosis are those of the sample, with n (as
    scipy.stats.skew and kurtosis give them). All but the mean are NaN for a constant series.
    """

    observations: Integers
    mean: Floats
    spread: Floats
    skewness: Floats
    kurtosis: Floats


def moments(returns: Floats) -> Moments:
    """The moments of returns (..., n), in two passes."""
    observed, from_mean = count(returns), deviations(returns)
    spread = standard_deviation(returns)
    spread = known_where(spread > ROUNDING_NOISE, spread)
    second, third, fourth = (ratio(total(from_mean**k), observed.astype(float)) for k in (2, 3, 4))
    second = known_where(~np.isnan(spread), second)
    return Moments(observed, mean(returns), spread, ratio(third, second**1.5), ratio(fourth, second**2) - 3)


def normal_tails(known: Moments, level: float) -> Tails:
    """VaR = −(mean + z·SD), shortfall = −mean + SD·φ(z)/(1 − level), z the normal quantile of 1 − level.

    NaN below MIN_RETURNS of the level. Source: RiskMetrics 1996; McNeil, Frey and Embrechts 2005, 2.2.
    """
    z, density = _normal_tail(level)
    spread = _enough(known, level, known.spread)
    return -(known.mean + z * spread), -known.mean + density * spread


def cornish_fisher_tails(known: Moments, level: float) -> Tails:
    """Normal figures with z corrected for skewness s and excess kurtosis k of the sample.

    w(z) = z + (z² − 1)s/6 + (z³ − 3z)k/24 − (2z³ − 5z)s²/36, VaR = −(mean + w(z)·SD) (Cornish and Fisher
    1937, Zangari 1996). The shortfall is that of the same w: −mean − SD·E[w(Z) | Z ≤ z] (Maillard 2012). NaN
    where w is no quantile function, see `is_quantile_function`, and below MIN_RETURNS of the level.
    """
    z, density = _normal_tail(level)
    s, k = known.skewness, known.kurtosis
    spread = _enough(known, level, known_where(is_quantile_function(s, k), known.spread))
    at_z = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    # The partial moments of the normal law below z, each of them a multiple of its density there.
    below_z = -density * (1 + z * s / 6 - (1 - z**2) * k / 24 + (1 - 2 * z**2) * s**2 / 36)
    return -(known.mean + at_z * spread), -(known.mean + below_z * spread)


def is_quantile_function(skewness: Floats, kurtosis: Floats) -> NDArray[np.bool_]:
    """Whether the Cornish–Fisher expansion rises for all z, so that a rarer loss is a larger one.

    Its slope a·z² + b·z + c must have no root: b² < 4ac with a > 0 (the domain of Maillard 2012). Outside of
    it the figures contradict each other; excess kurtosis above 8 always is. False for NaN.
    """
    curve = kurtosis / 8 - skewness**2 / 6
    tilt = skewness / 3
    at_zero = 1 - kurtosis / 8 + 5 * skewness**2 / 36
    rises = (at_zero > 0) & (tilt**2 < 4 * curve * at_zero)
    # A law without skewness and excess kurtosis is the normal one, up to rounding.
    return rises | (np.maximum(np.abs(skewness), np.abs(kurtosis)) < ROUNDING_NOISE)


MODELS_OF_MOMENTS: Mapping[str, Callable[[Moments, float], Tails]] = {
    NORMAL: normal_tails,
    CORNISH_FISHER: cornish_fisher_tails,
}
METHODS = (HISTORICAL, *MODELS_OF_MOMENTS)


def model_tails(returns: Floats) -> dict[tuple[str, float], Tails]:
    """VaR and shortfall of returns (..., n) by every method at both levels, keyed (method, level)."""
    known = moments(returns)
    tails = {(HISTORICAL, level): found for level, found in historical_tails(returns, LEVELS).items()}
    for method, model in MODELS_OF_MOMENTS.items():
        tails |= {(method, level): model(known, level) for level in LEVELS}
    return tails


def _normal_tail(level: float) -> tuple[float, float]:
    """The normal quantile z of 1 − level, and its density there per unit of probability in the tail."""
    z = float(ndtri(1 - level))
    return z, float(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / (1 - level))


def _enough(known: Moments, level: float, figure: Floats) -> Floats:
    return known_where(known.observations >= MIN_RETURNS[level], figure)
