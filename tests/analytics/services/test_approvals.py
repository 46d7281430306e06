"""Who may decide about a rebalancing event, how many have to, and what their decisions do."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction

from analytics.models import Approval, EventStatus, ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services.approval_rules import Quorum, quorum_of
from analytics.services.approvals import (
    event_approve,
    event_approve_automatically,
    event_cancel,
    event_reject,
)
from analytics.services.event_moves import EventConflict
from portfolio_site.kernel import clock
from portfolios.models import AuditEvent, Portfolio, PortfolioAccess, PortfolioRole, RequestKey
from portfolios.services.audit import Actor, audit_verify
from portfolios.services.request_keys import RequestKeyConflict
from tests.support import factories as make

pytestmark = [pytest.mark.django_db, pytest.mark.once]
HASH, OLD_HASH = "a" * 64, "b" * 64


@dataclass(frozen=True)
class Desk:
    """A portfolio, an event that `maker` asked for, and people who may decide about it."""

    portfolio: Portfolio
    event: RebalancingEvent
    maker: User
    anna: User
    bert: User


@pytest.fixture
def desk() -> Desk:
    portfolio = make.make_portfolio("HOME")
    maker, anna, bert = (make.make_user(name) for name in ("maker", "anna", "bert"))
    make.grant(maker, portfolio, PortfolioRole.MAKER)
    make.grant(anna, portfolio, PortfolioRole.CHECKER)
    make.grant(bert, portfolio, PortfolioRole.CHECKER)
    actions = [trade("AAA", "sell", "600.00"), trade("BBB", "buy", "400.00")]
    event = make.make_event(
        portfolio, proposal_hash=HASH, requested_by=maker, actions=actions, turnover=0.1, outcomes=[{"a": 1}]
    )
    return Desk(portfolio, event, maker, anna, bert)


def trade(symbol: str, side: str, amount: str) -> dict[str, Any]:
    return {"asset": 1, "symbol": symbol, "side": side, "quantity": "4", "price": "100", "amount": amount}


def set_policy(desk: Desk, **fields: Any) -> None:
    RebalancingPolicy.objects.update_or_create(portfolio=desk.portfolio, defaults=fields)


def approve(desk: Desk, actor: Actor, **options: Any) -> RebalancingEvent:
    return event_approve(desk.event.pk, actor=actor, **{"proposal_hash": HASH} | options)


def stored() -> list[Any]:
    tables = (RebalancingEvent, Approval, ProposalVersion, AuditEvent, RequestKey)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    """The call raises this, with the message in it, and changes nothing."""
    before = stored()
    with pytest.raises(error, match=message):
        call()
    assert stored() == before


def audit_actions() -> list[str]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


# Approving


def test_one_approval_is_enough_when_the_policy_asks_for_one(desk: Desk) -> None:
    event = approve(desk, desk.anna, note="as discussed")
    assert (event.status, event.approved_by) == (EventStatus.APPROVED, desk.anna)
    assert event.approved_at is not None
    approval = Approval.objects.get()
    assert (approval.user, approval.maker, approval.is_automatic) == (desk.anna, desk.maker, False)
    assert (approval.decision, approval.proposal_hash, approval.note) == ("approved", HASH, "as discussed")
    row = AuditEvent.objects.get()
    assert (row.action, row.actor, row.reason) == ("rebalancing.approved", "anna", "as discussed")
    assert row.after is not None
    assert (row.after["proposal_hash"], row.after["approvals"]) == (HASH, [approval.pk])
    assert audit_verify().is_intact


def test_a_second_identical_approval_is_a_conflict(desk: Desk) -> None:
    approve(desk, desk.anna)
    refused(lambda: approve(desk, desk.anna), EventConflict, "of HOME is approved already")
    refused(lambda: approve(desk, desk.bert), EventConflict, "of HOME is approved already")


def test_two_have_to_approve_when_the_policy_asks_for_two(desk: Desk) -> None:
    set_policy(desk, approvals_needed=2)
    event = approve(desk, desk.anna)
    assert (event.status, event.approved_by, event.approved_at) == ("pending", None, None)
    refused(lambda: approve(desk, desk.anna), EventConflict, "anna has approved event .* already")
    event = approve(desk, desk.bert)
    assert (event.status, event.approved_by) == ("approved", desk.bert)
    assert audit_actions() == ["rebalancing.approval_given", "rebalancing.approved"]
    row = AuditEvent.objects.get(action="rebalancing.approved")
    assert row.after is not None
    assert row.after["approvals"] == list(Approval.objects.order_by("pk").values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("limit", "needed"), [(None, 1), (Decimal("1000"), 1), (Decimal("999.99"), 3), (Decimal("0"), 3)]
)
def test_more_have_to_approve_what_is_traded_above_the_limit(
    desk: Desk, limit: Decimal | None, needed: int
) -> None:
    set_policy(desk, large_trade_value=limit, approvals_needed_when_large=3)
    assert quorum_of(desk.event) == Quorum(needed, level=1)


def test_a_large_trade_never_needs_fewer_approvals(desk: Desk) -> None:
    set_policy(desk, approvals_needed=3, large_trade_value=1, approvals_needed_when_large=2)
    assert quorum_of(desk.event).approvals == 3


def test_where_there_is_a_manager_one_of_several_approvals_is_a_managers(desk: Desk) -> None:
    set_policy(desk, approvals_needed=2)
    carla = make.make_user("carla")
    make.grant(carla, desk.portfolio, PortfolioRole.MANAGER)
    approve(desk, desk.anna)
    assert approve(desk, desk.bert).status == "pending"
    assert approve(desk, carla).status == "approved"
    assert list(Approval.objects.order_by("pk").values_list("level", flat=True)) == [1, 1, 2]


def test_a_manager_through_a_group_counts_and_one_who_cannot_approve_does_not(desk: Desk) -> None:
    set_policy(desk, approvals_needed=2)
    make.grant(desk.maker, desk.portfolio, PortfolioRole.MANAGER)
    gone = make.make_user(is_active=False)
    make.grant(gone, desk.portfolio, PortfolioRole.MANAGER)
    make.grant(make.make_user(), make.make_portfolio(), PortfolioRole.MANAGER)
    assert quorum_of(desk.event).level == 1
    managers = Group.objects.create(name="managers")
    make.make_user().groups.add(managers)
    PortfolioAccess.objects.create(portfolio=desk.portfolio, group=managers, role=PortfolioRole.MANAGER)
    assert quorum_of(desk.event).level == 2


def test_a_level_above_ones_own_is_refused_and_one_below_is_taken(desk: Desk) -> None:
    carla = make.make_superuser("carla")
    refused(lambda: approve(desk, desk.anna, level=2), PermissionDenied, "anna may not approve at level 2")
    refused(lambda: approve(desk, carla, level=0), PermissionDenied, "at level 0")
    approve(desk, carla, level=1)
    assert Approval.objects.get().level == 1


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (None, False),
        (PortfolioRole.VIEWER, False),
        (PortfolioRole.MAKER, False),
        (PortfolioRole.CHECKER, True),
        (PortfolioRole.MANAGER, True),
    ],
)
def test_checkers_and_managers_of_the_portfolio_decide(
    desk: Desk, role: PortfolioRole | None, may: bool
) -> None:
    dora = make.make_user("dora")
    make.grant(dora, make.make_portfolio(), PortfolioRole.MANAGER)  # elsewhere
    if role is not None:
        make.grant(dora, desk.portfolio, role)
    if may:
        assert approve(desk, dora).status == "approved"
        return
    for decide in (
        lambda: approve(desk, dora),
        lambda: event_reject(desk.event.pk, actor=dora, proposal_hash=HASH, note="no"),
    ):
        refused(decide, PermissionDenied, "dora may not decide about HOME")


def test_superusers_and_owners_decide_nobody_and_the_inactive_do_not(desk: Desk) -> None:
    gone = make.make_user("gone", is_active=False)
    make.grant(gone, desk.portfolio, PortfolioRole.CHECKER)
    refused(lambda: approve(desk, gone), PermissionDenied, "gone may not")
    refused(lambda: approve(desk, None), PermissionDenied, "nobody may not")
    refused(lambda: approve(desk, AnonymousUser()), PermissionDenied, "nobody may not")
    refused(lambda: approve(desk, make.make_auditor("auditor")), PermissionDenied, "auditor may not")
    assert approve(desk, make.make_superuser()).status == "approved"


def test_the_owner_of_the_portfolio_decides(desk: Desk) -> None:
    owner = make.make_user()
    Portfolio.objects.update(owner=owner)
    assert approve(desk, owner).status == "approved"


@pytest.mark.parametrize("rank", ["manager", "owner", "superuser"])
def test_who_asked_for_the_event_does_not_decide_about_it_whatever_the_rank(desk: Desk, rank: str) -> None:
    if rank == "manager":
        make.grant(desk.maker, desk.portfolio, PortfolioRole.MANAGER)
    elif rank == "owner":
        Portfolio.objects.update(owner=desk.maker)
    else:
        User.objects.filter(pk=desk.maker.pk).update(is_superuser=True)
        desk.maker.refresh_from_db()
    refused(lambda: approve(desk, desk.maker), PermissionDenied, "maker made this proposal")
    refused(
        lambda: event_reject(desk.event.pk, actor=desk.maker, proposal_hash=HASH, note="no"),
        PermissionDenied,
        "maker made this proposal",
    )


def test_who_made_the_present_version_does_not_decide_about_it(desk: Desk) -> None:
    ProposalVersion.objects.create(
        event=desk.event, version=1, inputs={}, proposal={}, proposal_hash=HASH, created_by=desk.anna
    )
    refused(lambda: approve(desk, desk.anna), PermissionDenied, "anna made this proposal")
    # Nor does the one who asked for the event, though the version is another's.
    make.grant(desk.maker, desk.portfolio, PortfolioRole.CHECKER)
    refused(lambda: approve(desk, desk.maker), PermissionDenied, "maker made this proposal")
    approve(desk, desk.bert)
    assert Approval.objects.get().maker == desk.anna


def test_the_database_knows_that_maker_is_not_checker(desk: Desk) -> None:
    voice = {"event": desk.event, "decision": "approved", "proposal_hash": HASH}
    before = stored()
    for wrong in (
        lambda: Approval.objects.create(user=desk.maker, maker=desk.maker, **voice),
        lambda: Approval.objects.create(user=None, maker=desk.maker, **voice),
        lambda: RebalancingEvent.objects.update(approved_by=desk.maker),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            wrong()
    assert stored() == before


@pytest.mark.parametrize("looked_at", [OLD_HASH, "", HASH[:12]])
def test_what_was_looked_at_must_be_what_is_decided_on(desk: Desk, looked_at: str) -> None:
    refused(
        lambda: approve(desk, desk.anna, proposal_hash=looked_at),
        EventConflict,
        "is at version 1: another proposal than the one looked at",
    )
    refused(
        lambda: event_reject(desk.event.pk, actor=desk.anna, proposal_hash=looked_at, note="no"),
        EventConflict,
        "another proposal",
    )


def test_approvals_of_another_version_do_not_count(desk: Desk) -> None:
    set_policy(desk, approvals_needed=2)
    Approval.objects.create(event=desk.event, user=desk.anna, decision="approved", proposal_hash=OLD_HASH)
    assert approve(desk, desk.bert).status == "pending"
    # Who approved an older version has a voice about this one.
    assert approve(desk, desk.anna).status == "approved"


def test_a_portfolio_that_is_not_discretionary_is_approved_with_a_note_only(desk: Desk) -> None:
    set_policy(desk, is_discretionary=False)
    refused(lambda: approve(desk, desk.anna), ValidationError, "not discretionary need a note")
    refused(lambda: approve(desk, desk.anna, note=" \n"), ValidationError, "not discretionary need a note")
    assert approve(desk, desk.anna, note="the client agreed on the telephone").status == "approved"


def test_what_needs_review_is_approved_with_a_note_only(desk: Desk) -> None:
    RebalancingEvent.objects.update(needs_review=True)
    refused(lambda: approve(desk, desk.anna), ValidationError, "needs review")
    assert approve(desk, desk.anna, note="seen").status == "approved"


def test_a_note_that_does_not_fit_is_refused(desk: Desk) -> None:
    refused(lambda: approve(desk, desk.anna, note="x" * 1001), ValidationError, "at most 1000")
    assert approve(desk, desk.anna, note="x" * 1000).status == "approved"
    assert (len(Approval.objects.get().note), len(AuditEvent.objects.get().reason)) == (1000, 500)


def test_what_has_outlived_its_policy_is_not_approved(desk: Desk) -> None:
    RebalancingEvent.objects.update(expires_at=clock.now() - dt.timedelta(seconds=1))
    refused(lambda: approve(desk, desk.anna), EventConflict, "no longer holds: it was valid until")


@pytest.mark.parametrize("status", sorted(set(EventStatus) - {EventStatus.PENDING}))
def test_only_a_pending_event_is_approved_or_rejected(desk: Desk, status: str) -> None:
    RebalancingEvent.objects.update(status=status)
    refused(lambda: approve(desk, desk.anna), EventConflict, f"of HOME is {status}")
    refused(
        lambda: event_reject(desk.event.pk, actor=desk.anna, proposal_hash=HASH, note="no"),
        EventConflict,
        f"of HOME is {status}",
    )


# Rejecting


def test_a_rejection_ends_the_event_and_keeps_everything(desk: Desk) -> None:
    set_policy(desk, approvals_needed=2)
    approve(desk, desk.anna)
    kept = RebalancingEvent.objects.values("actions", "outcomes", "proposal_hash", "pre_state").get()
    event = event_reject(desk.event.pk, actor=desk.bert, proposal_hash=HASH, note="too dear")
    assert (event.status, event.approved_by) == ("rejected", None)
    assert RebalancingEvent.objects.values(*kept).get() == kept
    assert list(Approval.objects.order_by("pk").values_list("user__username", "decision", "note")) == [
        ("anna", "approved", ""),
        ("bert", "rejected", "too dear"),
    ]
    assert audit_actions() == ["rebalancing.approval_given", "rebalancing.rejected"]
    assert AuditEvent.objects.get(action="rebalancing.rejected").reason == "too dear"


def test_a_rejection_says_why(desk: Desk) -> None:
    refused(
        lambda: event_reject(desk.event.pk, actor=desk.anna, proposal_hash=HASH, note=" "),
        ValidationError,
        "a rejection needs a note",
    )


def test_who_approved_a_version_does_not_reject_it_as_well(desk: Desk) -> None:
    set_policy(desk, approvals_needed=2)
    approve(desk, desk.anna)
    refused(
        lambda: event_reject(desk.event.pk, actor=desk.anna, proposal_hash=HASH, note="after all"),
        EventConflict,
        "anna has approved event .* already",
    )


# Cancelling


@pytest.mark.parametrize("status", [EventStatus.PENDING, EventStatus.APPROVED])
@pytest.mark.parametrize(
    ("role", "may"),
    [
        (PortfolioRole.VIEWER, False),
        (PortfolioRole.CHECKER, False),
        (PortfolioRole.MAKER, True),
        (PortfolioRole.MANAGER, True),
    ],
)
def test_makers_and_managers_withdraw_what_is_not_executing(
    desk: Desk, status: str, role: PortfolioRole, may: bool
) -> None:
    RebalancingEvent.objects.update(status=status)
    dora = make.make_user("dora")
    make.grant(dora, desk.portfolio, role)

    def cancel() -> RebalancingEvent:
        return event_cancel(desk.event.pk, actor=dora, reason="the client called")

    if may:
        assert cancel().status == "cancelled"
        row = AuditEvent.objects.get()
        assert (row.action, row.actor, row.reason) == ("rebalancing.cancelled", "dora", "the client called")
        refused(cancel, EventConflict, "of HOME is cancelled already")
    else:
        refused(cancel, PermissionDenied, "dora may not change proposals for HOME")


@pytest.mark.parametrize(
    ("reason", "message"), [("", "needs a reason"), (" ", "needs a reason"), ("x" * 501, "501 characters")]
)
def test_a_withdrawal_has_a_reason_that_can_be_kept(desk: Desk, reason: str, message: str) -> None:
    refused(lambda: event_cancel(desk.event.pk, actor=desk.maker, reason=reason), ValidationError, message)


def test_who_saw_the_event_pending_does_not_withdraw_it_approved(desk: Desk) -> None:
    approve(desk, desk.anna)

    def cancel(**options: Any) -> RebalancingEvent:
        return event_cancel(desk.event.pk, actor=desk.maker, reason="no", **options)

    refused(
        lambda: cancel(expected=EventStatus.PENDING),
        EventConflict,
        "of HOME is approved and does not become cancelled",
    )
    assert cancel(expected=EventStatus.APPROVED).status == "cancelled"


def test_what_is_executing_or_over_is_not_withdrawn(desk: Desk) -> None:
    for status in ("executing", "completed", "failed", "rejected", "expired"):
        RebalancingEvent.objects.update(status=status)
        refused(
            lambda: event_cancel(desk.event.pk, actor=desk.maker, reason="late"),
            EventConflict,
            f"of HOME is {status} and does not become cancelled",
        )


# Without a person


@pytest.fixture
def automatic(desk: Desk, settings: Any) -> Desk:
    """A desk whose policy lets the event pass, each cap met exactly."""
    settings.AUTOMATIC_APPROVAL = True
    set_policy(
        desk,
        automatic_approval=True,
        automatic_turnover_cap=Decimal("0.1"),
        automatic_value_cap=Decimal(1000),
    )
    return desk


def test_within_the_caps_the_system_approves(automatic: Desk) -> None:
    assert event_approve_automatically(automatic.event.pk) == []
    event = RebalancingEvent.objects.get()
    assert (event.status, event.approved_by) == ("approved", None)
    assert event.approved_at is not None
    approval = Approval.objects.get()
    assert (approval.is_automatic, approval.user, approval.maker) == (True, None, automatic.maker)
    row = AuditEvent.objects.get()
    assert (row.action, row.actor) == ("rebalancing.approved", "system")
    assert row.after is not None
    assert row.after["is_automatic"] is True


@pytest.mark.parametrize(
    ("policy", "event", "reason"),
    [
        ({"automatic_approval": False}, {}, "the policy does not allow"),
        ({"automatic_turnover_cap": Decimal("0.09999999")}, {}, "the turnover is above 0.09999999"),
        ({"automatic_value_cap": Decimal("999.99")}, {}, "the traded value is above 999.99"),
        ({"automatic_turnover_cap": 0, "automatic_value_cap": 0}, {}, "the turnover is above 0"),
        ({"is_discretionary": False}, {}, "not discretionary"),
        ({"large_trade_value": Decimal(999)}, {}, "needs more approvals"),
        ({}, {"needs_review": True}, "needs review"),
        ({}, {"turnover": None}, "the turnover is unknown"),
        ({}, {"expires_at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}, "it was valid until 2024-01-01"),
    ],
)
def test_whatever_the_policy_does_not_allow_waits_for_persons(
    automatic: Desk, policy: dict[str, Any], event: dict[str, Any], reason: str
) -> None:
    set_policy(automatic, **policy)
    RebalancingEvent.objects.update(**event)
    before = stored()
    assert any(reason in found for found in event_approve_automatically(automatic.event.pk))
    assert stored() == before


def test_where_the_switch_is_off_persons_approve(automatic: Desk, settings: Any) -> None:
    settings.AUTOMATIC_APPROVAL = False
    before = stored()
    assert event_approve_automatically(automatic.event.pk) == ["automatic approval is switched off"]
    assert stored() == before


def test_the_system_does_not_approve_what_is_decided(automatic: Desk) -> None:
    event_cancel(automatic.event.pk, actor=automatic.maker, reason="no")
    refused(
        lambda: event_approve_automatically(automatic.event.pk),
        EventConflict,
        "cancelled and does not become",
    )


# Under a key


def test_an_approval_sent_twice_under_a_key_counts_once(desk: Desk) -> None:
    set_policy(desk, approvals_needed=2)
    first = approve(desk, desk.anna, key="k1")
    before = stored()
    again = approve(desk, desk.anna, key="k1")
    assert (first.pk, first.status) == (again.pk, again.status) == (desk.event.pk, "pending")
    assert stored() == before
    refused(lambda: approve(desk, desk.anna, note="other", key="k1"), RequestKeyConflict, "another body")


def test_decisions_of_every_kind_take_a_key(desk: Desk) -> None:
    for _ in range(2):
        assert approve(desk, desk.anna, key="a").status == "approved"
    for _ in range(2):
        assert event_cancel(desk.event.pk, actor=desk.maker, reason="no", key="c").status == "cancelled"
    other = make.make_event(desk.portfolio, proposal_hash=OLD_HASH)
    for _ in range(2):
        rejected = event_reject(other.pk, actor=desk.bert, proposal_hash=OLD_HASH, note="no", key="r")
        assert rejected.status == "rejected"
    assert audit_actions() == ["rebalancing.approved", "rebalancing.cancelled", "rebalancing.rejected"]


def test_a_refused_decision_leaves_its_key_free(desk: Desk) -> None:
    refused(lambda: approve(desk, desk.maker, key="k1"), PermissionDenied, "maker may not")
    set_policy(desk, is_discretionary=False)
    refused(lambda: approve(desk, desk.anna, key="k1"), ValidationError, "need a note")
    assert approve(desk, desk.anna, key="k1", note="seen").status == "approved"
