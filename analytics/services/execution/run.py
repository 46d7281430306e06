"""Carrying out an approved event, and taking it up again where it stopped."""

import logging

from django.core.exceptions import ValidationError
from django.db import transaction

from analytics.models import EventStatus, ProposalVersion, RebalancingEvent
from analytics.services.approvals import approvals_of, quorum_of
from analytics.services.event_expiry import expiry_reason, policy_of
from analytics.services.event_moves import (
    EventConflict,
    action_of,
    event_lock,
    event_move,
    last_recorded_move,
)
from analytics.services.event_state import books_changed
from analytics.services.execution.checks import execution_conflicts
from analytics.services.execution.completion import event_settle
from analytics.services.execution.exchanges import overdrafts_cover
from analytics.services.execution.fills import FillConflict, fill_book
from analytics.services.execution.orders import open_orders, orders_create, orders_mark_sent
from analytics.services.execution.permissions import check_executor
from analytics.services.execution.venues import VENUES, venue_of
from analytics.services.proposal_documents import document_hash
from portfolio_site.kernel import clock
from portfolios.services.audit import Actor
from portfolios.services.request_keys import request_once

logger = logging.getLogger(__name__)
FAILURE_LENGTH = 1000


def event_execute(event_id: int, *, actor: Actor, key: str | None = None) -> RebalancingEvent:
    """Carry out an approved event; returns it as it is then: completed, executing or failed.

    First, in one transaction, the event becomes executing and gets its orders, or it fails because the books
    no longer bear its trades. Then each fill of its venue is booked in a transaction of its own, so that
    after a crash `event_resume` goes on where it stopped. With `key` the same request is begun once only.

    Raises EventConflict for an event that is not approved, or no longer holds; PermissionDenied.
    """
    if key is None:
        _begin(event_id, actor)
    else:
        body = {"event": event_id}
        request_once(key, actor, "rebalancing.execute", body, lambda: _begin(event_id, actor))
    return _carry_on(event_id, actor)


def event_resume(event_id: int, *, actor: Actor = None) -> RebalancingEvent:
    """Go on with an executing event, wherever it stopped; doing so twice does nothing twice.

    Raises EventConflict and PermissionDenied.
    """
    event = RebalancingEvent.objects.select_related("portfolio").get(pk=event_id)
    check_executor(event.portfolio, actor)
    if event.status != EventStatus.EXECUTING:
        raise EventConflict(f"event {event.pk} of {event.portfolio.code} is {event.status}, not executing")
    return _carry_on(event_id, actor)


def executions_resume() -> list[int]:
    """Go on with all events that a worker may have left behind; returns those that ended by it.

    One whose fill the books refuse waits for a person (`event_close_short`) and holds up no other.
    """
    ended = []
    for event_id in executing_events():
        try:
            event = event_resume(event_id)
        except EventConflict:  # someone else was faster
            continue
        except (FillConflict, ValidationError) as error:
            logger.error("event %s cannot go on: %s", event_id, error)
            continue
        if event.status != EventStatus.EXECUTING:
            ended.append(event_id)
    return ended


def executing_events() -> list[int]:
    """Those that a worker may have left behind."""
    events = RebalancingEvent.objects.filter(status=EventStatus.EXECUTING).order_by("pk")
    return list(events.values_list("pk", flat=True))


@transaction.atomic
def _begin(event_id: int, actor: Actor) -> dict[str, int]:
    event = event_lock(event_id)
    check_executor(event.portfolio, actor)
    _refuse_unapproved(event)
    conflicts = execution_conflicts(event)
    if not conflicts:
        _refuse_outdated(event)
    policy = policy_of(event.portfolio)
    venue = venue_of(event, policy)
    event = event_move(
        event.pk,
        EventStatus.EXECUTING,
        actor=actor,
        expected=[EventStatus.APPROVED],
        expected_version=event.version,
        details={"proposal_hash": event.proposal_hash},
        venue=venue.name,
        execution_started_at=clock.now(),
    )
    if conflicts:
        event_move(
            event.pk,
            EventStatus.FAILED,
            actor=actor,
            failure="; ".join(conflicts)[:FAILURE_LENGTH],
            completed_at=clock.now(),
        )
    else:
        orders_create(event, venue.name, actor=actor)
    return {"event": event.pk}


def _refuse_unapproved(event: RebalancingEvent) -> None:
    """Whether those who had to have said yes, and to this very proposal."""
    name = f"event {event.pk} of {event.portfolio.code}"
    if event.status != EventStatus.APPROVED:
        raise EventConflict(f"{name} is {event.status}, not approved")
    if event.expires_at is not None and event.expires_at <= clock.now():
        _refuse_outdated(event)
    if not quorum_of(event).is_met([approval.level for approval in approvals_of(event)]):
        raise EventConflict(f"{name}: the approvals do not suffice for version {event.version}")
    if last_recorded_move(event) != action_of(EventStatus.APPROVED):
        raise EventConflict(f"{name}: the audit trail knows of no approval")
    version = ProposalVersion.objects.filter(event=event.pk, version=event.version).first()
    if version is not None and not _is_of_version(event, version):
        raise EventConflict(f"{name} is not the proposal that is stored as version {event.version}")


def _is_of_version(event: RebalancingEvent, version: ProposalVersion) -> bool:
    """Whether the trades are those of the version, and the version what its hash says."""
    return (
        event.proposal_hash == version.proposal_hash == document_hash(version.inputs, version.proposal)
        and event.actions == version.proposal["actions"]
    )


def _refuse_outdated(event: RebalancingEvent) -> None:
    outdated = expiry_reason(event) or books_changed(event)
    if outdated:
        raise EventConflict(f"event {event.pk} of {event.portfolio.code} no longer holds: {outdated}")


def _carry_on(event_id: int, actor: Actor) -> RebalancingEvent:
    """Each step is a transaction of its own that finds out by itself what is left to do."""
    event = RebalancingEvent.objects.select_related("portfolio").get(pk=event_id)
    # The same request again under its key has asked nobody yet.
    check_executor(event.portfolio, actor)
    if event.status != EventStatus.EXECUTING:
        return event
    venue = VENUES[event.venue]
    fills = venue.submit(open_orders(event))
    if venue.submits:
        with transaction.atomic():
            orders_mark_sent(event_lock(event_id), actor=actor)
    for fill in fills:
        fill_book(fill, actor=actor)
    if venue.exchanges_cash:
        overdrafts_cover(event_id, actor=actor)
    return event_settle(event_id, actor=actor)
