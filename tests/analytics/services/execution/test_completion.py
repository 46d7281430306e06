"""The end of an execution: reconciled with the books, closed only within the tolerance."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from analytics.models import EventStatus, OrderStatus, RebalancingEvent, RebalancingOrder, RebalancingPolicy
from analytics.services.event_moves import EventConflict
from analytics.services.execution.completion import event_close_short, event_settle
from analytics.services.execution.fills import fill_book
from analytics.services.execution.orders import order_cancel
from analytics.services.execution.run import event_execute
from portfolios.models import Portfolio, PortfolioRole
from portfolios.services.transactions import transaction_reverse
from tests.analytics.services.execution import stage
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio(venue="order_file")


@pytest.fixture
def event(portfolio: Portfolio) -> RebalancingEvent:
    return event_execute(stage.approved_event(portfolio).pk, actor=None)


def fill(event: RebalancingEvent, side: str, fill_id: str, quantity: Any, **fields: Any) -> RebalancingOrder:
    order = event.orders.get(side=side)
    fill_book(stage.fill(order, fill_id, quantity, **fields))
    return order


def settled(event: RebalancingEvent) -> RebalancingEvent:
    return event_settle(event.pk)


def post_state(event: RebalancingEvent) -> dict[str, Any]:
    event.refresh_from_db()
    assert event.post_state is not None
    return event.post_state


def test_the_state_after_has_the_shape_of_the_state_before(event: RebalancingEvent) -> None:
    fill(event, "sell", "f1", 10)
    fill(event, "buy", "f1", 5)
    done = settled(event)
    state = post_state(done)
    assert done.pre_state.keys() <= state.keys()
    assert (state["date"], state["value"], state["cash"]) == ("2024-03-28", "10000", "2000")
    for before, after in zip(done.pre_state["lines"], state["lines"], strict=True):
        assert before.keys() == after.keys()
        assert before["target"] == after["target"]
    assert [(line["symbol"], line["quantity"], line["value"]) for line in state["lines"]] == [
        ("AAA", "50", "5000"),
        ("BBB", "15", "3000"),
    ]
    assert (state["residual"], state["untraded_value"], state["differences"]) == ("0", "0", [])


def test_what_was_not_in_the_state_before_but_is_held_appears_after(
    portfolio: Portfolio, event: RebalancingEvent
) -> None:
    gift = make.make_asset("GIFT")
    stage.make_prices(gift, 7)
    stage.buy(portfolio, gift, 3, 7)
    fill(event, "sell", "f1", 10)
    fill(event, "buy", "f1", 5)
    lines = {line["symbol"]: line for line in post_state(settled(event))["lines"]}
    assert (lines["GIFT"]["quantity"], lines["GIFT"]["value"], lines["GIFT"]["target"]) == ("3", "21", None)
    assert lines["GIFT"].keys() == lines["AAA"].keys()


def test_estimates_stand_beside_what_came_of_them(event: RebalancingEvent) -> None:
    fill(event, "sell", "f1", 4, price=Decimal(99), fee=Decimal("1.5"))
    fill(event, "sell", "f2", 6, price=Decimal(101), fee=Decimal("0.5"))
    fill(event, "buy", "f1", 5, price=Decimal(201), fee=Decimal(2))
    done = settled(event)
    assert done.actual_cost == 4
    sale, purchase = post_state(done)["trades"]
    assert sale["estimated"] == {
        "quantity": "10",
        "price": "100",
        "amount": "1000",
        "cost": "1",
        "tax": None,
    }
    assert sale["actual"] == {
        "quantity": "10",
        "price": "100.2",
        "amount": "1002",
        "cost": "2",
        "slippage": "-2",
        "tax": "0",
    }
    assert (purchase["actual"]["amount"], purchase["actual"]["slippage"]) == ("1005", "5")


def taxed_event(portfolio: Portfolio) -> RebalancingEvent:
    """Ten units of a lot bought at 100, to be sold at 110: a short-term gain of 100, tax 20."""
    RebalancingPolicy.objects.update(short_term_tax_rate=Decimal("0.2"), long_term_tax_rate=Decimal("0.1"))
    lot = portfolio.transactions.get(asset__symbol="AAA")
    lots = [{"lot": lot.pk, "quantity": "10", "cost": "1000", "term": "short", "gain": "100", "tax": "20"}]
    sale = stage.action("AAA", "sell", 10, 110, lots=lots, tax="20")
    return event_execute(stage.approved_event(portfolio, sale, estimated_tax=Decimal(20)).pk, actor=None)


@pytest.mark.parametrize(
    ("price", "withheld", "tax"), [(110, 0, 20), (120, 0, 40), (90, 0, 0), (110, 33, 33)], ids=str
)
def test_the_tax_is_that_of_the_lots_at_the_price_they_fetched_or_what_was_withheld(
    portfolio: Portfolio, price: int, withheld: int, tax: int
) -> None:
    event = taxed_event(portfolio)
    fill(event, "sell", "f1", 10, price=Decimal(price), tax=Decimal(withheld))
    assert settled(event).actual_tax == tax


def test_a_portfolio_that_pays_no_tax_has_none(portfolio: Portfolio) -> None:
    Portfolio.objects.update(tax_treatment="exempt")
    event = taxed_event(portfolio)
    fill(event, "sell", "f1", 10, price=Decimal(110))
    assert settled(event).actual_tax == 0


def test_an_event_with_open_orders_is_left_as_it_is(portfolio: Portfolio, event: RebalancingEvent) -> None:
    fill(event, "sell", "f1", 10)
    fill(event, "buy", "f1", 4)
    before = stage.footprint(portfolio)
    assert settled(event).status == EventStatus.EXECUTING
    assert stage.footprint(portfolio) == before


@pytest.mark.parametrize(("tolerance", "status"), [("0.0199", "executing"), ("0.02", "completed")])
def test_it_is_completed_only_when_the_untraded_part_is_within_the_tolerance(
    event: RebalancingEvent, tolerance: str, status: str
) -> None:
    """One of BBB at 200 is missing of a value of 10,000: 2 %."""
    RebalancingPolicy.objects.update(residual_tolerance=Decimal(tolerance))
    fill(event, "sell", "f1", 10)
    purchase = fill(event, "buy", "f1", 4)
    order_cancel(purchase.pk, actor=None, reason="the day is over")
    done = settled(event)
    assert done.status == status
    assert post_state(done)["residual"] == "0.02"
    assert post_state(done)["untraded_value"] == "200"


def test_partly_executed_is_said_once(event: RebalancingEvent) -> None:
    fill(event, "sell", "f1", 10)
    order_cancel(event.orders.get(side="buy").pk, actor=None, reason="no market")
    settled(event)
    settled(event)
    assert stage.audit_actions().count("rebalancing.partly_executed") == 1
    assert event_close_short(event.pk, actor=None, reason="no market").status == EventStatus.FAILED


def test_a_fill_that_was_reversed_in_the_books_counts_as_not_done(
    portfolio: Portfolio, event: RebalancingEvent
) -> None:
    purchase = fill(event, "buy", "f1", 5)
    booked = purchase.fills.get().transaction
    assert booked is not None
    transaction_reverse(booked, reason="the broker broke the trade")
    fill(event, "sell", "f1", 10)
    done = settled(event)
    assert done.status == EventStatus.EXECUTING
    assert post_state(done)["residual"] == "0.1"


def test_bookings_of_others_show_as_differences(portfolio: Portfolio, event: RebalancingEvent) -> None:
    fill(event, "sell", "f1", 10)
    fill(event, "buy", "f1", 5)
    stage.buy(portfolio, stage.Asset.objects.get(symbol="BBB"), 1, 200)
    done = settled(event)
    assert done.status == EventStatus.COMPLETED
    assert post_state(done)["differences"] == [
        {"symbol": "BBB", "exchange": "", "expected": "15", "booked": "16"}
    ]


def test_closing_short_cancels_what_is_open(portfolio: Portfolio, event: RebalancingEvent) -> None:
    fill(event, "sell", "f1", 10)
    fill(event, "buy", "f1", 4)
    closed = event_close_short(event.pk, actor=None, reason="the day is over")
    assert closed.status == EventStatus.FAILED
    assert closed.failure == "closed short with 2.0000% of the value untraded: the day is over"
    assert post_state(closed)["residual"] == "0.02"
    purchase = event.orders.get(side="buy")
    assert (purchase.status, purchase.filled_quantity) == (OrderStatus.CANCELLED, 4)
    assert stage.quantities(portfolio) == {"AAA": 50, "BBB": 14}
    assert stage.audit_actions()[-2:] == ["order.cancelled", "rebalancing.failed"]


def test_closing_short_within_the_tolerance_completes(event: RebalancingEvent) -> None:
    RebalancingPolicy.objects.update(residual_tolerance=Decimal("0.05"))
    fill(event, "sell", "f1", 10)
    fill(event, "buy", "f1", 4)
    assert event_close_short(event.pk, actor=None, reason="good enough").status == EventStatus.COMPLETED


def test_closing_short_needs_an_executing_event_a_reason_and_a_role(
    portfolio: Portfolio, event: RebalancingEvent
) -> None:
    viewer = make.make_user()
    make.grant(viewer, portfolio, PortfolioRole.VIEWER)
    before = stage.footprint(portfolio)
    with pytest.raises(ValidationError, match="needs a reason"):
        event_close_short(event.pk, actor=None, reason=" ")
    with pytest.raises(PermissionDenied):
        event_close_short(event.pk, actor=viewer, reason="why not")
    assert stage.footprint(portfolio) == before
    event_close_short(event.pk, actor=None, reason="given up")
    with pytest.raises(EventConflict, match="is failed, not executing"):
        event_close_short(event.pk, actor=None, reason="again")
    with pytest.raises(EventConflict, match="is cancelled already"):
        order_cancel(event.orders.get(side="buy").pk, actor=None, reason="again")
