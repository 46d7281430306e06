"""Deciding about proposals: who may, what is asked of the services, and how conflicts are told."""

import io
import zipfile
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from analytics.api import decisions
from analytics.api.serializers import ApprovalSerializer, CancellationSerializer, RejectionSerializer
from analytics.models import Approval, EventStatus, RebalancingEvent, RebalancingOrder, RebalancingPolicy
from analytics.services.evidence_packs import pack_check
from portfolios.models import AuditEvent, Portfolio, PortfolioRole, RequestKey, Transaction
from portfolios.services.audit import audit_verify
from tests.analytics.services.execution import stage
from tests.support import factories as make
from tests.support.api import client_of, detail_url, pointers
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]
HASH, OTHER_HASH = "a" * 64, "b" * 64
NOTE = {"proposal_hash": HASH, "note": "as discussed"}
BODIES: dict[str, dict[str, Any]] = {
    "approve": NOTE,
    "reject": NOTE,
    "cancel": {"reason": "the client called"},
    "execute": {},
}


@pytest.fixture
def portfolio() -> Portfolio:
    return make.make_portfolio("HOME")


def member(portfolio: Portfolio, role: PortfolioRole) -> User:
    user = make.make_user()
    make.grant(user, portfolio, role)
    return user


@pytest.fixture
def maker(portfolio: Portfolio) -> User:
    return member(portfolio, PortfolioRole.MAKER)


@pytest.fixture
def checker(portfolio: Portfolio) -> User:
    return member(portfolio, PortfolioRole.CHECKER)


@pytest.fixture
def event(portfolio: Portfolio, maker: User) -> RebalancingEvent:
    return make.make_event(portfolio, proposal_hash=HASH, requested_by=maker)


def decide(
    event: RebalancingEvent, user: User | None, name: str, body: Any = None, key: str | None = None
) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    address = f"{detail_url('rebalancing-events', event)}{name}/"
    return client_of(user).post(
        address, BODIES[name] if body is None else body, format="json", headers=headers
    )


def problem(response: Any, status: int) -> str:
    assert response.status_code == status
    assert pointers(response) == []
    return str(response.json()["detail"])


def test_a_checker_approves_and_is_answered_with_the_event(event: RebalancingEvent, checker: User) -> None:
    response = decide(event, checker, "approve")
    assert response.status_code == 200
    assert response.json() == client_of(checker).get(detail_url("rebalancing-events", event)).json()
    found = response.json()
    assert (found["status"], found["approved_by"], found["portfolio"]) == (
        "approved",
        checker.username,
        "HOME",
    )
    approval = Approval.objects.get()
    assert (approval.user, approval.note, approval.proposal_hash) == (checker, "as discussed", HASH)
    assert AuditEvent.objects.get().actor == checker.username


def test_the_first_of_two_approvals_leaves_the_event_pending(event: RebalancingEvent, checker: User) -> None:
    RebalancingPolicy.objects.create(portfolio=event.portfolio, approvals_needed=2)
    assert decide(event, checker, "approve", {"proposal_hash": HASH}).json()["status"] == "pending"
    assert decide(event, member(event.portfolio, PortfolioRole.CHECKER), "approve").json()["status"] == (
        "approved"
    )


def test_a_checker_rejects(event: RebalancingEvent, checker: User) -> None:
    assert decide(event, checker, "reject").json()["status"] == "rejected"
    assert Approval.objects.get().note == "as discussed"


def test_a_maker_cancels(event: RebalancingEvent, maker: User) -> None:
    assert decide(event, maker, "cancel").json()["status"] == "cancelled"
    assert AuditEvent.objects.get().reason == "the client called"


