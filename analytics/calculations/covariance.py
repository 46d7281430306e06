"""Covariance of daily returns, with the estimate the data can bear, and what was done to get it.

`returns` (A, T) are simple daily returns in one currency, NaN where an asset has none.
"""

from dataclasses import dataclass

import numpy as np

from analytics.calculations.constants import MIN_RISK_ROW, ROUNDING_NOISE
from analytics.calculations.observations import Floats

# Fewer observations per asset than this, and the sample matrix is more noise than measure.
SHRINKAGE_MULTIPLE = 10
SAMPLE, LEDOIT_WOLF, PAIRWISE = "sample covariance", "Ledoit-Wolf", "pairwise covariance"


@dataclass(frozen=True)
class Covariance:
    """`matrix` (A, A) of daily returns, n − 1 in the denominator, symmetric and positive semidefinite.

    `observations`: common days behind it, for a pairwise one those of the pair that has the fewest.
    `smallest_eigenvalue`: of the correlations before they were repaired; None where nothing was.
    """

    matrix: Floats
    observations: int
    method: str
    shrinkage: float | None = None
    smallest_eigenvalue: float | None = None

    @property
    def in_words(self) -> str:
        words = self.method
        if self.shrinkage is not None:
            words += f", shrinkage {self.shrinkage:.2f}"
        if self.smallest_eigenvalue is not None:
            words += f", repaired: smallest eigenvalue was {self.smallest_eigenvalue:.2g}"
        return words


def covariance_estimate(returns: Floats, minimum: int = MIN_RISK_ROW) -> Covariance | None:
    """The covariance of the assets on the days all of them have a return.

    Shrunk (Ledoit and Wolf 2004) where these are fewer than SHRINKAGE_MULTIPLE per asset. With fewer than
    `minimum` of them each pair takes its own common days, and what they add up to is repaired. None where a
    pair has fewer than `minimum`, and without assets.
    """
    known = ~np.isnan(returns)
    complete = returns[:, known.all(axis=0)]
    assets, days = complete.shape
    if not assets:
        return None
    if days < minimum:
        return _pairwise_covariance(returns, minimum)
    if days < SHRINKAGE_MULTIPLE * assets:
        return shrunk_covariance(complete)
    return Covariance(np.atleast_2d(np.cov(complete)), days, SAMPLE)


def shrunk_covariance(returns: Floats) -> Covariance:
    """Ledoit and Wolf's (2004) mix of the sample covariance with equal variances and no covariance.

    `returns` (A, n) without NaN. Brought from n to n − 1 in the denominator, as all deviations here are.
    """
    # Importing it takes longer than most runs need it for.
    from sklearn.covariance import ledoit_wolf

    days = returns.shape[-1]
    matrix, shrinkage = ledoit_wolf(returns.T)
    return Covariance(matrix * (days / (days - 1)), days, LEDOIT_WOLF, float(shrinkage))


def repaired_correlations(correlations: Floats) -> tuple[Floats, float]:
    """The matrix (A, A) made positive semidefinite, and its smallest eigenvalue before.

    Negative eigenvalues are cut to 0 and the diagonal is brought back to 1 (the spectral projection of Higham
    2002, once, then rescaled; statsmodels calls it corr_clipped). Unchanged where none is negative.
    """
    eigenvalues, vectors = np.linalg.eigh(correlations)
    smallest = float(eigenvalues[0])
    if smallest >= -ROUNDING_NOISE:
        return correlations, smallest
    clipped = (vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T
    length = np.sqrt(np.diagonal(clipped))
    repaired = clipped / np.outer(length, length)
    np.fill_diagonal(repaired, 1.0)
    return (repaired + repaired.T) / 2, smallest


def _pairwise_covariance(returns: Floats, minimum: int) -> Covariance | None:
    """Deviations of each asset on its own days, correlations of each pair on its common ones."""
    known = ~np.isnan(returns)
    common = known.astype(float) @ known.T.astype(float)
    if common.min() < minimum:
        return None
    spread = np.nanstd(returns, axis=-1, ddof=1)
    correlations = np.eye(len(returns))
    for i, j in zip(*np.triu_indices(len(returns), 1), strict=True):
        both = known[i] & known[j]
        x, y = (row - row.mean() for row in (returns[i, both], returns[j, both]))
        size = np.sqrt((x @ x) * (y @ y))
        # An asset that does not move moves with nothing.
        correlations[i, j] = correlations[j, i] = (x @ y) / size if size > ROUNDING_NOISE**2 else 0.0
    repaired, smallest = repaired_correlations(correlations)
    return Covariance(
        repaired * np.outer(spread, spread),
        int(common.min()),
        PAIRWISE,
        smallest_eigenvalue=None if repaired is correlations else smallest,
    )
