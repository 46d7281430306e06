"""From one state of a rebalancing event to the next: what is allowed, what it leaves, what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from analytics.models import EventStatus, RebalancingEvent
from analytics.models.rebalancing import OPEN_STATUSES
from analytics.services import event_moves
from analytics.services.event_moves import MOVES, EventConflict, event_lock, event_move
from portfolio_site.kernel import clock
from portfolios.models import AuditEvent
from portfolios.services.audit import audit_verify
from tests.support import factories as make

pytestmark = pytest.mark.django_db
ALLOWED = sorted((state, to) for state, following in MOVES.items() for to in following)
REFUSED = [(state, to) for state in EventStatus for to in EventStatus if (state, to) not in ALLOWED]


def make_event(status: str = EventStatus.PENDING, **fields: Any) -> RebalancingEvent:
    return make.make_event(make.make_portfolio("HOME"), status=status, **fields)


def refused(call: Callable[[], object], message: str) -> None:
    """The call is a conflict that says so, and changes nothing."""
    events, audit_rows = list(RebalancingEvent.objects.values()), AuditEvent.objects.count()
    with pytest.raises(EventConflict) as conflict:
        call()
    assert str(conflict.value) == message
    assert list(RebalancingEvent.objects.values()) == events
    assert AuditEvent.objects.count() == audit_rows


def test_only_open_events_move_on() -> None:
    assert set(MOVES) == set(OPEN_STATUSES)


@pytest.mark.parametrize(("state", "to"), ALLOWED)
def test_an_allowed_move_changes_the_state_and_leaves_one_audit_row(
    state: EventStatus, to: EventStatus
) -> None:
    event, user = make_event(state), make.make_user("anna")
    moved = event_move(event.pk, to, actor=user, reason="because", details={"seen": 1})
    assert moved.status == RebalancingEvent.objects.get().status == to
    row = AuditEvent.objects.get()
    assert row.action == f"rebalancing.{'revised' if to == EventStatus.PENDING else to}"
    assert (row.actor, row.reason, row.portfolio) == ("anna", "because", event.portfolio)
    assert (row.object_type, row.object_id) == ("rebalancing_event", str(event.pk))
    assert (row.before, row.after) == ({"status": state}, {"status": to, "seen": 1})
    assert audit_verify().is_intact


@pytest.mark.parametrize(("state", "to"), REFUSED)
def test_every_other_move_is_a_conflict_that_says_what_the_event_has_become(
    state: EventStatus, to: EventStatus
) -> None:
    event = make_event(state)
    outcome = f"{state} already" if state == to else f"{state} and does not become {to}"
    refused(lambda: event_move(event.pk, to, actor=None), f"event {event.pk} of HOME is {outcome}")


def test_the_second_of_two_identical_calls_gets_the_conflict() -> None:
    event = make_event()
    event_move(event.pk, EventStatus.CANCELLED, actor=None)
    refused(
        lambda: event_move(event.pk, EventStatus.CANCELLED, actor=None),
        f"event {event.pk} of HOME is cancelled already",
    )
    assert AuditEvent.objects.count() == 1


def test_fields_are_set_with_the_state_and_told_of() -> None:
    event, user, now = make_event(), make.make_user(), clock.now()
    moved = event_move(event.pk, EventStatus.APPROVED, actor=user, approved_by=user, approved_at=now)
    assert (moved.approved_by, moved.approved_at) == (user, now)
    row = AuditEvent.objects.get()
    assert row.before == {"status": "pending", "approved_by": None, "approved_at": None}
    assert row.after is not None
    assert (row.after["approved_by"], set(row.after)) == (user.pk, set(row.before))


def test_a_caller_who_expects_another_state_gets_a_conflict() -> None:
    event = make_event(EventStatus.APPROVED)
    refused(
        lambda: event_move(event.pk, EventStatus.EXPIRED, actor=None, expected=[EventStatus.PENDING]),
        f"event {event.pk} of HOME is approved and does not become expired",
    )
    # What is expected does not allow more than the table does.
    refused(
        lambda: event_move(event.pk, EventStatus.FAILED, actor=None, expected=[EventStatus.APPROVED]),
        f"event {event.pk} of HOME is approved and does not become failed",
    )
    moved = event_move(event.pk, EventStatus.EXPIRED, actor=None, expected=[EventStatus.APPROVED])
    assert moved.status == EventStatus.EXPIRED


def test_a_caller_who_knows_another_version_gets_a_conflict() -> None:
    event = make_event(version=2)
    refused(
        lambda: event_move(event.pk, EventStatus.APPROVED, actor=None, expected_version=1),
        f"event {event.pk} of HOME is at version 2 by now, not 1",
    )
    assert event_move(event.pk, EventStatus.APPROVED, actor=None, expected_version=2).status == "approved"


@pytest.mark.parametrize("change", [{"status": EventStatus.CANCELLED}, {"version": 2}])
def test_a_change_past_the_locks_is_noticed_by_the_write_itself(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    event = make_event()

    def lock_and_be_late(event_id: int) -> RebalancingEvent:
        found = event_lock(event_id)
        RebalancingEvent.objects.filter(pk=event_id).update(**change)
        return found

    monkeypatch.setattr(event_moves, "event_lock", lock_and_be_late)
    with pytest.raises(EventConflict, match=f"event {event.pk} of HOME has just been changed"):
        event_move(event.pk, EventStatus.APPROVED, actor=None)
    assert not AuditEvent.objects.exists()


def test_what_the_database_refuses_leaves_nothing() -> None:
    user = make.make_user()
    event = make_event(requested_by=user)
    with pytest.raises(IntegrityError), transaction.atomic():
        event_move(event.pk, EventStatus.APPROVED, actor=user, approved_by=user)
    event.refresh_from_db()
    assert (event.status, event.approved_by) == ("pending", None)
    assert not AuditEvent.objects.exists()


def test_an_event_that_does_not_exist_is_said_to_be_missing() -> None:
    with pytest.raises(RebalancingEvent.DoesNotExist):
        event_move(4711, EventStatus.APPROVED, actor=None)


@pytest.mark.django_db(transaction=True)
def test_an_event_is_locked_inside_a_transaction_only() -> None:
    event = make_event()
    assert not connection.in_atomic_block
    with pytest.raises(RuntimeError, match="inside a transaction"):
        event_lock(event.pk)
