"""What a venue did beyond an order: kept and marked when it came, booked or refused when somebody decides.

A fill that came when its order was closed already is such a one, too. It stays marked; that it was accepted
shows in its transaction, that it was refused in the audit trail.
"""

from django.contrib.auth.models import User
from django.db import transaction

from analytics.models import EventStatus, OrderFill, RebalancingEvent, RebalancingOrder
from analytics.services.approval_rules import deciding_user
from analytics.services.approvals import checked_reason
from analytics.services.event_moves import EventConflict, event_lock
from analytics.services.execution.completion import event_settle, outcome_restate
from analytics.services.execution.fills import excess_warning, fill_content, fill_transaction
from analytics.services.execution.orders import ORDER
from analytics.services.execution.protocol import VenueFill
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import AuditEvent
from portfolios.services.audit import Actor, audit_append

ACCEPTED, REFUSED = "order.excess_accepted", "order.excess_refused"


def excess_fills_waiting() -> list[OrderFill]:
    """Those about which nobody has decided yet, the oldest first."""
    fills = OrderFill.objects.filter(is_excess=True, transaction__isnull=True).order_by("pk")
    return [
        fill
        for fill in fills.select_related("order__event__portfolio", "order__asset")
        if not _is_refused(fill)
    ]


@transaction.atomic
def excess_fill_accept(fill_id: int, *, actor: Actor, reason: str) -> OrderFill:
    """Book a fill that went beyond its order; the event that it belongs to follows.

    A sale takes the lots of its order that are left, else those of the portfolio's cost method. Raises
    PermissionDenied for whoever may not approve the event, EventConflict when it was decided already, and
    ValidationError without a reason or when the books refuse it.
    """
    fill, checker, reason = _to_decide(fill_id, actor, reason)
    order, content = fill.order, _venue_fill(fill)
    fill.transaction = fill_transaction(order, content, checker)
    fill.save(update_fields=["transaction"])
    _decided(fill, checker, ACCEPTED, reason)
    event = order.event
    if event.status == EventStatus.EXECUTING:
        event_settle(event.pk, actor=checker)
    else:
        outcome_restate(event.pk, actor=checker, reason=reason)
    return fill


@transaction.atomic
def excess_fill_refuse(fill_id: int, *, actor: Actor, reason: str) -> OrderFill:
    """Leave the fill out of the books for good; the venue has to take it back. Raises as when accepting."""
    fill, checker, reason = _to_decide(fill_id, actor, reason)
    _decided(fill, checker, REFUSED, reason)
    return fill


def _to_decide(fill_id: int, actor: Actor, reason: str) -> tuple[OrderFill, User, str]:
    """The fill under the lock of its event, the person who may decide, and the reason they give."""
    event = event_lock(OrderFill.objects.values_list("order__event", flat=True).get(pk=fill_id))
    checker = deciding_user(event, actor)
    fill = OrderFill.objects.select_related("order__event__portfolio", "order__asset").get(pk=fill_id)
    name = f"fill {fill.venue_fill_id} of order {fill.order.client_order_id}"
    if not fill.is_excess:
        raise EventConflict(f"{name} is within its order")
    if fill.transaction_id is not None:
        raise EventConflict(f"{name} was accepted already")
    if _is_refused(fill):
        raise EventConflict(f"{name} was refused already")
    return fill, checker, checked_reason(reason)


def _is_refused(fill: OrderFill) -> bool:
    told = AuditEvent.objects.filter(object_type=ORDER, object_id=str(fill.order_id), action=REFUSED)
    return told.filter(after__fill=fill.venue_fill_id).exists()


def _decided(fill: OrderFill, checker: User, action: str, reason: str) -> None:
    order = fill.order
    audit_append(
        action=action,
        object_type=ORDER,
        object_id=order.pk,
        actor=checker,
        portfolio=order.event.portfolio,
        after={**fill_content(_venue_fill(fill)), "transaction": fill.transaction_id},
        reason=reason,
    )
    _replace_warning(order, fill, f"{action.removeprefix('order.excess_')} by {checker.get_username()}")


def _replace_warning(order: RebalancingOrder, fill: OrderFill, outcome: str) -> None:
    warnings = list(order.event.warnings)
    told = excess_warning(order, fill.quantity)
    if told in warnings:
        warnings[warnings.index(told)] = (
            f"{order.asset.symbol}: {decimal_text(fill.quantity)} more than order {order.client_order_id} "
            f"asked for were filled and {outcome}"
        )
        RebalancingEvent.objects.filter(pk=order.event_id).update(warnings=warnings)


def _venue_fill(fill: OrderFill) -> VenueFill:
    return VenueFill(
        client_order_id=fill.order.client_order_id,
        fill_id=fill.venue_fill_id,
        quantity=fill.quantity,
        price=fill.price,
        filled_on=fill.filled_on,
        fee=fill.fee,
        tax=fill.tax,
    )
