"""Losses from the running peak of a linked return series, positive fractions.

The peak starts at the level before the first return, so an early loss counts. Functions take simple daily
returns (..., n) and reduce the last axis; NaN is no observation and leaves the level unchanged. One return
is enough; with none the result is NaN. A drawdown above 1 means that more than everything was lost.
"""

import numpy as np

from analytics.calculations.constants import ROUNDING_NOISE
from analytics.calculations.observations import Floats, count, known_where, ratio
from analytics.calculations.returns import geometric_return, linked_index


def drawdowns(returns: Floats) -> Floats:
    """1 − index / running peak on each day, same shape as the returns."""
    index = linked_index(returns)
    peak = np.maximum(np.maximum.accumulate(index, axis=-1), 1.0)
    return 1.0 - index / peak


def max_drawdown(returns: Floats) -> Floats:
    """The deepest drawdown, (..., n) -> (...)."""
    return known_where(count(returns) > 0, drawdowns(returns).max(axis=-1, initial=0.0))


def current_drawdown(returns: Floats) -> Floats:
    """The drawdown on the last day, (..., n) -> (...)."""
    if not returns.shape[-1]:
        return np.full(returns.shape[:-1], np.nan)
    return known_where(count(returns) > 0, drawdowns(returns)[..., -1])


def max_drawdown_duration(returns: Floats, days: Floats, start: Floats) -> Floats:
    """Calendar days from the peak before the deepest trough to its recovery, (..., n) -> (...).

    `days` (..., n) are the day numbers of the returns, NaN in front of a short history; `start` (...) is the
    day of the level before the first return. Not recovered: up to the last day. 0 without a drawdown.
    """
    level = np.concatenate([np.ones((*returns.shape[:-1], 1)), linked_index(returns)], axis=-1)
    day = np.concatenate([start[..., None], np.where(np.isnan(days), start[..., None], days)], axis=-1)
    peak = np.maximum.accumulate(level, axis=-1)
    trough = np.argmax(1.0 - level / peak, axis=-1)[..., None]
    top = np.take_along_axis(peak, trough, axis=-1)
    at_top = level >= top * (1 - ROUNDING_NOISE)
    position = np.arange(level.shape[-1])
    last = level.shape[-1] - 1
    # A level can rest at the top for days: the loss runs from the last of them.
    begin = last - np.argmax((at_top & (position <= trough))[..., ::-1], axis=-1)[..., None]
    recovered = at_top & (position > trough)
    end = np.where(recovered.any(axis=-1), np.argmax(recovered, axis=-1), last)[..., None]
    lasted = (np.take_along_axis(day, end, axis=-1) - np.take_along_axis(day, begin, axis=-1))[..., 0]
    lasted = np.where(max_drawdown(returns) > ROUNDING_NOISE, lasted, 0.0)
    return known_where(count(returns) > 0, lasted)


def calmar_ratio(returns: Floats) -> Floats:
    """((1 + R)^(252/n) − 1) / maximum drawdown, R the compound return of all n days (Young 1991).

    NaN without a drawdown or after a loss of more than everything.
    """
    deepest = max_drawdown(returns)
    return ratio(geometric_return(returns), known_where(deepest > ROUNDING_NOISE, deepest))
