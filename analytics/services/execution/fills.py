"""Fills: what a venue did of an order goes into the books, once, however often it is delivered."""

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum

from analytics.models import OrderFill, OrderSide, OrderStatus, RebalancingEvent, RebalancingOrder
from analytics.services.allocation_analysis import PRICE_PLACES
from analytics.services.event_moves import event_lock
from analytics.services.execution.costs import MONEY_PLACES
from analytics.services.execution.orders import OPEN_ORDERS, ORDER, lots_part
from analytics.services.execution.permissions import booking_actor
from analytics.services.execution.protocol import NOTHING, VenueFill
from portfolio_site.kernel import clock, fields
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import CostMethod, Transaction, TransactionStatus
from portfolios.services.audit import Actor, audit_append
from portfolios.services.transactions import transaction_create

SOURCE = "rebalancing"
QUANTITY_PLACES = Decimal(1).scaleb(-fields.QUANTITY_PLACES)
# The part of a fill that goes beyond its order is kept under the fill's id with this.
EXCESS = ":excess"
MAX_FILL_ID = 80


class FillConflict(ValueError):
    """A fill that cannot be booked; `column` is the field at fault."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True)
class FillOutcome:
    """What became of a fill: how much was booked, how much went beyond the order, or that it was known."""

    booked: Decimal = NOTHING
    excess: Decimal = NOTHING
    is_known: bool = False


@transaction.atomic
def fill_book(fill: VenueFill, *, actor: Actor = None) -> FillOutcome:
    """Book a fill with its transaction. What goes beyond the order is kept, marked, and not booked.

    A fill that is known changes nothing. Raises FillConflict, and ValidationError where the books refuse it.
    """
    fill = _kept(fill)
    order = order_locked(fill.client_order_id)
    known = known_fill(order, fill)
    if known is not None:
        return known
    fault = fill_fault(order, fill)
    if fault is not None:
        raise fault
    room = order.quantity - order.filled_quantity if order.status in OPEN_ORDERS else NOTHING
    booked, excess = _divided(fill, room)
    if booked is not None:
        _book(order, booked, actor)
    if excess is not None:
        _keep_excess(order, excess, actor)
    return FillOutcome(
        booked.quantity if booked else NOTHING,
        excess.quantity if excess else NOTHING,
    )


def _kept(fill: VenueFill) -> VenueFill:
    """The fill in the decimals of its columns, so that it is the same when it comes again."""
    return dataclasses.replace(
        fill,
        quantity=fill.quantity.quantize(QUANTITY_PLACES),
        price=fill.price.quantize(PRICE_PLACES),
        fee=fill.fee.quantize(MONEY_PLACES),
        tax=fill.tax.quantize(MONEY_PLACES),
    )


def order_locked(client_order_id: str) -> RebalancingOrder:
    """The order as it is now, its portfolio and event locked. Raises FillConflict."""
    orders = RebalancingOrder.objects.filter(client_order_id=client_order_id)
    event_id = orders.values_list("event", flat=True).first()
    if event_id is None:
        raise FillConflict("client_order_id", "unknown order")
    event_lock(event_id)
    return orders.select_related("event__portfolio", "asset").get()


def known_fill(order: RebalancingOrder, fill: VenueFill) -> FillOutcome | None:
    """What was made of the fill when it came before. Raises FillConflict when it said something else then."""
    stored = list(order.fills.filter(venue_fill_id__in=[fill.fill_id, fill.fill_id + EXCESS]))
    if not stored:
        return None
    for column in ("price", "filled_on"):
        if getattr(stored[0], column) != getattr(fill, column):
            raise _said_before(column, getattr(stored[0], column))
    for column in ("quantity", "fee", "tax"):
        total = sum((getattr(row, column) for row in stored), NOTHING)
        if total != getattr(fill, column):
            raise _said_before(column, total)
    return FillOutcome(is_known=True)


def fill_fault(order: RebalancingOrder, fill: VenueFill) -> FillConflict | None:
    """Why the fill cannot be true."""
    if not fill.fill_id or len(fill.fill_id) > MAX_FILL_ID or fill.fill_id.endswith(EXCESS):
        return FillConflict("fill_id", f"must have 1 to {MAX_FILL_ID} characters and not end in {EXCESS}")
    for column in ("quantity", "price"):
        if getattr(fill, column) <= 0:
            return FillConflict(column, "must be above 0")
    for column in ("fee", "tax"):
        if getattr(fill, column) < 0:
            return FillConflict(column, "must not be negative")
    if fill.filled_on > clock.today():
        return FillConflict("filled_on", "lies in the future")
    if fill.filled_on < order.event.valuation_date:
        return FillConflict("filled_on", f"before the proposal of {order.event.valuation_date}")
    return None


def _said_before(column: str, value: Any) -> FillConflict:
    shown = decimal_text(value) if isinstance(value, Decimal) else value
    return FillConflict(column, f"this fill was delivered before, with {shown}")


def _divided(fill: VenueFill, room: Decimal) -> tuple[VenueFill | None, VenueFill | None]:
    """The part within the order and the part beyond it, with fee and tax in proportion."""
    if fill.quantity <= room:
        return fill, None
    beyond = f"{fill.fill_id}{EXCESS}"
    if room <= 0:
        return None, dataclasses.replace(fill, fill_id=beyond)
    fee, tax = ((part * room / fill.quantity).quantize(MONEY_PLACES) for part in (fill.fee, fill.tax))
    return (
        dataclasses.replace(fill, quantity=room, fee=fee, tax=tax),
        dataclasses.replace(
            fill, fill_id=beyond, quantity=fill.quantity - room, fee=fill.fee - fee, tax=fill.tax - tax
        ),
    )


def _book(order: RebalancingOrder, fill: VenueFill, actor: Actor) -> None:
    before = {"status": order.status, "filled_quantity": order.filled_quantity}
    booked = fill_transaction(order, fill, actor)
    _row(order, fill, transaction=booked)
    order.filled_quantity += fill.quantity
    order.status = (
        OrderStatus.FILLED if order.filled_quantity >= order.quantity else OrderStatus.PARTLY_FILLED
    )
    order.sent_at = order.sent_at or clock.now()
    order.save(update_fields=["filled_quantity", "status", "sent_at"])
    after = {"status": order.status, "filled_quantity": order.filled_quantity}
    _record(order, "order.filled", actor, before, {**after, **fill_content(fill), "transaction": booked.pk})


def fill_transaction(order: RebalancingOrder, fill: VenueFill, actor: Actor) -> Transaction:
    """Book the line of a fill. Raises ValidationError.

    A sale names the lots of its order that are left; beyond them the portfolio's cost method chooses.
    """
    portfolio = order.event.portfolio
    content: dict[str, Any] = {
        "kind": order.side,
        "trade_date": fill.filled_on,
        "asset": order.asset,
        "quantity": fill.quantity,
        "price": fill.price,
        "fee": fill.fee,
        "tax": fill.tax,
        "note": f"order {order.client_order_id}",
    }
    if order.side == OrderSide.SELL and order.lots and portfolio.cost_method != CostMethod.AVERAGE:
        parts = lots_part(order, _booked_quantity(order), fill.quantity)
        if sum(taken for _, taken in parts) == fill.quantity:
            content["lots"] = [{"lot": lot["lot"], "quantity": decimal_text(taken)} for lot, taken in parts]
    return transaction_create(
        portfolio,
        actor=booking_actor(portfolio, actor),
        status=TransactionStatus.SETTLED,
        source=SOURCE,
        external_id=f"{order.client_order_id}/{fill.fill_id}",
        **content,
    )


def _booked_quantity(order: RebalancingOrder) -> Decimal:
    """Of the order, and beyond it where that was accepted."""
    booked = order.fills.filter(transaction__isnull=False).aggregate(total=Sum("quantity"))
    return booked["total"] or NOTHING


def _keep_excess(order: RebalancingOrder, fill: VenueFill, actor: Actor) -> None:
    _row(order, fill, is_excess=True)
    _record(order, "order.overfilled", actor, None, fill_content(fill))
    warning = excess_warning(order, fill.quantity)
    event = RebalancingEvent.objects.get(pk=order.event_id)
    RebalancingEvent.objects.filter(pk=event.pk).update(
        warnings=[*event.warnings, warning], needs_review=True
    )


def excess_warning(order: RebalancingOrder, excess: Decimal) -> str:
    return (
        f"{order.asset.symbol}: {decimal_text(excess)} more than order {order.client_order_id} asked for "
        "were filled and are not booked"
    )


def _row(order: RebalancingOrder, fill: VenueFill, **state: Any) -> None:
    row = OrderFill(
        order=order,
        venue_fill_id=fill.fill_id,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        tax=fill.tax,
        filled_on=fill.filled_on,
        received_at=clock.now(),
        **state,
    )
    row.full_clean()
    row.save(force_insert=True)


def fill_content(fill: VenueFill) -> dict[str, Any]:
    return {
        "fill": fill.fill_id,
        "quantity": fill.quantity,
        "price": fill.price,
        "fee": fill.fee,
        "tax": fill.tax,
        "filled_on": fill.filled_on,
    }


def _record(
    order: RebalancingOrder, action: str, actor: Actor, before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    audit_append(
        action=action,
        object_type=ORDER,
        object_id=order.pk,
        actor=actor,
        portfolio=order.event.portfolio,
        before=before,
        after=after,
    )
