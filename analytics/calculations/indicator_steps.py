"""The indicators of new bars of many assets, continued from their row of the bar before."""

from collections.abc import Mapping

import numpy as np
import talib

from analytics.calculations.indicators import (
    BOLLINGER_DEVIATIONS,
    BOLLINGER_PERIOD,
    MACD_PERIODS,
    STOCHASTIC_PERIOD,
    STOCHASTIC_SMOOTHING,
    WILDER_PERIOD,
    complete_run_lengths,
)
from analytics.calculations.observations import Floats, Integers, known_where, ratio

# Columns of a row from which the next bar goes on: those that must be known, and those that need not be.
STATE = "average_move_14"
STATE_KNOWN = ("ema_12", "ema_26", "macd", "macd_signal", STATE)
STATE_COLUMNS = (*STATE_KNOWN, "rsi_14", "atr_14", "obv")
# Bars whose close, and whose high and low, the windows reach back over, the bar's own among them.
STEP_CLOSES = 200
STEP_RANGES = 18
_FAST, _SLOW, _SIGNAL = MACD_PERIODS


def indicator_steps(
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    rows: Integers,
    before: Mapping[str, Floats],
) -> dict[str, Floats]:
    """`indicator_columns` of the bars `rows`, the last ones, of many assets: (A, len(rows)) each.

    Bars (A, T) and their NaN are as for `indicator_columns`; of earlier ones only STEP_CLOSES closes and
    STEP_RANGES high, low and volume need be there. `before` (A,): STATE_COLUMNS of the bar before the
    first of `rows`, so that nothing warms up any more but the ATR after a gap. Windows and recursions differ
    from TA-Lib's running ones by no more than rounding.
    """
    steps = []
    moves = average_moves(close, rows, before)
    for place, row in enumerate(rows.tolist()):
        bars = np.s_[:, row + 1 - STEP_CLOSES : row + 1]
        step = _step(high[bars], low[bars], close[bars], volume[bars], before, moves[:, place])
        steps.append(step)
        before = step | {STATE: moves[:, place]}
    return {name: np.stack([step[name] for step in steps], axis=-1) for name in steps[0]}


def average_moves(close: Floats, rows: Integers, before: Mapping[str, Floats] | None = None) -> Floats:
    """Wilder's average of how far the close moved, (..., T) -> (..., len(rows)); NaN for the first 14 bars.

    The RSI is the share of the gains in it, so it needs this beside itself to be continued. `before`, `rows`:
    as for `indicator_steps`.
    """
    if before is None:
        close = np.ascontiguousarray(close, dtype=float)
        # The true range of bars that are nothing but their close.
        of_each = [talib.ATR(x, x, x, timeperiod=WILDER_PERIOD) for x in close.reshape(-1, close.shape[-1])]
        return np.stack(of_each).reshape(close.shape)[..., rows]
    moves = []
    average = before[STATE]
    for row in rows.tolist():
        average = _wilder(average, np.abs(close[..., row] - close[..., row - 1]))
        moves.append(average)
    return np.stack(moves, axis=-1)


def _step(
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    before: Mapping[str, Floats],
    average_move: Floats,
) -> dict[str, Floats]:
    """The last bar's indicators, (A,) each."""
    last, previous = close[:, -1], close[:, -2]
    columns = {f"sma_{n}": close[:, -n:].mean(axis=1) for n in (20, 50, STEP_CLOSES)}
    columns |= {f"ema_{n}": _ema(before[f"ema_{n}"], last, n) for n in (12, 26)}
    share = np.where(np.isnan(before["rsi_14"]), 0.0, before["rsi_14"]) / 100
    gain = _wilder(share * before[STATE], np.maximum(last - previous, 0))
    columns["rsi_14"] = 100 * ratio(gain, average_move)
    # The fast average behind the MACD began later than ema_12, so it is another one.
    fast = _ema(before["macd"] + before["ema_26"], last, _FAST)
    columns["macd"] = fast - columns[f"ema_{_SLOW}"]
    columns["macd_signal"] = _ema(before["macd_signal"], columns["macd"], _SIGNAL)
    columns["macd_histogram"] = columns["macd"] - columns["macd_signal"]
    width = BOLLINGER_DEVIATIONS * close[:, -BOLLINGER_PERIOD:].std(axis=1)
    columns["bollinger_upper"] = columns["sma_20"] + width
    columns["bollinger_middle"] = columns["sma_20"]
    columns["bollinger_lower"] = columns["sma_20"] - width
    run = complete_run_lengths(high[:, -STEP_RANGES:], low[:, -STEP_RANGES:])[:, -1]
    columns["atr_14"] = _true_range_step(high, low, close, run, before["atr_14"])
    for name, figure in zip(
        ("stochastic_k", "stochastic_d"), _stochastic_step(high, low, close), strict=True
    ):
        columns[name] = known_where(run >= STEP_RANGES, figure)
    moved = np.where(np.isnan(volume[:, -1]), 0.0, np.sign(last - previous) * volume[:, -1])
    columns["obv"] = np.where(np.isnan(before["obv"]), volume[:, -1], before["obv"] + moved)
    return columns


def _ema(before: Floats, value: Floats, period: int) -> Floats:
    return np.asarray(before + (value - before) * (2 / (period + 1)))


def _wilder(before: Floats, value: Floats) -> Floats:
    return np.asarray((before * (WILDER_PERIOD - 1) + value) / WILDER_PERIOD)


def _true_range_step(high: Floats, low: Floats, close: Floats, run: Integers, before: Floats) -> Floats:
    """After a gap it begins anew with the mean of 14 ranges."""
    previous = close[:, -WILDER_PERIOD - 1 : -1]
    ranges = np.maximum(high[:, -WILDER_PERIOD:], previous) - np.minimum(low[:, -WILDER_PERIOD:], previous)
    begun = known_where(run == WILDER_PERIOD, ranges.mean(axis=1))
    return np.where(np.isnan(before) | (run == 0), begun, _wilder(before, ranges[:, -1]))


def _stochastic_step(high: Floats, low: Floats, close: Floats) -> tuple[Floats, Floats]:
    raw = []
    for age in range(2 * STOCHASTIC_SMOOTHING - 1):
        stop = close.shape[1] - age
        window = np.s_[:, stop - STOCHASTIC_PERIOD : stop]
        lowest = low[window].min(axis=1)
        raw.append(100 * ratio(close[:, stop - 1] - lowest, high[window].max(axis=1) - lowest))
    smooth = [np.mean(raw[age : age + STOCHASTIC_SMOOTHING], axis=0) for age in range(STOCHASTIC_SMOOTHING)]
    return smooth[0], np.mean(smooth, axis=0)
