"""Statements of Interactive Brokers: sections, each with a header of its own.

Two of them are read. The transaction history states all amounts in the account's base currency, which the
summary names. The activity statement has a section for trades, dividends and so on, each row in its currency.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from portfolios.imports.cells import EXACT, CellError, Reading, Row
from portfolios.imports.errors import TableError
from portfolios.imports.layouts.base import (
    CENT,
    ENGLISH,
    ISO_DAY,
    POINT,
    Item,
    Note,
    Source,
    is_product,
    number_remark,
    plus,
    stated_price,
)
from portfolios.imports.report import Reject
from portfolios.imports.table import Table, row_of

# The first cells of every row: the section, and what the row is in it.
PREFIX = ("statement", "header", "field name", "field value")
HISTORY_NAMES = {
    "trade_date": "date",
    "kind": "transaction type",
    "amount": "gross amount",
    "fee": "commission",
    "note": "description",
}
TRADE_NAMES = {
    "trade_date": "date/time",
    "kind": "quantity",
    "price": "t. price",
    "amount": "proceeds",
    "fee": "comm/fee",
}
CASH_NAMES = {"trade_date": "date", "kind": "amount", "note": "description", "isin": "description"}
TRANSFER_NAMES = CASH_NAMES | {"trade_date": "settle date"}
ACTION_NAMES = {"trade_date": "date/time", "symbol": "description", "isin": "description"}
# What was received and what was paid, by the type in the history.
CASH_TYPES = {
    "dividend": ("dividend", ""),
    "payment in lieu": ("dividend", ""),
    "foreign tax withholding": ("tax_refund", "tax"),
    "credit interest": ("interest", "interest_charge"),
    "debit interest": ("interest", "interest_charge"),
    "investment interest received": ("interest", "interest_charge"),
    "investment interest paid": ("interest", "interest_charge"),
    "deposit": ("deposit", "withdrawal"),
    "withdrawal": ("deposit", "withdrawal"),
    "other fee": ("fee_refund", "fee"),
    "sales tax": ("tax_refund", "tax"),
    "commission adjustment": ("fee_refund", "fee"),
}
ACTION_WORDS = {
    "spinoff": ("spin_off",),
    "spin-off": ("spin_off",),
    "split": ("split",),
    "stock dividend": ("split",),
    "merged": ("merger", "symbol_change"),
    "acquisition": ("merger",),
    "change": ("symbol_change",),
}
_PAIR = re.compile(r"([A-Z]{3})\.([A-Z]{3})")
_NAMED = re.compile(r"([A-Z0-9][A-Z0-9 ./-]*?)\s*\(([A-Z]{2}[A-Z0-9]{9}\d)\)")


@dataclass
class Section:
    translate: Callable[[Source, str], Iterable[Item]]
    names: Mapping[str, str]
    required: tuple[str, ...]


@dataclass
class _Reader:
    """Follows the lines of one statement: the columns of each section, and what was left out."""

    table: Table
    reading: Reading
    columns: dict[str, list[str]] = field(default_factory=dict)
    base_currency: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    first_lines: dict[str, int] = field(default_factory=dict)

    def items(self) -> Iterator[Item]:
        found = False
        for line, cells in self.table.lines():
            title, role = (*(cell.strip().lower() for cell in cells[:2]), "", "")[:2]
            section = SECTIONS.get(title)
            found = found or section is not None
            if section is None:
                self._leave_out(title, cells, line)
            elif role == "header":
                yield from self._open(title, section, cells[2:], line)
            elif role == "data":
                yield from self._data(title, section, cells[2:], line)
            else:
                yield Note(line, f"{role or 'a row'} of {title}: no booking")
        if not found:
            yield Reject(1, "", "", f"holds none of the sections {', '.join(SECTIONS)}")
        for title, count in self.left_out.items():
            yield Note(self.first_lines[title], f"section {title}: {count} lines, no bookings", is_row=False)

    def _leave_out(self, title: str, cells: list[str], line: int) -> None:
        if cells[2:3] == ["Base Currency"]:
            self.base_currency = "".join(cells[3:4]).strip()
        self.first_lines.setdefault(title, line)
        self.left_out[title] += 1

    def _open(self, title: str, section: Section, cells: list[str], line: int) -> Iterator[Item]:
        columns = [cell.strip().lower() for cell in cells]
        while columns and not columns[-1]:
            columns.pop()
        missing = [name for name in section.required if name not in columns]
        twice = [name for place, name in enumerate(columns) if name in columns[:place]]
        if missing or twice:
            reasons = [(name, "this column is missing") for name in missing]
            reasons += [(name, "this column stands there twice") for name in twice]
            raise TableError(*(Reject(line, name, "", reason) for name, reason in reasons))
        self.columns[title] = columns
        yield from ()

    def _data(self, title: str, section: Section, cells: list[str], line: int) -> Iterator[Item]:
        columns = self.columns.get(title)
        if columns is None:
            yield Reject(line, "", title, "stands before the header of its section")
            return
        if self.table.is_typed:
            cells = cells + [""] * (len(columns) - len(cells))
        row = row_of(line, columns, cells, self.reading)
        if isinstance(row, Reject):
            yield row
            return
        style = POINT if self.table.is_typed else ENGLISH
        try:
            yield from list(section.translate(Source(row, style, section.names), self.base_currency))
        except CellError as error:
            yield Reject(line, error.column, error.value, error.reason)


class IbkrStatementLayout:
    name = "ibkr_statement"
    names: Mapping[str, str] = HISTORY_NAMES

    def misfit(self, table: Table) -> str:
        if tuple(table.header[:4]) == PREFIX:
            return ""
        return f"does not begin with {','.join(PREFIX)}"

    def check_header(self, table: Table) -> None:
        if self.misfit(table):
            raise TableError(Reject(1, "", ",".join(table.header[:4]), self.misfit(table)))

    def remarks(self, table: Table) -> list[str]:
        return [number_remark(self.name, ENGLISH, table)]

    def rows(self, table: Table, reading: Reading) -> Iterator[Item]:
        return _Reader(table, reading).items()


def _history_row(source: Source, base_currency: str) -> Iterable[Item]:
    kind = source.text("transaction type").lower()
    if kind == "adjustment":
        change = f"{source.text('description')} {source.text('gross amount')}"
        return [Note(source.line, f"{change}: a change of value that moves no money")]
    if not base_currency:
        reason = "no section before this one names the base currency, in which all amounts are"
        raise CellError("base currency", "", reason)
    source = source.booked_in(base_currency)
    gross, commission = source.number("gross amount"), source.number("commission")
    net = source.number("net amount")
    if net is not None and abs(plus(gross, commission, -net)) > CENT:
        raise source.error("net amount", "differs from gross amount + commission by more than a cent")
    if kind in {"buy", "sell"}:
        return _history_trade(source, kind)
    if kind == "forex trade component":
        return _history_exchange(source, base_currency)
    if kind in CASH_TYPES:
        return [_cash(source, CASH_TYPES[kind], "gross amount", "date")]
    raise source.error("transaction type", "unknown type: book it by hand")


def _history_trade(source: Source, kind: str) -> Iterable[Item]:
    sign = 1 if kind == "buy" else -1
    quantity = source.signed("quantity", sign, kind)
    amount = source.signed("gross amount", -sign, kind)
    price = source.from_zero("price")
    yield source.booking(
        kind,
        source.day("date", ISO_DAY),
        symbol=source.text("symbol"),
        quantity=quantity,
        # The price is in the currency of the asset, the amount in that of the account.
        price=price if is_product(quantity, price, amount) else None,
        amount=amount,
        fee=_paid(source, "commission"),
        note=source.text("description"),
    )


def _history_exchange(source: Source, base_currency: str) -> Iterable[Item]:
    """Both legs as they were traded. The amounts are only what both come to together in base currency."""
    pair = _PAIR.fullmatch(source.text("symbol"))
    if pair is None:
        raise source.error("symbol", "must be two currencies, such as GBP.USD")
    quantity, price = source.needed("quantity"), source.needed("price")
    fee = _paid(source, "commission")
    yield _exchange(source, "date", pair, quantity, EXACT.multiply(-quantity, price), "gross amount")
    if fee:
        day = source.day("date", ISO_DAY)
        yield source.called(amount="commission").booking("fee", day, amount=fee, note="commission")
    words = (
        f"booked as an exchange of both legs; the net amount {source.text('net amount')} is their difference"
    )
    yield Note(source.line, f"{words} in {base_currency}, and not booked")


def _exchange(
    source: Source, date: str, pair: re.Match[str], quantity: Decimal, money: Decimal, column: str
) -> Row:
    """`quantity` of the first currency and `money` of the second, received (positive) and paid (negative)."""
    if quantity * money >= 0:
        raise source.error(column, "an exchange receives one currency and pays the other")
    legs = [(quantity, pair[1]), (money, pair[2])]
    bought, paid = sorted(legs, reverse=True, key=lambda leg: leg[0])
    names = {"currency": "symbol", "counter_currency": "symbol", "counter_amount": column}
    return source.called(**names).booking(
        "currency_exchange",
        source.day(date, ISO_DAY),
        amount=bought[0],
        currency=bought[1],
        counter_amount=-paid[0],
        counter_currency=paid[1],
        note=source.row.cell("description"),
    )


def _cash(source: Source, kinds: tuple[str, str], column: str, date: str) -> Row:
    """Money received, or paid, which may have been for an asset that the description names."""
    received, paid = kinds
    amount = source.needed(column)
    kind = received if amount > 0 else paid
    if not kind:
        raise source.error(column, f"must not be negative for a {received}")
    named = _NAMED.match(source.text("description"))
    has_asset = kind not in {"deposit", "withdrawal"}
    return source.booking(
        kind,
        source.day(date, ISO_DAY),
        symbol=(source.text("symbol") or (named[1] if named else "")) if has_asset else "",
        isin=named[2] if named and has_asset else "",
        amount=abs(amount),
        note=source.text("description"),
    )


def _paid(source: Source, column: str) -> Decimal | None:
    """A commission, which is negative where it is paid. A rebate would need a row of its own."""
    commission = source.number(column)
    if commission and commission > 0:
        raise source.error(column, "must not be positive: book the rebate by hand")
    return -commission if commission else None


def _in_its_currency(source: Source) -> Source:
    return source.booked_in(source.text("currency"))


def _trade_row(source: Source, base_currency: str) -> Iterable[Item]:
    if source.text("datadiscriminator").lower() != "order":
        yield Note(source.line, f"{source.text('datadiscriminator')}: part of an order, which is booked")
        return
    source = _in_its_currency(source)
    quantity, day = source.needed("quantity"), source.day("date/time", ISO_DAY)
    pair = _PAIR.fullmatch(source.text("symbol"))
    if pair:
        yield _exchange(source, "date/time", pair, quantity, source.needed("proceeds"), "proceeds")
        # The commission of an exchange is in base currency, which its column is named after.
        column = next((name for name in source.row.cells if name.startswith("comm")), "comm/fee")
        fee = _paid(source, column)
        if fee:
            apart = source.called(amount=column).booked_in(base_currency)
            yield apart.booking("fee", day, amount=fee, note="commission")
        return
    kind = "buy" if quantity > 0 else "sell"
    amount = source.signed("proceeds", -1 if quantity > 0 else 1, kind)
    yield source.booking(
        kind,
        day,
        symbol=source.text("symbol"),
        quantity=abs(quantity),
        price=stated_price(source, "t. price", abs(quantity), amount),
        amount=amount,
        fee=_paid(source, "comm/fee"),
    )


def _cash_row(kinds: tuple[str, str], date: str = "date") -> Callable[[Source, str], Iterable[Item]]:
    def translate(source: Source, base_currency: str) -> Iterable[Item]:
        first = next(iter(source.row.cells))
        if source.text(first).lower().startswith("total") or source.text("currency").lower().startswith(
            "total"
        ):
            return [Note(source.line, "a total: no booking")]
        return [_cash(_in_its_currency(source), kinds, "amount", date)]

    return translate


def _action_row(source: Source, base_currency: str) -> Iterable[Item]:
    words = source.text("description")
    named = _NAMED.match(words)
    kinds = next((kinds for word, kinds in ACTION_WORDS.items() if word in words.lower()), None)
    if source.text("asset category").lower().startswith("total"):
        return [Note(source.line, "a total: no booking")]
    if named is None or kinds is None:
        raise source.error("description", "unknown corporate action: import it with import_corporate_actions")
    return [source.announced(kinds, source.day("date/time", ISO_DAY), [named[1], named[2]], words)]


_CASH_COLUMNS = ("currency", "date", "description", "amount")
_TRADE_COLUMNS = (
    "datadiscriminator",
    "currency",
    "symbol",
    "date/time",
    "quantity",
    "t. price",
    "proceeds",
)
SECTIONS = {
    "transaction history": Section(
        _history_row,
        HISTORY_NAMES,
        (
            "date",
            "description",
            "transaction type",
            "symbol",
            "quantity",
            "price",
            "gross amount",
            "commission",
            "net amount",
        ),
    ),
    "trades": Section(_trade_row, TRADE_NAMES, _TRADE_COLUMNS),
    "dividends": Section(_cash_row(("dividend", "")), CASH_NAMES, _CASH_COLUMNS),
    "payment in lieu of dividends": Section(_cash_row(("dividend", "")), CASH_NAMES, _CASH_COLUMNS),
    "withholding tax": Section(_cash_row(("tax_refund", "tax")), CASH_NAMES, _CASH_COLUMNS),
    "interest": Section(_cash_row(("interest", "interest_charge")), CASH_NAMES, _CASH_COLUMNS),
    "fees": Section(_cash_row(("fee_refund", "fee")), CASH_NAMES, _CASH_COLUMNS),
    "deposits & withdrawals": Section(
        _cash_row(("deposit", "withdrawal"), "settle date"),
        TRANSFER_NAMES,
        ("currency", "settle date", "description", "amount"),
    ),
    "corporate actions": Section(_action_row, ACTION_NAMES, ("asset category", "date/time", "description")),
}
