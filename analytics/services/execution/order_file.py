"""The order file: orders leave as CSV, and their fills come back as CSV (`import_fills`)."""

import csv
import io
from collections.abc import Iterable, Sequence

from django.db import transaction

from analytics.models import EventStatus, RebalancingEvent, RebalancingOrder, Venue
from analytics.services.event_moves import EventConflict, event_lock
from analytics.services.execution.orders import orders_mark_sent
from analytics.services.execution.permissions import check_executor
from analytics.services.execution.protocol import VenueFill
from portfolio_site.kernel.canonical import decimal_text
from portfolios.services.audit import Actor

COLUMNS = (
    "client_order_id",
    "portfolio",
    "symbol",
    "exchange",
    "isin",
    "side",
    "quantity",
    "price",
    "currency",
)
# A spreadsheet takes a cell that begins so for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class OrderFileVenue:
    name = Venue.ORDER_FILE.value
    submits = False
    exchanges_cash = False

    def submit(self, orders: Sequence[RebalancingOrder]) -> list[VenueFill]:
        """Nothing to do: the orders wait for their export."""
        return []


def exportable_events() -> list[int]:
    """The events whose orders leave by file."""
    events = RebalancingEvent.objects.filter(status=EventStatus.EXECUTING, orders__venue=OrderFileVenue.name)
    return sorted(set(events.values_list("pk", flat=True)))


@transaction.atomic
def orders_export(event_ids: Iterable[int], *, actor: Actor = None) -> str:
    """The orders of these events as CSV, which are then sent; the same text however often it is asked for.

    Raises PermissionDenied, and EventConflict for an event that is not executing, or not at this venue.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for event_id in sorted(set(event_ids)):
        event = event_lock(event_id)
        check_executor(event.portfolio, actor)
        if event.status != EventStatus.EXECUTING or event.venue != OrderFileVenue.name:
            raise EventConflict(
                f"event {event.pk} of {event.portfolio.code} is {event.status}"
                f"{f' at {event.venue}' if event.venue else ''} and has no orders to export"
            )
        orders = event.orders.order_by("position").select_related("event__portfolio", "asset")
        lines.writerows(_cells(order) for order in orders)
        orders_mark_sent(event, actor=actor)
    return text.getvalue()


def _cells(order: RebalancingOrder) -> list[str]:
    asset = order.asset
    return [
        order.client_order_id,
        _harmless(order.event.portfolio.code),
        _harmless(asset.symbol),
        _harmless(asset.exchange),
        _harmless(asset.isin or ""),
        order.side,
        decimal_text(order.quantity),
        decimal_text(order.price),
        asset.currency_id,
    ]


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
