"""manage.py decide_rebalancing"""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.models import RebalancingEvent
from portfolios.models import AuditEvent, Portfolio, PortfolioRole
from tests.support import factories as make

pytestmark = pytest.mark.django_db
HASH = "a" * 64


@pytest.fixture
def event() -> RebalancingEvent:
    portfolio = make.make_portfolio("HOME")
    for name, role in (("anna", PortfolioRole.CHECKER), ("maker", PortfolioRole.MAKER)):
        make.grant(make.make_user(name), portfolio, role)
    return make.make_event(portfolio, proposal_hash=HASH)


def decide(decision: str, event: int, user: str = "anna", *options: str) -> str:
    out = StringIO()
    call_command("decide_rebalancing", decision, str(event), "--user", user, *options, stdout=out)
    return out.getvalue()


def test_it_approves_and_says_so(event: RebalancingEvent) -> None:
    said = decide("approve", event.pk, "anna", "--hash", HASH)
    assert said == f"event {event.pk} of HOME is approved, approvals: 1\n"
    assert AuditEvent.objects.get().action == "rebalancing.approved"


def test_it_answers_programs(event: RebalancingEvent) -> None:
    answer: dict[str, Any] = json.loads(
        decide("reject", event.pk, "anna", "--hash", HASH, "--note", "too dear", "--format", "json")
    )
    assert answer == {
        "event": event.pk,
        "portfolio": "HOME",
        "status": "rejected",
        "version": 1,
        "proposal_hash": HASH,
        "approvals": 0,
    }


def test_under_a_key_it_decides_once(event: RebalancingEvent) -> None:
    for _ in range(2):
        said = decide("cancel", event.pk, "maker", "--note", "the client called", "--key", "k1")
        assert said == f"event {event.pk} of HOME is cancelled, approvals: 0\n"
    assert AuditEvent.objects.get().reason == "the client called"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("approve",), "approve needs the --hash"),
        (("reject", "--note", "no"), "reject needs the --hash"),
        (("reject", "--hash", HASH), "a rejection needs a note"),
        (("cancel", "--note", "no"), "anna may not change proposals for HOME"),
        (("approve", "--hash", "b" * 64), "another proposal than the one looked at"),
        (("approve", "--hash", HASH, "--key", "k" * 129), "at most 128"),
    ],
)
def test_what_is_refused_is_said_and_changes_nothing(
    event: RebalancingEvent, arguments: tuple[str, ...], message: str
) -> None:
    decision, *options = arguments
    with pytest.raises(CommandError, match=message):
        decide(decision, event.pk, "anna", *options)
    assert RebalancingEvent.objects.get().status == "pending"
    assert not AuditEvent.objects.exists()


def test_who_and_what_does_not_exist_is_named(event: RebalancingEvent) -> None:
    with pytest.raises(CommandError, match="there is no event 4711"):
        decide("cancel", 4711, "maker", "--note", "no")
    with pytest.raises(CommandError, match="there is no active user zoe"):
        decide("cancel", event.pk, "zoe", "--note", "no")
    assert Portfolio.objects.get().rebalancing_events.get().status == "pending"
