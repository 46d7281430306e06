"""Time-weighted returns: daily returns that no deposit or withdrawal can move, and their chain."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]
Flags = NDArray[np.bool_]
FlowTiming = Literal["start", "midday", "end"]

# The share of a flow that is part of the day's capital.
_SHARE_AT_WORK: dict[FlowTiming, float] = {"start": 1.0, "midday": 0.5, "end": 0.0}
# Half of the smallest amount of money that is kept (6 decimals): capital below it is no capital.
NO_CAPITAL = 5e-7


@dataclass(frozen=True)
class TimeWeighted:
    """Per calendar day (M,). returns: fractions; index: levels, 1 before the first day; NaN = unknown.

    reasons: per day, for "daily_return" and "twr_index": why it is NaN, or what to know of the figure.
    """

    returns: Floats
    index: Floats
    reasons: list[dict[str, str]]


@dataclass(frozen=True)
class SubPeriods:
    """The K stretches of a timeline from one known value to the next, in money; returns are fractions.

    ends: position of the last day of each; the first begins with a value of 0 before the timeline. capital:
    what was at work; result: what became of it. returns: result / capital - 1, NaN = unknown.
    """

    ends: NDArray[np.intp]
    capital: Floats
    result: Floats
    returns: Floats


def sub_periods(
    values: Floats,
    inflow: Floats,
    outflow: Floats,
    *,
    inflow_timing: FlowTiming = "start",
    outflow_timing: FlowTiming = "end",
    added_back: Floats | None = None,
) -> SubPeriods:
    """What `time_weighted` links. added_back: (T,) costs that are to count as if they were still there at the
    end of their day; negative for income that is not to count; NaN = unknown.
    """
    ends = np.flatnonzero(np.isfinite(values))
    begin = np.concatenate([[0.0], values[ends[:-1]]])[: len(ends)]
    money_in, money_out = (sum_segments(flow, ends) for flow in (inflow, outflow))
    in_share, out_share = _SHARE_AT_WORK[inflow_timing], _SHARE_AT_WORK[outflow_timing]
    capital = begin + in_share * money_in - out_share * money_out
    result = values[ends] - (1 - in_share) * money_in + (1 - out_share) * money_out
    if added_back is not None:
        result = result + sum_segments(added_back, ends)

    returns = np.full(len(ends), np.nan)
    returns[np.abs(capital) < NO_CAPITAL] = 0.0
    np.divide(result, capital, out=returns, where=capital >= NO_CAPITAL)
    returns[capital >= NO_CAPITAL] -= 1
    return SubPeriods(ends, capital, result, returns)


def time_weighted(
    timeline: Days,
    is_calendar: Flags,
    values: Floats,
    inflow: Floats,
    outflow: Floats,
    *,
    inflow_timing: FlowTiming = "start",
    outflow_timing: FlowTiming = "end",
    added_back: Floats | None = None,
) -> TimeWeighted:
    """Daily time-weighted returns on the calendar days of a timeline, from values and external flows.

    timeline: (T,) ascending. is_calendar: (T,), the days that get a row; a sub-period that ends between two
    of them is linked into the next, so a flow on a Saturday is exact. values: (T,) at the end of the day, NaN
    = unknown; the value before the first day is 0. inflow, outflow: (T,) >= 0, NaN = unknown.

    r = (MVE + CFout) / (MVB + CFin) - 1 with inflows at the start and outflows at the end of the day; a flow
    at midday counts by half on either side (Bacon 2008, true time-weighted with daily valuation). Without
    capital (denominator 0) r = 0, with a reason when money moved. Where the capital is negative or a flow
    unknown, r is NaN and the index unknown from there on. An unknown value makes r and index of that day NaN,
    and the next known day covers the gap. added_back: as in `sub_periods`.
    """
    periods = sub_periods(
        values,
        inflow,
        outflow,
        inflow_timing=inflow_timing,
        outflow_timing=outflow_timing,
        added_back=added_back,
    )
    growth = np.ones(len(values))
    growth[periods.ends] = 1 + periods.returns

    rows = np.flatnonzero(is_calendar)
    has_value = np.isfinite(values[rows])
    daily, index = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    daily[has_value] = _reduce_segments(np.multiply, growth, rows[has_value]) - 1
    index[has_value] = np.cumprod(growth)[rows[has_value]]

    notes = _note_returns(timeline, periods)
    return TimeWeighted(daily, index, _explain_rows(timeline, rows, has_value, index, notes))


def link_returns(returns: Floats, ends: NDArray[np.intp]) -> Floats:
    """Compound returns of consecutive periods. ends: position of the last return of each, ascending.

    returns: (..., N) simple; result (..., len(ends)). NaN in a period makes its return NaN. What follows the
    last end is left out.
    """
    return _reduce_segments(np.multiply, 1 + returns, ends) - 1


def sum_to_calendar(amounts: Floats, is_calendar: Flags) -> Floats:
    """Amounts of a timeline (T,) on its calendar days (M,), each with what came since the day before."""
    return sum_segments(amounts, np.flatnonzero(is_calendar))


def sum_segments(amounts: Floats, ends: NDArray[np.intp]) -> Floats:
    """Sums along the last axis of consecutive periods, (..., T) -> (..., K). ends: as in `link_returns`."""
    return _reduce_segments(np.add, amounts, ends)


def _reduce_segments(ufunc: np.ufunc, values: Floats, ends: NDArray[np.intp]) -> Floats:
    if not len(ends):
        return np.empty((*values.shape[:-1], 0))
    starts = np.concatenate([[0], ends[:-1] + 1])
    return np.asarray(ufunc.reduceat(values[..., : ends[-1] + 1], starts, axis=-1), dtype=np.float64)


def _note_returns(timeline: Days, periods: SubPeriods) -> dict[int, str]:
    """What is to be said of single returns, by position on the timeline."""
    known, capital, result, returns = periods.ends, periods.capital, periods.result, periods.returns
    no_capital = np.abs(capital) < NO_CAPITAL
    cases = [
        (no_capital & (np.abs(result) >= NO_CAPITAL), "money moved without capital"),
        (capital <= -NO_CAPITAL, "negative capital"),
        (np.isnan(capital) | np.isnan(result), "flow unknown"),
        (returns < -1, "more than the whole capital was lost"),
    ]
    notes = {int(known[place]): text for where, text in cases for place in np.flatnonzero(where)}
    for place in np.flatnonzero(np.diff(known, prepend=-1) > 1):
        day = int(known[place])
        since = timeline[known[place - 1]] if place else None
        gap = f"covers the days since {since}" if since is not None else "covers all days before"
        notes[day] = f"{notes[day]}; {gap}" if day in notes else gap
    return notes


def _explain_rows(
    timeline: Days, rows: NDArray[np.intp], has_value: Flags, index: Floats, notes: dict[int, str]
) -> list[dict[str, str]]:
    """The notes on the calendar rows that their sub-periods end in."""
    reasons: list[dict[str, str]] = [{} for _ in rows]
    for row in np.flatnonzero(~has_value):
        reasons[row] = {"daily_return": "value unknown", "twr_index": "value unknown"}
    for day, text in notes.items():
        place = int(np.searchsorted(rows, day))
        if place < len(rows):
            known = reasons[place].get("daily_return")
            reasons[place]["daily_return"] = f"{known}; {text}" if known else text

    broken = np.flatnonzero(np.isnan(index) & has_value)
    if len(broken):
        first = int(broken[0])
        why = f"unknown since {timeline[rows[first]]}: {reasons[first]['daily_return']}"
        for row in broken:
            reasons[row]["twr_index"] = why
    return reasons
