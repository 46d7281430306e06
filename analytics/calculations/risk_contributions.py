"""How much each position adds to the risk of the whole (Euler's allocation).

`weights` (A,) are shares of the portfolio's value, a short position negative; what is left of 1 is cash
without risk. Contributions of the positions add up to the figure of the portfolio. NaN where it is unknown.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from analytics.calculations.constants import ROUNDING_NOISE, SESSIONS_PER_YEAR
from analytics.calculations.observations import Floats
from analytics.calculations.tails import historical_tails


@dataclass(frozen=True)
class Contributions:
    """One figure of the portfolio and the parts of it, (A,) each: component = weight · marginal."""

    total: float
    marginal: Floats
    component: Floats

    @property
    def percentage(self) -> Floats:
        """Shares of the whole in percent; NaN where there is no positive whole to share."""
        if not self.total > ROUNDING_NOISE:
            return np.full(len(self.component), np.nan)
        return self.component / self.total * 100


def volatility_contributions(weights: Floats, covariance: Floats) -> Contributions:
    """Annualised volatility by position: wᵢ(Σw)ᵢ/σ·√252, Σ (A, A) of daily returns (Litterman 1996)."""
    spread = _spread(weights, covariance)
    marginal = covariance @ weights / spread * np.sqrt(SESSIONS_PER_YEAR)
    return Contributions(spread * np.sqrt(SESSIONS_PER_YEAR), marginal, weights * marginal)


def normal_var_contributions(
    weights: Floats, means: Floats, covariance: Floats, level: float
) -> Contributions:
    """Normal one-day VaR by position: marginal −(μᵢ + z(Σw)ᵢ/σ), with `means` (A,) of daily returns.

    They add up to −(w·μ + z·σ) (Jorion 2006, chapter 7; Garman 1996). NaN where the mix does not move.
    """
    spread, z = _spread(weights, covariance), float(ndtri(1 - level))
    marginal = -(means + z * (covariance @ weights) / spread)
    return Contributions(float(-(weights @ means + z * spread)), marginal, weights * marginal)


def historical_var_contributions(
    weights: Floats, returns: Floats, level: float, minimum: int | None = None
) -> Contributions:
    """Historical one-day VaR by position, on returns (A, n) without NaN and constant weights.

    The mean loss of a position on the days of the portfolio's tail is its part of the expected shortfall
    (Tasche 1999); the VaR is shared in the same proportion: its own derivative would rest on two days only.
    NaN without VaR or shortfall (see `historical_tails`), and where the tail is no loss on average.
    """
    of_portfolio = weights @ returns
    loss, shortfall = (float(x) for x in historical_tails(of_portfolio, (level,), minimum)[level])
    if not shortfall > ROUNDING_NOISE:
        unknown = np.full(len(weights), np.nan)
        return Contributions(loss, unknown, unknown)
    marginal = -returns[:, of_portfolio <= -loss].mean(axis=-1) * (loss / shortfall)
    return Contributions(loss, marginal, weights * marginal)


def _spread(weights: Floats, covariance: Floats) -> float:
    """Standard deviation of the mix, NaN where it is nothing but rounding."""
    spread = float(np.sqrt(max(float(weights @ covariance @ weights), 0.0)))
    return spread if spread > ROUNDING_NOISE else np.nan
