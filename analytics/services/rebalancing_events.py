"""Rebalancing events: proposals that are stored. What becomes of them is in `event_moves` and around it."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.rebalancing_check import check_trades
from analytics.models import (
    AnalyticsRun,
    ProposalGear,
    ProposalVersion,
    RebalancingEvent,
    TradingRestriction,
)
from analytics.models.rebalancing import OPEN_STATUSES
from analytics.selectors.restrictions import restrictions_of
from analytics.services import proposal_documents as documents
from analytics.services.allocation_analysis import AllocationState, decision_day
from analytics.services.event_expiry import events_expire as events_expire
from analytics.services.rebalancing_recommendation import Recommendation, Solver, recommendations_for
from analytics.services.trading_limits import restriction_faults
from analytics.services.triggers import Trigger as Trigger
from analytics.services.triggers import triggers_due
from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_insert_objects
from portfolio_site.kernel.canonical import decimal_text
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio
from portfolios.services.audit import Actor, AuditRow, audit_append_many

TABLE = RebalancingEvent._meta.db_table
OBJECT_TYPE = "rebalancing_event"


@dataclass(frozen=True)
class ProposalOutcome:
    created: int = 0
    problems: list[str] = field(default_factory=list)


class ProposalFault(ValueError):
    """A proposal that breaks a rule and is therefore not stored; `reason` names the rules."""

    def __init__(self, portfolio: Portfolio, reason: str) -> None:
        super().__init__(f"{portfolio.code}: {reason}")
        self.portfolio_id = portfolio.pk
        self.reason = reason


def event_propose_if_due(run: AnalyticsRun, state: AllocationState) -> ProposalOutcome:
    """Store a proposal when a trigger has fired; where one is open already the trigger joins it."""
    return events_propose_if_due(run, [state])[0]


def events_propose_if_due(
    run: AnalyticsRun,
    states: Sequence[AllocationState],
    *,
    gear: str = ProposalGear.EXACT,
    solve_many: Solver | None = None,
) -> list[ProposalOutcome]:
    """The same for several portfolios, whose outcomes come in their order; read and stored together."""
    opened = _open_events(state.portfolio.pk for state in states)
    problems: dict[int, list[str]] = {state.portfolio.pk: [] for state in states}
    with_targets = [state for state in states if state.has_targets]
    valued = [state for state in with_targets if state.value is not None and state.cash is not None]
    for state in with_targets:
        if state not in valued and state.portfolio.pk not in opened:
            problems[state.portfolio.pk] = [f"no proposal: {reason}" for reason in state.reasons]
    fired = {pk: triggers for pk, triggers in triggers_due(valued).items() if triggers}
    for portfolio_id in fired.keys() & opened.keys():
        triggers_join(opened[portfolio_id], _new_kinds(opened[portfolio_id], fired[portfolio_id]), run=run)
    due = [state for state in valued if state.portfolio.pk in fired.keys() - opened.keys()]
    ready = []
    for found in recommendations_for(due, gear=gear, solve_many=solve_many):
        if found.is_storable:
            ready.append(found)
        elif found.status == "blocked" and documents.COST not in found.codes:
            problems[found.portfolio.pk] = [f"no proposal: {reason}" for reason in found.reasons]
    decided = _decided_hashes(ready)
    new = [found for found in ready if (found.portfolio.pk, found.proposal_hash) not in decided]
    events, faults = events_propose_sound([(found, fired[found.portfolio.pk]) for found in new], run=run)
    created = {event.portfolio_id for event in events}
    for portfolio_id, fault in faults.items():
        problems[portfolio_id] = [f"no proposal: {fault.reason}"]
    return [
        ProposalOutcome(int(state.portfolio.pk in created), problems[state.portfolio.pk]) for state in states
    ]


def event_propose(
    recommendation: Recommendation,
    trigger: Trigger,
    *,
    actor: Actor = None,
    run: AnalyticsRun | None = None,
) -> RebalancingEvent:
    """Store a recommendation as a pending event; one that is open already is joined by the trigger.

    Raises ValueError for what is not ready, and ProposalFault for what breaks a rule.
    """
    return events_propose([(recommendation, [trigger])], actor=actor, run=run)[0]


@transaction.atomic
def events_propose(
    proposals: Sequence[tuple[Recommendation, Sequence[Trigger]]],
    *,
    actor: Actor = None,
    run: AnalyticsRun | None = None,
) -> list[RebalancingEvent]:
    """Store several recommendations, each of another portfolio, with what triggered them, all or none."""
    for found, _ in proposals:
        if not found.is_storable or found.state is None or found.proposal is None:
            raise ValueError(f"{found.portfolio.code}: only a proposal that is ready can be stored")
    portfolios = [found.portfolio.pk for found, _ in proposals]
    lock_rows(Portfolio, portfolios)
    opened = _open_events(portfolios)
    new = [(found, triggers) for found, triggers in proposals if found.portfolio.pk not in opened]
    _check_rules([found for found, _ in new])
    events = _store_events([_event(found, triggers, actor, run) for found, triggers in new])
    versions_store([(event, found) for event, (found, _) in zip(events, new, strict=True)], actor=actor)
    audit_append_many([_proposed_row(event, actor) for event in events])
    for found, triggers in proposals:
        if found.portfolio.pk in opened:
            triggers_join(opened[found.portfolio.pk], triggers, actor=actor, run=run)
    stored = opened | {event.portfolio_id: event for event in events}
    return [stored[portfolio_id] for portfolio_id in portfolios]


def events_propose_sound(
    proposals: Sequence[tuple[Recommendation, Sequence[Trigger]]],
    *,
    actor: Actor = None,
    run: AnalyticsRun | None = None,
) -> tuple[list[RebalancingEvent], dict[int, ProposalFault]]:
    """Store all of them but those that break a rule; returns the events, and by portfolio id the faults."""
    faults: dict[int, ProposalFault] = {}
    while True:
        sound = [(found, triggers) for found, triggers in proposals if found.portfolio.pk not in faults]
        try:
            return events_propose(sound, actor=actor, run=run), faults
        except ProposalFault as fault:
            faults[fault.portfolio_id] = fault


@transaction.atomic
def triggers_join(
    event: RebalancingEvent,
    triggers: Sequence[Trigger],
    *,
    actor: Actor = None,
    run: AnalyticsRun | None = None,
) -> None:
    """Note with an open event what else would have given rise to it."""
    if not triggers:
        return
    lock_rows(Portfolio, [event.portfolio_id])
    lock_rows(RebalancingEvent, [event.pk])
    event.refresh_from_db(fields=["joined_triggers", "status"])
    if event.status not in OPEN_STATUSES:
        return
    known = [(event.event_type, event.trigger)]
    known += [(entry["event_type"], entry["evidence"]) for entry in event.joined_triggers]
    # A message that is delivered twice says nothing new.
    new = [trigger for trigger in triggers if (str(trigger.event_type), trigger.evidence) not in known]
    if not new:
        return
    joined = [_joined_trigger(trigger, clock.now(), run) for trigger in new]
    before = len(event.joined_triggers)
    event.joined_triggers = event.joined_triggers + joined
    event.save(update_fields=["joined_triggers"])
    audit_append_many(
        [
            AuditRow(
                "rebalancing.trigger_joined",
                OBJECT_TYPE,
                event.pk,
                actor,
                event.portfolio,
                {"joined": before},
                {"joined": before + 1 + place, "trigger": entry},
                f"{entry['event_type']} trigger",
            )
            for place, entry in enumerate(joined)
        ]
    )


def versions_store(
    proposals: Sequence[tuple[RebalancingEvent, Recommendation]], *, actor: Actor, reason: str = ""
) -> None:
    """Keep the events' present versions of their proposals with all that they were made from."""
    now = clock.now()
    versions = []
    for event, found in proposals:
        inputs, document = found.written
        versions.append(
            ProposalVersion(
                event=event,
                version=event.version,
                inputs=inputs,
                proposal=document,
                proposal_hash=found.proposal_hash,
                created_by_id=_person(actor),
                created_at=now,
                reason=reason,
            )
        )
    bulk_insert_objects(ProposalVersion, versions)


