import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.risk_contributions import (
    historical_var_contributions,
    normal_var_contributions,
    volatility_contributions,
)
from analytics.calculations.tails import expected_shortfall, value_at_risk
from analytics.calculations.var_models import moments, normal_tails

RNG = np.random.default_rng(12)
RETURNS = RNG.normal(0.0002, 0.01, (5, 500)) * np.array([[1.0], [0.5], [2.0], [1.0], [0.1]])
RETURNS += RNG.normal(0.0, 0.006, 500)
WEIGHTS = np.array([0.3, 0.25, 0.2, -0.1, 0.3])
COVARIANCE, MEANS = np.cov(RETURNS), RETURNS.mean(axis=-1)
LEVELS = (0.95, 0.99)


def contributions_of(weights, returns, level=0.95):
    covariance = np.atleast_2d(np.cov(returns))
    return {
        "volatility": volatility_contributions(weights, covariance),
        "normal": normal_var_contributions(weights, returns.mean(axis=-1), covariance, level),
        "historical": historical_var_contributions(weights, returns, level),
    }


def test_totals_are_the_figures_of_the_portfolio():
    of_portfolio = WEIGHTS @ RETURNS
    for level in LEVELS:
        found = contributions_of(WEIGHTS, RETURNS, level)
        assert found["volatility"].total == pytest.approx(of_portfolio.std(ddof=1) * np.sqrt(252), rel=1e-12)
        assert found["normal"].total == pytest.approx(
            normal_tails(moments(of_portfolio), level)[0], rel=1e-12
        )
        assert found["historical"].total == value_at_risk(of_portfolio, level)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from(LEVELS))
def test_components_add_up(seed, assets, level):
    random = np.random.default_rng(seed)
    returns = random.normal(0.0, 0.01, (assets, 300))
    for found in contributions_of(random.uniform(-0.2, 1.0, assets), returns, level).values():
        assert found.component.sum() == pytest.approx(found.total, rel=1e-12, abs=1e-14)
        assert found.percentage.sum() == pytest.approx(100, rel=1e-11)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10.0))
def test_order_of_the_assets_and_size_of_the_returns(seed, k):
    order = np.random.default_rng(seed).permutation(5)
    plain = contributions_of(WEIGHTS, RETURNS)
    shuffled = contributions_of(WEIGHTS[order], RETURNS[order])
    scaled = contributions_of(WEIGHTS, k * RETURNS)
    for name, found in plain.items():
        np.testing.assert_allclose(shuffled[name].component, found.component[order], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(scaled[name].component, k * found.component, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(scaled[name].percentage, found.percentage, rtol=1e-9, atol=1e-12)


def test_a_position_split_in_two_halves_its_contribution():
    split = np.concatenate([WEIGHTS, WEIGHTS[2:3] / 2])
    split[2] /= 2
    for name, found in contributions_of(split, np.concatenate([RETURNS, RETURNS[2:3]])).items():
        before = contributions_of(WEIGHTS, RETURNS)[name]
        assert found.component[2] == pytest.approx(before.component[2] / 2, rel=1e-12)
        assert found.component[5] == pytest.approx(before.component[2] / 2, rel=1e-12)
        np.testing.assert_allclose(found.component[[0, 1, 3, 4]], before.component[[0, 1, 3, 4]], rtol=1e-12)


@pytest.mark.parametrize("name", ["volatility", "normal"])
def test_marginals_are_derivatives(name):
    found = contributions_of(WEIGHTS, RETURNS)[name]
    for k in range(5):
        step = np.zeros(5)
        step[k] = 1e-6
        up, down = (contributions_of(WEIGHTS + sign * step, RETURNS)[name].total for sign in (1, -1))
        assert found.marginal[k] == pytest.approx((up - down) / 2e-6, rel=1e-6)


def test_historical_shares_are_mean_losses_on_the_days_of_the_tail():
    of_portfolio = WEIGHTS @ RETURNS
    worst = np.argsort(of_portfolio)[:25]  # 5 % of 500
    losses = -(WEIGHTS[:, None] * RETURNS)[:, worst].mean(axis=-1)
    assert losses.sum() == pytest.approx(expected_shortfall(of_portfolio, 0.95), rel=1e-12)
    found = historical_var_contributions(WEIGHTS, RETURNS, 0.95)
    np.testing.assert_allclose(found.percentage, losses / losses.sum() * 100, rtol=1e-12)


def test_cash_dampens_and_adds_nothing():
    half = contributions_of(WEIGHTS / 2, RETURNS)
    for name, found in contributions_of(WEIGHTS, RETURNS).items():
        assert half[name].total == pytest.approx(found.total / 2, rel=1e-12)
        np.testing.assert_allclose(half[name].percentage, found.percentage, rtol=1e-10)


def test_too_few_returns_are_unknown():
    found = historical_var_contributions(WEIGHTS, RETURNS[:, :99], 0.95)
    assert np.isnan(found.total)
    assert np.isnan(found.component).all()
    assert np.isnan(historical_var_contributions(WEIGHTS, RETURNS[:, :0], 0.95).percentage).all()


def test_a_flat_series_has_no_spread_to_share():
    flat = np.zeros((2, 300))
    weights = np.array([0.5, 0.5])
    for found in contributions_of(weights, flat).values():
        assert np.isnan(found.component).all()
        assert np.isnan(found.percentage).all()


def test_a_tail_that_gains_has_no_loss_to_share():
    found = historical_var_contributions(np.array([1.0]), np.linspace(0.001, 0.01, 300)[None], 0.95)
    assert found.total < 0
    assert np.isnan(found.component).all()
