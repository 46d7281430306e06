"""A line that is committed while a proposal is being made is older than it, and still must stop it."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from analytics.models import EventStatus, EventType, RebalancingEvent, RebalancingPolicy
from analytics.services.approval_rules import automatic_refusals
from analytics.services.approvals import event_approve
from analytics.services.event_expiry import expiry_reason
from analytics.services.event_moves import EventConflict
from analytics.services.event_state import books_changed
from analytics.services.execution.run import event_execute
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import rebalancing_recommend
from analytics.services.triggers import Trigger
from portfolios.models import Asset, ExchangeRate, Portfolio, PortfolioRole, Transaction
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db
DAY = make.DAY
NEXT_DAY = DAY + dt.timedelta(days=1)


@pytest.fixture
def portfolio() -> Portfolio:
    """70 of AAA and 20 of BBB at 100, 500 dollars and 500 euros in cash; to be 45/45/10."""
    portfolio = make.make_portfolio("HOME")
    make.make_exchange_rate(date=DAY, rate=Decimal("1.0837"))
    make.make_transaction(portfolio, amount=9_500)
    make.make_transaction(portfolio, amount=500, currency=make.make_currency("EUR"))
    for symbol, quantity in (("AAA", 70), ("BBB", 20)):
        asset = make.make_asset(symbol)
        make.make_price(asset)
        buy(portfolio, asset, quantity)
        make.make_allocation(portfolio, asset, 45)
    make.make_asset("CCC")
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", cash_target_percentage=10)
    return portfolio


@pytest.fixture
def checker(portfolio: Portfolio) -> User:
    user = make.make_user("checker")
    make.grant(user, portfolio, PortfolioRole.CHECKER)
    return user


def buy(portfolio: Portfolio, asset: Asset, quantity: int, **fields: Any) -> None:
    make.make_transaction(
        portfolio, kind="buy", asset=asset, quantity=quantity, price=100, amount=100 * quantity, **fields
    )


def proposed(portfolio: Portfolio) -> RebalancingEvent:
    return event_propose(rebalancing_recommend(portfolio, DAY), Trigger(EventType.MANUAL, {}))


def slip_in(portfolio: Portfolio, **fields: Any) -> None:
    """A line whose time of booking lies before the proposal, though it did not know of it."""
    symbol = fields.pop("symbol", None)
    if symbol is not None:
        buy(portfolio, Asset.objects.get(symbol=symbol), 3, **fields)
    else:
        make.make_transaction(portfolio, **fields)
    Transaction.objects.update(created_at=RebalancingEvent.objects.get().created_at - dt.timedelta(hours=1))


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "traded": ({"symbol": "AAA"}, "AAA: the books hold 73, the proposal was made from 70"),
    "traded on a later day": (
        {"symbol": "AAA", "trade_date": NEXT_DAY},
        "AAA: the books hold 73, the proposal was made from 70",
    ),
    "cash": ({"amount": 5}, "cash: 1046.85 USD in the books, the proposal was made from 1041.85"),
    "something else, from cash": (
        {"symbol": "CCC"},
        "cash: 741.85 USD in the books, the proposal was made from 1041.85",
    ),
}


@pytest.mark.parametrize(("line", "told"), CHANGES.values(), ids=CHANGES)
def test_what_slipped_in_before_the_approval_stops_it(
    portfolio: Portfolio, checker: User, line: dict[str, Any], told: str
) -> None:
    event = proposed(portfolio)
    assert books_changed(event) == ""
    slip_in(portfolio, **line)
    assert expiry_reason(event) == "", "its time of booking tells nothing"
    with nothing_written(), pytest.raises(EventConflict) as caught:
        event_approve(event.pk, actor=checker, proposal_hash=event.proposal_hash)
    assert str(caught.value).endswith(f"no longer holds: {told}")


@pytest.mark.parametrize(("line", "told"), CHANGES.values(), ids=CHANGES)
def test_what_slipped_in_before_the_execution_stops_it(
    portfolio: Portfolio, checker: User, line: dict[str, Any], told: str
) -> None:
    event = proposed(portfolio)
    event_approve(event.pk, actor=checker, proposal_hash=event.proposal_hash)
    slip_in(portfolio, **line)
    with nothing_written(), pytest.raises(EventConflict) as caught:
        event_execute(event.pk, actor=checker)
    assert str(caught.value).endswith(f"no longer holds: {told}")


def test_the_policy_does_not_approve_it_either(portfolio: Portfolio, settings: Any) -> None:
    settings.AUTOMATIC_APPROVAL = True
    RebalancingPolicy.objects.update(
        automatic_approval=True, automatic_turnover_cap=1, automatic_value_cap=10**6
    )
    proposed(Portfolio.objects.get())
    event = RebalancingEvent.objects.get()
    assert automatic_refusals(event) == []
    slip_in(portfolio, amount=5)
    assert [reason[:5] for reason in automatic_refusals(event)] == ["cash:"]


HARMLESS: dict[str, Callable[[Portfolio], object]] = {
    "nothing": lambda portfolio: None,
    "another portfolio": lambda portfolio: make.make_transaction(make.make_portfolio()),
    "a later rate": lambda portfolio: make.make_exchange_rate(date=NEXT_DAY, rate=Decimal(2)),
    "a line that is not settled": lambda portfolio: slip_in(portfolio, amount=5, status="pending"),
    "a rate that is gone": lambda portfolio: ExchangeRate.objects.all().delete(),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_is_no_change_of_its_books_stops_nothing(
    portfolio: Portfolio, checker: User, change: Callable[[Portfolio], object]
) -> None:
    event = proposed(portfolio)
    change(portfolio)
    event = event_approve(event.pk, actor=checker, proposal_hash=event.proposal_hash)
    assert event.status == EventStatus.APPROVED
