"""What a layout is: a translator from the rows of some program to rows of our own layout, and nothing else.

A layout reads no tables and books nothing. Whatever stands in a file comes out as a `Row` to be booked, a
`Note` why it is not, an `Announced` corporate action that must be known already, or a `Reject`.
"""

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple, Protocol, runtime_checkable

from portfolios.imports.cells import (
    EXACT,
    MAX_DECIMALS,
    PRICE,
    CellError,
    Digits,
    Reading,
    Row,
    number_fault,
    read_number,
)
from portfolios.imports.errors import TableError
from portfolios.imports.report import Reject
from portfolios.imports.table import Table

# Wider than any column of ours: what a number may be is for the row it ends up in to say.
RAW = Digits(30, MAX_DECIMALS)
CENT = Decimal("0.01")
HALF = Decimal("0.5")
_ISO_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})([T ,]+\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be said of a line: why it is not booked, or what of it is not.

    `is_row`: the line is one that could be booked, not one that belongs to what is around them.
    """

    line: int
    text: str
    is_row: bool = True

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Announced:
    """A corporate action that shows as a row. It is a fact on an asset, so the row itself books nothing.

    `row` has our columns `symbol` and `trade_date`; `kinds` are the kinds of CorporateAction that it may be;
    `symbols` are all names that the rows of this one action give, old and new.
    """

    row: Row
    kinds: tuple[str, ...]
    symbols: tuple[str, ...]
    words: str

    @property
    def line(self) -> int:
        return self.row.line


Item = Row | Reject | Note | Announced


@runtime_checkable
class Layout(Protocol):
    """`names`: what our columns are called in the source."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> Mapping[str, str]: ...

    def misfit(self, table: Table) -> str:
        """Why this header is not of this layout; empty when it is."""

    def check_header(self, table: Table) -> None:
        """Raise TableError that names what is wrong with the header of a file said to be of this layout."""

    def remarks(self, table: Table) -> list[str]:
        """What holds for the whole file, such as how its numbers are read."""

    def rows(self, table: Table, reading: Reading) -> Iterator[Item]:
        """In file order, and all that comes of one line in a row."""


@dataclass(frozen=True)
class NumberStyle:
    """How all numbers of a file are written. A number written otherwise is refused, never guessed."""

    rule: str
    pattern: re.Pattern[str]
    decimal: str = "."
    thousands: str = ""

    def plain(self, text: str) -> str:
        """The number as our own layout writes it. ValueError with the reason."""
        match = self.pattern.fullmatch(text)
        if match is None:
            raise ValueError(number_fault(text, f"this layout has {self.rule}"))
        number = match["sign"] + match["number"]
        return number.replace(self.thousands, "").replace(self.decimal, ".")


def _style(rule: str, number: str, decimal: str = ".", thousands: str = "") -> NumberStyle:
    sign = r"(?P<sign>[+-]?)"
    return NumberStyle(rule, re.compile(f"{sign}{number}", re.ASCII), decimal, thousands)


POINT = _style(
    "a point before the decimals and nothing between thousands", r"(?P<number>[\d.]+([eE][+-]?\d{1,3})?)"
)
ENGLISH = _style(
    "a point before the decimals and commas between thousands",
    r"\$?(?P<number>(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d{1,3})?)",
    thousands=",",
)
COMMA = _style(
    "a comma before the decimals and nothing between thousands", r"(?P<number>\d+(,\d*)?)", decimal=","
)
GERMAN = _style(
    "a comma before the decimals and points between thousands",
    r"(?P<number>(\d{1,3}(\.\d{3})+|\d+)(,\d*)?)",
    decimal=",",
    thousands=".",
)


class DayStyle(NamedTuple):
    words: str
    pattern: re.Pattern[str]


ISO_DAY = DayStyle("YYYY-MM-DD", re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})", re.ASCII))
COMPACT_DAY = DayStyle(
    "YYYYMMDD", re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})([;,]\s?\d{6})?", re.ASCII)
)
AMERICAN_DAY = DayStyle("MM/DD/YYYY", re.compile(r"(?P<m>\d{2})/(?P<d>\d{2})/(?P<y>\d{4})", re.ASCII))
GERMAN_DAY = DayStyle("DD.MM.YYYY", re.compile(r"(?P<d>\d{2})\.(?P<m>\d{2})\.(?P<y>\d{4})", re.ASCII))


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the source: its cells as numbers and days, and the rows of ours that it becomes."""

    row: Row
    style: NumberStyle
    names: Mapping[str, str]
    currency: str = ""

    @property
    def line(self) -> int:
        return self.row.line

    def text(self, column: str) -> str:
        """A dash stands for nothing."""
        text = self.row.cell(column)
        return "" if text in {"-", "--"} else text

    def error(self, column: str, reason: str) -> CellError:
        return self.row.error(column, reason)

    def number(self, column: str) -> Decimal | None:
        text = self.text(column)
        if not text:
            return None
        try:
            return read_number(self.style.plain(text), RAW, None)[0]
        except ValueError as error:
            raise self.error(column, str(error)) from error

    def needed(self, column: str) -> Decimal:
        return self.row.given(column, self.number(column))

    def from_zero(self, column: str) -> Decimal | None:
        value = self.number(column)
        if value is not None and value < 0:
            raise self.error(column, "must not be negative")
        return value

    def signed(self, column: str, sign: int, kind: str) -> Decimal:
        """The size of a number that must have this sign: for money, 1 is received and -1 is paid."""
        value = self.needed(column)
        if value * sign < 0:
            raise self.error(column, f"must not be {'negative' if sign > 0 else 'positive'} for a {kind}")
        return abs(value)

    def day(self, column: str, style: DayStyle) -> dt.date:
        return read_day(self.row, column, self.text(column), style)

    def called(self, **names: str) -> "Source":
        """The same row, with some of our columns called otherwise."""
        return replace(self, names={**self.names, **names})

    def booked_in(self, currency: str) -> "Source":
        return replace(self, currency=currency)

    def booking(self, kind: str, day: dt.date, **cells: str | Decimal | None) -> Row:
        """A row of our own layout."""
        texts = {name: _cell_text(value) for name, value in cells.items()}
        texts = {"kind": kind, "trade_date": day.isoformat(), "currency": self.currency, **texts}
        return Row(self.row.line, texts, self.row.reading, self.names, self.row)

    def announced(
        self, kinds: tuple[str, ...], day: dt.date, symbols: Iterable[str], words: str
    ) -> Announced:
        row = self.booking("", day, symbol=next(iter(symbols)))
        return Announced(row, kinds, tuple(symbols), words)


def read_day(row: Row, column: str, text: str, style: DayStyle) -> dt.date:
    """The day as the layout writes it, or as ISO does, with or without a time; the time is left out."""
    if not text:
        raise row.error(column, "must not be blank")
    iso = _ISO_TIME.fullmatch(text)
    match = ISO_DAY.pattern.fullmatch(iso[1]) if iso else style.pattern.fullmatch(text)
    if match is None:
        raise row.error(column, f"not a date as {style.words}")
    try:
        return dt.date(int(match["y"]), int(match["m"]), int(match["d"]))
    except ValueError as error:
        raise row.error(column, "no such day") from error


def _cell_text(value: str | Decimal | None) -> str:
    if value is None:
        return ""
    return format(value, "f") if isinstance(value, Decimal) else value


def plus(*amounts: Decimal | None) -> Decimal:
    """The exact sum; a blank cell adds nothing."""
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount or Decimal(0))
    return total


def is_product(quantity: Decimal | None, price: Decimal | None, amount: Decimal) -> bool:
    """Whether the amount is quantity x price to the cent, so that a row may state all three."""
    if quantity is None or price is None:
        return False
    return abs(EXACT.multiply(quantity, price) - amount) <= CENT


def stated_price(source: Source, column: str, quantity: Decimal, amount: Decimal) -> Decimal | None:
    """The price if it gives the amount to the cent, else None: what was paid counts, the price is rounded.

    CellError when the amount is further from quantity x price than rounding their last digits explains.
    """
    price = source.from_zero(column)
    if price is None or is_product(quantity, price, amount):
        return price
    off = abs(EXACT.multiply(quantity, price) - amount)
    room = plus(quantity * _half_digit(price), price * _half_digit(quantity), CENT)
    if off > room:
        product = EXACT.multiply(quantity, price)
        raise source.error(column, f"quantity x price = {product:f}, but the amount is {amount:f}")
    source.row.reading.remarks[
        f"column {column}: left out where it does not give the amount to the cent"
    ] += 1
    return None


def _half_digit(value: Decimal) -> Decimal:
    """Half of the last digit that is written; whole numbers are taken as exact."""
    exponent = int(value.as_tuple().exponent)
    return HALF.scaleb(exponent) if exponent < 0 else Decimal(0)


def unit_price(amount: Decimal, quantity: Decimal) -> Decimal:
    """Amount per unit, to the digits that a price keeps."""
    return EXACT.quantize(EXACT.divide(amount, quantity), Decimal(1).scaleb(-PRICE.places))


class ColumnLayout(ABC):
    """A layout with one header, known by the columns that it must have."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    # Columns that say nothing that is not said elsewhere.
    unused: tuple[str, ...] = ()
    names: Mapping[str, str]
    style: NumberStyle

    @abstractmethod
    def translate(self, source: Source) -> Iterable[Item]:
        """What one row becomes. Raises CellError."""

    def misfit(self, table: Table) -> str:
        missing = [name for name in self.required if name not in table.header]
        return f"lacks {', '.join(missing)}" if missing else ""

    def check_header(self, table: Table) -> None:
        rejects = [
            Reject(1, name, "", "this column is missing")
            for name in self.required
            if name not in table.header
        ]
        for place, name in enumerate(table.header):
            if name in table.header[:place] and name in (*self.required, *self.optional):
                rejects.append(Reject(1, name, name, "this column stands there twice"))
        if rejects:
            raise TableError(*rejects)

    def remarks(self, table: Table) -> list[str]:
        known = (*self.required, *self.optional, *self.unused)
        unread = [name for name in table.header if name and name not in known]
        remarks = [number_remark(self.name, self.style_of(table), table)]
        return remarks + ([f"columns that are not read: {', '.join(unread)}"] if unread else [])

    def style_of(self, table: Table) -> NumberStyle:
        """Cells with a type are written as ours are, whatever the language of the program."""
        return POINT if table.is_typed else self.style

    def rows(self, table: Table, reading: Reading) -> Iterator[Item]:
        style = self.style_of(table)
        for row in table.rows(reading):
            if isinstance(row, Reject):
                yield row
            else:
                yield from self.translated(Source(row, style, self.names))

    def translated(self, source: Source) -> list[Item]:
        """All of a row or a reject, never half of it."""
        if [cell.strip().lower() for cell in source.row.cells.values()] == list(source.row.cells):
            return [Note(source.line, "the header again")]
        try:
            return list(self.translate(source))
        except CellError as error:
            return [Reject(source.line, error.column, error.value, error.reason)]


def number_remark(name: str, style: NumberStyle, table: Table) -> str:
    kind = "numbers are typed cells" if table.is_typed else f"numbers have {style.rule}"
    return f"layout {name}: {kind}"
