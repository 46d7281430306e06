"""The orders of an event: one for each line of its proposal, sales first."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction

from analytics.models import OrderSide, OrderStatus, RebalancingEvent, RebalancingOrder
from analytics.services.event_moves import OBJECT_TYPE, EventConflict, event_lock
from portfolio_site.kernel import clock
from portfolios.services.audit import Actor, audit_append

ORDER = "rebalancing_order"
OPEN_ORDERS = (OrderStatus.NEW, OrderStatus.SENT, OrderStatus.PARTLY_FILLED)


def actions_in_order(event: RebalancingEvent) -> list[dict[str, Any]]:
    """The lines of the proposal as they are carried out: sales before buys, otherwise as proposed."""
    return sorted(event.actions, key=lambda action: action["side"] != OrderSide.SELL)


def action_of(order: RebalancingOrder) -> dict[str, Any]:
    """The line of the proposal that the order comes from."""
    return actions_in_order(order.event)[order.position - 1]


def client_order_id(event: RebalancingEvent, position: int) -> str:
    return f"RB-{event.pk}-{event.version}-{position}"


def orders_create(event: RebalancingEvent, venue: str, *, actor: Actor) -> None:
    """Make the orders of an event, in the transaction of its move to executing."""
    orders = [
        RebalancingOrder(
            event=event,
            position=position,
            asset_id=action["asset"],
            side=action["side"],
            quantity=Decimal(action["quantity"]),
            price=Decimal(action["local_price"]),
            lots=action.get("lots") or [],
            venue=venue,
            client_order_id=client_order_id(event, position),
            created_at=clock.now(),
        )
        for position, action in enumerate(actions_in_order(event), start=1)
    ]
    RebalancingOrder.objects.bulk_create(orders)
    audit_append(
        action="orders.created",
        object_type=OBJECT_TYPE,
        object_id=event.pk,
        actor=actor,
        portfolio=event.portfolio,
        after={"venue": venue, "orders": [_content(order) for order in orders]},
    )


def open_orders(event: RebalancingEvent) -> list[RebalancingOrder]:
    """Those that are not done, in order of execution."""
    orders = event.orders.filter(status__in=OPEN_ORDERS).order_by("position")
    return list(orders.select_related("event__portfolio", "asset"))


def orders_mark_sent(event: RebalancingEvent, *, actor: Actor) -> int:
    """Note that the new orders of the event have left; returns how many."""
    names = list(
        event.orders.filter(status=OrderStatus.NEW)
        .order_by("position")
        .values_list("client_order_id", flat=True)
    )
    sent = event.orders.filter(client_order_id__in=names, status=OrderStatus.NEW).update(
        status=OrderStatus.SENT, sent_at=clock.now()
    )
    if sent:
        audit_append(
            action="orders.sent",
            object_type=OBJECT_TYPE,
            object_id=event.pk,
            actor=actor,
            portfolio=event.portfolio,
            after={"orders": names},
        )
    return sent


@transaction.atomic
def order_cancel(order_id: int, *, actor: Actor, reason: str) -> RebalancingOrder:
    """Give up what is still open of an order, as when its venue refused it. Raises EventConflict."""
    event_lock(RebalancingOrder.objects.values_list("event", flat=True).get(pk=order_id))
    order = RebalancingOrder.objects.select_related("event__portfolio", "asset").get(pk=order_id)
    if order.status not in OPEN_ORDERS:
        raise EventConflict(f"order {order.client_order_id} is {order.status} already")
    before = {"status": order.status}
    order.status, order.note = OrderStatus.CANCELLED, reason[:500]
    order.save(update_fields=["status", "note"])
    audit_append(
        action="order.cancelled",
        object_type=ORDER,
        object_id=order.pk,
        actor=actor,
        portfolio=order.event.portfolio,
        before=before,
        after={"status": order.status, "filled_quantity": order.filled_quantity},
        reason=reason,
    )
    return order


def lots_part(
    order: RebalancingOrder, start: Decimal, quantity: Decimal
) -> list[tuple[Mapping[str, Any], Decimal]]:
    """Which lots the units from `start` on take, in the order of the proposal, with how many of each."""
    parts, passed, end = [], Decimal(0), start + quantity
    for lot in order.lots:
        held = Decimal(lot["quantity"])
        taken = min(passed + held, end) - max(passed, start)
        if taken > 0:
            parts.append((lot, taken))
        passed += held
    return parts


def _content(order: RebalancingOrder) -> dict[str, Any]:
    return {
        "client_order_id": order.client_order_id,
        "asset": order.asset_id,
        "side": order.side,
        "quantity": order.quantity,
        "price": order.price,
    }