def proposal_fields(recommendation: Recommendation) -> dict[str, Any]:
    """What an event says of its proposal, by column. Raises ValueError for what cannot be stored."""
    state, proposal, document = recommendation.state, recommendation.proposal, recommendation.document
    if not recommendation.is_storable or state is None or proposal is None:
        raise ValueError(f"{recommendation.portfolio.code}: only a proposal that is ready can be stored")
    _check_rules([recommendation])
    return _fields(recommendation, state, document)


def _fields(
    recommendation: Recommendation, state: AllocationState, document: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "mode": recommendation.mode,
        "valuation_date": state.day,
        "pre_state": _pre_state(state),
        "actions": document["actions"],
        "outcomes": document["outcomes"],
        "proposal_hash": recommendation.proposal_hash,
        "estimated_cost": Decimal(document["cost"]),
        "estimated_tax": recommendation.tax,
        "turnover": _number(document["turnover"]),
        "drift_before": _number(document["drift_before"]),
        "drift_after": _number(document["drift_after"]),
        "tracking_distance": _number(document["tracking_distance"]),
        "optimality_gap": _number(document["gap"]),
        "distance_bound": _number(document["distance_bound"]),
        "gear": document["gear"],
        "warnings": document["warnings"],
        "needs_review": document["needs_review"],
        "engine_version": ENGINE_VERSION,
    }


