"""Decisions about one event in the same instant, in real threads with connections of their own."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from analytics.models import Approval, EventStatus, EventType, RebalancingEvent, RebalancingPolicy
from analytics.services.approvals import (
    event_approve,
    event_approve_automatically,
    event_cancel,
    event_reject,
)
from analytics.services.event_moves import EventConflict, event_lock, event_move
from analytics.services.event_revisions import event_revise
from analytics.services.rebalancing_events import Trigger, event_propose
from analytics.services.rebalancing_recommendation import PolicyOverrides, rebalancing_recommend
from portfolios.models import AuditEvent, Portfolio, PortfolioRole, RequestKey
from portfolios.services.audit import audit_verify
from portfolios.services.request_keys import RequestKeyConflict
from tests.support import factories as make
from tests.support.threads import in_thread

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Decide = Callable[[], object]


@dataclass(frozen=True)
class Desk:
    portfolio: Portfolio
    event: RebalancingEvent
    maker: User
    checkers: list[User]

    def approval(self, checker: int = 0, **options: Any) -> Decide:
        actor, looked_at = self.checkers[checker], self.event.proposal_hash
        return lambda: event_approve(self.event.pk, actor=actor, proposal_hash=looked_at, **options)

    def rejection(self, checker: int = 0) -> Decide:
        actor, looked_at = self.checkers[checker], self.event.proposal_hash
        return lambda: event_reject(self.event.pk, actor=actor, proposal_hash=looked_at, note="no")

    def cancellation(self) -> Decide:
        return lambda: event_cancel(self.event.pk, actor=self.maker, reason="no")

    def execution(self) -> Decide:
        return lambda: event_move(self.event.pk, EventStatus.EXECUTING, actor=None)


@pytest.fixture
def desk() -> Desk:
    portfolio = make.make_portfolio("HOME")
    make.make_transaction(portfolio, amount=10_000)
    asset = make.make_asset("AAA")
    make.make_price(asset)
    make.make_allocation(portfolio, asset, 50)
    RebalancingPolicy.objects.create(
        portfolio=portfolio,
        mode="full",
        cash_target_percentage=50,
        automatic_approval=True,
        automatic_turnover_cap=Decimal(1),
        automatic_value_cap=Decimal(10**6),
    )
    maker, *checkers = [make.make_user(name) for name in ("maker", "anna", "bert", "carl")]
    make.grant(maker, portfolio, PortfolioRole.MAKER)
    for checker in checkers:
        make.grant(checker, portfolio, PortfolioRole.CHECKER)
    found = rebalancing_recommend(portfolio, make.DAY)
    event = event_propose(found, Trigger(EventType.MANUAL, {}), actor=maker)
    return Desk(portfolio, event, maker, checkers)


def need(approvals: int) -> None:
    RebalancingPolicy.objects.update(approvals_needed=approvals)


def in_the_same_instant(desk: Desk, *calls: Decide) -> tuple[list[object], list[BaseException]]:
    """Let the calls go when all of them wait for the event; their results, and what they raised."""
    with transaction.atomic():
        event_lock(desk.event.pk)
        futures = [in_thread(call) for call in calls]
        wait_until_blocked(len(calls))
    errors = [future.exception(timeout=60) for future in futures]
    raised = [error for error in errors if error is not None]
    return [future.result() for future, error in zip(futures, errors, strict=True) if error is None], raised


def wait_until_blocked(count: int) -> None:
    """Until so many connections to the database wait for a lock."""
    end = time.monotonic() + 30
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees one moment only
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            row = cursor.fetchone()
            if row is not None and row[0] >= count:
                return
            assert time.monotonic() < end, f"{row} of {count} wait"
            time.sleep(0.01)


def status() -> str:
    return RebalancingEvent.objects.values_list("status", flat=True).get()


def moves() -> Counter[str]:
    """How many audit rows there are of each decision."""
    rows = AuditEvent.objects.filter(object_type="rebalancing_event").exclude(action="rebalancing.proposed")
    assert audit_verify().is_intact
    return Counter(rows.values_list("action", flat=True))


def one_conflict(raised: list[BaseException], message: str) -> None:
    (error,) = raised
    assert isinstance(error, EventConflict)
    assert message in str(error)


def test_of_two_approvals_one_wins_where_one_is_enough(desk: Desk) -> None:
    done, raised = in_the_same_instant(desk, desk.approval(0), desk.approval(1))
    assert len(done) == 1
    one_conflict(raised, "of HOME is approved already")
    assert (status(), moves()) == ("approved", {"rebalancing.approved": 1})
    approval = Approval.objects.get()
    assert RebalancingEvent.objects.get().approved_by == approval.user


def test_two_approvals_both_count_where_two_are_needed(desk: Desk) -> None:
    need(2)
    done, raised = in_the_same_instant(desk, desk.approval(0), desk.approval(1))
    assert (len(done), raised) == (2, [])
    assert status() == "approved"
    assert moves() == {"rebalancing.approval_given": 1, "rebalancing.approved": 1}
    assert Approval.objects.count() == 2


def test_the_third_of_three_approvals_is_a_conflict_where_two_are_needed(desk: Desk) -> None:
    need(2)
    done, raised = in_the_same_instant(desk, *[desk.approval(checker) for checker in range(3)])
    assert len(done) == 2
    one_conflict(raised, "of HOME is approved already")
    assert moves() == {"rebalancing.approval_given": 1, "rebalancing.approved": 1}
    assert Approval.objects.count() == 2


def test_one_person_has_one_voice_however_often_it_is_raised(desk: Desk) -> None:
    need(2)
    done, raised = in_the_same_instant(desk, desk.approval(0), desk.approval(0))
    assert len(done) == 1
    one_conflict(raised, "anna has approved event")
    assert (status(), moves()) == ("pending", {"rebalancing.approval_given": 1})
    assert Approval.objects.count() == 1


@pytest.mark.parametrize("other", ["cancellation", "rejection"])
@pytest.mark.parametrize("approves_first", [True, False])
def test_an_approval_against_a_withdrawal_or_a_rejection(
    desk: Desk, other: str, approves_first: bool
) -> None:
    calls = [desk.approval(0), desk.cancellation() if other == "cancellation" else desk.rejection(1)]
    done, raised = in_the_same_instant(desk, *(calls if approves_first else calls[::-1]))
    assert len(done) == 1
    became = status()
    assert became in ("approved", "cancelled" if other == "cancellation" else "rejected")
    one_conflict(raised, f"of HOME is {became} and does not become")
    assert moves() == {f"rebalancing.{became}": 1}
    assert Approval.objects.count() == (0 if became == "cancelled" else 1)


def test_an_approval_against_a_revision(desk: Desk) -> None:
    other = rebalancing_recommend(desk.portfolio, make.DAY, PolicyOverrides(fee_per_trade=Decimal(7)))
    done, raised = in_the_same_instant(
        desk,
        desk.approval(0),
        lambda: event_revise(desk.event.pk, other, actor=desk.maker, reason="fee"),
    )
    assert len(done) == 1
    event = RebalancingEvent.objects.get()
    if event.status == EventStatus.APPROVED:
        one_conflict(raised, "of HOME is approved and does not become pending")
        assert (event.version, moves()) == (1, {"rebalancing.approved": 1})
    else:
        one_conflict(raised, "is at version 2: another proposal than the one looked at")
        assert (event.version, moves()) == (2, {"rebalancing.revised": 1})
        assert not Approval.objects.exists()


def test_an_event_is_taken_into_execution_once(desk: Desk) -> None:
    desk.approval()()
    done, raised = in_the_same_instant(desk, *[desk.execution()] * 2)
    assert len(done) == 1
    one_conflict(raised, "of HOME is executing already")
    assert moves() == {"rebalancing.approved": 1, "rebalancing.executing": 1}


def test_a_withdrawal_against_the_execution(desk: Desk) -> None:
    desk.approval()()
    done, raised = in_the_same_instant(desk, desk.execution(), desk.cancellation())
    assert len(done) == 1
    became = status()
    assert became in ("executing", "cancelled")
    one_conflict(raised, f"of HOME is {became} and does not become")
    assert moves() == {"rebalancing.approved": 1, f"rebalancing.{became}": 1}


def test_the_system_approves_once(desk: Desk, settings: Any) -> None:
    settings.AUTOMATIC_APPROVAL = True
    done, raised = in_the_same_instant(desk, *[lambda: event_approve_automatically(desk.event.pk)] * 2)
    assert done == [[]]
    one_conflict(raised, "of HOME is approved already")
    assert moves() == {"rebalancing.approved": 1}
    assert Approval.objects.get().is_automatic


def test_the_same_request_under_one_key_is_carried_out_once_and_answered_twice(desk: Desk) -> None:
    need(2)
    done, raised = in_the_same_instant(desk, *[desk.approval(0, key="k1")] * 2)
    assert (len(done), raised) == (2, [])
    assert {event.pk for event in done if isinstance(event, RebalancingEvent)} == {desk.event.pk}
    assert (status(), moves()) == ("pending", {"rebalancing.approval_given": 1})
    assert (Approval.objects.count(), RequestKey.objects.count()) == (1, 1)


def test_another_request_under_the_same_key_is_a_conflict(desk: Desk) -> None:
    need(2)
    done, raised = in_the_same_instant(
        desk, desk.approval(0, key="k1"), desk.approval(0, key="k1", note="seen")
    )
    assert len(done) == 1
    (error,) = raised
    assert isinstance(error, RequestKeyConflict)
    assert "the key k1 was used before, for rebalancing.approve with another body" in str(error)
    assert moves() == {"rebalancing.approval_given": 1}
    assert (Approval.objects.count(), RequestKey.objects.count()) == (1, 1)
