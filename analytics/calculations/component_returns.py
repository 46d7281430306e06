"""What the components of a benchmark weighed and earned on the days of a portfolio.

Arrays (C, M): C components on M calendar days; fractions, NaN = unknown. holidays: how far from a day its
nearest bar may be for the day to count as one on which nothing moved.
"""

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.observations import Days, Floats
from analytics.calculations.returns import ONE_DAY, simple_returns
from analytics.calculations.twr import link_returns


def next_known(weights: Floats) -> Floats:
    """Weights of the next day that has any, or of the last one, (C, M)."""
    known = np.flatnonzero(~np.isnan(weights).any(axis=0))
    return weights[:, known[np.minimum(np.searchsorted(known, np.arange(weights.shape[1])), len(known) - 1)]]


def without_holidays(dates: Days, returns: Floats, holidays: np.timedelta64) -> Floats:
    """(C, M): 0 instead of NaN where the last return, or the first day, is no further back than holidays are.

    A return is always that since the last one, so that nothing is lost in between.
    """
    known = ~np.isnan(returns)
    last = np.maximum.accumulate(np.where(known, np.arange(len(dates)), 0), axis=1)
    return np.where(~known & (dates - dates[last] <= holidays), 0.0, returns)


def returns_of_bars(dates: Days, own_dates: Days, levels: Floats, holidays: np.timedelta64) -> Floats:
    """Returns (M,) of one component on days without a gap, 0 on those without a bar of its own.

    levels: on its own dates. NaN where the last bar, or the first one to come, is further away than holidays.
    """
    evenings = np.concatenate([dates[:1] - ONE_DAY, dates])
    bars_so_far = np.searchsorted(own_dates, evenings, side="right")
    moves = simple_returns(np.concatenate([[np.nan], levels])[bars_so_far])[1:]
    has_moved = (np.diff(bars_so_far) > 0) & (bars_so_far[:-1] > 0)
    nearest = own_dates[np.maximum(bars_so_far[1:] - 1, 0)]
    is_holiday = np.abs(dates - nearest) <= holidays
    return np.where(has_moved, moves, np.where(is_holiday, 0.0, np.nan))


def on_sub_periods(
    weights: Floats, returns: Floats, days: NDArray[np.intp], ends: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Weights at the start of each sub-period, and returns over it, (C, K) each.

    days (M,), ends (K,): places of the calendar days and of the last day of each sub-period on one timeline.
    """
    daily = np.zeros((len(returns), max(days[-1], ends[-1]) + 1))
    daily[:, days] = returns
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.minimum(np.searchsorted(days, starts), len(days) - 1)
    return weights[:, place], link_returns(daily, ends)