def _event(
    found: Recommendation, triggers: Sequence[Trigger], actor: Actor, run: AnalyticsRun | None
) -> RebalancingEvent:
    if found.state is None:
        raise ValueError("a recommendation without a state cannot be stored")
    now, first = clock.now(), triggers[0]
    return RebalancingEvent(
        portfolio=found.portfolio,
        event_type=first.event_type,
        trigger=first.evidence,
        joined_triggers=[_joined_trigger(trigger, now, run) for trigger in triggers[1:]],
        requested_by_id=_person(actor),
        created_at=now,
        expires_at=now + dt.timedelta(hours=found.state.policy.expiry_hours),
        run=run,
        **_fields(found, found.state, found.document),
    )


def _joined_trigger(trigger: Trigger, now: dt.datetime, run: AnalyticsRun | None) -> dict[str, Any]:
    return {
        "event_type": str(trigger.event_type),
        "evidence": trigger.evidence,
        "joined_at": now.isoformat(),
        "run": run.pk if run else None,
    }


def _store_events(events: Sequence[RebalancingEvent]) -> Sequence[RebalancingEvent]:
    """They learn their keys by their portfolios, each of which has one open event at most."""
    bulk_insert_objects(RebalancingEvent, events)
    portfolios = [event.portfolio_id for event in events]
    rows = RebalancingEvent.objects.filter(portfolio__in=portfolios, status__in=OPEN_STATUSES)
    keys = dict(rows.values_list("portfolio_id", "pk"))
    for event in events:
        event.pk = keys[event.portfolio_id]
    return events


def _proposed_row(event: RebalancingEvent, actor: Actor) -> AuditRow:
    return AuditRow(
        "rebalancing.proposed",
        OBJECT_TYPE,
        event.pk,
        actor,
        event.portfolio,
        None,
        {
            "proposal_hash": event.proposal_hash,
            "trigger": event.trigger,
            "joined_triggers": event.joined_triggers,
            "trades": len(event.actions),
            "turnover": event.turnover,
            "estimated_cost": event.estimated_cost,
        },
        f"{event.event_type} trigger",
    )


def _check_rules(recommendations: Sequence[Recommendation]) -> None:
    """Hold what is to be stored against its rules once more, and against the restrictions of this moment."""
    days = {
        found.portfolio.pk: decision_day(found.state.day)
        for found in recommendations
        if found.state is not None
    }
    in_force = restrictions_of(days)
    for found in recommendations:
        faults = _faults(found, in_force[found.portfolio.pk])
        if faults:
            raise ProposalFault(found.portfolio, "; ".join(faults))


def _faults(found: Recommendation, restrictions: Sequence[TradingRestriction]) -> list[str]:
    if found.state is None or found.proposal is None:
        return ["there is no proposal"]
    trades = found.proposal.trades
    rules = documents.searched_rules(documents.rules_of(found.inputs))
    faults = check_trades(documents.lines_of(found.inputs), rules, trades)
    state = _with_restrictions(found.state, restrictions)
    return faults + restriction_faults(state, [(found.assets[trade.symbol], trade) for trade in trades])


def _with_restrictions(state: AllocationState, restrictions: Sequence[TradingRestriction]) -> AllocationState:
    return AllocationState(**{**vars(state), "restrictions": tuple(restrictions)})


def _open_events(portfolio_ids: Iterable[int]) -> dict[int, RebalancingEvent]:
    rows = RebalancingEvent.objects.filter(portfolio__in=list(portfolio_ids), status__in=OPEN_STATUSES)
    return {event.portfolio_id: event for event in rows.select_related("portfolio")}


def _new_kinds(event: RebalancingEvent, triggers: Sequence[Trigger]) -> list[Trigger]:
    """A trigger that fires every night is noted once."""
    known = {event.event_type} | {entry["event_type"] for entry in event.joined_triggers}
    return [trigger for trigger in triggers if trigger.event_type not in known]


def _decided_hashes(recommendations: Sequence[Recommendation]) -> set[tuple[int, str]]:
    """The very same proposals that were stored before: rejected, cancelled or expired."""
    hashes = [found.proposal_hash for found in recommendations]
    rows = RebalancingEvent.objects.filter(
        portfolio__in=[found.portfolio.pk for found in recommendations], proposal_hash__in=hashes
    )
    return set(rows.values_list("portfolio_id", "proposal_hash"))


def _pre_state(state: AllocationState) -> dict[str, Any]:
    return {
        "portfolio": state.portfolio.code,
        "date": state.day.isoformat(),
        "value": _text(state.value),
        "cash": _text(state.cash),
        "lines": [
            {
                "symbol": line.asset.symbol,
                "exchange": line.asset.exchange,
                "quantity": _text(line.quantity),
                "price": _text(line.price),
                "value": _text(line.value),
                "target": _text(line.target),
                "min": _text(line.band.minimum),
                "max": _text(line.band.maximum),
                "lower": _text(line.band.lower),
                "upper": _text(line.band.upper),
                "lot_size": _text(line.asset.lot_size),
            }
            for line in state.lines
        ],
    }


def _person(actor: Actor) -> int | None:
    return actor.pk if actor is not None and actor.is_authenticated else None


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
