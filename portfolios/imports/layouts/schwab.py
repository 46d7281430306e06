"""Charles Schwab's account history. All of it is in dollars."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby

from portfolios.imports.cells import CellError, Reading, Row
from portfolios.imports.layouts.base import (
    AMERICAN_DAY,
    ENGLISH,
    ColumnLayout,
    Item,
    Note,
    Source,
    plus,
    read_day,
    stated_price,
)
from portfolios.imports.report import Reject
from portfolios.imports.table import Table

CURRENCY = "USD"
TRADES = {
    "buy": "buy",
    "sell": "sell",
    "reinvest shares": "buy",
    "sell short": "short",
    "buy to cover": "cover",
}
DIVIDENDS = {
    "cash dividend",
    "qualified dividend",
    "non-qualified div",
    "special dividend",
    "special qual div",
    "special non qual div",
    "pr yr cash div",
    "pr yr div reinvest",
    "pr yr non-qual div",
    "qual div reinvest",
    "reinvest dividend",
    "long term cap gain",
    "short term cap gain",
    "long term cap gain reinvest",
    "short term cap gain reinvest",
}
IN_LIEU = "cash in lieu"
# By the sign of the amount: received, paid.
BY_SIGN = {
    ("deposit", "withdrawal"): (
        "wire sent",
        "wire received",
        "wire funds",
        "wire funds received",
        "moneylink transfer",
        "moneylink deposit",
        "internal transfer",
        "journal",
        "funds received",
        "funds paid",
    ),
    ("fee_refund", "fee"): ("advisor fee", "adr mgmt fee", "service fee", "misc fee"),
    ("tax_refund", "tax"): ("foreign tax paid", "nra tax adj", "nra withholding"),
    ("interest", "interest_charge"): ("credit interest", "bank interest", "bond interest", "margin interest"),
}
SIGNED = {action: kinds for kinds, actions in BY_SIGN.items() for action in actions}
SHARES_MOVED = {"journaled shares", "internal transfer", "journal", "security transfer"}
CORPORATE_ACTIONS = {
    "stock split": ("split",),
    "reverse split": ("split",),
    "stock div dist": ("split", "spin_off"),
    "spin-off": ("spin_off",),
    "stock merger": ("merger", "symbol_change"),
    "cash/stock merger": ("merger",),
    "cash merger": ("merger",),
    "name change": ("symbol_change",),
    "conversion": ("merger", "symbol_change"),
}
TOTAL = "transactions total"
_AS_OF = re.compile(r"(.+?) as of (.+)")


class SchwabLayout(ColumnLayout):
    name = "schwab"
    required = ("date", "action", "symbol", "description", "quantity", "price", "fees & comm", "amount")
    names = {
        "trade_date": "date",
        "kind": "action",
        "fee": "fees & comm",
        "note": "description",
    }
    style = ENGLISH

    def rows(self, table: Table, reading: Reading) -> Iterator[Item]:
        """Rows of one corporate action stand together: the new shares, and the old ones under their CUSIP."""
        style = self.style_of(table)
        for key, rows in groupby(table.rows(reading), key=_action_key):
            group = [
                row if isinstance(row, Reject) else Source(row, style, self.names, CURRENCY) for row in rows
            ]
            sources = [row for row in group if isinstance(row, Source)]
            for row in group:
                if isinstance(row, Reject):
                    yield row
                elif key is None:
                    yield from self.translated(row)
                else:
                    yield self._announced(row, sources)

    def translate(self, source: Source) -> Iterable[Item]:
        action = source.text("action").lower()
        if source.text("date").lower() == TOTAL:
            yield Note(source.line, f"the total of the file, {source.text('amount')}: no booking")
            return
        day = _trade_date(source.row)
        quantity, fee = source.number("quantity"), source.from_zero("fees & comm")
        common = {"symbol": source.text("symbol"), "note": source.text("description")}
        if action in TRADES:
            yield _trade(source, TRADES[action], day, fee, common)
        elif action in DIVIDENDS or action == IN_LIEU:
            amount = source.signed("amount", 1, "dividend")
            yield source.booking("dividend", day, **common, amount=amount, fee=fee)
            if action == IN_LIEU:
                yield Note(source.line, _in_lieu(source))
        elif action in SHARES_MOVED and quantity:
            kind = "transfer_in" if quantity > 0 else "transfer_out"
            yield source.booking(kind, day, **common, quantity=abs(quantity), fee=fee)
        elif action in SIGNED:
            amount = source.needed("amount")
            received, paid = SIGNED[action]
            kind = received if amount > 0 else paid
            if kind in {"deposit", "withdrawal"}:
                common["symbol"] = ""
            yield source.booking(kind, day, **common, amount=abs(amount), fee=fee)
        else:
            raise source.error("action", "unknown action: book it by hand")

    def _announced(self, source: Source, group: list[Source]) -> Item:
        try:
            day = _trade_date(source.row)
            symbols = [
                source.text("symbol"),
                *(other.text("symbol") for other in group if other is not source),
            ]
            action = source.text("action").lower()
            words = f"{action} of {' and '.join(symbols)}"
            return source.announced(CORPORATE_ACTIONS[action], day, symbols, words)
        except CellError as error:
            return Reject(source.line, error.column, error.value, error.reason)


def _action_key(row: Row | Reject) -> tuple[str, str] | None:
    if isinstance(row, Reject) or row.cell("action").lower() not in CORPORATE_ACTIONS:
        return None
    return row.cell("date"), row.cell("action")


def _trade_date(row: Row) -> dt.date:
    """`08/22/2022 as of 08/19/2022` was posted on the first day and took effect on the second.

    The book follows the effect: what is held and earned on a day does not wait for the broker's bookkeeping.
    """
    text = row.cell("date")
    match = _AS_OF.fullmatch(text)
    posted = read_day(row, "date", match[1] if match else text, AMERICAN_DAY)
    if match is None:
        return posted
    day = read_day(row, "date", match[2], AMERICAN_DAY)
    if day > posted:
        raise row.error("date", "takes effect after it was posted")
    return day


def _trade(source: Source, kind: str, day: dt.date, fee: Decimal | None, common: dict[str, str]) -> Row:
    """The amount moved on the account, so the fee is inside it."""
    quantity = source.row.given("quantity", source.from_zero("quantity"))
    sign = 1 if kind in {"sell", "short"} else -1
    amount = source.signed("amount", sign, kind)
    gross = plus(amount, fee if sign > 0 else -(fee or Decimal(0)))
    price = stated_price(source, "price", quantity, gross)
    return source.booking(kind, day, **common, quantity=quantity, price=price, amount=gross, fee=fee)


def _in_lieu(source: Source) -> str:
    symbol = source.text("symbol")
    return (
        f"cash in lieu of a fraction of {symbol} is booked as income, because the file does not say how many "
        "shares it replaced; if the split left a fraction, book its sale by hand instead"
    )
