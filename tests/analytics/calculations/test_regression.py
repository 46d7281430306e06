import empyrical
import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from analytics.calculations.constants import MIN_REGRESSION, MIN_RETURNS_VOLATILITY
from analytics.calculations.regression import (
    active_return,
    beta_alpha,
    correlation,
    information_ratio,
    tracking_error,
    treynor_ratio,
    up_down_capture,
)

RNG = np.random.default_rng(5)
BENCHMARK = RNG.normal(0.0004, 0.009, 400)
PORTFOLIO = 0.0001 + 0.8 * BENCHMARK + RNG.normal(0, 0.004, 400)


def test_beta_and_alpha_are_ordinary_least_squares():
    fit = OLS(PORTFOLIO, np.column_stack([np.ones(400), BENCHMARK])).fit()
    beta, alpha = beta_alpha(PORTFOLIO, BENCHMARK)
    assert beta == pytest.approx(fit.params[1], rel=1e-11)
    assert alpha == pytest.approx(fit.params[0] * 252, rel=1e-9)
    assert beta == pytest.approx(empyrical.beta(PORTFOLIO, BENCHMARK), rel=1e-12)
    # empyrical compounds the intercept, we multiply it by 252
    assert (1 + alpha / 252) ** 252 - 1 == pytest.approx(empyrical.alpha(PORTFOLIO, BENCHMARK), rel=1e-9)
    assert correlation(PORTFOLIO, BENCHMARK) ** 2 == pytest.approx(fit.rsquared, rel=1e-11)


def test_only_common_days_count():
    r, b = PORTFOLIO.copy(), BENCHMARK.copy()
    r[::5] = np.nan
    b[::7] = np.nan
    both = ~np.isnan(r + b)
    for figure in (
        beta_alpha,
        correlation,
        tracking_error,
        active_return,
        information_ratio,
        up_down_capture,
    ):
        np.testing.assert_allclose(figure(r, b), figure(r[both], b[both]), rtol=1e-11)


def test_correlation_agrees_with_scipy_and_stays_within_bounds():
    assert correlation(PORTFOLIO, BENCHMARK) == pytest.approx(
        stats.pearsonr(PORTFOLIO, BENCHMARK).statistic, rel=1e-12
    )
    assert abs(correlation(BENCHMARK, 3 * BENCHMARK + 0.001)) <= 1
    assert correlation(BENCHMARK, -BENCHMARK) == pytest.approx(-1)


def test_tracking_error_and_information_ratio():
    active = PORTFOLIO - BENCHMARK
    assert tracking_error(PORTFOLIO, BENCHMARK) == pytest.approx(active.std(ddof=1) * np.sqrt(252), rel=1e-12)
    assert active_return(PORTFOLIO, BENCHMARK) == pytest.approx(active.mean() * 252, rel=1e-12)
    assert information_ratio(PORTFOLIO, BENCHMARK) == pytest.approx(
        empyrical.excess_sharpe(PORTFOLIO, BENCHMARK) * np.sqrt(252), rel=1e-11
    )


def test_perfect_copy_has_no_information_ratio():
    assert tracking_error(BENCHMARK, BENCHMARK) == 0
    assert np.isnan(information_ratio(BENCHMARK, BENCHMARK))
    assert beta_alpha(BENCHMARK, BENCHMARK)[0] == pytest.approx(1, rel=1e-14)


def test_constant_benchmark_explains_nothing():
    flat = np.full(400, 0.0002)
    assert np.isnan(beta_alpha(PORTFOLIO, flat)).all()
    assert np.isnan(correlation(PORTFOLIO, flat))


def test_treynor_ratio_by_hand():
    assert treynor_ratio(np.full(10, 0.001), np.array(0.5)) == pytest.approx(0.504)
    assert np.isnan(treynor_ratio(np.full(10, 0.001), np.array(0.0)))


def test_captures_agree_with_empyrical():
    up, down = up_down_capture(PORTFOLIO, BENCHMARK)
    assert up == pytest.approx(empyrical.up_capture(PORTFOLIO, BENCHMARK), rel=1e-10)
    assert down == pytest.approx(empyrical.down_capture(PORTFOLIO, BENCHMARK), rel=1e-10)


def test_capture_by_hand():
    b = np.tile([0.01, -0.01], 30)
    r = np.tile([0.005, -0.02], 30)
    up, down = up_down_capture(r, b)
    assert up == pytest.approx((1.005**252 - 1) / (1.01**252 - 1), rel=1e-11)
    assert down == pytest.approx((0.98**252 - 1) / (0.99**252 - 1), rel=1e-11)
    assert np.isnan(up_down_capture(r, -np.abs(b))[0])


@pytest.mark.parametrize(
    ("figure", "minimum"),
    [
        (beta_alpha, MIN_REGRESSION),
        (correlation, MIN_REGRESSION),
        (up_down_capture, MIN_REGRESSION),
        (tracking_error, MIN_RETURNS_VOLATILITY),
        (active_return, MIN_RETURNS_VOLATILITY),
        (information_ratio, MIN_RETURNS_VOLATILITY),
    ],
)
def test_minimum_of_common_days(figure, minimum):
    assert np.isfinite(figure(PORTFOLIO[:minimum], BENCHMARK[:minimum])).all()
    assert np.isnan(figure(PORTFOLIO[: minimum - 1], BENCHMARK[: minimum - 1])).all()


def test_rows_are_independent():
    r, b = np.stack([PORTFOLIO, BENCHMARK]), np.stack([BENCHMARK, PORTFOLIO])
    for figure in (beta_alpha, correlation, tracking_error, information_ratio, up_down_capture):
        np.testing.assert_equal(np.asarray(figure(r, b))[..., 0], np.asarray(figure(PORTFOLIO, BENCHMARK)))
