"""Losses from the running peak of a linked return series, positive fractions.

The peak starts at the level before the first return, so an early loss counts. NaN is no observation and
leaves the level unchanged. One return is enough; with none the result is NaN. A drawdown above 1 means that
more than everything was lost. Functions of a whole series take simple daily returns (..., n) and reduce the
last axis; the trailing ones give one figure a day over the last `window` returns, or all where it is None.
"""

import numpy as np

from analytics.calculations.constants import ROUNDING_NOISE
from analytics.calculations.observations import Floats, count, known_where, ratio
from analytics.calculations.reductions import Trailing
from analytics.calculations.returns import geometric_return, linked_index
from analytics.calculations.windows import trailing_reduce, trailing_windows


def drawdowns(returns: Floats) -> Floats:
    """1 − index / running peak on each day, same shape as the returns."""
    index = linked_index(returns)
    peak = np.maximum.accumulate(index, axis=-1)
    # In place: a fresh array for every step costs more than the steps.
    falls = np.divide(index, np.maximum(peak, 1.0, out=peak), out=index)
    return np.subtract(1.0, falls, out=falls)


def max_drawdown(returns: Floats) -> Floats:
    """The deepest drawdown, (..., n) -> (...)."""
    return known_where(count(returns) > 0, drawdowns(returns).max(axis=-1, initial=0.0))


def current_drawdown(returns: Floats) -> Floats:
    """The drawdown on the last day, (..., n) -> (...)."""
    if not returns.shape[-1]:
        return np.full(returns.shape[:-1], np.nan)
    return known_where(count(returns) > 0, drawdowns(returns)[..., -1])


def calmar_ratio(returns: Floats) -> Floats:
    """((1 + R)^(252/n) − 1) / maximum drawdown, R the compound return of all n days (Young 1991).

    NaN without a drawdown or after a loss of more than everything.
    """
    deepest = max_drawdown(returns)
    return ratio(geometric_return(returns), known_where(deepest > ROUNDING_NOISE, deepest))


def max_drawdown_duration(returns: Floats, days: Floats) -> float:
    """Calendar days of the deepest drawdown of a whole series, see `trailing_drawdown_durations`."""
    return float(trailing_drawdown_durations(returns, days, trailing_drawdowns(returns)[0])[-1])


def trailing_drawdowns(returns: Floats, window: int | None = None) -> tuple[Floats, Floats]:
    """The deepest and the current drawdown of the days up to each one, (T,) each. returns (T,)."""
    observed = Trailing(window).count(returns) > 0
    level = _levels(returns)
    if window is None or len(returns) <= window:
        falls = 1.0 - level / np.maximum.accumulate(level)
        deepest, current = np.maximum.accumulate(falls), falls
    elif (level <= 0).any():
        # Nothing can be measured from a level of nothing: each window is linked anew.
        windows = trailing_windows(returns, window, np.arange(len(returns)))
        return max_drawdown(windows), current_drawdown(windows)
    else:
        deepest = _deepest_within(level, window + 1)
        current = 1.0 - level / trailing_reduce(np.maximum, level, window + 1)
    return known_where(observed, deepest[1:]), known_where(observed, current[1:])


def trailing_calmar_ratio(returns: Floats, deepest: Floats, window: int | None = None) -> Floats:
    """`calmar_ratio` of the days up to each one; `deepest` (T,) as from `trailing_drawdowns`."""
    return ratio(geometric_return(returns, Trailing(window)), known_where(deepest > ROUNDING_NOISE, deepest))


def trailing_drawdown_durations(
    returns: Floats, days: Floats, deepest: Floats, window: int | None = None
) -> Floats:
    """Calendar days from the peak before the deepest trough to its recovery, (T,).

    `returns` (T,) without NaN; `days` (T + 1,) their day numbers after that of the level before the first;
    `deepest` (T,) as from `trailing_drawdowns`. Not recovered: up to the last day. 0 without a drawdown.
    A level can rest at the peak for days: the loss runs from the last of them.
    """
    level, size = _levels(returns), len(returns)
    lasted = np.zeros(size)
    ends = np.arange(1, size + 1)
    starts = np.zeros(size, dtype=np.int64) if window is None else np.maximum(ends - window, 0)
    changes = np.append(np.flatnonzero(np.diff(deepest, prepend=np.nan) != 0), size)
    row = 0
    while row < size:
        # The rows from here on that have the same trough, as long as its peak is within their window.
        until = int(changes[np.searchsorted(changes, row, side="right")])
        if deepest[row] > ROUNDING_NOISE:
            top, peak, trough = _deepest_fall(level[starts[row] : ends[row] + 1])
            until = min(until, int(np.searchsorted(starts, starts[row] + peak, side="right")))
            begin, trough = starts[row] + peak, starts[row] + trough
            higher = np.flatnonzero(level[trough + 1 : ends[until - 1] + 1] >= top)
            recovery = trough + 1 + higher[0] if len(higher) else size
            lasted[row:until] = days[np.minimum(recovery, ends[row:until])] - days[begin]
        row = until
    return lasted


def _deepest_fall(level: Floats) -> tuple[float, int, int]:
    """What counts as the top of the deepest fall within levels (n,), its last position, and its trough's.

    Of equal falls it is the first.
    """
    peak = np.maximum.accumulate(level)
    fall = 1.0 - level / peak
    trough = int(np.argmax(fall >= fall.max() - ROUNDING_NOISE))
    top = float(peak[trough] * (1 - ROUNDING_NOISE))
    return top, int(np.flatnonzero(level[: trough + 1] >= top)[-1]), trough


def _deepest_within(level: Floats, window: int) -> Floats:
    """The deepest fall within the last `window` positive levels, by blocks as in `trailing_reduce`.

    The fall of two stretches together is the deeper one of both, or the one from the peak of the first to the
    trough of the second.
    """
    length = len(level)
    blocks = -(-length // window)
    padded = np.ones(blocks * window)
    padded[:length] = level
    grid = padded.reshape(blocks, window)
    highest, lowest = np.maximum.accumulate(grid, axis=-1), np.minimum.accumulate(grid, axis=-1)
    fall = np.maximum.accumulate(1.0 - grid / highest, axis=-1).ravel()
    backwards = grid[:, ::-1]
    highest_to_come = np.maximum.accumulate(backwards, axis=-1)[:, ::-1].ravel()
    lowest_to_come = np.minimum.accumulate(backwards, axis=-1)
    fall_to_come = np.maximum.accumulate(1.0 - lowest_to_come / backwards, axis=-1)[:, ::-1].ravel()

    first = slice(1, length - window + 1)
    across = 1.0 - lowest.ravel()[window:length] / highest_to_come[first]
    joined = np.maximum(np.maximum(fall_to_come[first], fall[window:length]), across)
    joined[window - 1 :: window] = fall[2 * window - 1 : length : window]
    return np.concatenate([fall[:window], joined])[:length]


def _levels(returns: Floats) -> Floats:
    """The level before the first return, 1, and those after each, (T + 1,)."""
    return np.concatenate([[1.0], linked_index(returns)])
