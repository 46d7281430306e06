"""What gives rise to a proposal, with the evidence."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Max, Q
from django.utils import timezone

from analytics.models import (
    EventType,
    RebalanceFrequency,
    RebalanceMode,
    RebalancingEvent,
    TradingRestriction,
)
from analytics.services.allocation_analysis import AllocationState, decision_day
from analytics.services.trading_limits import concerns, describe, range_breaches
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import AuditEvent

CASH = "CASH"
MONTHS_BETWEEN = {
    RebalanceFrequency.MONTHLY: 1,
    RebalanceFrequency.QUARTERLY: 3,
    RebalanceFrequency.SEMIANNUAL: 6,
    RebalanceFrequency.ANNUAL: 12,
}
CASH_MODES = (RebalanceMode.INVEST_CASH, RebalanceMode.RAISE_CASH)
BEGINNING = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
TARGETS_CHANGED, RESTRICTION_CHANGED = "allocation.changed", "restriction."


@dataclass(frozen=True)
class Trigger:
    """Why a proposal is made now, with the evidence."""

    event_type: EventType
    evidence: dict[str, Any]


@dataclass(frozen=True)
class _Past:
    """What came before, by the portfolio's id: the last proposal, the last schedule, and changes."""

    last_event: Mapping[int, dt.datetime]
    last_scheduled: Mapping[int, dt.date]
    changes: Mapping[int | None, Sequence[AuditEvent]]
    ended: Mapping[int | None, Sequence[TradingRestriction]]


def triggers_due(states: Sequence[AllocationState]) -> dict[int, list[Trigger]]:
    """What fires for each portfolio, by its id, the trigger of its mode first; few queries for all."""
    states = [state for state in states if state.policy.mode != RebalanceMode.HOLD]
    if not states:
        return {}
    past = _read_past(states)
    return {state.portfolio.pk: _fired(state, past) for state in states}


def _fired(state: AllocationState, past: _Past) -> list[Trigger]:
    own = None if _is_cooling_off(state) else _mode_trigger(state, past)
    if own is None and state.policy.mode in CASH_MODES:
        own = _cash_trigger(state)  # money that came or is missing does not wait
    found = [own, _targets_trigger(state, past), _restriction_trigger(state, past)]
    return [trigger for trigger in found if trigger is not None]


def _is_cooling_off(state: AllocationState) -> bool:
    last = state.last_rebalanced
    return last is not None and (state.day - last).days < state.policy.cool_off_days


def _mode_trigger(state: AllocationState, past: _Past) -> Trigger | None:
    if state.policy.mode in (RebalanceMode.BANDS, RebalanceMode.LIQUIDATE):
        return _threshold_trigger(state)
    if state.policy.mode in CASH_MODES:
        return _cash_trigger(state)
    return _scheduled_trigger(state, past)


def _read_past(states: Sequence[AllocationState]) -> _Past:
    portfolios = [state.portfolio.pk for state in states]
    events = RebalancingEvent.objects.filter(portfolio__in=portfolios).order_by()
    last_event = dict(events.values_list("portfolio").annotate(last=Max("created_at")))
    scheduled = events.filter(event_type=EventType.SCHEDULED)
    last_scheduled = dict(scheduled.values_list("portfolio").annotate(last=Max("valuation_date")))
    for portfolio, day, joined in events.exclude(joined_triggers=[]).values_list(
        "portfolio", "valuation_date", "joined_triggers"
    ):
        if any(entry["event_type"] == EventType.SCHEDULED for entry in joined):
            last_scheduled[portfolio] = max(day, last_scheduled.get(portfolio, day))
    since = min(last_event.get(pk, BEGINNING) for pk in portfolios)
    own = Q(portfolio__in=portfolios) | Q(portfolio__isnull=True)
    rows = AuditEvent.objects.filter(own, occurred_at__gt=since).order_by("sequence")
    rows = rows.filter(Q(action=TARGETS_CHANGED) | Q(action__startswith=RESTRICTION_CHANGED))
    days = [decision_day(state.day) for state in states]
    ended = TradingRestriction.objects.filter(
        own, ends_on__lt=max(days), ends_on__gte=timezone.localtime(since).date()
    )
    return _Past(
        last_event=last_event,
        last_scheduled=last_scheduled,
        changes=_by_portfolio(list(rows)),
        ended=_by_portfolio(list(ended.order_by("id"))),
    )


def _by_portfolio(rows: Sequence[Any]) -> dict[int | None, list[Any]]:
    found: defaultdict[int | None, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.portfolio_id].append(row)
    return dict(found)


