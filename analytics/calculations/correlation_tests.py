"""Significance of correlations: Student's t, Fisher's interval, false discovery rate."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr
from scipy.stats import false_discovery_control

SIGNIFICANCE_LEVEL = 0.05


def t_statistic(r: ArrayLike, observations: ArrayLike) -> NDArray[np.float64]:
    """Test statistic of "the correlation is zero": t = r * sqrt((n - 2) / (1 - r**2)).

    `r` in [-1, 1] and `observations` broadcast against each other. r = +1 or -1 gives an infinite t;
    NaN where r is NaN or n < 3. Source: Student 1908, Fisher 1915.
    """
    r, n = np.asarray(r, dtype=float), np.asarray(observations, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        # (1 - r)(1 + r) keeps the digits that 1 - r**2 loses near one.
        t = r * np.sqrt((n - 2) / ((1 - r) * (1 + r)))
    return np.where(n > 2, t, np.nan)


def correlation_p_value(r: ArrayLike, observations: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p-value of a Pearson correlation, from Student's t with n - 2 degrees of freedom.

    Shapes and NaN policy as `t_statistic`; r = +1 or -1 gives 0.
    """
    degrees = np.asarray(observations, dtype=float) - 2
    return 2 * stdtr(degrees, -np.abs(t_statistic(r, observations)))


def fisher_interval(
    r: ArrayLike, observations: ArrayLike, confidence: float = 1 - SIGNIFICANCE_LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence interval (low, high) of a correlation by the z-transform: tanh(atanh(r) -+ z / sqrt(n - 3)).

    NaN where r is NaN or n < 4; r = +1 or -1 is its own interval. Source: Fisher 1921.
    """
    r, n = np.asarray(r, dtype=float), np.asarray(observations, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.arctanh(r)
        half = np.where(n > 3, ndtri((1 + confidence) / 2) / np.sqrt(n - 3), np.nan)
    return np.tanh(centre - half), np.tanh(centre + half)


def false_discovery(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values q of one set of tests; q < 0.05 holds the share of false findings under 5 %.

    `p` is 1-D; a NaN is no test: it counts for nothing and stays NaN. Source: Benjamini and Hochberg 1995.
    """
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q
