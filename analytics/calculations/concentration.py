"""How concentrated the held positions are, and how far they move together.

Weights are shares of the gross invested value (cash apart, Σ|w| = 1, a short position negative), 0 for an
asset not held. A portfolio without positions has none of these figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.constants import MIN_RISK_ROW, ROUNDING_NOISE
from analytics.calculations.observations import Floats, Integers, known_where, ratio
from analytics.calculations.reductions import Trailing
from analytics.calculations.windows import trailing_reduce

Flags = NDArray[np.bool_]
# The risk of a mix below this share of what its parts have by themselves is what sums of squares leave.
CANCELLED = 1e-7


def concentration_hhi(weights: Floats) -> Floats:
    """Herfindahl–Hirschman index Σw², (..., A) -> (...), between 1/positions and 1."""
    return known_where(np.any(weights != 0, axis=-1), np.sum(weights**2, axis=-1))


def effective_assets(weights: Floats) -> Floats:
    """Number of equal positions with the same concentration: 1 / HHI, (..., A) -> (...)."""
    return ratio(1.0, concentration_hhi(weights))


def largest_weight_percentage(weights: Floats) -> Floats:
    """Largest weight in percent of the gross invested value, (..., A) -> (...)."""
    return known_where(np.any(weights != 0, axis=-1), np.abs(weights).max(axis=-1, initial=0.0) * 100)


@dataclass(frozen=True)
class PairFigures:
    """Figures of the positions held together, (T,) each; see `trailing_pair_figures`."""

    average_correlation: Floats
    max_correlation: Floats
    diversification_ratio: Floats


def trailing_pair_figures(
    weights: Floats, returns: Floats, window: int | None = None, minimum: int = MIN_RISK_ROW
) -> PairFigures:
    """Mean and maximum of Pearson's coefficients over the pairs held, and the diversification ratio.

    `weights` (A, T) of each day, `returns` (A, T) with NaN where an asset has none; a day's figures are of
    its own weights and of the last `window` returns up to it, or all of them. Each pair counts on its own
    common days; NaN below `minimum` of them or where either side is constant on them.
    The ratio is Σ|wᵢ|σᵢ / SD(Σ wᵢrᵢ) with constant weights (Choueifaty and Coignard 2008), on the days all
    held assets have a return; NaN below `minimum` of them or where the positions cancel out. At least 1
    without short positions.
    """
    held = weights != 0
    ever = held.any(axis=-1)
    weights, held, returns = weights[ever], held[ever], returns[ever]
    known = ~np.isnan(returns)
    average, highest = _pair_correlations(held, returns, window, minimum)
    ratios = np.full(weights.shape[-1], np.nan)
    for common, days in _common_days(held, known):
        if common.sum() >= minimum:
            found = _diversification(weights, np.where(common & known, returns, 0.0), common, window, minimum)
            ratios[days] = found[days]
    return PairFigures(average, highest, ratios)


def _common_days(held: Flags, known: Flags) -> Iterator[tuple[Flags, Integers]]:
    """The days (T,) on which all assets held at some moment have a return, and the positions of such moments.

    Most sets of assets have the same ones.
    """
    sets = np.packbits(held, axis=0)
    begins = np.flatnonzero((sets[:, 1:] != sets[:, :-1]).any(axis=0)) + 1
    shared: dict[bytes, tuple[Flags, list[Integers]]] = {}
    for days in np.split(np.arange(held.shape[-1]), begins):
        assets = held[:, days[0]]
        if assets.any():
            common = np.asarray(known[assets].all(axis=0))
            shared.setdefault(common.tobytes(), (common, []))[1].append(days)
    for common, parts in shared.values():
        yield common, np.concatenate(parts)


def _pair_correlations(
    held: Flags, returns: Floats, window: int | None, minimum: int
) -> tuple[Floats, Floats]:
    """Mean and maximum over the pairs held on each day, (T,) each."""
    known = ~np.isnan(returns)
    # Assets that have a return whenever any has one share all days, which are summed up once.
    some_day = known.any(axis=0)
    has_gaps = (known != some_day).any(axis=-1)
    held = held & Trailing(window).moves(returns)
    x, mask = np.where(known, returns, 0.0), known.astype(float)
    sum_up = partial(trailing_reduce, np.add, window=window)
    days, sums, squares = sum_up(some_day.astype(float)), sum_up(x), x * x
    enough = days >= minimum
    means = sums / np.maximum(days, 1.0)
    # Nothing for what is not held or does not move.
    shares = _inverse_spread(sum_up(squares), sums, days) * (held & enough)

    total, pairs, highest = np.zeros(len(days)), np.zeros(len(days)), np.full(len(days), -np.inf)
    for i in np.flatnonzero(held[:-1].any(axis=-1)).tolist():
        coefficients = np.zeros(x[i + 1 :].shape)
        apart = has_gaps[i + 1 :] | has_gaps[i]
        together = slice(None) if not apart.any() else ~apart
        of = x[i + 1 :][together]
        deviation = sum_up(x[i] * of) - sums[i] * means[i + 1 :][together]
        coefficients[together] = deviation * shares[i] * shares[i + 1 :][together]
        if apart.any():
            others = i + 1 + np.flatnonzero(apart)
            both = mask[i] * mask[others]
            common = sum_up(both)
            own, their = sum_up(x[i] * both), sum_up(x[others] * both)
            deviation = sum_up(x[i] * x[others]) - own * (their / np.maximum(common, 1.0))
            usable = held[i] & held[others] & (common >= minimum)
            own_share = _inverse_spread(sum_up(squares[i] * both), own, common) * usable
            their_share = _inverse_spread(sum_up(squares[others] * both), their, common)
            coefficients[apart] = deviation * own_share * their_share
        # A coefficient of exactly 0 does not occur but where there is none.
        is_known = coefficients != 0
        total += coefficients.sum(axis=0)
        pairs += np.count_nonzero(is_known, axis=0)
        highest = np.maximum(highest, np.where(is_known, coefficients, -np.inf).max(axis=0))
    return np.clip(ratio(total, pairs), -1.0, 1.0), np.minimum(known_where(pairs > 0, highest), 1.0)


def _inverse_spread(squares: Floats, sums: Floats, days: Floats) -> Floats:
    """1 / √Σ(x − mean)²; 0 where that is nothing but the rounding of the squares."""
    deviations = squares - sums * (sums / np.maximum(days, 1.0))
    is_real = deviations > ROUNDING_NOISE * squares
    return np.where(is_real, 1.0 / np.sqrt(np.where(is_real, deviations, 1.0)), 0.0)


def _diversification(weights: Floats, x: Floats, common: Flags, window: int | None, minimum: int) -> Floats:
    """The ratio of each day's weights on the common days, (T,). `x`: returns, 0 on all other days."""
    sum_up = partial(trailing_reduce, np.add, window=window)
    days = sum_up(common.astype(float))
    n = np.maximum(days, 1.0)
    sums = sum_up(x)
    # Of the mix as a whole: the squares once, the products of each pair twice.
    apart, together = np.zeros(len(days)), np.zeros(len(days))
    for i in range(len(x)):
        deviation = sum_up(x[i] * x[i:]) - sums[i] * sums[i:] / n
        apart += np.abs(weights[i]) * np.sqrt(np.maximum(deviation[0], 0.0))
        together += weights[i] * (
            weights[i] * deviation[0] + 2 * (weights[i + 1 :] * deviation[1:]).sum(axis=0)
        )
    together = np.sqrt(np.maximum(together, 0.0))
    # What is left of positions that cancel out is rounding.
    moves = (together > CANCELLED * apart) & (together > ROUNDING_NOISE * np.sqrt(n))
    return known_where((days >= minimum) & moves, ratio(apart, together))
