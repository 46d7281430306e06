"""Transactions: the book line by line, the newest first."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import Http404, HttpRequest
from django.urls import reverse

from analytics.admin.portfolio_page.content import Content
from analytics.admin.portfolio_page.paging import day_field, lines_wanted, links
from portfolio_site.kernel.tables import Column, Link, Struck, Table
from portfolios.models import Portfolio, Transaction, TransactionKind, TransactionStatus
from portfolios.selectors.ledger_pages import LinesKey, transaction_page

ON_SCREEN = 100
MOST_PLACES = 8
ANY = ("", "Any")
EMPTY = "No line matches: widen the filter, or enter or import transactions."


class LinesForm(forms.Form):
    kind = forms.ChoiceField(choices=[ANY, *TransactionKind.choices], required=False)
    status = forms.ChoiceField(choices=[ANY, *TransactionStatus.choices], required=False)
    to = day_field("To")

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="lines_%s")
        self.fields["from"] = day_field("From")
        self.order_fields(["kind", "status", "from", "to"])


def show(request: HttpRequest, portfolio: Portfolio) -> Content:
    form = LinesForm(request.GET)
    wanted = lines_wanted(request, ON_SCREEN)
    lines: list[Transaction] = []
    if form.is_valid():
        lines = transaction_page(
            portfolio, asked=form.cleaned_data, before=_key(request.GET.get("before", "")), count=wanted + 1
        )
    shown = lines[:wanted]
    older = f"{shown[-1].trade_date}_{shown[-1].pk}" if len(lines) > wanted else None
    return Content(
        [_table(shown)],
        template="admin/portfolio_page/filtered.html",
        context={"filter_form": form, "links": links(request, older)},
    )


def _key(text: str) -> LinesKey | None:
    if not text:
        return None
    day, _, pk = text.partition("_")
    try:
        return dt.date.fromisoformat(day), int(pk)
    except ValueError:
        raise Http404(f"before: {text!r} is not the key of a line") from None


def _table(lines: Sequence[Transaction]) -> Table:
    return Table(
        "transactions",
        "Transactions",
        [
            Column("Line"),
            Column("Trade date", "date"),
            Column("Settlement", "date"),
            Column("Asset"),
            Column("Quantity", "number", _places(lines)),
            Column("Price", "number", 4),
            Column("Amount", "number"),
            Column("Fee", "number"),
            Column("Tax", "number"),
            Column("Currency"),
            Column("Status"),
            Column("Source"),
        ],
        [_row(line) for line in lines],
        empty=EMPTY,
        note="Amounts are gross and positive; the kind gives the direction. Struck through: does not count.",
    )


def _row(line: Transaction) -> list[Any]:
    link = Link(line.get_kind_display(), reverse("admin:portfolios_transaction_change", args=[line.pk]))
    figures = [line.trade_date, line.settle_date, _asset(line), line.quantity, line.price, line.amount]
    cells = [link, *figures, line.fee, line.tax]
    if _is_reversed(line) or line.reverses_id is not None:
        cells = [cell if cell is None or cell == "" else Struck(cell) for cell in cells]
    return [*cells, line.currency_id, _status(line), line.source]


def _asset(line: Transaction) -> str | Link:
    if line.asset is None:
        return ""
    return Link(line.asset.symbol, reverse("admin:portfolios_asset_overview", args=[line.asset.pk]))


def _is_reversed(line: Transaction) -> bool:
    return hasattr(line, "reversed_by")


def _status(line: Transaction) -> str:
    if line.reverses is not None:
        return f"Reversal of line {line.reverses.pk} of {line.reverses.trade_date}"
    if _is_reversed(line):
        return f"{line.get_status_display()}, reversed by line {line.reversed_by.pk}"
    return line.get_status_display()


def _places(lines: Sequence[Transaction]) -> int:
    """Decimals that the quantities need."""
    quantities = [line.quantity.normalize() for line in lines if line.quantity is not None]
    needed = [-int(quantity.as_tuple().exponent) for quantity in quantities if quantity % 1]
    return min(max(needed, default=0), MOST_PLACES)
