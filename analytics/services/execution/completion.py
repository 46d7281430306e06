"""The end of an execution: what was done, against the books and the proposal, and whether it suffices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from analytics.models import EventStatus, OrderSide, RebalancingEvent, RebalancingOrder
from analytics.services.event_expiry import policy_of
from analytics.services.event_moves import OBJECT_TYPE, EventConflict, event_lock, event_move
from analytics.services.execution.orders import OPEN_ORDERS, open_orders, order_cancel
from analytics.services.execution.permissions import check_executor
from analytics.services.execution.post_states import post_state
from analytics.services.execution.prices import execution_day, market_on
from analytics.services.execution.results import OrderResult, order_result
from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text, sha256_of
from portfolios.calculations.entries import LedgerError
from portfolios.models import Asset
from portfolios.selectors.books import Book, book_on
from portfolios.services.audit import Actor, audit_append

NOTHING = Decimal(0)
RATIO_PLACES = Decimal("0.00000001")
MONEY_PLACES = Decimal("0.000001")


@dataclass(frozen=True)
class Outcome:
    """What an execution came to. Money in base currency; residual: the untraded part of the value before."""

    post_state: dict[str, Any]
    actual_cost: Decimal | None
    actual_tax: Decimal | None
    residual: Decimal | None


@transaction.atomic
def event_settle(event_id: int, *, actor: Actor = None) -> RebalancingEvent:
    """Close an executing event whose orders are all done, if what is untraded is within the tolerance.

    Otherwise it stays as it is, with the residual in its post-state once no order is open any more.
    """
    event = event_lock(event_id)
    if event.status != EventStatus.EXECUTING or event.orders.filter(status__in=OPEN_ORDERS).exists():
        return event
    outcome = execution_outcome(event)
    if _is_within_tolerance(event, outcome):
        return _complete(event, outcome, actor, "")
    if _store(event, outcome):
        audit_append(
            action="rebalancing.partly_executed",
            object_type=OBJECT_TYPE,
            object_id=event.pk,
            actor=actor,
            portfolio=event.portfolio,
            after=_summary(outcome),
        )
    event.refresh_from_db()
    return event


@transaction.atomic
def event_close_short(event_id: int, *, actor: Actor, reason: str) -> RebalancingEvent:
    """Give up the open orders of an executing event: it is completed within the tolerance, else failed.

    Raises EventConflict, PermissionDenied and ValidationError.
    """
    event = event_lock(event_id)
    check_executor(event.portfolio, actor)
    if event.status != EventStatus.EXECUTING:
        raise EventConflict(f"event {event.pk} of {event.portfolio.code} is {event.status}, not executing")
    if not reason.strip():
        raise ValidationError({"reason": "closing short needs a reason"})
    for order in open_orders(event):
        order_cancel(order.pk, actor=actor, reason=reason)
    outcome = execution_outcome(event)
    if _is_within_tolerance(event, outcome):
        return _complete(event, outcome, actor, reason)
    _store(event, outcome)
    shown = "an unknown part" if outcome.residual is None else f"{outcome.residual:.4%}"
    return event_move(
        event.pk,
        EventStatus.FAILED,
        actor=actor,
        reason=reason,
        details=_summary(outcome),
        failure=f"closed short with {shown} of the value untraded: {reason}"[:1000],
        completed_at=clock.now(),
    )


@transaction.atomic
def outcome_restate(event_id: int, *, actor: Actor, reason: str) -> RebalancingEvent:
    """Keep with an event that is over what its execution came to after all, as when a late fill is booked."""
    event = event_lock(event_id)
    outcome = execution_outcome(event)
    if _store(event, outcome):
        audit_append(
            action="rebalancing.outcome_restated",
            object_type=OBJECT_TYPE,
            object_id=event.pk,
            actor=actor,
            portfolio=event.portfolio,
            after=_summary(outcome),
            reason=reason,
        )
    event.refresh_from_db()
    return event


def execution_outcome(event: RebalancingEvent) -> Outcome:
    """What the orders of the event came to, held against the books as they are now."""
    orders = list(event.orders.order_by("position").select_related("event__portfolio", "asset"))
    fills_day = max((fill.filled_on for order in orders for fill in order.fills.all()), default=None)
    day = max(found for found in (event.valuation_date, execution_day(), fills_day) if found is not None)
    reasons: list[str] = []
    try:
        book: Book | None = book_on(event.portfolio, day)
    except LedgerError as error:
        book, reasons = None, [f"the books cannot be walked: {error}"]
    assets = _assets(event, orders, book)
    market = market_on(event.portfolio, assets.values(), day, book.cash if book else ())
    results = [order_result(order, market, policy_of(event.portfolio)) for order in orders]
    state = post_state(event, book, market, assets, reasons)
    untraded = sum((result.untraded_value for result in results), NOTHING)
    residual = _residual(event, untraded)
    costs = _total(result.cost for result in results)
    withheld = _total(result.tax for result in results if result.is_withheld)
    own_taxes = _total(result.tax for result in results if not result.is_withheld)
    reasons += [reason for result in results for reason in result.reasons]
    return Outcome(
        post_state=state
        | {
            "trades": [result.as_json() for result in results],
            "differences": _differences(event, results, book),
            "untraded_value": decimal_text(untraded.quantize(MONEY_PLACES)),
            "residual": None if residual is None else decimal_text(residual),
            "reasons": reasons,
        },
        actual_cost=costs,
        # Losses count against gains; what is left below zero is no refund.
        actual_tax=None if own_taxes is None or withheld is None else withheld + max(own_taxes, NOTHING),
        # Books that cannot be read bear nothing out.
        residual=residual if book is not None else None,
    )


def _assets(
    event: RebalancingEvent, orders: Iterable[RebalancingOrder], book: Book | None
) -> dict[tuple[str, str], Asset]:
    """All that the state before names, all that was traded and all that is held, by symbol and exchange."""
    symbols = [line["symbol"] for line in event.pre_state.get("lines", ())]
    held = [asset for asset, quantity in (book.quantities if book else {}).items() if quantity]
    found = [
        *Asset.objects.filter(symbol__in=symbols),
        *(order.asset for order in orders),
        *Asset.objects.filter(pk__in=held),
    ]
    named = {(line["symbol"], line.get("exchange", "")) for line in event.pre_state.get("lines", ())}
    wanted = named | {(order.asset.symbol, order.asset.exchange) for order in orders}
    return {
        (asset.symbol, asset.exchange): asset
        for asset in found
        if (asset.symbol, asset.exchange) in wanted or asset.pk in held
    }


def _residual(event: RebalancingEvent, untraded: Decimal) -> Decimal | None:
    if not untraded:
        return NOTHING
    value = Decimal(event.pre_state.get("value") or 0)
    return (untraded / value).quantize(RATIO_PLACES) if value > 0 else None


def _total(parts: Iterable[Decimal | None]) -> Decimal | None:
    total = NOTHING
    for part in parts:
        if part is None:
            return None
        total += part
    return total.quantize(MONEY_PLACES)


def _differences(
    event: RebalancingEvent, results: Iterable[OrderResult], book: Book | None
) -> list[dict[str, str]]:
    """Where the books hold another quantity than the state before and the booked fills make."""
    before = {
        (line["symbol"], line.get("exchange", "")): Decimal(line["quantity"] or 0)
        for line in event.pre_state.get("lines", ())
    }
    differences = []
    for result in results if book is not None else ():
        asset = result.order.asset
        signed = -result.quantity if result.order.side == OrderSide.SELL else result.quantity
        expected = before.get((asset.symbol, asset.exchange), NOTHING) + signed
        booked = book.quantities.get(asset.pk, NOTHING) if book else NOTHING
        if booked != expected:
            differences.append(
                {
                    "symbol": asset.symbol,
                    "exchange": asset.exchange,
                    "expected": decimal_text(expected),
                    "booked": decimal_text(booked),
                }
            )
    return differences


def _is_within_tolerance(event: RebalancingEvent, outcome: Outcome) -> bool:
    tolerance = policy_of(event.portfolio).residual_tolerance
    return outcome.residual is not None and outcome.residual <= tolerance


def _complete(event: RebalancingEvent, outcome: Outcome, actor: Actor, reason: str) -> RebalancingEvent:
    _store(event, outcome)
    return event_move(
        event.pk,
        EventStatus.COMPLETED,
        actor=actor,
        reason=reason,
        details=_summary(outcome),
        completed_at=clock.now(),
    )


def _store(event: RebalancingEvent, outcome: Outcome) -> bool:
    """Keep the outcome with the event; whether it is another than the one there."""
    if event.post_state == outcome.post_state:
        return False
    RebalancingEvent.objects.filter(pk=event.pk).update(
        post_state=outcome.post_state, actual_cost=outcome.actual_cost, actual_tax=outcome.actual_tax
    )
    return True


def _summary(outcome: Outcome) -> Mapping[str, Any]:
    return {
        "residual": outcome.residual,
        "actual_cost": outcome.actual_cost,
        "actual_tax": outcome.actual_tax,
        "differences": outcome.post_state["differences"],
        "post_state_hash": sha256_of(outcome.post_state),
    }
