"""Decisions about rebalancing events: approving, rejecting and cancelling them.

A decision is about one version of a proposal, known by its hash. Who made that version, or asked for the
event, does not decide about it. Every function takes the caller's `key`, under which a request that is sent
twice is carried out once. They raise PermissionDenied, ValidationError (a note or reason that is missing),
EventConflict (the event is not what the caller takes it for) and RequestKeyConflict.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from analytics.models import (
    AnalyticsRun,
    Approval,
    Decision,
    EventStatus,
    ProposalVersion,
    RebalancingEvent,
)
from analytics.services.approval_rules import (
    CHECKER_LEVEL,
    automatic_refusals,
    check_maker,
    deciding_user,
    level_of,
    quorum_of,
)
from analytics.services.event_expiry import expiry_reason, policy_of
from analytics.services.event_moves import (
    OBJECT_TYPE,
    EventConflict,
    check_move,
    event_lock,
    event_move,
    event_name,
)
from analytics.services.event_state import books_changed
from portfolio_site.kernel import clock
from portfolios.models import AuditEvent
from portfolios.services.audit import Actor, audit_append
from portfolios.services.request_keys import request_once

REASON_LENGTH: int = AuditEvent._meta.get_field("reason").max_length or 0


def event_approve(
    event_id: int,
    *,
    actor: Actor,
    proposal_hash: str,
    note: str = "",
    level: int | None = None,
    key: str | None = None,
) -> RebalancingEvent:
    """Approve the proposal with this hash; the event itself is approved as soon as enough have.

    `level`: 2 for managers and owners, 1 for checkers (default: the highest the actor has).
    """
    body = {"event": event_id, "proposal_hash": proposal_hash, "note": note, "level": level}
    return event_once(
        key,
        actor,
        "rebalancing.approve",
        body,
        lambda: _approve(event_id, actor, proposal_hash, note.strip(), level),
    )


def event_reject(
    event_id: int, *, actor: Actor, proposal_hash: str, note: str, key: str | None = None
) -> RebalancingEvent:
    """Reject the proposal with this hash, which ends the event: one voice is enough. Its lines stay."""
    body = {"event": event_id, "proposal_hash": proposal_hash, "note": note}
    return event_once(
        key, actor, "rebalancing.reject", body, lambda: _reject(event_id, actor, proposal_hash, note.strip())
    )


def event_cancel(
    event_id: int,
    *,
    actor: Actor,
    reason: str,
    expected: EventStatus | None = None,
    key: str | None = None,
) -> RebalancingEvent:
    """Withdraw an event that is not being executed yet; makers and managers may.

    `expected`: the state the caller saw (default: the present one). A decision taken meanwhile is a conflict.
    """
    body = {"event": event_id, "reason": reason, "expected": expected}
    seen = expected or EventStatus(RebalancingEvent.objects.values_list("status", flat=True).get(pk=event_id))
    return event_once(
        key, actor, "rebalancing.cancel", body, lambda: _cancel(event_id, actor, checked_reason(reason), seen)
    )


@transaction.atomic
def event_approve_automatically(event_id: int) -> list[str]:
    """Approve as the system where the policy allows it; returns why it does not, nothing when approved."""
    event = event_lock(event_id)
    check_move(event, EventStatus.APPROVED)
    reasons = automatic_refusals(event)
    if reasons:
        return reasons
    approval = _approval(event, None, Decision.APPROVED, "within the caps of the policy", CHECKER_LEVEL)
    _move_to_approved(event, [approval], actor=None)
    return []


def events_approve_automatically(run: AnalyticsRun, portfolio_ids: Iterable[int]) -> int:
    """Look at what a run has proposed for some portfolios; return how many events were approved."""
    pending = RebalancingEvent.objects.filter(
        run=run, portfolio__in=list(portfolio_ids), status=EventStatus.PENDING
    )
    ids = pending.order_by("pk").values_list("pk", flat=True)
    return sum(not event_approve_automatically(pk) for pk in ids)


def event_once(
    key: str | None, actor: Actor, action: str, body: Any, decide: Callable[[], RebalancingEvent]
) -> RebalancingEvent:
    """The event as it is now; under a key that was used before without deciding again."""
    if key is None:
        return decide()
    answer = request_once(key, actor, action, body, lambda: {"event": decide().pk})
    return RebalancingEvent.objects.select_related("portfolio").get(pk=answer["event"])


def checked_reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise ValidationError({"reason": "this needs a reason"})
    if len(reason) > REASON_LENGTH:
        raise ValidationError({"reason": f"{len(reason)} characters, at most {REASON_LENGTH} are kept"})
    return reason


def approvals_of(event: RebalancingEvent) -> list[Approval]:
    """The approvals of the present version."""
    return list(
        Approval.objects.filter(
            event=event.pk, proposal_hash=event.proposal_hash, decision=Decision.APPROVED
        ).order_by("pk")
    )


@transaction.atomic
def _approve(
    event_id: int, actor: Actor, proposal_hash: str, note: str, level: int | None
) -> RebalancingEvent:
    event = event_lock(event_id)
    checker = deciding_user(event, actor)
    own_level = level_of(checker, event.portfolio)
    if level is not None and not CHECKER_LEVEL <= level <= own_level:
        raise PermissionDenied(f"{checker.get_username()} may not approve at level {level}")
    check_move(event, EventStatus.APPROVED)
    _check_voice(event, checker, proposal_hash)
    outdated = expiry_reason(event) or books_changed(event)
    if outdated:
        raise EventConflict(f"{event_name(event)} no longer holds: {outdated}")
    if not note:
        _refuse_silence(event)
    _approval(event, checker, Decision.APPROVED, note, level or own_level)
    approvals, quorum = approvals_of(event), quorum_of(event)
    if quorum.is_met([approval.level for approval in approvals]):
        return _move_to_approved(event, approvals, actor=actor, note=note)
    audit_append(
        action="rebalancing.approval_given",
        object_type=OBJECT_TYPE,
        object_id=event.pk,
        actor=actor,
        portfolio=event.portfolio,
        after={
            "proposal_hash": event.proposal_hash,
            "approvals": [approval.pk for approval in approvals],
            "needed": quorum.approvals,
            "level_needed": quorum.level,
        },
        reason=note[:REASON_LENGTH],
    )
    return event


def _move_to_approved(
    event: RebalancingEvent, approvals: list[Approval], *, actor: Actor, note: str = ""
) -> RebalancingEvent:
    return event_move(
        event.pk,
        EventStatus.APPROVED,
        actor=actor,
        expected_version=event.version,
        reason=note[:REASON_LENGTH],
        details={
            "proposal_hash": event.proposal_hash,
            "approvals": [approval.pk for approval in approvals],
            "is_automatic": actor is None,
        },
        approved_by_id=actor.pk if actor is not None else None,
        approved_at=clock.now(),
    )


@transaction.atomic
def _reject(event_id: int, actor: Actor, proposal_hash: str, note: str) -> RebalancingEvent:
    event = event_lock(event_id)
    checker = deciding_user(event, actor)
    check_move(event, EventStatus.REJECTED)
    _check_voice(event, checker, proposal_hash)
    if not note:
        raise ValidationError({"note": "a rejection needs a note that says why"})
    approval = _approval(event, checker, Decision.REJECTED, note, level_of(checker, event.portfolio))
    return event_move(
        event.pk,
        EventStatus.REJECTED,
        actor=actor,
        expected_version=event.version,
        reason=note[:REASON_LENGTH],
        details={"proposal_hash": event.proposal_hash, "approval": approval.pk},
    )


@transaction.atomic
def _cancel(event_id: int, actor: Actor, reason: str, seen: EventStatus) -> RebalancingEvent:
    event = event_lock(event_id)
    check_maker(event, actor)
    return event_move(event.pk, EventStatus.CANCELLED, actor=actor, expected=[seen], reason=reason)


def _check_voice(event: RebalancingEvent, checker: User, proposal_hash: str) -> None:
    """Whether the actor looked at what is decided on, and has not spoken about it yet."""
    if proposal_hash != event.proposal_hash:
        raise EventConflict(
            f"{event_name(event)} is at version {event.version}: another proposal than the one looked at"
        )
    earlier = Approval.objects.filter(event=event.pk, proposal_hash=proposal_hash, user=checker.pk).first()
    if earlier is not None:
        raise EventConflict(f"{checker.get_username()} has {earlier.decision} {event_name(event)} already")


def _refuse_silence(event: RebalancingEvent) -> None:
    if not policy_of(event.portfolio).is_discretionary:
        raise ValidationError({"note": "approvals for a portfolio that is not discretionary need a note"})
    if event.needs_review:
        raise ValidationError({"note": "this proposal needs review; an approval needs a note"})


def _approval(
    event: RebalancingEvent, checker: User | None, decision: Decision, note: str, level: int
) -> Approval:
    version = ProposalVersion.objects.filter(event=event.pk, version=event.version).first()
    maker_id = version.created_by_id if version else None
    approval = Approval(
        event=event,
        user=checker,
        maker_id=maker_id or event.requested_by_id,
        is_automatic=checker is None,
        decision=decision,
        level=level,
        proposal_hash=event.proposal_hash,
        note=note,
        created_at=clock.now(),
    )
    approval.full_clean()
    approval.save(force_insert=True)
    return approval
