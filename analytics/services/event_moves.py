"""The states of a rebalancing event, and the one way from one to the next."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models, transaction

from analytics.models import EventStatus, RebalancingEvent
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import AuditEvent, Portfolio
from portfolios.services.audit import Actor, audit_append

OBJECT_TYPE = "rebalancing_event"
# From each state to the next; a state that is not named here is an end. Pending again: revised.
MOVES: Mapping[EventStatus, frozenset[EventStatus]] = {
    EventStatus.PENDING: frozenset(
        {
            EventStatus.PENDING,
            EventStatus.APPROVED,
            EventStatus.REJECTED,
            EventStatus.CANCELLED,
            EventStatus.EXPIRED,
        }
    ),
    EventStatus.APPROVED: frozenset(
        {EventStatus.PENDING, EventStatus.EXECUTING, EventStatus.CANCELLED, EventStatus.EXPIRED}
    ),
    EventStatus.EXECUTING: frozenset({EventStatus.COMPLETED, EventStatus.FAILED}),
}
ACTIONS = {EventStatus.PENDING: "rebalancing.revised"}


class EventConflict(Exception):
    """The event is no longer what the caller takes it for; the text says what it has become."""


def event_lock(event_id: int) -> RebalancingEvent:
    """Lock the portfolio and the event until the transaction ends; returns the event as it is now."""
    portfolio_id = RebalancingEvent.objects.values_list("portfolio", flat=True).get(pk=event_id)
    lock_rows(Portfolio, [portfolio_id])
    lock_rows(RebalancingEvent, [event_id])
    return RebalancingEvent.objects.select_related("portfolio").get(pk=event_id)


@transaction.atomic
def event_move(
    event_id: int,
    to: EventStatus,
    *,
    actor: Actor,
    expected: Iterable[EventStatus] = (),
    expected_version: int | None = None,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
    **fields: Any,
) -> RebalancingEvent:
    """Bring the event to its next state and set `fields` with it; `details` go into the audit row only.

    Raises EventConflict when the event is in none of the `expected` states (default: all that lead there),
    or at another version of its proposal than the caller knows.
    """
    event = event_lock(event_id)
    check_move(event, to, expected=expected, expected_version=expected_version)
    before = {"status": event.status} | {name: getattr(event, _column(name)) for name in fields}
    # The lock keeps away all who ask for it, the condition also those who do not.
    moved = RebalancingEvent.objects.filter(pk=event.pk, status=event.status, version=event.version).update(
        status=to, **fields
    )
    if not moved:
        raise EventConflict(f"{event_name(event)} has just been changed")
    audit_append(
        action=action_of(to),
        object_type=OBJECT_TYPE,
        object_id=event.pk,
        actor=actor,
        portfolio=event.portfolio,
        before=before,
        after={"status": to} | {name: _plain(value) for name, value in fields.items()} | dict(details or {}),
        reason=reason,
    )
    event.refresh_from_db()
    return event


def last_recorded_move(event: RebalancingEvent) -> str | None:
    """The action of the last move that the audit trail knows of, such as "rebalancing.approved"."""
    moves = AuditEvent.objects.filter(
        object_type=OBJECT_TYPE, object_id=str(event.pk), action__in=[action_of(to) for to in EventStatus]
    )
    return moves.order_by("-sequence").values_list("action", flat=True).first()


def action_of(to: EventStatus) -> str:
    return ACTIONS.get(to, f"rebalancing.{to}")


def check_move(
    event: RebalancingEvent,
    to: EventStatus,
    *,
    expected: Iterable[EventStatus] = (),
    expected_version: int | None = None,
) -> None:
    """Raises EventConflict when the event does not go there from where it is."""
    name, status = event_name(event), EventStatus(event.status)
    allowed = {state for state, following in MOVES.items() if to in following}
    if status not in allowed & set(expected or allowed):
        if status == to:
            raise EventConflict(f"{name} is {status} already")
        raise EventConflict(f"{name} is {status} and does not become {to}")
    if expected_version is not None and event.version != expected_version:
        raise EventConflict(f"{name} is at version {event.version} by now, not {expected_version}")


def event_name(event: RebalancingEvent) -> str:
    """As messages call it."""
    return f"event {event.pk} of {event.portfolio.code}"


def _column(name: str) -> str:
    field = RebalancingEvent._meta.get_field(name)
    return field.attname if isinstance(field, models.Field) else name


def _plain(value: Any) -> Any:
    return value.pk if isinstance(value, models.Model) else value
