"""Fills from a file, as a broker sends them: each is booked once, and its order and event follow."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from analytics.models import RebalancingOrder
from analytics.services.execution.completion import event_settle
from analytics.services.execution.fills import (
    MAX_FILL_ID,
    FillConflict,
    excess_warning,
    fill_book,
    fill_fault,
    known_fill,
    order_locked,
)
from analytics.services.execution.permissions import check_executor
from analytics.services.execution.protocol import NOTHING, VenueFill
from portfolio_site.kernel.locks import lock_rows
from portfolios.imports.cells import MONEY, PRICE, QUANTITY, Row
from portfolios.imports.report import ImportReport
from portfolios.models import Portfolio
from portfolios.selectors.visibility import visible_to
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lines import LineSet


class FillRow(NamedTuple):
    line: int
    client_order_id: str
    fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    tax: Decimal
    filled_on: dt.date

    def as_fill(self) -> VenueFill:
        return VenueFill(**{name: value for name, value in self._asdict().items() if name != "line"})


class FillImport(FileImport[FillRow]):
    target = "fills"
    required = ("client_order_id", "fill_id", "quantity", "price", "fee", "tax", "filled_on")
    # What a file repeats of the order must be what was ordered.
    optional = ("side", "symbol", "currency")
    identity = ("client_order_id", "fill_id")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.orders: dict[str, RebalancingOrder] = {}
        self.refused_lines = LineSet()
        self.must_repeat = False
        self.booked: dict[int, int] = {}

    def parse(self, row: Row) -> FillRow:
        order = self._order(row)
        self._check_order(row, order)
        fill_id = row.text("fill_id", MAX_FILL_ID, needed=True)
        return FillRow(
            line=row.line,
            client_order_id=order.client_order_id,
            fill_id=fill_id,
            quantity=row.given("quantity", row.positive_number("quantity", QUANTITY)),
            price=row.given("price", row.positive_number("price", PRICE)),
            fee=row.number_from_zero("fee", MONEY) or NOTHING,
            tax=row.number_from_zero("tax", MONEY) or NOTHING,
            filled_on=row.past_date("filled_on", self.today),
        )

    def _order(self, row: Row) -> RebalancingOrder:
        name = row.text("client_order_id", 64, needed=True)
        if name not in self.orders:
            rows = RebalancingOrder.objects.select_related("event__portfolio", "asset")
            if isinstance(self.actor, User):
                rows = rows.filter(event__portfolio__in=visible_to(self.actor))
            order = rows.filter(client_order_id=name).first()
            if order is None:
                raise row.error("client_order_id", "unknown order")
            self.orders[name] = order
        return self.orders[name]

    def _check_order(self, row: Row, order: RebalancingOrder) -> None:
        try:
            check_executor(order.event.portfolio, self.actor)
        except PermissionDenied as error:
            raise row.error("client_order_id", str(error)) from error
        ordered = {"side": order.side, "symbol": order.asset.symbol, "currency": order.asset.currency_id}
        for column, value in ordered.items():
            if row.cell(column) and row.cell(column).lower() != value.lower():
                raise row.error(column, f"the order says {value}")

    def start(self) -> None:
        """Those who book into the same portfolios wait from here on."""
        lock_rows(Portfolio, {order.event.portfolio_id for order in self.orders.values()})
        self.must_repeat = False
        self.booked = {}

    def compare(self, records: list[FillRow]) -> Changes[FillRow]:
        changes: Changes[FillRow] = Changes()
        for row in records:
            if row.line in self.refused_lines:
                continue
            fill = row.as_fill()
            try:
                order = order_locked(row.client_order_id)
                if known_fill(order, fill) is not None:
                    changes.unchanged.append(row)
                    continue
                fault = fill_fault(order, fill)
            except FillConflict as conflict:
                fault = conflict
            if fault is None:
                changes.created.append(row)
            else:
                self._refuse(row, fault.column, str(fault))
        return changes

    def write(self, changes: Changes[FillRow]) -> None:
        """What the books refuse is a rejected row like others."""
        for row in changes.created:
            try:
                with transaction.atomic():
                    outcome = fill_book(row.as_fill(), actor=self.actor)
            except ValidationError as error:
                self._refuse(row, "quantity", "; ".join(error.messages))
                self.must_repeat = True
                continue
            order = self.orders[row.client_order_id]
            self.booked[order.event_id] = self.booked.get(order.event_id, 0) + 1
            if outcome.excess:
                self.report.notes.append(f"line {row.line}: {excess_warning(order, outcome.excess)}")

    def holds(self) -> bool:
        return not self.must_repeat

    def finish(self) -> None:
        for event_id in sorted(self.booked):
            event = event_settle(event_id, actor=self.actor)
            self.report.notes.append(f"rebalancing {event.pk} of {event.portfolio.code} is {event.status}")

    def audit(self) -> None:
        """One row for each event, beside those of its fills."""
        portfolios = {order.event_id: order.event.portfolio for order in self.orders.values()}
        for event_id, fills in sorted(self.booked.items()):
            self.append_audit(portfolio=portfolios[event_id], after={"event": event_id, "fills": fills})

    def _refuse(self, row: FillRow, column: str, reason: str) -> None:
        self.refused_lines.add(row.line)
        self.reject(row.line, column, getattr(row, column), reason)


def fills_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> ImportReport:
    """Book the fills of a file. Those that were delivered before are unchanged, however often they come.

    What goes beyond an order is kept, marked, and not booked; the report notes it. Raises FileError.
    """
    return FillImport(path, actor=actor, on_error=on_error).run(preview=preview)
