import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analytics.calculations.concentration import (
    concentration_hhi,
    effective_assets,
    largest_weight_percentage,
    trailing_pair_figures,
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


def pair_of(first, second, returns=RETURNS):
    """Mean correlation of one pair on the last day."""
    weights = np.zeros(returns.shape)
    weights[[first, second]] = 0.5
    return trailing_pair_figures(weights, returns).average_correlation[-1]


def diversification_of(weights, returns):
    figures = trailing_pair_figures(np.repeat(weights[:, None], returns.shape[-1], axis=1), returns)
    return figures.diversification_ratio[-1]


PAIRS = [(i, j) for i in range(5) for j in range(i + 1, 5)]


def test_pairs_agree_with_numpy():
    for i, j in PAIRS:
        assert pair_of(i, j) == pytest.approx(np.corrcoef(RETURNS[i], RETURNS[j])[0, 1], rel=1e-11)


def test_mean_and_maximum_of_all_pairs():
    figures = trailing_pair_figures(np.full(RETURNS.shape, 0.2), RETURNS)
    coefficients = np.asarray(np.corrcoef(RETURNS))[np.triu_indices(5, 1)]
    assert figures.average_correlation[-1] == pytest.approx(coefficients.mean(), rel=1e-11)
    assert figures.max_correlation[-1] == pytest.approx(coefficients.max(), rel=1e-11)


def test_each_pair_counts_its_own_common_days():
    holes = RETURNS.copy()
    holes[0, :200] = np.nan
    holes[1, 150:] = np.nan
    holes[2, ::3] = np.nan
    holes[4] = 0.001
    for i, j in PAIRS:
        both = ~np.isnan(holes[i] + holes[j])
        if both.sum() < 60 or j == 4:
            assert np.isnan(pair_of(i, j, holes))
        else:
            expected = np.corrcoef(holes[i, both], holes[j, both])[0, 1]
            assert pair_of(i, j, holes) == pytest.approx(expected, rel=1e-11)


def test_identical_assets_correlate_with_one_and_not_more():
    same = np.stack([RETURNS[0], RETURNS[0] * 3, -RETURNS[0]])
    found = np.array([pair_of(0, 1, same), pair_of(0, 2, same), pair_of(1, 2, same)])
    np.testing.assert_allclose(found, [1, -1, -1], rtol=1e-12)
    assert (np.abs(found) <= 1).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([60, 75, None]), st.floats(0, 0.2))
@settings(max_examples=15)
def test_each_day_has_the_figures_of_its_own_window_and_weights(seed, window, holes):
    random = np.random.default_rng(seed)
    returns = random.normal(0, 0.01, (4, 140)) + random.normal(0, 0.006, 140)
    returns[random.random(returns.shape) < holes] = np.nan
    weights = np.repeat(random.uniform(-0.2, 1.0, (4, 7)), 20, axis=1)
    weights[np.repeat(random.random((4, 7)) < 0.3, 20, axis=1)] = 0.0
    figures = trailing_pair_figures(weights, returns, window, minimum=50)
    for day in (30, 70, 99, 139):
        held = np.flatnonzero(weights[:, day])
        within = returns[held, 0 if window is None else max(day + 1 - window, 0) : day + 1]
        pairs = []
        for i in range(len(held)):
            for j in range(i + 1, len(held)):
                both = ~np.isnan(within[i] + within[j])
                if both.sum() >= 50:
                    pairs.append(np.corrcoef(within[i, both], within[j, both])[0, 1])
        average = np.mean(pairs) if pairs else np.nan
        assert figures.average_correlation[day] == pytest.approx(average, rel=1e-9, nan_ok=True)
        assert figures.max_correlation[day] == pytest.approx(
            max(pairs, default=np.nan), rel=1e-9, nan_ok=True
        )
        complete = within[:, ~np.isnan(within).any(axis=0)]
        w, expected = weights[held, day], np.nan
        if len(held) and complete.shape[-1] >= 50:
            expected = np.abs(w) @ complete.std(axis=1, ddof=1) / (w @ complete).std(ddof=1)
        assert figures.diversification_ratio[day] == pytest.approx(expected, rel=1e-9, nan_ok=True)
    earlier = trailing_pair_figures(weights[:, :100], returns[:, :100], window, minimum=50)
    for name in ("average_correlation", "max_correlation", "diversification_ratio"):
        np.testing.assert_array_equal(getattr(earlier, name), getattr(figures, name)[:100])


def test_diversification_ratio_by_hand():
    weights = np.array([0.5, 0.3, 0.2])
    r = RETURNS[:3]
    expected = weights @ r.std(axis=1, ddof=1) / (weights @ r).std(ddof=1)
    assert diversification_of(weights, r) == pytest.approx(expected, rel=1e-12)
    assert diversification_of(np.array([1.0]), r[:1]) == pytest.approx(1, rel=1e-12)


def test_diversification_ratio_needs_common_days_and_movement():
    apart = RETURNS[:2].copy()
    apart[0, :250] = np.nan
    assert np.isnan(diversification_of(np.array([0.5, 0.5]), apart))
    hedged = np.stack([RETURNS[0], RETURNS[0]])
    assert np.isnan(diversification_of(np.array([0.5, -0.5]), hedged))
    assert np.isnan(diversification_of(np.array([0.0, 0.0]), hedged))


@given(hnp.arrays(float, 5, elements=st.floats(0.01, 1)))
def test_long_only_diversification_ratio_is_at_least_one(raw):
    assert diversification_of(raw / raw.sum(), RETURNS) >= 1
