import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from analytics.calculations.tails import historical_tails
from analytics.calculations.var_models import (
    LEVELS,
    METHODS,
    Moments,
    cornish_fisher_tails,
    is_quantile_function,
    model_tails,
    moments,
    normal_tails,
)

RETURNS = np.random.default_rng(3).standard_t(8, (4, 600)) * 0.01
SKEWED = 0.01 - np.random.default_rng(1).gamma(40, 0.001, 2000)


def moments_of(skewness: float, kurtosis: float, mean: float = 0.0, spread: float = 1.0) -> Moments:
    return Moments(*(np.asarray(x) for x in (1000, mean, spread, skewness, kurtosis)))


def test_moments_are_those_of_scipy():
    found = moments(RETURNS)
    np.testing.assert_allclose(found.mean, RETURNS.mean(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(found.spread, RETURNS.std(axis=-1, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(found.skewness, stats.skew(RETURNS, axis=-1), rtol=1e-11)
    np.testing.assert_allclose(found.kurtosis, stats.kurtosis(RETURNS, axis=-1), rtol=1e-11)


def test_historical_figures_are_the_ones_of_the_risk_row():
    found = model_tails(RETURNS)
    for level, expected in historical_tails(RETURNS).items():
        np.testing.assert_array_equal(found["historical", level], expected)


@pytest.mark.parametrize("level", LEVELS)
def test_normal_figures_are_the_quantile_and_the_tail_mean_of_the_fitted_law(level):
    for row in RETURNS:
        loss, shortfall = normal_tails(moments(row), level)
        law = stats.norm(row.mean(), row.std(ddof=1))
        quantile = law.ppf(1 - level)
        assert loss == pytest.approx(-quantile, rel=1e-11)
        tail_mean = law.expect(lambda x: x, ub=quantile, conditional=True)
        assert shortfall == pytest.approx(-tail_mean, rel=1e-7)


@pytest.mark.parametrize("level", LEVELS)
def test_cornish_fisher_figures_by_numerical_integration(level):
    known = moments(SKEWED)
    s, k = stats.skew(SKEWED), stats.kurtosis(SKEWED)

    def quantile(probability):
        z = stats.norm.ppf(probability)
        return z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36

    loss, shortfall = cornish_fisher_tails(known, level)
    assert loss == pytest.approx(-(SKEWED.mean() + quantile(1 - level) * SKEWED.std(ddof=1)), rel=1e-11)
    mean_in_tail = integrate.quad(quantile, 0, 1 - level)[0] / (1 - level)
    assert shortfall == pytest.approx(-(SKEWED.mean() + mean_in_tail * SKEWED.std(ddof=1)), rel=1e-9)


def test_without_skewness_and_excess_kurtosis_cornish_fisher_is_normal():
    for level in LEVELS:
        np.testing.assert_allclose(
            cornish_fisher_tails(moments_of(0.0, 0.0), level),
            normal_tails(moments_of(0.0, 0.0), level),
            rtol=1e-14,
        )


@given(st.floats(-3, 3), st.floats(-2, 12))
def test_the_domain_is_where_the_expansion_rises_everywhere(skewness, kurtosis):
    z = np.linspace(-60, 60, 240_001)
    rises = np.all(
        np.diff(
            z
            + (z**2 - 1) * skewness / 6
            + (z**3 - 3 * z) * kurtosis / 24
            - (2 * z**3 - 5 * z) * skewness**2 / 36
        )
        > 0
    )
    curve, tilt = kurtosis / 8 - skewness**2 / 6, skewness / 3
    at_zero = 1 - kurtosis / 8 + 5 * skewness**2 / 36
    edge = min(abs(tilt**2 - 4 * curve * at_zero), abs(curve), abs(at_zero))
    if edge > 1e-3:  # On the edge itself the grid cannot tell.
        assert is_quantile_function(np.asarray(skewness), np.asarray(kurtosis)) == rises


@pytest.mark.parametrize(("skewness", "kurtosis"), [(0.0, 8.5), (0.0, -0.5), (2.0, 3.0), (-1.5, 1.0)])
def test_outside_of_its_domain_cornish_fisher_is_unknown(skewness, kurtosis):
    for level in LEVELS:
        assert np.isnan(cornish_fisher_tails(moments_of(skewness, kurtosis), level)).all()


def test_one_crash_in_a_quiet_series_is_outside_of_the_domain():
    crash = np.random.default_rng(0).normal(0.0, 0.005, 500)
    crash[100] = -0.25
    found = model_tails(crash)
    assert stats.kurtosis(crash) > 8
    assert np.isnan(found["cornish_fisher", 0.99][0])
    assert np.isfinite(found["normal", 0.99][0])


def test_minimum_samples_are_those_of_the_level():
    for method in METHODS:
        for level, least in ((0.95, 100), (0.99, 250)):
            enough, too_few = RETURNS[1, :least], RETURNS[1, : least - 1]
            assert np.isfinite(model_tails(enough)[method, level][0])
            assert np.isnan(model_tails(too_few)[method, level]).all()


def test_flat_series_tell_nothing_to_the_models_of_moments():
    for flat in (np.zeros(300), np.full(300, 0.1), np.full(300, 1e-15)):
        found = model_tails(flat)
        for level in LEVELS:
            assert np.isnan(found["normal", level]).all()
            assert np.isnan(found["cornish_fisher", level]).all()
            assert found["historical", level][0] == pytest.approx(-flat[0])


def test_a_nan_inside_a_series_is_no_observation():
    block = np.full((2, 600), np.nan)
    block[0, ::2] = RETURNS[0, :300]
    block[1, -300:] = RETURNS[0, :300]
    for figures, expected in zip(
        model_tails(block).values(), model_tails(RETURNS[0, :300]).values(), strict=True
    ):
        np.testing.assert_allclose(figures, np.array(expected)[:, None].repeat(2, axis=1), rtol=1e-12)


def test_tiny_prices_have_the_same_figures():
    closes = np.cumprod(1 + RETURNS[2])
    tiny = closes * 1e-8
    for figures, expected in zip(
        model_tails(tiny[1:] / tiny[:-1] - 1).values(),
        model_tails(closes[1:] / closes[:-1] - 1).values(),
        strict=True,
    ):
        np.testing.assert_allclose(figures, expected, rtol=1e-9)


def test_no_returns_at_all():
    assert all(np.isnan(figures).all() for figures in model_tails(np.empty((2, 0))).values())


@given(st.integers(0, 2**32 - 1), st.integers(250, 400), st.floats(0.01, 100.0), st.floats(5, 40))
def test_order_and_scale(seed, n, k, freedom):
    r = np.random.default_rng(seed).standard_t(freedom, n) * 0.01
    tails, scaled = model_tails(r), model_tails(k * r)
    for method in METHODS:
        at_95, at_99 = tails[method, 0.95], tails[method, 0.99]
        if np.isnan(at_99[0]):
            continue
        assert at_99[0] >= at_95[0]
        for level in LEVELS:
            loss, shortfall = tails[method, level]
            assert shortfall >= loss - 1e-15
            np.testing.assert_allclose(
                scaled[method, level], (k * loss, k * shortfall), rtol=1e-8, atol=1e-14
            )
