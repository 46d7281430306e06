"""Modified Dietz: returns of portfolios that are not valued every day."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analytics.calculations.returns import ONE_DAY
from analytics.calculations.twr import NO_CAPITAL, Days, Flags, Floats, FlowTiming, TimeWeighted

_MONTHS = {"monthly": 1, "quarterly": 3}
# How much of its own day a flow is at work.
_SHARE_OF_DAY: dict[FlowTiming, float] = {"start": 1.0, "midday": 0.5, "end": 0.0}


@dataclass(frozen=True)
class DietzReturns:
    """One regular period each, (K,). dates: its last day; returns: fractions; index: levels, 1 at the start.

    reasons: why a return is NaN, or what to know of it; empty where there is nothing to say.
    """

    dates: Days
    returns: Floats
    index: Floats
    reasons: list[str]


@dataclass(frozen=True)
class _Flow:
    """Money that came in on one day (amount > 0) or went out (< 0). share: of its own day that it works."""

    day: np.datetime64
    amount: float
    share: float


def modified_dietz(
    dates: Days,
    values: Floats,
    flow_dates: Days,
    inflow: Floats,
    outflow: Floats,
    *,
    inflow_timing: FlowTiming = "start",
    outflow_timing: FlowTiming = "end",
    is_period_end: Flags | None = None,
    large_flow: float | None = None,
) -> DietzReturns:
    """Returns from one valuation to the next, and their chain.

    dates: (N,) ascending; values: (N,) at the end of each day, in one currency, NaN = unknown. flow_dates:
    (F,), in any order, a day may come again; inflow, outflow: (F,) >= 0, NaN = unknown. A flow up to the
    first date is in the first value; one after the last date is left out. is_period_end: (N,), the regular
    valuations that the K returns lie between, all of them by default; the others are used only where a large
    flow asks for them.

        r = (V1 - V0 - sum of f) / (V0 + sum of w f),   w = (days after that of the flow + its share) / days

    The share is 1 for a flow at the start of its day, a half at midday and 0 at the end (Dietz 1966; Bacon
    2008, chapter 2). Valued every day, this is the true time-weighted return.

    large_flow: a fraction of the value the period opens with. A day's inflow or outflow above it asks for a
    revaluation (GIPS 2020 for firms, section 2.A): the period is split on the evenings before and of that day
    where a value is given, and the parts are linked. Without a value of that day (for a flow at the start of
    its day the one of the evening before does as well) the return stays as it is and the reason says so.

    NaN with a reason: an unknown value at either end, an unknown flow, capital of 0 or less. The index is NaN
    from there on. Raises ValueError for dates that do not ascend, flows below 0 and a threshold that is not
    above 0.
    """
    _check_input(dates, inflow, outflow, large_flow)
    flows = [
        *_flows_by_day(flow_dates, inflow, _SHARE_OF_DAY[inflow_timing]),
        *_flows_by_day(flow_dates, -outflow, _SHARE_OF_DAY[outflow_timing]),
    ]
    regular = np.arange(len(dates)) if is_period_end is None else np.flatnonzero(is_period_end)
    valued = {day: value for day, value in zip(dates, values, strict=True) if np.isfinite(value)}

    returns, reasons = [], []
    for opening, closing in pairwise(dates[regular]):
        inside = [flow for flow in flows if opening < flow.day <= closing]
        large = list(_large_flows(inside, valued.get(opening, np.nan), large_flow))
        evenings = {evening for flow in large for evening in (flow.day - ONE_DAY, flow.day)}
        splits = sorted(day for day in evenings if opening < day < closing and day in valued)
        parts = [
            _part_return(start, end, valued, inside) for start, end in pairwise([opening, *splits, closing])
        ]
        returns.append(float(np.prod([1 + value for value, _ in parts])) - 1)
        missing = [
            f"large flow of {abs(flow.amount):.10g} on {flow.day}: no value that day"
            for flow in large
            if flow.day not in valued and not (flow.share == 1 and flow.day - ONE_DAY in valued)
        ]
        reasons.append("; ".join([*(reason for _, reason in parts if reason), *missing]))
    found = np.array(returns, dtype=np.float64)
    index = np.cumprod(1 + found, dtype=np.float64)
    return DietzReturns(dates[regular[1:]], found, index, reasons)


def valuation_days(calendar: Days, frequency: str) -> Flags:
    """Which days (M,) of a calendar are valuations: the last one of each month or quarter.

    frequency: "monthly" or "quarterly". The calendar's own last day is one when the next weekday lies in
    another period. Raises ValueError for another frequency.
    """
    if frequency not in _MONTHS:
        raise ValueError(f"valuations are {' or '.join(_MONTHS)}, not {frequency}")
    if not len(calendar):
        return np.zeros(0, dtype=bool)
    following = np.append(calendar[1:], np.busday_offset(calendar[-1], 1, roll="backward"))
    periods = [
        days.astype("datetime64[M]").astype(np.int64) // _MONTHS[frequency] for days in (calendar, following)
    ]
    return np.asarray(periods[0] != periods[1])


def level_days(calendar: Days, frequency: str) -> Days:
    """The days (M,) that levels stand for: a valuation for the end of its month, whatever day it fell on."""
    month_ends = (calendar.astype("datetime64[M]") + 1).astype("datetime64[D]") - ONE_DAY
    return np.where(valuation_days(calendar, frequency), month_ends, calendar)


def valued_periodically(
    timeline: Days,
    is_calendar: Flags,
    values: Floats,
    inflow: Floats,
    outflow: Floats,
    *,
    frequency: str,
    inflow_timing: FlowTiming = "start",
    outflow_timing: FlowTiming = "end",
    large_flow: float | None = None,
) -> TimeWeighted:
    """Modified Dietz on a timeline, in the shape of `twr.time_weighted`: a return on each day of valuation.

    timeline ... outflow: (T,) as there; the value before the first day is 0. The other days of the calendar
    have no return and no level, and the reason says so. large_flow, NaN and errors: as in `modified_dietz`;
    a large flow is revalued on its day, since `values` has one.
    """
    rows = np.flatnonzero(is_calendar)
    is_valued = valuation_days(timeline[rows], frequency)
    # Between two days of the timeline nothing happens: each evening has the value of the one before.
    evenings = np.arange(timeline[0] - ONE_DAY, timeline[-1] + ONE_DAY)
    last_known = np.searchsorted(timeline, evenings, side="right")
    found = modified_dietz(
        evenings,
        np.concatenate([[0.0], values])[last_known],
        timeline,
        inflow,
        outflow,
        inflow_timing=inflow_timing,
        outflow_timing=outflow_timing,
        is_period_end=np.isin(evenings, [evenings[0], *timeline[rows[is_valued]]]),
        large_flow=large_flow,
    )
    returns, index = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    returns[is_valued], index[is_valued] = found.returns, found.index
    waiting = dict.fromkeys(("daily_return", "twr_index"), f"valued {frequency}: no valuation on this day")
    reasons = [dict(waiting) for _ in rows]
    for row, reason, level in zip(np.flatnonzero(is_valued), found.reasons, found.index, strict=True):
        reasons[row] = {"daily_return": reason} if reason else {}
        if np.isnan(level):
            reasons[row]["twr_index"] = "an earlier return is unknown"
    return TimeWeighted(returns, index, reasons)


def _check_input(dates: Days, inflow: Floats, outflow: Floats, large_flow: float | None) -> None:
    if (np.diff(dates) <= np.timedelta64(0, "D")).any():
        raise ValueError("the dates of the values must ascend")
    if (inflow < 0).any() or (outflow < 0).any():
        raise ValueError("inflows and outflows cannot be negative")
    if large_flow is not None and not large_flow > 0:
        raise ValueError(f"the threshold of a large flow must be above 0, not {large_flow}")


def _flows_by_day(days: Days, amounts: Floats, share: float) -> list[_Flow]:
    """One flow per day and direction; an unknown part makes the day's amount unknown."""
    return [
        _Flow(day, amount, share)
        for day in np.unique(days)
        if (amount := float(amounts[days == day].sum())) != 0
    ]


def _large_flows(flows: list[_Flow], opening_value: float, threshold: float | None) -> Iterator[_Flow]:
    if threshold is not None:
        yield from (flow for flow in flows if abs(flow.amount) > threshold * abs(opening_value))


def _part_return(
    start: np.datetime64, end: np.datetime64, valued: dict[np.datetime64, float], flows: list[_Flow]
) -> tuple[float, str]:
    """The return from one evening to another and why it is NaN, empty when it is not."""
    for day in (start, end):
        if day not in valued:
            return np.nan, f"value unknown on {day}"
    flows = [flow for flow in flows if start < flow.day <= end]
    for flow in flows:
        if np.isnan(flow.amount):
            return np.nan, f"flow unknown on {flow.day}"
    days = int((end - start).astype(np.int64))
    net = sum(flow.amount for flow in flows)
    at_work = sum(
        flow.amount * (int((end - flow.day).astype(np.int64)) + flow.share) / days for flow in flows
    )
    capital = valued[start] + at_work
    if capital < NO_CAPITAL:
        return np.nan, "negative capital" if capital <= -NO_CAPITAL else "no capital"
    return (valued[end] - valued[start] - net) / capital, ""