def test_what_was_approved_is_executed_and_booked_once() -> None:
    portfolio = stage.make_portfolio()
    event = stage.approved_event(portfolio)
    maker = member(portfolio, PortfolioRole.MAKER)
    first = decide(event, maker, "execute", key="k1")
    assert (first.status_code, first.json()["status"]) == (200, "completed")
    assert len(stage.booked()) == 2
    again = decide(event, maker, "execute", key="k1")
    assert again.json() == first.json()
    assert len(stage.booked()) == 2
    with nothing_written():
        assert "is completed, not approved" in problem(decide(event, maker, "execute", key="k2"), 409)
    assert audit_verify().is_intact


@pytest.mark.parametrize("name", BODIES)
def test_events_that_one_may_not_see_are_not_found(event: RebalancingEvent, name: str) -> None:
    stranger, superuser = make.make_user(), make.make_superuser()
    with nothing_written():
        assert problem(decide(event, stranger, name), 404)
        assert problem(decide(event, None, name), 401)
        event.pk = 10**30
        assert problem(decide(event, superuser, name), 404)


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("approve", [PortfolioRole.VIEWER, PortfolioRole.MAKER]),
        ("reject", [PortfolioRole.VIEWER, PortfolioRole.MAKER]),
        ("cancel", [PortfolioRole.VIEWER, PortfolioRole.CHECKER]),
        ("execute", [PortfolioRole.VIEWER]),
    ],
)
def test_the_wrong_role_may_not(event: RebalancingEvent, name: str, roles: list[PortfolioRole]) -> None:
    if name == "execute":
        RebalancingEvent.objects.update(status=EventStatus.APPROVED)
    users = [make.make_auditor(), *(member(event.portfolio, role) for role in roles)]
    with nothing_written():
        for user in users:
            assert f"{user.username} may not" in problem(decide(event, user, name), 403)


def test_who_made_a_proposal_does_not_approve_it(event: RebalancingEvent, maker: User) -> None:
    make.grant(maker, event.portfolio, PortfolioRole.MANAGER)
    with nothing_written():
        assert "a second person decides" in problem(decide(event, maker, "approve"), 403)


def test_what_has_changed_meanwhile_is_a_conflict(
    event: RebalancingEvent, checker: User, maker: User
) -> None:
    with nothing_written():
        other = decide(event, checker, "approve", {"proposal_hash": OTHER_HASH})
        assert "another proposal than the one looked at" in problem(other, 409)
        seen = decide(event, maker, "cancel", {"reason": "no", "expected": "approved"})
        assert "is pending and does not become cancelled" in problem(seen, 409)
        assert "is pending, not approved" in problem(decide(event, maker, "execute"), 409)
    decide(event, checker, "reject")
    with nothing_written():
        assert "is rejected" in problem(decide(event, checker, "approve"), 409)


def test_under_a_key_a_request_is_carried_out_once(event: RebalancingEvent, checker: User) -> None:
    first = decide(event, checker, "approve", key="k1")
    with nothing_written():
        again = decide(event, checker, "approve", key="k1")
        assert (again.status_code, again.json()) == (200, first.json())
        other = decide(event, checker, "approve", {**NOTE, "note": "other"}, key="k1")
        assert "with another body" in problem(other, 409)
        assert "was used before" in problem(decide(event, checker, "reject", key="k1"), 409)
    assert (Approval.objects.count(), RequestKey.objects.count()) == (1, 1)


@pytest.mark.parametrize("key", ["", "k" * 129])
def test_a_key_that_cannot_be_kept_is_an_error(event: RebalancingEvent, checker: User, key: str) -> None:
    with nothing_written():
        response = decide(event, checker, "approve", key=key)
        assert response.status_code == 400
        assert pointers(response) == ["#/Idempotency-Key"]


