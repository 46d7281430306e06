"""All figures of several assets on all their bars, by plain TA-Lib, numpy and pandas from the CSV files."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import talib

from tests.support import demo_files
from tests.support.demo_house import DEMO_MARKS, DemoHouse
from tests.support.oracle_series import assert_equal, months_before, returns_since

pytestmark = DEMO_MARKS

# A split, a late listing, an index, a plain share, and a series of closes alone.
SYMBOLS = ("AAPL", "PYPL", "SPX", "XOM", "SPYTR")
MARKET = "SPX"
YEAR = 252
SIMPLE = talib.MA_Type.SMA
MONTHS = {
    "return_1m": 1,
    "return_3m": 3,
    "return_6m": 6,
    "return_1y": 12,
    "return_3y": 36,
    "return_5y": 60,
}
FIGURES = (
    *("close", "sma_20", "sma_50", "sma_200", "ema_12", "ema_26", "rsi_14"),
    *("macd", "macd_signal", "macd_histogram"),
    *("bollinger_upper", "bollinger_middle", "bollinger_lower"),
    *("atr_14", "stochastic_k", "stochastic_d", "obv"),
    *("volatility_20d", "volatility_1y", "beta_1y", "sharpe_ratio_1y", "max_drawdown_1y"),
    *("return_1d", *MONTHS),
)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_figure_on_every_bar(demo_house: DemoHouse, symbol: str) -> None:
    stored, bars = demo_house.of("assets", asset=symbol), demo_files.bars()[symbol]
    expected = asset_figures(symbol)
    assert set(expected) == set(FIGURES)
    assert len(FIGURES) == 29
    assert stored.index.tolist() == bars.index.tolist()
    for name, figures in expected.items():
        # Sums of billions of shares may pass near zero.
        absolute = 1.0 if name == "obv" else 1e-10
        assert_equal(stored[name], figures, rel=1e-6, absolute=absolute)


@pytest.mark.parametrize("symbol", ["AAPL", "XOM", "SPX"])
def test_what_must_be_known_is_known(symbol: str) -> None:
    """So that the comparison above does not compare nothing with nothing."""
    last = {name: figures[-1] for name, figures in asset_figures(symbol).items()}
    unknown = {name for name, figure in last.items() if np.isnan(figure)}
    assert unknown == (set() if symbol == "SPX" else {"return_5y"})


def test_a_series_of_closes_has_no_range_and_no_volume(demo_house: DemoHouse) -> None:
    stored = demo_house.of("assets", asset="SPYTR")
    assert stored[["atr_14", "stochastic_k", "stochastic_d", "obv"]].isna().all(axis=None)
    assert stored["close"].notna().all()


def test_every_bar_of_every_asset_has_its_row(demo_house: DemoHouse) -> None:
    for symbol, bars in demo_files.bars().items():
        stored = demo_house.of("assets", asset=symbol)
        assert stored.index.tolist() == bars.index.tolist()
        assert_equal(stored["close"], bars["close"].to_numpy())


@cache
def asset_figures(symbol: str) -> dict[str, np.ndarray]:
    bars = demo_files.bars()[symbol]
    high, low, close, volume = (
        np.ascontiguousarray(bars[name].to_numpy(dtype=np.float64))
        for name in ("high", "low", "close", "volume")
    )
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2, SIMPLE)
    figures = {
        "close": close,
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "sma_200": talib.SMA(close, 200),
        "ema_12": talib.EMA(close, 12),
        "ema_26": talib.EMA(close, 26),
        "rsi_14": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
        "obv": talib.OBV(close, volume),
    }
    figures["stochastic_k"], figures["stochastic_d"] = talib.STOCH(high, low, close, 14, 3, SIMPLE, 3, SIMPLE)
    return figures | risk_figures(symbol, bars["close"]) | calendar_returns(bars["close"])


def calendar_returns(closes: pd.Series) -> dict[str, np.ndarray]:
    figures = {"return_1d": closes.pct_change().to_numpy()}
    for name, months in MONTHS.items():
        figures[name] = returns_since(
            closes, closes.index, [months_before(day, months) for day in closes.index]
        )
    return figures


def risk_figures(symbol: str, closes: pd.Series) -> dict[str, np.ndarray]:
    returns = closes.pct_change()
    excess = returns - demo_files.risk_free_on(closes.index)
    market = demo_files.bars()[MARKET]["close"].pct_change()
    common = pd.concat([returns, market], axis=1, join="inner").dropna()
    values = common.to_numpy()
    covariances = [np.cov(values[end - YEAR : end].T) for end in range(YEAR, len(values) + 1)]
    betas = pd.Series([c[0, 1] / c[1, 1] for c in covariances], index=common.index[YEAR - 1 :], dtype=float)
    return {
        "volatility_20d": rolling(returns, 20, lambda x: x.std(axis=1, ddof=1) * np.sqrt(252)),
        "volatility_1y": rolling(returns, YEAR, lambda x: x.std(axis=1, ddof=1) * np.sqrt(252)),
        "sharpe_ratio_1y": rolling(
            excess, YEAR, lambda x: x.mean(axis=1) / x.std(axis=1, ddof=1) * np.sqrt(252)
        ),
        "max_drawdown_1y": rolling(
            closes, YEAR + 1, lambda x: (1 - x / np.maximum.accumulate(x, axis=1)).max(axis=1)
        ),
        "beta_1y": betas.reindex(closes.index, method="ffill").to_numpy(),
    }


def rolling(values: pd.Series, width: int, figure) -> np.ndarray:  # type: ignore[no-untyped-def]
    found = np.full(len(values), np.nan)
    found[width - 1 :] = figure(np.lib.stride_tricks.sliding_window_view(values.to_numpy(), width))
    return found
