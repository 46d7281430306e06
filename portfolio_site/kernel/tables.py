"""A small table with what its columns mean: shown on a screen, and the same as a file."""

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from django.http import HttpResponse
from openpyxl import Workbook

Kind = Literal["text", "number", "percent", "date"]
# A spreadsheet would take a text that begins with one of these for a formula.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True)
class Column:
    """`percent`: fractions, shown times a hundred. `unit`: what the numbers are in, for the heading."""

    heading: str
    kind: Kind = "text"
    places: int = 2
    unit: str = ""
    signed: bool = False

    @property
    def is_number(self) -> bool:
        return self.kind in ("number", "percent")

    @property
    def title(self) -> str:
        unit = "%" if self.kind == "percent" else self.unit
        return f"{self.heading} ({unit})" if unit else self.heading


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere; in a file, the text alone."""

    text: str
    url: str


@dataclass(frozen=True)
class Struck:
    """A value that no longer counts: struck through on a screen, in a file the value alone."""

    value: Any


@dataclass(frozen=True)
class Unknown:
    """A cell without a value, and why."""

    reason: str


@dataclass(frozen=True)
class Table:
    """`slug` names it in addresses and files. None in a cell is unknown; `Unknown` says why.

    On a screen stand the first `shown` rows, in a file all.
    """

    slug: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    empty: str = "There is nothing to show yet."
    note: str = ""
    wide: bool = True
    shown: int = 100

    @property
    def first_rows(self) -> Sequence[Sequence[Any]]:
        return self.rows[: self.shown]

    @property
    def is_cut(self) -> bool:
        return len(self.rows) > self.shown


def table_response(table: Table, form: str, name: str) -> HttpResponse:
    """The table as a file to download; `form` is csv or xlsx."""
    writer, content_type = FORMS[form]
    response = HttpResponse(writer(table), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}-{table.slug}.{form}"'
    return response


def csv_bytes(table: Table) -> bytes:
    """With a mark at its beginning, by which spreadsheets know that it is UTF-8."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([safe_text(column.title) for column in table.columns])
    writer.writerows(_plain_rows(table))
    return file.getvalue().encode("utf-8-sig")


def xlsx_bytes(table: Table) -> bytes:
    book = Workbook(write_only=True)
    sheet = book.create_sheet(table.slug[:31])
    sheet.append([safe_text(column.title) for column in table.columns])
    for row in _plain_rows(table):
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def safe_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text


FORMS: Mapping[str, tuple[Callable[[Table], bytes], str]] = {
    "csv": (csv_bytes, "text/csv; charset=utf-8"),
    "xlsx": (xlsx_bytes, EXCEL),
}


def _plain_rows(table: Table) -> Iterator[list[Any]]:
    for row in table.rows:
        yield [_plain(value, column) for value, column in zip(row, table.columns, strict=True)]


def _plain(value: Any, column: Column) -> Any:
    if isinstance(value, Struck):
        value = value.value
    if value is None or isinstance(value, Unknown):
        return None
    if isinstance(value, Link):
        value = value.text
    if column.kind == "percent":
        return value * 100
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, dt.date | Decimal | int | float):
        return value
    return safe_text(str(value))