@pytest.mark.parametrize(
    ("name", "body", "found"),
    [
        ("approve", {}, ["#/proposal_hash"]),
        ("approve", {"proposal_hash": "A" * 64}, ["#/proposal_hash"]),
        ("approve", {"proposal_hash": HASH + "\n\n"}, []),
        ("approve", {"proposal_hash": HASH, "note": "n" * 1001}, ["#/note"]),
        ("approve", {"proposal_hash": HASH, "note": "n\0"}, ["#/note"]),
        ("approve", [], ["#"]),
        ("reject", {"proposal_hash": HASH}, ["#/note"]),
        ("reject", {"proposal_hash": HASH, "note": "  "}, ["#/note"]),
        ("cancel", {}, ["#/reason"]),
        ("cancel", {"reason": "r" * 501}, ["#/reason"]),
        ("cancel", {"reason": "no", "expected": "open"}, ["#/expected"]),
    ],
)
def test_a_body_that_makes_no_sense_is_pointed_at(
    event: RebalancingEvent, checker: User, maker: User, name: str, body: Any, found: list[str]
) -> None:
    if not found:  # white space around a hash is not part of it
        assert decide(event, checker, name, body).status_code == 200
        return
    with nothing_written():
        response = decide(event, maker if name == "cancel" else checker, name, body)
        assert response.status_code == 400
        assert pointers(response) == found


def test_where_a_note_is_needed_its_absence_is_pointed_at(event: RebalancingEvent, checker: User) -> None:
    RebalancingPolicy.objects.create(portfolio=event.portfolio, is_discretionary=False)
    with nothing_written():
        response = decide(event, checker, "approve", {"proposal_hash": HASH})
        assert response.status_code == 400
        assert pointers(response) == ["#/note"]


@pytest.mark.parametrize("name", BODIES)
def test_deciding_is_not_reading(event: RebalancingEvent, checker: User, name: str) -> None:
    address = f"{detail_url('rebalancing-events', event)}{name}/"
    with nothing_written():
        assert problem(client_of(checker).get(address), 405)


def test_a_session_decides_only_with_its_token(event: RebalancingEvent, checker: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(checker)
    with nothing_written():
        response = client.post(
            f"{detail_url('rebalancing-events', event)}approve/", BODIES["approve"], format="json"
        )
        assert "CSRF" in problem(response, 403)


def test_the_evidence_pack_is_sound_and_taking_it_is_in_the_audit_trail() -> None:
    portfolio = stage.make_portfolio()
    event = stage.approved_event(portfolio)
    viewer = member(portfolio, PortfolioRole.VIEWER)
    address = f"{detail_url('rebalancing-events', event)}evidence-pack/"
    for accepted in ("*/*", "application/zip", "text/html"):
        response = client_of(viewer).get(address, headers={"Accept": accepted})
        assert (response.status_code, response["Content-Type"]) == (200, "application/zip")
    assert response["Content-Disposition"] == f'attachment; filename="HOME-event-{event.pk}.zip"'
    assert "manifest.json" in zipfile.ZipFile(io.BytesIO(response.content)).namelist()
    assert pack_check(response.content).manifest_hash == response["X-Manifest-SHA256"]
    row = AuditEvent.objects.order_by("sequence").last()
    assert row is not None
    assert (row.actor, row.object_id) == (viewer.username, str(event.pk))
    assert row.after is not None
    assert row.after["manifest_hash"] == response["X-Manifest-SHA256"]


def test_nobody_else_gets_an_evidence_pack(event: RebalancingEvent) -> None:
    address = f"{detail_url('rebalancing-events', event)}evidence-pack/"
    stranger = make.make_user()
    with nothing_written():
        response = client_of(stranger).get(address, headers={"Accept": "application/zip"})
        assert problem(response, 404)


def test_a_stranger_learns_nothing_from_a_wrong_body(event: RebalancingEvent) -> None:
    stranger = make.make_user()
    with nothing_written():
        assert problem(decide(event, stranger, "approve", {}), 404)
    assert not RebalancingOrder.objects.exists()
    assert not Transaction.objects.exists()


def test_the_examples_in_the_document_are_valid() -> None:
    for shape, example in (
        (ApprovalSerializer, decisions.approval_example),
        (RejectionSerializer, decisions.rejection_example),
        (CancellationSerializer, decisions.cancellation_example),
    ):
        assert shape(data=example.value).is_valid(raise_exception=True)
