"""How concentrated the held positions are, and how far they move together.

Weights are shares of the gross invested value (cash apart, Σ|w| = 1, a short position negative), 0 for an
asset not held. A portfolio without positions has none of these figures.
"""

import numpy as np

from analytics.calculations.constants import MIN_RISK_ROW, ROUNDING_NOISE
from analytics.calculations.observations import Floats, known_where, ratio


def concentration_hhi(weights: Floats) -> Floats:
    """Herfindahl–Hirschman index Σw², (..., A) -> (...), between 1/positions and 1."""
    return known_where(np.any(weights != 0, axis=-1), np.sum(weights**2, axis=-1))


def effective_assets(weights: Floats) -> Floats:
    """Number of equal positions with the same concentration: 1 / HHI, (..., A) -> (...)."""
    return ratio(1.0, concentration_hhi(weights))


def largest_weight_percentage(weights: Floats) -> Floats:
    """Largest weight in percent of the gross invested value, (..., A) -> (...)."""
    return known_where(np.any(weights != 0, axis=-1), np.abs(weights).max(axis=-1, initial=0.0) * 100)


def pair_correlations(returns: Floats, minimum: int = MIN_RISK_ROW) -> Floats:
    """Pearson's coefficients of all pairs of rows, (A, n) -> the A(A−1)/2 pairs above the diagonal.

    Each pair on its own common days; NaN below `minimum` of them or where either side is constant on them.
    """
    known = ~np.isnan(returns)
    mask = known.astype(float)
    filled = np.where(known, returns, 0.0)
    common = mask @ mask.T
    # Not below 1, so that a pair without a common day divides nothing by 0; it is dropped further down.
    days = np.maximum(common, 1.0)
    # Centred first: the sums of squares below then lose no digits.
    x = (filled - (filled.sum(axis=-1) / np.diagonal(days))[:, None]) * mask
    sums = x @ mask.T
    squares = (x * x) @ mask.T - sums**2 / days
    products = x @ x.T - sums * sums.T / days
    moves = squares > days * ROUNDING_NOISE**2
    usable = (common >= minimum) & moves & moves.T
    coefficients = products / np.sqrt(known_where(usable, squares * squares.T))
    order = np.arange(len(returns))
    return np.clip(coefficients[order[:, None] < order], -1.0, 1.0)


def diversification_ratio(weights: Floats, returns: Floats, minimum: int = MIN_RISK_ROW) -> float:
    """Σ|wᵢ|σᵢ / SD(Σ wᵢrᵢ) with constant weights (A,) on returns (A, n) (Choueifaty and Coignard 2008).

    On the days all assets have a return; NaN below `minimum` of them or when the mix does not move. At
    least 1 without short positions.
    """
    complete = returns[:, ~np.isnan(returns).any(axis=0)]
    if not len(weights) or complete.shape[-1] < minimum:
        return np.nan
    together = np.std(weights @ complete, ddof=1)
    if together <= ROUNDING_NOISE:
        return np.nan
    return float(np.abs(weights) @ np.std(complete, axis=-1, ddof=1) / together)
