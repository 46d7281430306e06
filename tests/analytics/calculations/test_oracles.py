"""Our figures beside independent libraries, on the demo's real prices: with holes, late listings, a split,
series that do not move, and one day of history.

Tolerances: metrics and indicators 1e-6 of the figure, correlations 1e-9. Where a library means something else
by a name, it is left out here:

- empyrical: alpha compounds the daily intercept, ours is 252 times it (conventions.md); its ratios of a
  constant series are inf or the rounding's, ours unknown.
- quantstats: value_at_risk is the normal one, ours of the risk row the historical one, so it stands beside
  our normal model; historical only is its conditional_value_at_risk on request. information_ratio is per day.
  treynor_ratio divides the return of the whole time, ours the annualised excess return. greeks answers 0
  where nothing is known.
- TA-Lib: the RSI and the stochastic of a price that stands still are 0 there and unknown here.
"""

from collections.abc import Callable
from functools import cache
from types import ModuleType

import empyrical
import numpy as np
import pandas as pd
import pytest
import pyxirr
import statsmodels.api as sm
import talib
from scipy import optimize, stats

from analytics.calculations.correlations import correlation_day
from analytics.calculations.drawdowns import calmar_ratio, max_drawdown
from analytics.calculations.indicators import indicator_columns
from analytics.calculations.irr import internal_rate_of_return
from analytics.calculations.regression import (
    beta_alpha,
    correlation,
    information_ratio,
    tracking_error,
    up_down_capture,
)
from analytics.calculations.statistics import downside_deviation, sharpe_ratio, sortino_ratio, volatility
from analytics.calculations.tails import expected_shortfall, historical_tails, value_at_risk
from analytics.calculations.var_models import moments, normal_tails
from tests.support import demo_files
from tests.support.oracle_quantstats import quantstats_stats

Figure = Callable[[np.ndarray], object]

METRIC, CORRELATION = 1e-6, 1e-9
MARKET = "SPX"


@cache
def real_returns() -> pd.DataFrame:
    """Days by symbol; NaN where a share has no bar or was not listed. A return is that since its last bar."""
    days = demo_files.trading_days()
    return pd.DataFrame(
        {
            symbol: frame["close"].pct_change().reindex(days)
            for symbol, frame in sorted(demo_files.bars().items())
        }
    )


@cache
def series() -> dict[str, np.ndarray]:
    """(T,) each, on the same days."""
    real = real_returns()
    holes = real["JNJ"].to_numpy().copy()
    holes[::7], holes[400:440] = np.nan, np.nan
    unadjusted = demo_files.bars()["AAPL"]["close"].copy()
    unadjusted[unadjusted.index < demo_files.SPLIT_DAY] *= demo_files.SPLIT_RATIO
    return {
        "whole": real["MSFT"].to_numpy(),
        "index": real[MARKET].to_numpy(),
        "split": real["AAPL"].to_numpy(),
        "split, prices as traded": unadjusted.pct_change().reindex(real.index).to_numpy(),
        "late listing": real["PYPL"].to_numpy(),
        "holes": holes,
        "its last 260 returns": np.where(np.arange(len(real)) >= len(real) - 260, real["GE"], np.nan),
    }


NAMES = (
    "whole", "index", "split", "split, prices as traded", "late listing", "holes", "its last 260 returns",
)  # fmt: skip


def known(returns: np.ndarray) -> pd.Series:
    """As the libraries want it: observations only, by day."""
    return pd.Series(returns, index=real_returns().index).dropna()


def excess(returns: np.ndarray) -> np.ndarray:
    return np.asarray(returns - demo_files.risk_free_on(real_returns().index))


def normal(returns: np.ndarray, level: float, shortfall: bool) -> object:
    return normal_tails(moments(returns), level)[int(shortfall)]


def test_the_series_are_what_they_are_called() -> None:
    found = series()
    assert tuple(found) == NAMES
    assert np.isnan(found["late listing"][:600]).all()
    days = real_returns().index
    split = int(days.get_loc(demo_files.SPLIT_DAY))
    assert abs(found["split"][split]) < 0.05 < 0.8 < -found["split, prices as traded"][split]
    holes = np.isnan(real_returns()["AAPL"]) & ~np.isnan(real_returns()["MSFT"])
    assert holes.sum() >= 2
    assert (~np.isnan(found["its last 260 returns"])).sum() == 260


