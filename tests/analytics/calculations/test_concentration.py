import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analytics.calculations.concentration import (
    concentration_hhi,
    diversification_ratio,
    effective_assets,
    largest_weight_percentage,
    pair_correlations,
)

RNG = np.random.default_rng(6)
RETURNS = RNG.normal(0, 0.01, (5, 300)) + RNG.normal(0, 0.006, 300)


def test_case_c1_concentration_of_the_drifted_portfolio():
    weights = np.array([0.30, 0.20, 0.30, 0.20])
    assert concentration_hhi(weights) == pytest.approx(0.26, rel=1e-14)
    assert effective_assets(weights) == pytest.approx(3.846153846153846, rel=1e-14)
    assert largest_weight_percentage(weights) == pytest.approx(30)


def test_short_positions_count_by_their_size():
    weights = np.array([[0.4, -0.6, 0.0]])
    assert concentration_hhi(weights) == pytest.approx(0.52)
    assert largest_weight_percentage(weights) == pytest.approx(60)


@pytest.mark.parametrize("figure", [concentration_hhi, effective_assets, largest_weight_percentage])
@pytest.mark.parametrize("weights", [np.zeros((2, 3)), np.empty((2, 0))])
def test_without_positions_nothing_is_known(figure, weights):
    assert np.isnan(figure(weights)).all()


@given(hnp.arrays(float, st.integers(1, 30), elements=st.floats(0.001, 1)))
def test_hhi_lies_between_equal_weights_and_one_position(raw):
    weights = raw / raw.sum()
    assert 1 / len(raw) - 1e-12 <= concentration_hhi(weights) <= 1 + 1e-12
    assert 1 - 1e-12 <= effective_assets(weights) <= len(raw) + 1e-9


def test_pairs_agree_with_numpy():
    expected = np.asarray(np.corrcoef(RETURNS))[np.triu_indices(5, 1)]
    np.testing.assert_allclose(pair_correlations(RETURNS), expected, rtol=1e-11)


def test_each_pair_counts_its_own_common_days():
    holes = RETURNS.copy()
    holes[0, :200] = np.nan
    holes[1, 150:] = np.nan
    holes[2, ::3] = np.nan
    holes[4] = 0.001
    found = dict(
        zip([(i, j) for i in range(5) for j in range(i + 1, 5)], pair_correlations(holes), strict=True)
    )
    for (i, j), coefficient in found.items():
        both = ~np.isnan(holes[i] + holes[j])
        if both.sum() < 60 or j == 4:
            assert np.isnan(coefficient)
        else:
            assert coefficient == pytest.approx(np.corrcoef(holes[i, both], holes[j, both])[0, 1], rel=1e-11)


def test_identical_assets_correlate_with_one_and_not_more():
    pairs = pair_correlations(np.stack([RETURNS[0], RETURNS[0] * 3, -RETURNS[0]]))
    np.testing.assert_allclose(pairs, [1, -1, -1], rtol=1e-12)
    assert (np.abs(pairs) <= 1).all()


def test_diversification_ratio_by_hand():
    weights = np.array([0.5, 0.3, 0.2])
    r = RETURNS[:3]
    expected = weights @ r.std(axis=1, ddof=1) / (weights @ r).std(ddof=1)
    assert diversification_ratio(weights, r) == pytest.approx(expected, rel=1e-12)
    assert diversification_ratio(np.array([1.0]), r[:1]) == pytest.approx(1, rel=1e-12)


def test_diversification_ratio_needs_common_days_and_movement():
    apart = RETURNS[:2].copy()
    apart[0, :250] = np.nan
    assert np.isnan(diversification_ratio(np.array([0.5, 0.5]), apart))
    hedged = np.stack([RETURNS[0], RETURNS[0]])
    assert np.isnan(diversification_ratio(np.array([0.5, -0.5]), hedged))
    assert np.isnan(diversification_ratio(np.array([]), np.empty((0, 300))))


@given(hnp.arrays(float, 5, elements=st.floats(0.01, 1)))
def test_long_only_diversification_ratio_is_at_least_one(raw):
    assert diversification_ratio(raw / raw.sum(), RETURNS) >= 1
