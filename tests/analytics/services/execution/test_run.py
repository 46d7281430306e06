"""From an approved event to booked trades, and what may stand against it."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from analytics.models import (
    Approval,
    Decision,
    EventStatus,
    OrderStatus,
    RebalancingEvent,
    RebalancingOrder,
    RebalancingPolicy,
)
from analytics.services.event_moves import EventConflict
from analytics.services.execution import run
from analytics.services.execution.completion import event_close_short
from analytics.services.execution.run import (
    event_execute,
    event_resume,
    executing_events,
    executions_resume,
)
from portfolio_site.kernel import clock
from portfolios.models import CorporateAction, Portfolio, PortfolioRole, PriceBar
from portfolios.services.audit import audit_verify
from portfolios.services.request_keys import RequestKeyConflict
from portfolios.services.transactions import transaction_create
from tests.analytics.services.execution import stage
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio()


def nothing_was_done(event: RebalancingEvent) -> bool:
    event.refresh_from_db()
    return not stage.booked() and not event.orders.exists()


def test_an_approved_event_is_executed_on_paper(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    done = event_execute(event.pk, actor=None)
    assert (done.status, done.venue, done.failure) == (EventStatus.COMPLETED, "paper", "")
    assert stage.quantities(portfolio) == {"AAA": 50, "BBB": 15}
    assert stage.cash(portfolio) == {"USD": Decimal(1998)}
    assert done.actual_cost == done.estimated_cost == 2
    assert done.execution_started_at is not None
    assert done.completed_at is not None
    assert audit_verify().is_intact


def test_sales_come_before_buys_and_orders_are_named_after_event_version_and_place(
    portfolio: Portfolio,
) -> None:
    event = stage.approved_event(portfolio)
    event_execute(event.pk, actor=None)
    orders = RebalancingOrder.objects.order_by("position")
    assert [(order.side, order.asset.symbol, order.client_order_id) for order in orders] == [
        ("sell", "AAA", f"RB-{event.pk}-1-1"),
        ("buy", "BBB", f"RB-{event.pk}-1-2"),
    ]
    assert [row.external_id for row in stage.booked()] == [f"RB-{event.pk}-1-{n}/paper" for n in (1, 2)]


def test_each_move_and_each_fill_has_one_audit_row(portfolio: Portfolio) -> None:
    event_execute(stage.approved_event(portfolio).pk, actor=None)
    filled = ["transaction.created", "order.filled"]
    assert stage.audit_actions() == [
        "rebalancing.executing",
        "orders.created",
        "orders.sent",
        *filled,
        *filled,
        "rebalancing.completed",
    ]


@pytest.mark.parametrize(
    "status", [status for status in EventStatus if status != EventStatus.APPROVED], ids=str
)
def test_only_an_approved_event_is_executed(portfolio: Portfolio, status: EventStatus) -> None:
    event = stage.approved_event(portfolio, status=status)
    with pytest.raises(EventConflict, match=f"is {status}, not approved"):
        event_execute(event.pk, actor=None)
    assert nothing_was_done(event)
    assert event.status == status


def test_a_second_execution_is_a_conflict_and_books_nothing_twice(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    event_execute(event.pk, actor=None)
    before = stage.footprint(portfolio)
    with pytest.raises(EventConflict, match="is completed, not approved"):
        event_execute(event.pk, actor=None)
    with pytest.raises(EventConflict, match="is completed, not executing"):
        event_resume(event.pk)
    assert stage.footprint(portfolio) == before


def test_the_same_key_executes_once_and_answers_again(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    first = event_execute(event.pk, actor=None, key="k1")
    before = stage.footprint(portfolio)
    assert event_execute(event.pk, actor=None, key="k1") == first
    assert stage.footprint(portfolio) == before
    with pytest.raises(RequestKeyConflict):
        event_execute(event.pk + 1, actor=None, key="k1")


def test_an_expired_approval_is_not_executed(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio, expires_at=clock.now() - dt.timedelta(minutes=1))
    with pytest.raises(EventConflict, match="no longer holds: it was valid until"):
        event_execute(event.pk, actor=None)
    assert nothing_was_done(event)


def test_an_approval_of_another_version_does_not_count(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio, version=2, proposal_hash="b" * 64)
    with pytest.raises(EventConflict, match="approvals do not suffice"):
        event_execute(event.pk, actor=None)
    assert nothing_was_done(event)


def test_a_booking_since_the_approval_that_does_no_harm_still_ends_it(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    make.make_transaction(portfolio, kind="deposit", amount=100, trade_date=stage.DAY)
    with pytest.raises(EventConflict, match="was booked since"):
        event_execute(event.pk, actor=None)
    assert nothing_was_done(event)


def sell_most(portfolio: Portfolio) -> None:
    make.make_transaction(
        portfolio,
        kind="sell",
        asset=stage.Asset.objects.get(symbol="AAA"),
        quantity=55,
        price=100,
        amount=5500,
        trade_date=stage.DAY,
    )


def withdraw(portfolio: Portfolio) -> None:
    make.make_transaction(portfolio, kind="withdrawal", amount=1999, trade_date=stage.DAY)


def split(portfolio: Portfolio) -> None:
    CorporateAction.objects.create(
        asset=stage.Asset.objects.get(symbol="AAA"),
        ex_date=stage.DAY + dt.timedelta(days=1),
        kind="split",
        ratio_new=2,
        ratio_old=1,
    )


def forget_prices(portfolio: Portfolio) -> None:
    PriceBar.objects.filter(asset__symbol="BBB").delete()


def close_portfolio(portfolio: Portfolio) -> None:
    Portfolio.objects.filter(pk=portfolio.pk).update(status="closed")


@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        (sell_most, "AAA: 10 to sell, 5 held"),
        (withdraw, "cash: the buys need 1000.00 USD, after sales and costs there are 999.00"),
        (split, "AAA: a split on 2024-03-29, after the proposal"),
        (forget_prices, "BBB: no recent price in USD on 2024-03-28"),
        (close_portfolio, "the portfolio is closed"),
    ],
)
def test_a_conflict_with_the_books_fails_the_event_and_nothing_is_done(
    portfolio: Portfolio, happening: Any, reason: str
) -> None:
    event = stage.approved_event(portfolio)
    happening(portfolio)
    failed = event_execute(event.pk, actor=None)
    assert failed.status == EventStatus.FAILED
    assert reason in failed.failure
    assert nothing_was_done(event)
    assert stage.audit_actions() == ["rebalancing.executing", "rebalancing.failed"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"asset": 0}, "unknown asset"),
        ({"side": "hold"}, "side hold"),
        ({"quantity": "x"}, "trade 1 of the proposal cannot be read"),
        ({"quantity": "0"}, "must be above 0"),
        ({"local_price": "-1"}, "must be above 0"),
        ({"lots": [{"lot": 1, "quantity": "3"}]}, "its lots add up to 3"),
        ({"lots": [{"lot": 10**9, "quantity": "10"}]}, "10 of lot 1000000000, of which 0 are left"),
    ],
)
def test_a_proposal_that_cannot_be_carried_out_fails(
    portfolio: Portfolio, fields: dict[str, Any], reason: str
) -> None:
    broken = stage.action("AAA", "sell", 10, 100) | fields
    event = stage.approved_event(portfolio, broken)
    failed = event_execute(event.pk, actor=None)
    assert failed.status == EventStatus.FAILED
    assert reason in failed.failure
    assert nothing_was_done(event)


def test_a_sale_books_the_lots_of_its_proposal(portfolio: Portfolio) -> None:
    asset = stage.Asset.objects.get(symbol="AAA")
    newer = stage.buy(portfolio, asset, 4, 110)
    lots = [{"lot": newer.pk, "quantity": "4", "cost": "440", "term": "short"}]
    event = stage.approved_event(portfolio, stage.action("AAA", "sell", 4, 100, lots=lots))
    event_execute(event.pk, actor=None)
    assert stage.booked()[0].lots == [{"lot": newer.pk, "quantity": "4"}]
    left = stage.book_today(portfolio).lots[asset.pk]
    assert [(lot.quantity, lot.cost) for lot in left] == [(60, 6000)]


def test_who_may_neither_make_nor_check_may_not_execute(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    viewer = make.make_user()
    make.grant(viewer, portfolio, PortfolioRole.VIEWER)
    with pytest.raises(PermissionDenied):
        event_execute(event.pk, actor=viewer)
    assert nothing_was_done(event)
    assert event.status == EventStatus.APPROVED


@pytest.mark.parametrize("role", [PortfolioRole.MAKER, PortfolioRole.CHECKER, PortfolioRole.MANAGER], ids=str)
def test_makers_checkers_and_managers_may(portfolio: Portfolio, role: PortfolioRole) -> None:
    user = make.make_user("hand")
    make.grant(user, portfolio, role)
    done = event_execute(stage.approved_event(portfolio).pk, actor=user)
    assert done.status == EventStatus.COMPLETED
    filled = stage.AuditEvent.objects.filter(action="order.filled")
    assert {row.actor for row in filled} == {"hand"}


def test_a_close_with_the_noise_of_an_adjustment_is_booked_in_the_decimals_of_prices(
    portfolio: Portfolio,
) -> None:
    """Prices that their source divided by a later split of 3 for 1 are multiplied again."""
    asset = stage.Asset.objects.get(symbol="AAA")
    day = clock.today() + dt.timedelta(days=1)
    CorporateAction.objects.create(asset=asset, ex_date=day, kind="split", ratio_new=3, ratio_old=1)
    PriceBar.objects.filter(asset=asset).update(close=Decimal("33.37"), adjusted_through=day)
    event = stage.approved_event(portfolio)
    assert event_execute(event.pk, actor=None).status == EventStatus.COMPLETED
    assert stage.booked()[0].price == Decimal("100.11")


def test_an_event_without_trades_is_completed_at_once(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    RebalancingEvent.objects.update(actions=[])
    assert event_execute(event.pk, actor=None).status == EventStatus.COMPLETED
    assert nothing_was_done(event)


def test_orders_of_a_file_wait_and_resuming_changes_nothing(portfolio: Portfolio) -> None:
    RebalancingPolicy.objects.update(venue="order_file")
    event = stage.approved_event(portfolio)
    waiting = event_execute(event.pk, actor=None)
    assert (waiting.status, waiting.venue) == (EventStatus.EXECUTING, "order_file")
    assert {order.status for order in event.orders.all()} == {OrderStatus.NEW}
    before = stage.footprint(portfolio)
    assert executing_events() == [event.pk]
    assert event_resume(event.pk).status == EventStatus.EXECUTING
    assert stage.footprint(portfolio) == before
    assert not stage.booked()


def test_an_execution_that_the_books_refuse_holds_up_no_other(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = stage.approved_event(portfolio)
    with monkeypatch.context() as patch:
        patch.setattr(run, "fill_book", _killed)
        with pytest.raises(SystemExit):
            event_execute(stuck.pk, actor=None)
    # Sold by somebody else in between: the fill of the sale finds nothing to sell.
    transaction_create(
        portfolio,
        status="settled",
        kind="sell",
        trade_date=stage.DAY,
        asset=stage.Asset.objects.get(symbol="AAA"),
        quantity=Decimal(60),
        price=Decimal(100),
    )
    other = make.make_portfolio("OTHER")
    going = make.make_event(other, status=EventStatus.EXECUTING, venue="paper")
    assert executions_resume() == [going.pk]
    stuck.refresh_from_db()
    assert (stuck.status, len(stage.booked())) == (EventStatus.EXECUTING, 0)
    assert event_close_short(stuck.pk, actor=None, reason="sold already").status == EventStatus.FAILED


def _killed(*arguments: Any, **options: Any) -> None:
    raise SystemExit


def test_an_approval_that_the_audit_trail_does_not_know_executes_nothing(portfolio: Portfolio) -> None:
    event = make.make_event(
        portfolio,
        status=EventStatus.APPROVED,
        proposal_hash=stage.HASH,
        actions=[stage.action("AAA", "sell", 10, 100)],
        pre_state=stage.pre_state(portfolio),
    )
    Approval.objects.create(
        event=event, user=make.make_user(), decision=Decision.APPROVED, proposal_hash=stage.HASH, level=2
    )
    with pytest.raises(EventConflict, match="the audit trail knows of no approval"):
        event_execute(event.pk, actor=None)
    event.refresh_from_db()
    assert event.status == EventStatus.APPROVED
    assert not stage.booked()
