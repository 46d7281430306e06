"""Where figures of this kind go wrong without a sound; each was seen in some library.

Others stand beside the functions they belong to: a close that is no number (test_indicators), drawdowns that
begin with a loss and last from the day of the peak (test_drawdowns), order and scale of tail figures
(test_tails, test_var_models), roots of a rate of return and the size of its money (test_irr), matrices that
are none of a correlation (test_covariance), constant stretches (test_correlations).
"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calculations.asset_metrics import asset_metric_columns
from analytics.calculations.drawdowns import calmar_ratio, current_drawdown, max_drawdown
from analytics.calculations.indicators import indicator_columns
from analytics.calculations.regression import (
    active_return,
    beta_alpha,
    correlation,
    information_ratio,
    tracking_error,
    up_down_capture,
)
from analytics.calculations.returns import geometric_return, linked_index
from analytics.calculations.statistics import downside_deviation, sharpe_ratio, sortino_ratio, volatility
from analytics.calculations.tails import expected_shortfall, value_at_risk
from analytics.calculations.var_models import cornish_fisher_tails, moments, normal_tails

Figure = Callable[[np.ndarray], np.ndarray]
Against = Callable[[np.ndarray, np.ndarray], np.ndarray]

RNG = np.random.default_rng(11)
RETURNS = RNG.normal(0.0004, 0.011, 400)
MARKET = 0.6 * RETURNS + RNG.normal(0.0, 0.006, 400)
BARS = 500

OF_ONE: dict[str, Figure] = {
    "volatility": volatility,
    "downside deviation": downside_deviation,
    "sharpe": sharpe_ratio,
    "sortino": sortino_ratio,
    "max drawdown": max_drawdown,
    "current drawdown": current_drawdown,
    "calmar": calmar_ratio,
    "geometric return": geometric_return,
    "var 95": lambda r: value_at_risk(r, 0.95),
    "var 99": lambda r: value_at_risk(r, 0.99),
    "cvar 95": lambda r: expected_shortfall(r, 0.95),
    "cvar 99": lambda r: expected_shortfall(r, 0.99),
    "normal var": lambda r: normal_tails(moments(r), 0.99)[0],
    "cornish-fisher var": lambda r: cornish_fisher_tails(moments(r), 0.99)[0],
}
OF_TWO: dict[str, Against] = {
    "beta": lambda r, b: beta_alpha(r, b)[0],
    "alpha": lambda r, b: beta_alpha(r, b)[1],
    "correlation": correlation,
    "tracking error": tracking_error,
    "information ratio": information_ratio,
    "active return": active_return,
    "up capture": lambda r, b: up_down_capture(r, b)[0],
    "down capture": lambda r, b: up_down_capture(r, b)[1],
}


def real_bars(bars: int = BARS, start: float = 50.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    close = start * np.cumprod(1 + random.normal(0.0003, 0.012, bars))
    high = close * (1 + np.abs(random.normal(0, 0.005, bars)))
    low = close * (1 - np.abs(random.normal(0, 0.005, bars)))
    return high, low, close, random.integers(1_000, 9_000, bars).astype(float)


# NaN inside a series: no observation, neither poison for the rest nor a return of 0

PLACES = st.sets(st.integers(0, len(RETURNS)), min_size=1, max_size=40).map(sorted)


@settings(max_examples=20, deadline=None)
@given(PLACES)
def test_a_hole_changes_no_figure(places: list[int]) -> None:
    holes = np.insert(RETURNS, places, np.nan)
    for name, figure in OF_ONE.items():
        assert figure(holes) == pytest.approx(figure(RETURNS), rel=1e-11), name
    assert linked_index(holes)[-1] == pytest.approx(linked_index(RETURNS)[-1], rel=1e-13)


@settings(max_examples=20, deadline=None)
@given(PLACES, st.booleans())
def test_a_hole_on_one_side_takes_that_day_from_both(places: list[int], ours: bool) -> None:
    days = np.array([place for place in places if place < len(RETURNS)], dtype=int)
    left, right = RETURNS.copy(), MARKET.copy()
    (left if ours else right)[days] = np.nan
    for name, figure in OF_TWO.items():
        expected = figure(np.delete(RETURNS, days), np.delete(MARKET, days))
        assert figure(left, right) == pytest.approx(expected, rel=1e-11), name


def test_a_day_without_a_return_is_not_a_day_of_zero_return() -> None:
    """Filled with 0, the volatility would be an eighth lower."""
    holes = np.insert(RETURNS, np.arange(0, len(RETURNS), 3), np.nan)
    assert volatility(np.nan_to_num(holes)) < 0.88 * volatility(holes)
    assert volatility(holes) == pytest.approx(volatility(RETURNS), rel=1e-12)


# Flat series: unknown, and never infinite


@pytest.mark.parametrize("rate", [0.0, 0.0001, 0.1 / 3])
def test_what_stands_still_has_no_ratio(rate: float) -> None:
    flat = np.full(300, rate)
    for name in ("volatility", "sharpe", "sortino", "calmar", "normal var", "cornish-fisher var"):
        assert np.isnan(OF_ONE[name](flat)), name
    for name in ("max drawdown", "current drawdown", "downside deviation"):
        assert OF_ONE[name](flat) == 0, name
    for name in ("beta", "alpha", "correlation"):
        assert np.isnan(OF_TWO[name](RETURNS[:300], flat)), name
    assert np.isnan(OF_TWO["information ratio"](flat, flat))


@pytest.mark.parametrize("price", [0.1, 4.7, 1e8 / 3])
def test_bands_of_a_flat_price_have_no_width_at_all(price: float) -> None:
    """Rolling sums leave a width of their rounding there."""
    close = np.full(60, price)
    columns = indicator_columns(close, close, close, np.ones(60))
    for name in ("bollinger_upper", "bollinger_lower"):
        np.testing.assert_allclose(columns[name][19:], price, rtol=1e-14)


# Prices of any size


def asset_columns(scale: float = 1.0, shift: float = 0.0) -> dict[str, np.ndarray]:
    high, low, close, volume = real_bars()
    dates = np.arange("2015-01-01", "2030-01-01", dtype="datetime64[D]")
    dates = dates[np.is_busday(dates)][:BARS]
    columns, _ = asset_metric_columns(
        dates,
        high * scale + shift,
        low * scale + shift,
        close * scale + shift,
        volume,
        dates,
        close**0.5,
        np.full(BARS, 0.0001),
        np.arange(BARS),
    )
    return columns


@pytest.mark.parametrize("scale", [2.0**-27, 2.0**27], ids=["a hundred-millionth", "a hundred million"])
def test_returns_and_ratios_do_not_know_the_unit_of_the_price(scale: float) -> None:
    plain, scaled = asset_columns(), asset_columns(scale)
    for name in (
        "volatility_20d", "volatility_1y", "beta_1y", "sharpe_ratio_1y", "max_drawdown_1y", "return_1d",
        "return_1m", "return_1y", "rsi_14", "stochastic_k", "stochastic_d",
    ):  # fmt: skip
        assert np.isfinite(plain[name][-1]), name
        np.testing.assert_allclose(scaled[name], plain[name], rtol=1e-9, atol=1e-12, err_msg=name)
    for name in ("sma_200", "ema_26", "macd", "atr_14", "bollinger_upper"):
        np.testing.assert_allclose(scaled[name] / scale, plain[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_width_of_bands_survives_a_price_of_a_hundred_million() -> None:
    """By sums of squares it would be off by whole units."""
    high, low, close, volume = real_bars()
    level = 1e8
    near, far = (indicator_columns(high + up, low + up, close + up, volume) for up in (0.0, level))
    widths = [columns["bollinger_upper"] - columns["bollinger_middle"] for columns in (near, far)]
    np.testing.assert_allclose(widths[1][19:], widths[0][19:], atol=level * 1e-14)


# Where a history starts


@pytest.mark.parametrize(("name", "length", "bars"), [("ema_12", 12, 83), ("ema_26", 26, 180)])
def test_the_seed_of_an_average_counts_a_millionth_after_so_many_bars(
    name: str, length: int, bars: int
) -> None:
    high, low, close, volume = real_bars()
    lifted = close.copy()
    lifted[:length] += 1
    found, plain = (indicator_columns(high, low, closes, volume)[name] for closes in (lifted, close))
    difference = (found - plain)[length - 1 :]
    assert difference[0] == pytest.approx(1, rel=1e-9)
    assert difference[bars - 1] > 1e-6 > difference[bars] > 0


def test_the_seed_of_the_true_range_counts_a_millionth_after_187_bars() -> None:
    high, low, close, volume = real_bars()
    high[1:15] = np.maximum(high[1:15], close[:14])
    lifted = high.copy()
    lifted[1:15] += 1
    found, plain = (indicator_columns(highs, low, close, volume)["atr_14"] for highs in (lifted, high))
    difference = (found - plain)[14:]
    assert difference[0] == pytest.approx(1, rel=1e-9)
    assert difference[186] > 1e-6 > difference[187] > 0


def test_the_same_bars_with_more_history_have_another_average() -> None:
    """So where it starts must be fixed: 300 bars back are worth a part in a hundred million, not all."""
    high, low, close, volume = real_bars()
    whole = indicator_columns(high, low, close, volume)["ema_26"][-1]
    tails = {
        bars: indicator_columns(*(part[-bars:] for part in (high, low, close, volume)))["ema_26"][-1]
        for bars in (60, 300)
    }
    assert abs(tails[60] / whole - 1) > 1e-5
    assert 0 < abs(tails[300] / whole - 1) < 1e-7


def test_macd_is_not_the_difference_of_the_two_averages_while_it_warms_up() -> None:
    """Its fast average is seeded where the slow one begins, not where the other fast one does."""
    columns = indicator_columns(*real_bars())
    difference = columns["ema_12"] - columns["ema_26"]
    assert abs(columns["macd"][33] - difference[33]) > 1e-3
    assert columns["macd"][-1] == pytest.approx(difference[-1], abs=1e-12)


# Which argument comes first


def test_beta_is_of_the_portfolio_on_the_benchmark_and_not_the_other_way() -> None:
    twice = 2 * MARKET + np.random.default_rng(1).normal(0, 0.01, len(MARKET))
    beta, alpha = beta_alpha(twice, MARKET)
    slope, intercept = np.polyfit(MARKET, twice, 1)
    assert beta == pytest.approx(slope, rel=1e-10)
    assert alpha == pytest.approx(intercept * 252, rel=1e-8)
    backwards, _ = beta_alpha(MARKET, twice)
    assert backwards == pytest.approx(correlation(twice, MARKET) ** 2 / beta, rel=1e-10)
    assert beta > 1.8 > 0.5 > backwards


def test_beta_of_an_asset_is_its_slope_on_the_market() -> None:
    """The market is the square root of the price, so that the asset moves about twice as much."""
    returns = np.diff(real_bars()[2]) / real_bars()[2][:-1]
    market = np.sqrt(1 + returns) - 1
    slope = np.polyfit(market[-252:], returns[-252:], 1)[0]
    assert slope == pytest.approx(2, abs=0.05)
    assert asset_columns()["beta_1y"][-1] == pytest.approx(slope, rel=1e-9)


def test_captures_divide_by_the_benchmark() -> None:
    up, down = up_down_capture(0.5 * MARKET, MARKET)
    assert 0 < up < 0.5
    assert 0.5 < down < 1


# Which of two definitions


def test_the_stochastic_is_the_slow_one() -> None:
    """%K is the mean of three raw figures, %D that of three %K; the raw one is never shown."""
    high, low, close, volume = real_bars(80)
    columns = indicator_columns(high, low, close, volume)
    window = np.lib.stride_tricks.sliding_window_view
    top, bottom = window(high, 14).max(axis=1), window(low, 14).min(axis=1)
    raw = 100 * (close[13:] - bottom) / (top - bottom)
    slow = window(raw, 3).mean(axis=1)
    np.testing.assert_allclose(columns["stochastic_k"][17:], slow[2:], rtol=1e-10)
    np.testing.assert_allclose(columns["stochastic_d"][17:], window(slow, 3).mean(axis=1), rtol=1e-10)
    assert np.abs(columns["stochastic_k"][17:] - raw[4:]).max() > 1


def test_bands_divide_by_n_and_risk_by_n_less_one() -> None:
    high, low, close, volume = real_bars(20)
    columns = indicator_columns(high, low, close, volume)
    half_width = (columns["bollinger_upper"] - columns["bollinger_middle"])[-1] / 2
    assert half_width == pytest.approx(np.std(close, ddof=0), rel=1e-10)
    assert volatility(RETURNS[:20]) == pytest.approx(np.std(RETURNS[:20], ddof=1) * 252**0.5, rel=1e-12)
    last = slice(-20, None)
    returns = np.diff(real_bars()[2]) / real_bars()[2][:-1]
    assert asset_columns()["volatility_20d"][-1] == pytest.approx(
        np.std(returns[last], ddof=1) * 252**0.5, rel=1e-9
    )


def test_losses_are_positive_and_a_portfolio_that_only_rises_has_a_negative_one() -> None:
    rising = np.linspace(0.001, 0.004, 300)
    assert value_at_risk(rising, 0.95) == -np.quantile(rising, 0.05) < 0
    assert value_at_risk(RETURNS, 0.99) > value_at_risk(RETURNS, 0.95) > 0
    assert expected_shortfall(RETURNS, 0.95) > value_at_risk(RETURNS, 0.95)
    assert max_drawdown(RETURNS) > current_drawdown(RETURNS) >= 0
