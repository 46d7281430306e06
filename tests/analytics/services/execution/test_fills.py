"""Fills: booked once, up to the order, and never silently beyond it."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.models import OrderStatus, RebalancingEvent, RebalancingOrder
from analytics.services.execution.fills import FillConflict, FillOutcome, fill_book
from analytics.services.execution.orders import order_cancel
from analytics.services.execution.run import event_execute
from portfolio_site.kernel import clock
from portfolios.models import Portfolio
from tests.analytics.services.execution import stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio(venue="order_file")


@pytest.fixture
def event(portfolio: Portfolio) -> RebalancingEvent:
    return event_execute(stage.approved_event(portfolio).pk, actor=None)


@pytest.fixture
def sale(event: RebalancingEvent) -> RebalancingOrder:
    return event.orders.get(side="sell")


def test_partial_fills_are_booked_one_by_one(portfolio: Portfolio, sale: RebalancingOrder) -> None:
    assert fill_book(stage.fill(sale, "f1", 4, fee=Decimal(2))) == FillOutcome(booked=Decimal(4))
    sale.refresh_from_db()
    assert (sale.status, sale.filled_quantity) == (OrderStatus.PARTLY_FILLED, 4)
    fill_book(stage.fill(sale, "f2", 6, price=Decimal(101)))
    sale.refresh_from_db()
    assert (sale.status, sale.filled_quantity) == (OrderStatus.FILLED, 10)
    assert stage.quantities(portfolio)["AAA"] == 50
    assert stage.cash(portfolio) == {"USD": 2000 + 400 - 2 + 606}
    lines = stage.booked()
    assert [row.external_id for row in lines] == [f"{sale.client_order_id}/f1", f"{sale.client_order_id}/f2"]
    assert [fill.transaction for fill in sale.fills.all()] == lines


def test_a_fill_delivered_again_changes_nothing(portfolio: Portfolio, sale: RebalancingOrder) -> None:
    fill = stage.fill(sale, "f1", 4)
    fill_book(fill)
    before = stage.footprint(portfolio)
    assert fill_book(fill) == FillOutcome(is_known=True)
    assert stage.footprint(portfolio) == before


def test_more_decimals_than_the_books_keep_are_rounded_and_known_again(
    portfolio: Portfolio, sale: RebalancingOrder
) -> None:
    third = Decimal(1) / 3
    fill = stage.fill(sale, "f1", 4, price=100 + third, fee=third, tax=third)
    fill_book(fill)
    assert (stage.booked()[0].price, stage.booked()[0].fee) == (
        Decimal("100.3333333333"),
        Decimal("0.333333"),
    )
    assert fill_book(fill).is_known


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("quantity", Decimal(5)),
        ("price", Decimal(99)),
        ("fee", Decimal(1)),
        ("tax", Decimal(1)),
        ("filled_on", stage.DAY + dt.timedelta(days=1)),
    ],
)
def test_a_fill_that_comes_again_and_says_something_else_is_refused(
    portfolio: Portfolio, sale: RebalancingOrder, column: str, value: Any
) -> None:
    fill = stage.fill(sale, "f1", 4)
    fill_book(fill)
    before = stage.footprint(portfolio)
    with pytest.raises(FillConflict, match="was delivered before, with") as error:
        fill_book(replace(fill, **{column: value}))
    assert error.value.column == column
    assert stage.footprint(portfolio) == before


def test_an_over_fill_is_booked_up_to_the_order_and_the_excess_kept(
    portfolio: Portfolio, event: RebalancingEvent, sale: RebalancingOrder
) -> None:
    fill_book(stage.fill(sale, "f1", 8))
    over = stage.fill(sale, "f2", 5, fee=Decimal(5), tax=Decimal(10))
    assert fill_book(over) == FillOutcome(booked=Decimal(2), excess=Decimal(3))
    sale.refresh_from_db()
    assert (sale.status, sale.filled_quantity) == (OrderStatus.FILLED, 10)
    assert stage.quantities(portfolio)["AAA"] == 50
    excess = sale.fills.get(is_excess=True)
    assert (excess.quantity, excess.fee, excess.tax, excess.transaction) == (3, 3, 6, None)
    booked = sale.fills.get(venue_fill_id="f2")
    assert (booked.quantity, booked.fee, booked.tax) == (2, 2, 4)
    event.refresh_from_db()
    assert event.needs_review
    assert event.warnings == [
        f"AAA: 3 more than order {sale.client_order_id} asked for were filled and are not booked"
    ]
    assert stage.audit_actions().count("order.overfilled") == 1
    before = stage.footprint(portfolio)
    assert fill_book(over).is_known
    assert stage.footprint(portfolio) == before


def test_what_comes_after_an_order_is_done_or_cancelled_is_all_excess(
    portfolio: Portfolio, event: RebalancingEvent, sale: RebalancingOrder
) -> None:
    fill_book(stage.fill(sale, "f1", 10))
    purchase = event.orders.get(side="buy")
    order_cancel(purchase.pk, actor=None, reason="refused by the broker")
    before = stage.quantities(portfolio)
    assert fill_book(stage.fill(sale, "f2", 1)) == FillOutcome(excess=Decimal(1))
    assert fill_book(stage.fill(purchase, "f1", 5)) == FillOutcome(excess=Decimal(5))
    assert stage.quantities(portfolio) == before
    purchase.refresh_from_db()
    assert (purchase.status, purchase.filled_quantity) == (OrderStatus.CANCELLED, 0)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("client_order_id", "RB-0-1-1", "unknown order"),
        ("fill_id", "", "must have 1 to 80 characters"),
        ("fill_id", "f" * 81, "must have 1 to 80 characters"),
        ("fill_id", "f1:excess", "not end in :excess"),
        ("quantity", Decimal(0), "must be above 0"),
        ("price", Decimal(0), "must be above 0"),
        ("fee", Decimal(-1), "must not be negative"),
        ("tax", Decimal(-1), "must not be negative"),
        ("filled_on", stage.DAY_BEFORE, "before the proposal of 2024-03-28"),
        ("filled_on", clock.today() + dt.timedelta(days=2), "lies in the future"),
    ],
)
def test_what_cannot_be_true_is_refused(
    portfolio: Portfolio, sale: RebalancingOrder, column: str, value: Any, reason: str
) -> None:
    before = stage.footprint(portfolio)
    with pytest.raises(FillConflict, match=reason) as error:
        fill_book(replace(stage.fill(sale, "f1", 4), **{column: value}))
    assert error.value.column == column
    assert stage.footprint(portfolio) == before


def test_what_the_books_refuse_leaves_no_fill_behind(portfolio: Portfolio, sale: RebalancingOrder) -> None:
    stage.make.make_transaction(
        portfolio, kind="sell", asset=sale.asset, quantity=55, price=100, amount=5500, trade_date=stage.DAY
    )
    before = stage.footprint(portfolio)
    with pytest.raises(ValidationError, match="leaves only 50 for the sell of 55"):
        fill_book(stage.fill(sale, "f1", 10))
    assert stage.footprint(portfolio) == before


def test_partial_fills_take_the_lots_of_the_proposal_in_turn(portfolio: Portfolio) -> None:
    asset = stage.Asset.objects.get(symbol="AAA")
    first = portfolio.transactions.get(asset=asset)
    second = stage.buy(portfolio, asset, 5, 120)
    lots = [
        {"lot": second.pk, "quantity": "5", "cost": "600", "term": "short"},
        {"lot": first.pk, "quantity": "3", "cost": "300", "term": "long"},
    ]
    event = stage.approved_event(portfolio, stage.action("AAA", "sell", 8, 100, lots=lots))
    order = event_execute(event.pk, actor=None).orders.get()
    for fill_id, quantity in (("a", 4), ("b", 3), ("c", 1)):
        fill_book(stage.fill(order, fill_id, quantity))
    assert [row.lots for row in stage.booked()] == [
        [{"lot": second.pk, "quantity": "4"}],
        [{"lot": second.pk, "quantity": "1"}, {"lot": first.pk, "quantity": "2"}],
        [{"lot": first.pk, "quantity": "1"}],
    ]


@settings(max_examples=8)
@given(
    deliveries=st.lists(
        st.tuples(st.sampled_from("abcde"), st.decimals(Decimal("0.01"), 7, places=2)), max_size=8
    )
)
def test_whatever_is_delivered_the_books_hold_what_was_booked(deliveries: list[tuple[str, Decimal]]) -> None:
    """No more than was ordered, each fill once, nothing lost: booked and excess make what was accepted."""
    with stage.taken_back():
        portfolio = stage.make_portfolio(venue="order_file")
        order = event_execute(stage.approved_event(portfolio).pk, actor=None).orders.get(side="sell")
        accepted: dict[str, Decimal] = {}
        for fill_id, quantity in deliveries:
            if accepted.get(fill_id, quantity) == quantity:
                fill_book(stage.fill(order, fill_id, quantity))
                accepted[fill_id] = quantity
            else:
                with pytest.raises(FillConflict):
                    fill_book(stage.fill(order, fill_id, quantity))
        order.refresh_from_db()
        total = sum(accepted.values(), Decimal(0))
        assert order.filled_quantity == min(total, order.quantity)
        assert stage.quantities(portfolio)["AAA"] == 60 - order.filled_quantity
        assert sum(fill.quantity for fill in order.fills.all()) == total
        assert sum(row.quantity or 0 for row in stage.booked()) == order.filled_quantity
