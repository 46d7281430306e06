"""Another version of a proposal: what it replaces, what it keeps, who then may decide."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError

from analytics.models import (
    Approval,
    EventStatus,
    EventType,
    ProposalVersion,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.services.approvals import event_approve
from analytics.services.event_moves import EventConflict
from analytics.services.event_revisions import event_revise
from analytics.services.rebalancing_events import Trigger, event_propose
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    Recommendation,
    rebalancing_recommend,
)
from portfolio_site.kernel import clock
from portfolios.models import AuditEvent, Portfolio, PortfolioRole
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY


@pytest.fixture
def portfolio() -> Portfolio:
    """10,000 in cash and half of it to be invested; one approval more than one is needed."""
    portfolio = make.make_portfolio("HOME")
    make.make_transaction(portfolio, amount=10_000)
    asset = make.make_asset("AAA")
    make.make_price(asset, close=Decimal(100))
    make.make_allocation(portfolio, asset, 50)
    RebalancingPolicy.objects.create(
        portfolio=portfolio, mode="full", cash_target_percentage=50, approvals_needed=2, expiry_hours=10
    )
    return portfolio


@pytest.fixture
def maker(portfolio: Portfolio) -> User:
    maker = make.make_user("maker")
    make.grant(maker, portfolio, PortfolioRole.MAKER)
    return maker


@pytest.fixture
def checkers(portfolio: Portfolio) -> list[User]:
    found = [make.make_user(name) for name in ("anna", "bert")]
    for user in found:
        make.grant(user, portfolio, PortfolioRole.CHECKER)
    return found


@pytest.fixture
def event(portfolio: Portfolio, maker: User) -> RebalancingEvent:
    return event_propose(proposal(portfolio), Trigger(EventType.MANUAL, {}), actor=maker)


def proposal(portfolio: Portfolio, **options: Any) -> Recommendation:
    return rebalancing_recommend(portfolio, DAY, PolicyOverrides(**options))


def stored() -> list[Any]:
    tables = (RebalancingEvent, Approval, ProposalVersion, AuditEvent)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    before = stored()
    with pytest.raises(error, match=message):
        call()
    assert stored() == before


def test_an_edit_is_the_next_version_and_voids_the_approvals_of_the_one_before(
    portfolio: Portfolio, maker: User, event: RebalancingEvent, checkers: list[User]
) -> None:
    for checker in checkers:
        approved = event_approve(event.pk, actor=checker, proposal_hash=event.proposal_hash)
    assert approved.status == EventStatus.APPROVED
    other = proposal(portfolio, fee_per_trade=Decimal(7))
    before = clock.now()
    revised = event_revise(event.pk, other, actor=maker, reason="the fee was forgotten")
    assert (revised.status, revised.version) == (EventStatus.PENDING, 2)
    assert (revised.approved_by, revised.approved_at) == (None, None)
    assert revised.proposal_hash == other.proposal_hash != event.proposal_hash
    assert revised.estimated_cost == 7
    assert revised.expires_at is not None
    assert revised.expires_at >= before + dt.timedelta(hours=10)
    # The approvals stay, for the version they were given for.
    assert set(Approval.objects.values_list("proposal_hash", flat=True)) == {event.proposal_hash}
    versions = ProposalVersion.objects.values_list("version", "proposal_hash", "created_by", "reason")
    assert list(versions) == [
        (1, event.proposal_hash, maker.pk, ""),
        (2, other.proposal_hash, maker.pk, "the fee was forgotten"),
    ]
    row = AuditEvent.objects.get(action="rebalancing.revised")
    assert (row.actor, row.reason) == ("maker", "the fee was forgotten")
    assert row.before is not None
    assert row.after is not None
    assert (row.before["status"], row.before["version"]) == ("approved", 1)
    assert (row.before["proposal_hash"], row.after["proposal_hash"]) == (
        event.proposal_hash,
        other.proposal_hash,
    )
    # Both have to approve again.
    for checker, status in zip(checkers, ("pending", "approved"), strict=True):
        found = event_approve(event.pk, actor=checker, proposal_hash=other.proposal_hash)
        assert found.status == status
    assert Approval.objects.count() == 4


def test_an_approval_of_what_was_revised_meanwhile_is_a_conflict(
    portfolio: Portfolio, maker: User, event: RebalancingEvent, checkers: list[User]
) -> None:
    event_revise(event.pk, proposal(portfolio, fee_per_trade=Decimal(7)), actor=maker, reason="fee")
    refused(
        lambda: event_approve(event.pk, actor=checkers[0], proposal_hash=event.proposal_hash),
        EventConflict,
        "is at version 2: another proposal than the one looked at",
    )


def test_who_revised_a_proposal_does_not_check_it(
    portfolio: Portfolio, maker: User, event: RebalancingEvent, checkers: list[User]
) -> None:
    anna = checkers[0]
    make.grant(anna, portfolio, PortfolioRole.MAKER)
    other = proposal(portfolio, fee_per_trade=Decimal(7))
    event_revise(event.pk, other, actor=anna, reason="fee")
    refused(
        lambda: event_approve(event.pk, actor=anna, proposal_hash=other.proposal_hash),
        PermissionDenied,
        "anna made this proposal",
    )
    event_approve(event.pk, actor=checkers[1], proposal_hash=other.proposal_hash)
    assert Approval.objects.get().maker == anna


def test_no_version_comes_back(portfolio: Portfolio, maker: User, event: RebalancingEvent) -> None:
    first, second = proposal(portfolio), proposal(portfolio, fee_per_trade=Decimal(7))
    refused(
        lambda: event_revise(event.pk, first, actor=maker, reason="again"),
        EventConflict,
        "version 1 is the very same proposal",
    )
    event_revise(event.pk, second, actor=maker, reason="fee")
    for found, number in ((first, 1), (second, 2)):
        refused(
            lambda found=found: event_revise(event.pk, found, actor=maker, reason="back"),  # type: ignore[misc]
            EventConflict,
            f"version {number} is the very same proposal",
        )


@pytest.mark.parametrize("role", [None, PortfolioRole.VIEWER, PortfolioRole.CHECKER])
def test_only_makers_and_managers_revise(
    portfolio: Portfolio, event: RebalancingEvent, role: PortfolioRole | None
) -> None:
    dora = make.make_user("dora")
    if role is not None:
        make.grant(dora, portfolio, role)
    other = proposal(portfolio, fee_per_trade=Decimal(7))
    refused(
        lambda: event_revise(event.pk, other, actor=dora, reason="fee"),
        PermissionDenied,
        "dora may not change",
    )


@pytest.mark.parametrize("status", sorted(set(EventStatus) - {"pending", "approved"}))
def test_what_is_executing_or_over_is_not_revised(
    portfolio: Portfolio, maker: User, event: RebalancingEvent, status: str
) -> None:
    other = proposal(portfolio, fee_per_trade=Decimal(7))
    RebalancingEvent.objects.update(status=status)
    refused(
        lambda: event_revise(event.pk, other, actor=maker, reason="late"),
        EventConflict,
        f"is {status} and does not become pending",
    )


def test_a_revision_has_a_reason_and_a_proposal_of_the_same_portfolio(
    portfolio: Portfolio, maker: User, event: RebalancingEvent
) -> None:
    other = proposal(portfolio, fee_per_trade=Decimal(7))
    refused(lambda: event_revise(event.pk, other, actor=maker, reason=""), ValidationError, "needs a reason")
    elsewhere = dataclasses.replace(other, portfolio=make.make_portfolio("AWAY"))
    refused(
        lambda: event_revise(event.pk, elsewhere, actor=maker, reason="fee"),
        ValidationError,
        "a proposal for AWAY does not revise event .* of HOME",
    )


def test_what_is_not_ready_revises_nothing(
    portfolio: Portfolio, maker: User, event: RebalancingEvent
) -> None:
    blocked = proposal(portfolio, mode="raise_cash", raise_amount=Decimal(10**9))
    assert blocked.status == "blocked"
    refused(lambda: event_revise(event.pk, blocked, actor=maker, reason="more"), ValueError, "that is ready")


def test_a_revision_sent_twice_under_a_key_is_one_version(
    portfolio: Portfolio, maker: User, event: RebalancingEvent
) -> None:
    other = proposal(portfolio, fee_per_trade=Decimal(7))
    for _ in range(2):
        assert event_revise(event.pk, other, actor=maker, reason="fee", key="k1").version == 2
    assert ProposalVersion.objects.count() == 2
