"""Rebalancing events: proposals that are stored, and what becomes of them."""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction

from analytics.calculations.constants import ENGINE_VERSION
from analytics.models import (
    AnalyticsRun,
    EventStatus,
    EventType,
    RebalanceFrequency,
    RebalanceMode,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.models.rebalancing import OPEN_STATUSES
from analytics.services.allocation_analysis import AllocationState
from analytics.services.rebalancing_recommendation import Recommendation, recommendation_for
from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text, sha256_of
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio
from portfolios.services.audit import Actor, audit_append

TABLE = RebalancingEvent._meta.db_table
MONTHS_BETWEEN = {
    RebalanceFrequency.MONTHLY: 1,
    RebalanceFrequency.QUARTERLY: 3,
    RebalanceFrequency.SEMIANNUAL: 6,
    RebalanceFrequency.ANNUAL: 12,
}


@dataclass(frozen=True)
class Trigger:
    """Why a proposal is made now, with the evidence."""

    event_type: EventType
    evidence: dict[str, Any]


@dataclass(frozen=True)
class ProposalOutcome:
    created: int = 0
    problems: list[str] = field(default_factory=list)


def event_propose_if_due(run: AnalyticsRun, state: AllocationState) -> ProposalOutcome:
    """Store a proposal when the policy's trigger has fired and none is open for the portfolio."""
    if not state.has_targets or _open_event(state.portfolio):
        return ProposalOutcome()
    if state.value is None or state.cash is None:
        return ProposalOutcome(problems=[f"no proposal: {reason}" for reason in state.reasons])
    trigger = _trigger(state)
    if trigger is None:
        return ProposalOutcome()
    recommendation = recommendation_for(state)
    if recommendation.status == "blocked":
        return ProposalOutcome(problems=[f"no proposal: {reason}" for reason in recommendation.reasons])
    if recommendation.status != "ready" or _decided_already(recommendation):
        return ProposalOutcome()
    event_propose(recommendation, trigger, run=run)
    return ProposalOutcome(created=1)


def event_propose(
    recommendation: Recommendation,
    trigger: Trigger,
    *,
    actor: Actor = None,
    run: AnalyticsRun | None = None,
) -> RebalancingEvent:
    """Store a recommendation as a pending event; one that is open already is returned as it is."""
    state, proposal = recommendation.state, recommendation.proposal
    if recommendation.status != "ready" or state is None or proposal is None:
        raise ValueError(f"{recommendation.portfolio.code}: only a proposal that is ready can be stored")
    with transaction.atomic():
        lock_rows(Portfolio, [state.portfolio.pk])
        opened = _open_event(state.portfolio)
        if opened is not None:
            return opened
        now = clock.now()
        content = recommendation.as_json()
        event = RebalancingEvent.objects.create(
            portfolio=state.portfolio,
            event_type=trigger.event_type,
            mode=recommendation.mode,
            valuation_date=state.day,
            trigger=trigger.evidence,
            pre_state=_pre_state(state),
            actions=content["actions"],
            outcomes=[_outcome(outcome) for outcome in recommendation.outcomes],
            proposal_hash=proposal_hash(recommendation),
            estimated_cost=proposal.cost,
            turnover=float(proposal.turnover),
            drift_before=float(proposal.drift_before),
            drift_after=None if proposal.drift_after is None else float(proposal.drift_after),
            tracking_distance=float(proposal.tracking_distance_after),
            optimality_gap=proposal.gap,
            requested_by=actor if actor is not None and actor.is_authenticated else None,
            created_at=now,
            expires_at=now + dt.timedelta(hours=state.policy.expiry_hours),
            run=run,
            engine_version=ENGINE_VERSION,
        )
        audit_append(
            action="rebalancing.proposed",
            object_type="rebalancing_event",
            object_id=event.pk,
            actor=actor,
            portfolio=state.portfolio,
            after={
                "proposal_hash": event.proposal_hash,
                "trigger": trigger.evidence,
                "actions": event.actions,
            },
            reason=f"{trigger.event_type} trigger",
        )
    return event


def events_expire() -> int:
    """Close pending and approved events that have outlived their policy; return how many."""
    due = RebalancingEvent.objects.filter(
        status__in=[EventStatus.PENDING, EventStatus.APPROVED], expires_at__lte=clock.now()
    )
    expired = 0
    for event in due.select_related("portfolio"):
        with transaction.atomic():
            # Conditional: an event that was approved or executed a moment ago keeps what it became.
            closed = RebalancingEvent.objects.filter(
                pk=event.pk, status=event.status, expires_at__lte=clock.now()
            ).update(status=EventStatus.EXPIRED)
            if closed:
                audit_append(
                    action="rebalancing.expired",
                    object_type="rebalancing_event",
                    object_id=event.pk,
                    portfolio=event.portfolio,
                    before={"status": event.status},
                    after={"status": EventStatus.EXPIRED},
                )
        expired += closed
    return expired


def proposal_hash(recommendation: Recommendation) -> str:
    """Over everything that was decided on: holdings, prices, targets, policy and the trades themselves."""
    if recommendation.state is None:
        raise ValueError("a recommendation without a state has no hash")
    policy = recommendation.state.policy
    return sha256_of(
        {
            "inputs": _pre_state(recommendation.state),
            "policy": {name: getattr(policy, name) for name in _POLICY_FIELDS},
            "rules": vars(recommendation.rules) if recommendation.rules else None,
            "proposal": recommendation.as_json(),
            "engine_version": ENGINE_VERSION,
        }
    )


_POLICY_FIELDS = tuple(
    policy_field.attname for policy_field in RebalancingPolicy._meta.fields if policy_field.attname != "id"
)


def _open_event(portfolio: Portfolio) -> RebalancingEvent | None:
    return RebalancingEvent.objects.filter(portfolio=portfolio, status__in=OPEN_STATUSES).first()


def _decided_already(recommendation: Recommendation) -> bool:
    """The very same proposal was stored before: it was rejected, cancelled or has expired."""
    return RebalancingEvent.objects.filter(
        portfolio=recommendation.portfolio, proposal_hash=proposal_hash(recommendation)
    ).exists()


def _trigger(state: AllocationState) -> Trigger | None:
    if state.policy.mode == RebalanceMode.BANDS:
        return _threshold_trigger(state)
    if state.policy.mode in (RebalanceMode.INVEST_CASH, RebalanceMode.RAISE_CASH):
        return _cash_trigger(state)
    return _scheduled_trigger(state)


def _threshold_trigger(state: AllocationState) -> Trigger | None:
    if not state.breaches:
        return None
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
    ]
    return Trigger(EventType.THRESHOLD, {"date": state.day.isoformat(), "breaches": evidence})


