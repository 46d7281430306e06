"""Technical indicators of one asset on its own bars, by TA-Lib with every period written out.

TA-Lib's answer to a NaN inside a row differs per function and is silent (the RSI even becomes 0), so it is
only ever handed complete rows here: the closes must be finite, highs and lows go in run by run.
"""

import numpy as np
import talib
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WILDER_PERIOD = 14
MACD_PERIODS = (12, 26, 9)
BOLLINGER_PERIOD = 20
BOLLINGER_DEVIATIONS = 2.0
STOCHASTIC_PERIOD = 14
STOCHASTIC_SMOOTHING = 3
SIMPLE_AVERAGE = talib.MA_Type.SMA

# Bars needed for the first value of each indicator.
INDICATOR_BARS = {
    "sma_20": 20,
    "sma_50": 50,
    "sma_200": 200,
    "ema_12": 12,
    "ema_26": 26,
    "rsi_14": WILDER_PERIOD + 1,
    "macd": 34,
    "macd_signal": 34,
    "macd_histogram": 34,
    "bollinger_upper": BOLLINGER_PERIOD,
    "bollinger_middle": BOLLINGER_PERIOD,
    "bollinger_lower": BOLLINGER_PERIOD,
    "atr_14": WILDER_PERIOD + 1,
    "stochastic_k": 18,
    "stochastic_d": 18,
    "obv": 1,
}


def indicator_columns(high: Floats, low: Floats, close: Floats, volume: Floats) -> dict[str, Floats]:
    """Indicators of every bar, keyed by column; each of the bars' shape, NaN in warm-up or where unknown.

    Inputs are bars in ascending order, adjusted for splits: (T,) of one asset or (..., T) of many. Closes
    must be finite (ValueError). NaN in high, low or volume means unknown:
    - `atr_14`, `stochastic_*`: computed on runs of complete bars, see the functions. The rest goes on.
    - `obv`: starts with the first known volume; a later unknown one leaves it unchanged.
    `rsi_14` is NaN until the close moves for the first time (0 / 0, where TA-Lib says 0).
    """
    bars = [np.ascontiguousarray(x, dtype=float) for x in (high, low, close, volume)]
    steps = bars[2].shape[-1]
    if not np.isfinite(bars[2]).all():
        place = int(np.argmin(np.isfinite(bars[2]))) % steps
        raise ValueError(f"close of bar {place} is not a finite number")
    assets = [x.reshape(-1, steps) for x in bars]
    columns = {name: np.empty(assets[2].shape) for name in INDICATOR_BARS}
    for row, asset in enumerate(zip(*assets, strict=True)):
        for name, values in _of_one_asset(*asset).items():
            columns[name][row] = values
    return {name: values.reshape(bars[2].shape) for name, values in columns.items()}


def _of_one_asset(high: Floats, low: Floats, close: Floats, volume: Floats) -> dict[str, Floats]:
    columns = {f"sma_{n}": talib.SMA(close, timeperiod=n) for n in (20, 50, 200)}
    columns |= {f"ema_{n}": talib.EMA(close, timeperiod=n) for n in (12, 26)}
    columns["rsi_14"] = _relative_strength(close)
    fast, slow, signal = MACD_PERIODS
    columns["macd"], columns["macd_signal"], columns["macd_histogram"] = talib.MACD(
        close, fastperiod=fast, slowperiod=slow, signalperiod=signal
    )
    columns["bollinger_upper"], columns["bollinger_middle"], columns["bollinger_lower"] = talib.BBANDS(
        close,
        timeperiod=BOLLINGER_PERIOD,
        nbdevup=BOLLINGER_DEVIATIONS,
        nbdevdn=BOLLINGER_DEVIATIONS,
        matype=SIMPLE_AVERAGE,
    )
    columns["atr_14"] = _average_true_range(high, low, close)
    columns["stochastic_k"], columns["stochastic_d"] = _stochastic(high, low, close)
    columns["obv"] = _on_balance_volume(close, volume)
    return columns


def complete_run_lengths(high: Floats, low: Floats) -> NDArray[np.int64]:
    """Complete bars (high and low known) in a row up to and including each bar; 0 on an incomplete one."""
    bars = np.arange(high.shape[-1])
    gaps = np.where(np.isfinite(high) & np.isfinite(low), -1, bars)
    return np.asarray(bars - np.maximum.accumulate(gaps, axis=-1))


def _complete_runs(high: Floats, low: Floats) -> list[tuple[int, int]]:
    """(start, stop) of every stretch of complete bars."""
    complete = np.isfinite(high) & np.isfinite(low)
    if complete.all():
        return [(0, len(high))] if len(high) else []
    edges = np.flatnonzero(np.diff(complete, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _relative_strength(close: Floats) -> Floats:
    rsi = talib.RSI(close, timeperiod=WILDER_PERIOD)
    moved = np.flatnonzero(close != close[0])
    rsi[: moved[0] if len(moved) else None] = np.nan
    return rsi


def _average_true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """Wilder's ATR. It is recursive: a bar without high or low ends it until 14 further complete bars.

    The first true range after the gap needs the close of the bar before, which is known; that bar's own
    high and low are not used, and stand-ins keep TA-Lib from skipping it.
    """
    atr = np.full(len(close), np.nan)
    for start, stop in _complete_runs(high, low):
        first = max(start - 1, 0)
        run_high, run_low = high[first:stop].copy(), low[first:stop].copy()
        run_high[: start - first] = run_low[: start - first] = close[first:start]
        atr[start:stop] = talib.ATR(run_high, run_low, close[first:stop], timeperiod=WILDER_PERIOD)[
            start - first :
        ]
    return atr


def _stochastic(high: Floats, low: Floats, close: Floats) -> tuple[Floats, Floats]:
    """Slow stochastic (%K, %D), run by run: both need 18 complete bars.

    NaN where a 14-bar range inside the smoothing is empty (0 / 0, where TA-Lib says 0).
    """
    k, d = np.full(len(close), np.nan), np.full(len(close), np.nan)
    for start, stop in _complete_runs(high, low):
        run = slice(start, stop)
        k[run], d[run] = talib.STOCH(
            high[run],
            low[run],
            close[run],
            fastk_period=STOCHASTIC_PERIOD,
            slowk_period=STOCHASTIC_SMOOTHING,
            slowk_matype=SIMPLE_AVERAGE,
            slowd_period=STOCHASTIC_SMOOTHING,
            slowd_matype=SIMPLE_AVERAGE,
        )
        highest = talib.MAX(high[run], timeperiod=STOCHASTIC_PERIOD)
        for bar in np.flatnonzero(highest == talib.MIN(low[run], timeperiod=STOCHASTIC_PERIOD)) + start:
            k[bar : min(bar + STOCHASTIC_SMOOTHING, stop)] = np.nan
            d[bar : min(bar + 2 * STOCHASTIC_SMOOTHING - 1, stop)] = np.nan
    return k, d


def _on_balance_volume(close: Floats, volume: Floats) -> Floats:
    known = np.isfinite(volume)
    obv = np.full(len(close), np.nan)
    if known.any():
        first = int(np.argmax(known))
        obv[first:] = talib.OBV(close[first:], np.where(known, volume, 0.0)[first:])
    return obv
