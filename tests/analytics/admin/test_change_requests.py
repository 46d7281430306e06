"""Changes that wait for a second person, in the console: looked at first, then decided by who may."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client

from analytics.models import ChangeRequest, RebalancingPolicy
from analytics.services.policies import policy_change, policy_update
from portfolios.models import Portfolio, PortfolioRole
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, url_of
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio() -> Portfolio:
    return make.make_portfolio("P1")


@pytest.fixture
def checker(portfolio: Portfolio) -> User:
    user = make_reader()
    make.grant(user, portfolio, PortfolioRole.CHECKER)
    return user


@pytest.fixture
def change(portfolio: Portfolio) -> ChangeRequest:
    policy_update(portfolio, two_person_changes=True, cost_rate=Decimal("0.001"))
    maker = make.make_superuser("ann")
    found = policy_change(portfolio, actor=maker, cost_rate=Decimal("0.0025"), reason="<new> broker")
    assert isinstance(found, ChangeRequest)
    return found


def decide(client: Client, action: str, change: ChangeRequest, **answers: str) -> str:
    page = client.post(
        url_of(ChangeRequest, "changelist"),
        {"action": action, "_selected_action": [change.pk], **answers},
        follow=True,
    )
    return page.content.decode()


def confirm(client: Client, action: str, change: ChangeRequest, note: str = "") -> str:
    return decide(client, action, change, confirmed="yes", note=note)


def test_a_checker_sees_what_would_change_and_approves(change: ChangeRequest, checker: User) -> None:
    client = client_of(checker)
    detail = client.get(change_url(change)).content.decode()
    with nothing_written():
        page = decide(client, "approve", change)
    for shown in (detail, page):
        assert "0.001" in shown
        assert "0.0025" in shown
        assert "&lt;new&gt; broker" in shown
    assert f"Change request {change.pk} is approved" in confirm(client, "approve", change, "seen")
    change.refresh_from_db()
    assert (change.decided_by, change.note) == (checker, "seen")
    assert RebalancingPolicy.objects.get().cost_rate == Decimal("0.0025")
    with nothing_written():
        assert "approved by" in confirm(client, "reject", change, "too late")


def test_a_rejection_needs_a_note(change: ChangeRequest, checker: User) -> None:
    client = client_of(checker)
    with nothing_written():
        assert "must say why" in confirm(client, "reject", change)
    assert f"Change request {change.pk} is rejected" in confirm(client, "reject", change, "too dear")
    assert RebalancingPolicy.objects.get().cost_rate == Decimal("0.001")


def test_who_may_not_decide_is_told_so(change: ChangeRequest, portfolio: Portfolio) -> None:
    viewer, stranger = make_reader(), make_reader()
    make.grant(viewer, portfolio)
    ann, looking, passing = map(client_of, (change.requested_by, viewer, stranger))
    with nothing_written():
        assert "another person must decide" in confirm(ann, "approve", change)
        assert "may not decide" in confirm(looking, "approve", change)
        # A row that one may not see cannot be chosen: Django then acts on none.
        assert f"Change request {change.pk}" not in confirm(passing, "approve", change)