def _threshold_trigger(state: AllocationState) -> Trigger | None:
    evidence: list[dict[str, Any]] = []
    if state.policy.mode == RebalanceMode.LIQUIDATE:
        evidence = [
            {"symbol": line.asset.symbol, "weight": f"{line.weight or 0:.6f}", "target": "0"}
            for line in state.lines
            if line.allocation is None and line.quantity
        ]
    else:
        evidence = [
            {
                "symbol": line.asset.symbol,
                "weight": f"{line.weight:.6f}",
                "target": decimal_text(line.target),
                "lower": decimal_text(line.band.lower),
                "upper": decimal_text(line.band.upper),
                "price": decimal_text(line.price or Decimal(0)),
            }
            for line in state.breaches
        ] + [
            {"symbol": line.asset.symbol, "weight": f"{line.weight:.6f}", "restriction": text}
            for line, text in range_breaches(state)
        ]
    if not evidence:
        return None
    return Trigger(EventType.THRESHOLD, {"date": state.day.isoformat(), "breaches": evidence})


def _cash_trigger(state: AllocationState) -> Trigger | None:
    policy, value, cash = state.policy, state.value or Decimal(0), state.cash or Decimal(0)
    reserve = max(policy.cash_reserve, value * policy.cash_reserve_percentage / 100)
    reserve += sum(each.amount for each in state.reserves_due(policy.reserve_horizon_days))
    wanted = max(reserve, value * policy.cash_target_percentage / 100)
    smallest = max(policy.minimum_trade, value * policy.minimum_trade_percentage / 100)
    excess = cash - wanted
    investing = policy.mode == RebalanceMode.INVEST_CASH
    if (excess if investing else -excess) <= smallest:
        return None
    evidence = {
        "date": state.day.isoformat(),
        "cash": f"{cash:.2f}",
        "wanted": f"{wanted:.2f}",
        "excess": f"{excess:.2f}",
    }
    return Trigger(EventType.CASH_FLOW, evidence)


def _scheduled_trigger(state: AllocationState, past: _Past) -> Trigger | None:
    """Due once in every period of the most frequent schedule among the lines."""
    frequencies = {line.allocation.rebalance_frequency for line in state.lines if line.allocation}
    starts = [_period_start(frequency, state.day) for frequency in frequencies]
    start = max((day for day in starts if day is not None), default=None)
    last = past.last_scheduled.get(state.portfolio.pk)
    if start is None or (last is not None and last >= start):
        return None
    return Trigger(EventType.SCHEDULED, {"date": state.day.isoformat(), "period_start": start.isoformat()})


def _targets_trigger(state: AllocationState, past: _Past) -> Trigger | None:
    """Targets that stood there before are others since the last proposal."""
    changed = [
        row
        for row in _since_last_proposal(state, past)
        if row.action == TARGETS_CHANGED and set(row.before or {}) - {CASH}
    ]
    if not changed:
        return None
    symbols = {symbol for row in changed for symbol in row.before or {} if symbol != CASH}
    evidence = {
        "date": state.day.isoformat(),
        "changes": [row.sequence for row in changed],
        "symbols": sorted(symbols),
    }
    return Trigger(EventType.TARGETS, evidence)


def _restriction_trigger(state: AllocationState, past: _Past) -> Trigger | None:
    """Restrictions of what is held or wanted have come, gone or changed since the last proposal."""
    portfolio, decided_on = state.portfolio.pk, decision_day(state.day)
    last = past.last_event.get(portfolio)
    since = timezone.localtime(last).date() if last is not None else dt.date.min
    ended = [
        restriction
        for restriction in [*past.ended.get(portfolio, ()), *past.ended.get(None, ())]
        if last is not None and restriction.ends_on and since <= restriction.ends_on < decided_on
    ]
    found = {r.pk: f"in force: {describe(r)}" for r in state.restrictions if r.starts_on > since}
    found |= {r.pk: f"ended: {describe(r)}" for r in ended}
    touching = {
        restriction.pk
        for restriction in [*state.restrictions, *ended]
        if any(concerns(restriction, line.asset) for line in state.lines)
    }
    for row in _since_last_proposal(state, past):
        if row.action.startswith(RESTRICTION_CHANGED):
            found.setdefault(int(row.object_id), row.action.removeprefix(RESTRICTION_CHANGED))
    evidence = [{"restriction": pk, "change": found[pk]} for pk in sorted(found) if pk in touching]
    if not evidence:
        return None
    return Trigger(EventType.RESTRICTION, {"date": state.day.isoformat(), "restrictions": evidence})


def _since_last_proposal(state: AllocationState, past: _Past) -> list[AuditEvent]:
    portfolio = state.portfolio.pk
    last = past.last_event.get(portfolio)
    rows = [*past.changes.get(portfolio, ()), *past.changes.get(None, ())]
    return [row for row in rows if last is None or row.occurred_at > last]


def _period_start(frequency: str, day: dt.date) -> dt.date | None:
    if frequency == RebalanceFrequency.DAILY:
        return day
    if frequency == RebalanceFrequency.WEEKLY:
        return day - dt.timedelta(days=day.weekday())
    months = MONTHS_BETWEEN.get(RebalanceFrequency(frequency))
    if months is None:
        return None
    return day.replace(month=(day.month - 1) // months * months + 1, day=1)
