"""Blended benchmarks: several price series held in fixed weights, brought back to them by a calendar rule."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.observations import Days, Floats, Integers

Flags = NDArray[np.bool_]

MONTHS_OF_PERIOD = {"monthly": 1, "quarterly": 3, "semiannual": 6, "annual": 12}
# Day 0 of numpy is a Thursday; weeks begin on Monday.
_DAYS_INTO_WEEK, _DAYS_OF_WEEK = 3, 7


@dataclass(frozen=True)
class Blend:
    """returns: (T,) fractions. weights: (N, T) at the start of each day, adding up to 1. NaN = unknown."""

    returns: Floats
    weights: Floats


def rebalancing_days(dates: Days, frequency: str) -> Flags:
    """True on the first session of each new period, (T,) -> (T,); never on the first date.

    dates: ascending. frequency: daily, weekly, monthly, quarterly, semiannual, annual, or none.
    """
    flags = np.zeros(len(dates), dtype=bool)
    if frequency != "none":
        periods = _periods(dates.astype("datetime64[D]"), frequency)
        flags[1:] = periods[1:] != periods[:-1]
    return flags


def _periods(days: Days, frequency: str) -> Integers:
    numbers: Integers = days.astype(np.int64)
    if frequency == "daily":
        return numbers
    if frequency == "weekly":
        return (numbers + _DAYS_INTO_WEEK) // _DAYS_OF_WEEK
    months: Integers = days.astype("datetime64[M]").astype(np.int64)
    return months // MONTHS_OF_PERIOD[frequency]


def blended_returns(levels: Floats, weights: Floats, rebalances: Flags) -> Blend:
    """Daily returns of a blend, and the weights with which it goes into each day.

    levels: (N, T), the last known price of each component at the end of each day in one currency, > 0. On a
    day on which a component does not trade it is the level of the day before: no movement, which appears
    when it trades again. NaN = unknown: before the first price, or without an exchange rate. weights: (N,)
    > 0 in any unit. rebalances: (T,).

    The blend begins on the first day at whose start all levels are known, with its weights; they are the
    weights again at the start of each rebalancing day and drift in between. With units u bought at the last
    reset, r = Σ u·level / Σ u·previous level − 1. A level that is unknown makes the figures that need it NaN,
    and no other component takes its place; where it is the level of a reset, all of them up to the next one.

    Raises ValueError for weights that are not positive or not one for each row of levels.
    """
    if weights.shape != levels.shape[:1] or not (weights > 0).all():
        raise ValueError("a blend needs one positive weight for each component")
    before = np.full(levels.shape, np.nan)
    before[:, 1:] = levels[:, :-1]
    begun = np.logical_or.accumulate(~np.isnan(before).any(axis=0))
    resets = begun & (rebalances | (np.cumsum(begun) == 1))
    # Day 0 has no level before it, so what precedes the first reset is unknown.
    last_reset = np.maximum.accumulate(np.where(resets, np.arange(len(resets)), 0))
    bought_at = before[:, last_reset]
    at_start = weights[:, None] * (before / bought_at)
    at_end = weights[:, None] * (levels / bought_at)
    invested = at_start.sum(axis=0)
    return Blend(at_end.sum(axis=0) / invested - 1, at_start / invested)