EMPYRICAL: dict[str, tuple[Figure, Figure]] = {
    "volatility": (volatility, empyrical.annual_volatility),
    "downside deviation": (downside_deviation, empyrical.downside_risk),
    "sharpe": (sharpe_ratio, empyrical.sharpe_ratio),
    "sortino": (sortino_ratio, empyrical.sortino_ratio),
    "max drawdown": (max_drawdown, lambda r: -empyrical.max_drawdown(r)),
    "calmar": (calmar_ratio, empyrical.calmar_ratio),
    "var 95": (lambda r: value_at_risk(r, 0.95), lambda r: -empyrical.value_at_risk(r, 0.05)),
    "var 99": (lambda r: value_at_risk(r, 0.99), lambda r: -empyrical.value_at_risk(r, 0.01)),
    "cvar 95": (
        lambda r: expected_shortfall(r, 0.95), lambda r: -empyrical.conditional_value_at_risk(r, 0.05),
    ),
    "cvar 99": (
        lambda r: expected_shortfall(r, 0.99), lambda r: -empyrical.conditional_value_at_risk(r, 0.01),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("figure", EMPYRICAL)
def test_empyrical(name: str, figure: str) -> None:
    ours, theirs = EMPYRICAL[figure]
    returns = series()[name]
    assert ours(returns) == pytest.approx(theirs(known(returns).to_numpy()), rel=METRIC)
    assert ours(excess(returns)) == pytest.approx(theirs(known(excess(returns)).to_numpy()), rel=METRIC)


@pytest.fixture(scope="module")
def quantstats() -> ModuleType:
    return quantstats_stats()


QUANTSTATS: dict[str, tuple[Figure, Callable[[ModuleType, pd.Series], object]]] = {
    "volatility": (volatility, lambda qs, r: qs.volatility(r)),
    "sharpe": (sharpe_ratio, lambda qs, r: qs.sharpe(r)),
    "sortino": (sortino_ratio, lambda qs, r: qs.sortino(r)),
    "max drawdown": (max_drawdown, lambda qs, r: -qs.max_drawdown(r)),
    "calmar": (calmar_ratio, lambda qs, r: qs.calmar(r)),
    "normal var 95": (lambda r: normal(r, 0.95, False), lambda qs, r: -qs.value_at_risk(r, confidence=0.95)),
    "normal var 99": (lambda r: normal(r, 0.99, False), lambda qs, r: -qs.value_at_risk(r, confidence=0.99)),
    "normal cvar 95": (
        lambda r: normal(r, 0.95, True), lambda qs, r: -qs.conditional_value_at_risk(r, confidence=0.95),
    ),
    "cvar 95": (
        lambda r: expected_shortfall(r, 0.95),
        lambda qs, r: -qs.conditional_value_at_risk(r, confidence=0.95, method="historical"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("figure", QUANTSTATS)
def test_quantstats(quantstats: ModuleType, name: str, figure: str) -> None:
    ours, theirs = QUANTSTATS[figure]
    for returns in (series()[name], excess(series()[name])):
        assert ours(returns) == pytest.approx(theirs(quantstats, known(returns)), rel=METRIC)


OF_SHARES = tuple(name for name in NAMES if name != "index")


@pytest.mark.parametrize("name", OF_SHARES)
def test_quantstats_against_a_benchmark(quantstats: ModuleType, name: str) -> None:
    r, b = (
        pd.DataFrame({"r": series()[name], "b": series()["index"]}, real_returns().index)
        .dropna()
        .T.to_numpy()
    )
    mine, market = (pd.Series(x, pd.bdate_range("2013-01-01", periods=len(r))) for x in (r, b))
    beta, alpha = beta_alpha(series()[name], series()["index"])
    greeks = quantstats.greeks(mine, market)
    assert beta == pytest.approx(greeks["beta"], rel=METRIC)
    assert alpha == pytest.approx(greeks["alpha"], rel=METRIC)
    daily = quantstats.information_ratio(mine, market)
    assert information_ratio(series()[name], series()["index"]) == pytest.approx(daily * 252**0.5, rel=METRIC)
    assert correlation(series()[name], series()["index"]) ** 2 == pytest.approx(
        quantstats.r_squared(mine, market), rel=CORRELATION
    )


@pytest.mark.parametrize("name", OF_SHARES)
def test_least_squares_and_captures_against_the_index(name: str) -> None:
    share, index = excess(series()[name]), excess(series()["index"])
    both = ~np.isnan(share) & ~np.isnan(index)
    fit = sm.OLS(share[both], sm.add_constant(index[both])).fit()
    beta, alpha = beta_alpha(share, index)
    assert beta == pytest.approx(fit.params[1], rel=METRIC)
    assert alpha == pytest.approx(fit.params[0] * 252, rel=METRIC)
    up, down = up_down_capture(share, index)
    assert up == pytest.approx(empyrical.up_capture(share[both], index[both]), rel=METRIC)
    assert down == pytest.approx(empyrical.down_capture(share[both], index[both]), rel=METRIC)
    assert tracking_error(share, index) == pytest.approx(
        empyrical.annual_volatility(share[both] - index[both]), rel=METRIC
    )


STILL = np.full(300, 0.0002)
ONE_DAY = np.array([0.01])


@pytest.mark.parametrize(
    "returns", [STILL, np.zeros(300), ONE_DAY, ONE_DAY[:0]], ids=["rising", "flat", "day", "none"]
)
def test_what_does_not_move_or_has_one_day_is_unknown_where_a_library_divides_by_rounding(
    quantstats: ModuleType, returns: np.ndarray
) -> None:
    for figure in (volatility, sharpe_ratio, sortino_ratio, calmar_ratio):
        assert np.isnan(figure(returns))
    assert np.isnan(beta_alpha(series()["whole"][: len(returns)], returns)).all()
    if len(returns) > 1:
        assert quantstats.volatility(pd.Series(returns)) < 1e-15
        assert max_drawdown(returns) == pytest.approx(-empyrical.max_drawdown(returns), abs=1e-15)
        assert historical_tails(returns)[0.99][0] == pytest.approx(-empyrical.value_at_risk(returns, 0.01))


def test_every_window_of_every_pair_equals_pearsonr() -> None:
    """Ten shares up to the last day; one is listed late, one has holes, one only a year of returns."""
    symbols = ["AAPL", "AMZN", "GE", "JPM", "KO", "MSFT", "PYPL", "XOM"]
    returns = np.vstack(
        [real_returns()[symbols].T.to_numpy(), series()["holes"], series()["its last 260 returns"]]
    )
    found = correlation_day(returns)
    unknown = 0
    for window, (width, r, p) in enumerate(zip(found.windows.values(), found.r, found.p, strict=True)):
        for pair, (left, right) in enumerate(zip(found.left, found.right, strict=True)):
            both = ~np.isnan(returns[left]) & ~np.isnan(returns[right])
            x, y = returns[left, both][-width:], returns[right, both][-width:]
            if len(x) < width:
                assert np.isnan([r[pair], p[pair]]).all()
                assert found.observations[window, pair] == len(x)
                unknown += 1
                continue
            expected = stats.pearsonr(x, y)
            assert r[pair] == pytest.approx(expected.statistic, rel=CORRELATION, abs=CORRELATION)
            assert p[pair] == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert unknown == 18


@pytest.mark.parametrize("symbol", ["MSFT", "AAPL", "PYPL", "NVDA"])
def test_indicators_of_real_bars_equal_plain_talib(symbol: str) -> None:
    frame = demo_files.bars()[symbol].dropna()
    high, low, close, volume = (
        frame[name].to_numpy(dtype=float) for name in ("high", "low", "close", "volume")
    )
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0, talib.MA_Type.SMA)
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, talib.MA_Type.SMA, 3, talib.MA_Type.SMA)
    expected = {
        **{f"sma_{n}": talib.SMA(close, n) for n in (20, 50, 200)},
        **{f"ema_{n}": talib.EMA(close, n) for n in (12, 26)},
        "rsi_14": talib.RSI(close, 14),
        "macd": macd, "macd_signal": signal, "macd_histogram": histogram,
        "bollinger_upper": upper, "bollinger_middle": middle, "bollinger_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
        "stochastic_k": slow_k, "stochastic_d": slow_d,
        "obv": talib.OBV(close, volume),
    }  # fmt: skip
    found = indicator_columns(high, low, close, volume)
    assert found.keys() == expected.keys()
    for name, figures in expected.items():
        np.testing.assert_allclose(found[name], figures, rtol=METRIC, atol=1e-9, err_msg=name)
    of_one_day = indicator_columns(high[:1], low[:1], close[:1], volume[:1])
    assert {name for name, figures in of_one_day.items() if not np.isnan(figures).all()} == {"obv"}


@pytest.mark.parametrize("symbol", ["MSFT", "AAPL", "PYPL", "GE"])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e9])
def test_the_rate_of_a_savings_plan_is_the_root_that_pyxirr_and_brent_find(symbol: str, scale: float) -> None:
    """100 a month into one share at its real closes, all sold on the last day."""
    closes = demo_files.bars()[symbol]["close"]
    bought = closes.groupby([closes.index.year, closes.index.month]).head(1)[:-1]
    dates = np.append(bought.index.to_numpy(), closes.index[-1].to_numpy()).astype("datetime64[D]")
    amounts = scale * np.append(np.full(len(bought), -100.0), (100 / bought).sum() * closes.iloc[-1])
    rate, reason = internal_rate_of_return(dates, amounts)
    assert reason is None
    years = (dates - dates[0]).astype(float) / 365
    root = optimize.brentq(lambda r: (amounts / scale * (1 + r) ** -years).sum(), -0.9, 10, xtol=1e-14)
    assert rate == pytest.approx(root, rel=1e-9)
    # Its tolerance is absolute: it is asked in amounts around one.
    assert rate == pytest.approx(
        pyxirr.xirr(dates.tolist(), (amounts / np.abs(amounts).max()).tolist()), rel=METRIC
    )
