"""Who may do what: every role against every action, in one table."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import PermissionDenied

from analytics.models import (
    ChangeRequest,
    EventStatus,
    EventType,
    OrderFill,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.services.approvals import event_approve, event_cancel, event_reject
from analytics.services.change_requests import change_approve, change_cancel, change_reject
from analytics.services.event_revisions import event_revise
from analytics.services.execution.completion import event_close_short
from analytics.services.execution.excess_fills import excess_fill_accept, excess_fill_refuse
from analytics.services.execution.fills import fill_book
from analytics.services.execution.order_file import orders_export
from analytics.services.execution.run import event_execute, event_resume
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import PolicyOverrides, rebalancing_recommend
from analytics.services.restriction_changes import restriction_add_or_ask
from analytics.services.triggers import Trigger
from portfolios.models import Portfolio, PortfolioAccess, PortfolioRole
from tests.analytics.services.execution import stage
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]

# What is done, of the person who does it.
Act = Callable[[Any], object]
MAKER, CHECKER, MANAGER, OWNER, SUPERUSER = "maker", "checker", "manager", "owner", "superuser"
CHECKERS_GROUP, FORMER_CHECKER = "member of a checkers' group", "checker who has left"
POWERLESS = ("nobody", "stranger", "viewer", "auditor", "checker of another portfolio", FORMER_CHECKER)
ROLES = (*POWERLESS, MAKER, CHECKER, CHECKERS_GROUP, MANAGER, OWNER, SUPERUSER)
HIGH = {MANAGER, OWNER, SUPERUSER}
MAKERS = HIGH | {MAKER}
CHECKERS = HIGH | {CHECKER, CHECKERS_GROUP}
EITHER = MAKERS | CHECKERS


def person(role: str, portfolio: Portfolio) -> Any:
    if role == "nobody":
        return AnonymousUser()
    if role == "auditor":
        return make.make_auditor()
    if role == SUPERUSER:
        return make.make_superuser()
    user = make.make_user()
    if role == OWNER:
        Portfolio.objects.filter(pk=portfolio.pk).update(owner=user)
    elif role == CHECKERS_GROUP:
        group = Group.objects.create(name="checkers")
        user.groups.add(group)
        PortfolioAccess.objects.create(portfolio=portfolio, group=group, role=PortfolioRole.CHECKER)
    elif role == "checker of another portfolio":
        make.grant(user, make.make_portfolio(), PortfolioRole.CHECKER)
    elif role == FORMER_CHECKER:
        make.grant(user, portfolio, PortfolioRole.CHECKER)
        user.is_active = False
        user.save()
    elif role != "stranger":
        make.grant(user, portfolio, PortfolioRole(role))
    return user


def proposed(portfolio: Portfolio) -> RebalancingEvent:
    for symbol, target in (("AAA", 40), ("BBB", 40)):
        make.make_allocation(portfolio, stage.Asset.objects.get(symbol=symbol), target)
    RebalancingPolicy.objects.update(cash_target_percentage=20)
    found = rebalancing_recommend(portfolio, stage.DAY)
    return event_propose(found, Trigger(EventType.MANUAL, {}), actor=make.make_user())


def approve(portfolio: Portfolio) -> Act:
    event = proposed(portfolio)
    return lambda actor: event_approve(event.pk, actor=actor, proposal_hash=event.proposal_hash)


def reject(portfolio: Portfolio) -> Act:
    event = proposed(portfolio)
    return lambda actor: event_reject(event.pk, actor=actor, proposal_hash=event.proposal_hash, note="no")


def cancel(portfolio: Portfolio) -> Act:
    event = proposed(portfolio)
    return lambda actor: event_cancel(event.pk, actor=actor, reason="no")


def revise(portfolio: Portfolio) -> Act:
    event = proposed(portfolio)
    other = rebalancing_recommend(portfolio, stage.DAY, PolicyOverrides(fee_per_trade=Decimal(7)))
    return lambda actor: event_revise(event.pk, other, actor=actor, reason="fees")


def executing(portfolio: Portfolio) -> RebalancingEvent:
    RebalancingPolicy.objects.update(venue="order_file")
    return event_execute(stage.approved_event(portfolio).pk, actor=None)


def execute(portfolio: Portfolio) -> Act:
    event = stage.approved_event(portfolio)
    return lambda actor: event_execute(event.pk, actor=actor)


def execute_under_a_key(portfolio: Portfolio) -> Act:
    event = stage.approved_event(portfolio)
    return lambda actor: event_execute(event.pk, actor=actor, key="k")


def resume(portfolio: Portfolio) -> Act:
    event = executing(portfolio)
    return lambda actor: event_resume(event.pk, actor=actor)


def close_short(portfolio: Portfolio) -> Act:
    event = executing(portfolio)
    return lambda actor: event_close_short(event.pk, actor=actor, reason="enough")


def export(portfolio: Portfolio) -> Act:
    event = executing(portfolio)
    return lambda actor: orders_export([event.pk], actor=actor)


def excess(portfolio: Portfolio) -> int:
    order = executing(portfolio).orders.get(side="sell")
    fill_book(stage.fill(order, "f1", 12))
    return OrderFill.objects.get(is_excess=True).pk


def accept_excess(portfolio: Portfolio) -> Act:
    fill_id = excess(portfolio)
    return lambda actor: excess_fill_accept(fill_id, actor=actor, reason="yes")


def refuse_excess(portfolio: Portfolio) -> Act:
    fill_id = excess(portfolio)
    return lambda actor: excess_fill_refuse(fill_id, actor=actor, reason="no")


def waiting_change(portfolio: Portfolio) -> ChangeRequest:
    asker = make.make_user()
    make.grant(asker, portfolio, PortfolioRole.MANAGER)
    RebalancingPolicy.objects.update(two_person_changes=True)
    asked = restriction_add_or_ask(
        portfolio,
        actor=asker,
        kind="do_not_buy",
        asset=stage.Asset.objects.get(symbol="AAA"),
        reason="sanctions",
    )
    assert isinstance(asked, ChangeRequest)
    return asked


def approve_change(portfolio: Portfolio) -> Act:
    request = waiting_change(portfolio)
    return lambda actor: change_approve(request.pk, actor=actor)


def reject_change(portfolio: Portfolio) -> Act:
    request = waiting_change(portfolio)
    return lambda actor: change_reject(request.pk, actor=actor, note="no")


def cancel_the_change_of_another(portfolio: Portfolio) -> Act:
    request = waiting_change(portfolio)
    return lambda actor: change_cancel(request.pk, actor=actor)


ACTIONS: dict[Callable[[Portfolio], Act], set[str]] = {
    approve: CHECKERS,
    reject: CHECKERS,
    cancel: MAKERS,
    revise: MAKERS,
    execute: EITHER,
    execute_under_a_key: EITHER,
    resume: EITHER,
    close_short: EITHER,
    export: EITHER,
    accept_excess: CHECKERS,
    refuse_excess: CHECKERS,
    approve_change: CHECKERS,
    reject_change: CHECKERS,
    cancel_the_change_of_another: set(),
}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_each_action_is_open_to_its_roles_and_to_no_other(action: Callable[[Portfolio], Act]) -> None:
    portfolio = stage.make_portfolio()
    act, allowed = action(portfolio), set()
    for role in ROLES:
        with stage.taken_back():
            actor = person(role, portfolio)
            if role in ACTIONS[action]:
                act(actor)
                allowed.add(role)
            else:
                with nothing_written(), pytest.raises(PermissionDenied):
                    act(actor)
    assert allowed == ACTIONS[action]


def test_a_replayed_key_opens_nothing_to_one_who_lost_the_role() -> None:
    portfolio = stage.make_portfolio(venue="order_file")
    user = person(CHECKER, portfolio)
    event = stage.approved_event(portfolio)
    assert event_execute(event.pk, actor=user, key="k").status == EventStatus.EXECUTING
    PortfolioAccess.objects.all().delete()
    with nothing_written(), pytest.raises(PermissionDenied):
        event_execute(event.pk, actor=user, key="k")


def test_who_asked_decides_about_nothing_of_their_own_whatever_the_role() -> None:
    portfolio = stage.make_portfolio()
    deciding = [approve(portfolio)]
    event = RebalancingEvent.objects.get()
    deciding.append(
        lambda actor: event_reject(event.pk, actor=actor, proposal_hash=event.proposal_hash, note="no")
    )
    for role in sorted(CHECKERS):
        with stage.taken_back():
            actor = person(role, portfolio)
            RebalancingEvent.objects.update(requested_by=actor)
            for decide in deciding:
                with nothing_written(), pytest.raises(PermissionDenied, match="made this proposal"):
                    decide(actor)
