import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from statsmodels.stats.correlation_tools import corr_clipped

from analytics.calculations.covariance import (
    SHRINKAGE_MULTIPLE,
    covariance_estimate,
    repaired_correlations,
    shrunk_covariance,
)

RNG = np.random.default_rng(5)
RETURNS = RNG.normal(0.0, 0.01, (6, 400)) + RNG.normal(0.0, 0.01, 400)


def test_many_days_take_the_sample_covariance():
    found = covariance_estimate(RETURNS)
    assert found is not None
    np.testing.assert_allclose(found.matrix, np.cov(RETURNS), rtol=1e-14)
    assert (found.observations, found.in_words) == (400, "sample covariance")


def test_a_single_asset_has_a_matrix_too():
    found = covariance_estimate(RETURNS[:1])
    assert found is not None
    np.testing.assert_allclose(found.matrix, [[RETURNS[0].var(ddof=1)]])


def test_few_days_per_asset_are_shrunk_as_sklearn_does():
    days = SHRINKAGE_MULTIPLE * len(RETURNS)
    enough, too_few = (
        RETURNS[:, :days],
        np.concatenate([RETURNS, RETURNS[:1] + 0.001 * RETURNS[1:2]])[:, :days],
    )
    found = covariance_estimate(enough)
    assert found is not None
    assert found.shrinkage is None
    found = covariance_estimate(too_few)
    assert found is not None
    oracle = LedoitWolf().fit(too_few.T)
    np.testing.assert_allclose(found.matrix, oracle.covariance_ * days / (days - 1), rtol=1e-12)
    assert found.shrinkage == pytest.approx(oracle.shrinkage_)
    assert found.in_words == f"Ledoit-Wolf, shrinkage {oracle.shrinkage_:.2f}"


def test_more_assets_than_days_are_invertible_after_shrinkage():
    wide = np.random.default_rng(6).normal(0.0, 0.01, (90, 70))
    assert np.linalg.matrix_rank(np.cov(wide)) < 90
    assert np.linalg.eigvalsh(shrunk_covariance(wide).matrix)[0] > 0


def test_only_days_common_to_all_count():
    holes = RETURNS.copy()
    holes[2, ::4] = np.nan
    found = covariance_estimate(holes)
    assert found is not None
    np.testing.assert_allclose(found.matrix, np.cov(RETURNS[:, ~np.isnan(holes[2])]), rtol=1e-14)
    assert found.observations == 300


def staggered() -> np.ndarray:
    """Six assets of which no day has all, but each pair many."""
    held = RETURNS.copy()
    for k in range(6):
        held[k, k::6] = np.nan
    return held


def test_without_common_days_each_pair_takes_its_own():
    holes = staggered()
    found = covariance_estimate(holes)
    assert found is not None
    assert found.in_words.startswith("pairwise covariance")
    assert found.observations == 266
    both = ~np.isnan(holes[0] + holes[1])
    correlation = np.corrcoef(holes[0, both], holes[1, both])[0, 1]
    spread = np.sqrt(np.diagonal(found.matrix))
    np.testing.assert_allclose(spread, np.nanstd(holes, axis=-1, ddof=1), rtol=1e-12)
    if found.smallest_eigenvalue is None:
        assert found.matrix[0, 1] / spread[0] / spread[1] == pytest.approx(correlation, rel=1e-12)


def test_a_pair_that_never_meets_has_no_covariance():
    apart = np.full((2, 400), np.nan)
    apart[0, :200], apart[1, 200:] = RETURNS[0, :200], RETURNS[1, 200:]
    assert covariance_estimate(apart) is None
    assert covariance_estimate(RETURNS[:, :59]) is None
    assert covariance_estimate(RETURNS[:0]) is None
    assert covariance_estimate(np.full((2, 400), np.nan)) is None


def test_contradicting_pairs_are_repaired_and_said_so():
    """A moves with B and B with C on their days, but A against C on theirs."""
    days = np.random.default_rng(7).normal(0.0, 0.01, 300)
    trio = np.full((3, 300), np.nan)
    trio[:2, :100] = days[:100]
    trio[1:, 100:200] = days[100:200]
    trio[0, 200:], trio[2, 200:] = days[200:], -days[200:]
    found = covariance_estimate(trio)
    assert found is not None
    assert found.smallest_eigenvalue == pytest.approx(-1, abs=1e-9)
    assert found.in_words == "pairwise covariance, repaired: smallest eigenvalue was -1"
    assert np.linalg.eigvalsh(found.matrix)[0] >= -1e-18
    np.testing.assert_allclose(np.diagonal(found.matrix), np.nanvar(trio, axis=-1, ddof=1), rtol=1e-12)


def test_repair_is_that_of_statsmodels():
    broken = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    repaired, smallest = repaired_correlations(broken)
    assert smallest == pytest.approx(np.linalg.eigvalsh(broken)[0])
    np.testing.assert_allclose(repaired, corr_clipped(broken, threshold=0), atol=1e-12)
    whole = np.array([[1.0, 0.5], [0.5, 1.0]])
    assert repaired_correlations(whole)[0] is whole


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_what_is_repaired_is_a_correlation_matrix(seed, size):
    upper = np.triu(np.random.default_rng(seed).uniform(-1, 1, (size, size)), 1)
    repaired, _ = repaired_correlations(upper + upper.T + np.eye(size))
    assert np.linalg.eigvalsh(repaired)[0] >= -1e-12
    np.testing.assert_array_equal(np.diagonal(repaired), 1.0)
    np.testing.assert_array_equal(repaired, repaired.T)
    assert np.abs(repaired).max() <= 1 + 1e-12


def test_a_flat_series_moves_with_nothing():
    flat = staggered()
    flat[3] = np.where(np.isnan(flat[3]), np.nan, 0.001)
    found = covariance_estimate(flat)
    assert found is not None
    np.testing.assert_allclose(found.matrix[3], 0, atol=1e-18)
    assert np.isfinite(found.matrix).all()


def test_sklearn_is_not_imported_before_it_is_needed():
    code = "import sys, analytics.calculations.covariance; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "False"