def _cash_trigger(state: AllocationState) -> Trigger | None:
    policy, value, cash = state.policy, state.value or Decimal(0), state.cash or Decimal(0)
    wanted = max(policy.cash_reserve, value * policy.cash_target_percentage / 100)
    excess = cash - wanted
    investing = policy.mode == RebalanceMode.INVEST_CASH
    if (excess if investing else -excess) <= max(policy.minimum_trade, Decimal(0)):
        return None
    evidence = {
        "date": state.day.isoformat(),
        "cash": f"{cash:.2f}",
        "wanted": f"{wanted:.2f}",
        "excess": f"{excess:.2f}",
    }
    return Trigger(EventType.CASH_FLOW, evidence)


def _scheduled_trigger(state: AllocationState) -> Trigger | None:
    """Due once in every period of the most frequent schedule among the lines."""
    frequencies = {line.allocation.rebalance_frequency for line in state.lines if line.allocation}
    starts = [_period_start(frequency, state.day) for frequency in frequencies]
    start = max((day for day in starts if day is not None), default=None)
    if start is None:
        return None
    scheduled = RebalancingEvent.objects.filter(
        portfolio=state.portfolio, event_type=EventType.SCHEDULED, valuation_date__gte=start
    )
    if scheduled.exists():
        return None
    return Trigger(EventType.SCHEDULED, {"date": state.day.isoformat(), "period_start": start.isoformat()})


def _period_start(frequency: str, day: dt.date) -> dt.date | None:
    if frequency == RebalanceFrequency.DAILY:
        return day
    if frequency == RebalanceFrequency.WEEKLY:
        return day - dt.timedelta(days=day.weekday())
    months = MONTHS_BETWEEN.get(RebalanceFrequency(frequency))
    if months is None:
        return None
    return day.replace(month=(day.month - 1) // months * months + 1, day=1)


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


def _outcome(outcome: Any) -> dict[str, Any]:
    return {
        "symbol": outcome.symbol,
        "target": _text(outcome.target * 100),
        "weight_before": _text(round(outcome.weight_before * 100, 6)),
        "weight_after": _text(round(outcome.weight_after * 100, 6)),
        "side": outcome.trade.side if outcome.trade else None,
        "quantity": _text(outcome.trade.quantity) if outcome.trade else None,
        "reason": outcome.reason,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
