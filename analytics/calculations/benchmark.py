"""The statistics of portfolio_benchmarks: one portfolio against one benchmark."""

import numpy as np

from analytics.calculations.constants import MIN_REGRESSION, RISK_WINDOW
from analytics.calculations.observations import Floats
from analytics.calculations.regression import (
    active_return,
    beta_alpha,
    correlation,
    information_ratio,
    tracking_error,
    up_down_capture,
)

_REASONS = {
    "information_ratio": "no tracking error",
    "up_capture": "no day with a rising benchmark",
    "down_capture": "no day with a falling benchmark",
    "beta": "no risk-free rate, or a constant benchmark",
    "alpha": "no risk-free rate, or a constant benchmark",
}


def benchmark_figures(
    portfolio: Floats, benchmark: Floats, risk_free: Floats
) -> tuple[dict[str, float], dict[str, str]]:
    """Figures of daily returns (T,) ending on the day of calculation, and the reason of each NaN.

    Of the last RISK_WINDOW returns of the portfolio those days count on which the benchmark has one too;
    `window` says how many. Figures are annualised, NaN below MIN_REGRESSION common days. `risk_free` is the
    rate of each session.
    """
    recent = np.flatnonzero(~np.isnan(portfolio))[-RISK_WINDOW:]
    common = recent[~np.isnan(benchmark[recent])]
    r, b, f = portfolio[common], benchmark[common], risk_free[common]
    beta, alpha = beta_alpha(r - f, b - f)
    up, down = up_down_capture(r, b)
    coefficient = correlation(r, b)
    figures = {
        "tracking_error": tracking_error(r, b, MIN_REGRESSION),
        "information_ratio": information_ratio(r, b, MIN_REGRESSION),
        "beta": beta,
        "alpha": alpha,
        "excess_return": active_return(r, b, MIN_REGRESSION),
        "correlation": coefficient,
        "r_squared": coefficient**2,
        "up_capture": up,
        "down_capture": down,
    }
    known = {name: float(figure) for name, figure in figures.items()}
    return known | {"window": len(common)}, {
        name: _reason(name, len(common)) for name, figure in known.items() if np.isnan(figure)
    }


def _reason(name: str, observed: int) -> str:
    if observed < MIN_REGRESSION:
        return f"insufficient data: {observed} of {MIN_REGRESSION} common"
    return _REASONS.get(name, "insufficient data: constant returns")
