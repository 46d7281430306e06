import numpy as np
import pytest

from analytics.calculations.benchmark import benchmark_figures
from analytics.calculations.regression import beta_alpha, tracking_error, up_down_capture

RNG = np.random.default_rng(8)
BENCHMARK = RNG.normal(0.0004, 0.009, 900)
PORTFOLIO = 0.9 * BENCHMARK + RNG.normal(0.0001, 0.004, 900)
RISK_FREE = np.full(900, 0.00005)


def test_figures_of_the_last_756_returns():
    figures, reasons = benchmark_figures(PORTFOLIO, BENCHMARK, RISK_FREE)
    r, b, f = PORTFOLIO[-756:], BENCHMARK[-756:], RISK_FREE[-756:]
    beta, alpha = beta_alpha(r - f, b - f)
    up, down = up_down_capture(r, b)
    expected = {
        "tracking_error": float(tracking_error(r, b)),
        "information_ratio": (r - b).mean() / (r - b).std(ddof=1) * np.sqrt(252),
        "beta": float(beta),
        "alpha": float(alpha),
        "excess_return": (r - b).mean() * 252,
        "correlation": np.corrcoef(r, b)[0, 1],
        "r_squared": np.corrcoef(r, b)[0, 1] ** 2,
        "up_capture": float(up),
        "down_capture": float(down),
        "window": 756,
    }
    assert figures == pytest.approx(expected, rel=1e-10)
    assert reasons == {}


def test_window_is_the_portfolios_and_only_common_days_count_in_it():
    r, b = PORTFOLIO.copy(), BENCHMARK.copy()
    r[-10:] = np.nan  # the window reaches 10 days further back
    b[-100:-40] = np.nan
    figures, _ = benchmark_figures(r, b, RISK_FREE)
    assert figures["window"] == 756 - 60
    window = slice(900 - 766, 890)
    both = ~np.isnan(b[window])
    assert figures["beta"] == pytest.approx(
        beta_alpha((r - RISK_FREE)[window][both], (b - RISK_FREE)[window][both])[0], rel=1e-12
    )


def test_too_few_common_days_leave_reasons():
    figures, reasons = benchmark_figures(PORTFOLIO[:59], BENCHMARK[:59], RISK_FREE[:59])
    assert figures.pop("window") == 59
    assert np.isnan(list(figures.values())).all()
    assert reasons == dict.fromkeys(figures, "insufficient data: 59 of 60 common")


def test_unknown_risk_free_rate_takes_only_beta_and_alpha():
    figures, reasons = benchmark_figures(PORTFOLIO, BENCHMARK, np.full(900, np.nan))
    assert set(reasons) == {"alpha", "beta"} == {name for name, x in figures.items() if np.isnan(x)}


def test_perfect_copy():
    figures, reasons = benchmark_figures(BENCHMARK, BENCHMARK, RISK_FREE)
    assert figures["tracking_error"] == 0
    assert figures["beta"] == pytest.approx(1)
    assert figures["up_capture"] == pytest.approx(1)
    assert reasons == {"information_ratio": "no tracking error"}
