"""Our own layout: one row of the file is one row of ours."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from portfolios.imports.cells import Reading, Row
from portfolios.imports.layouts.base import COMMA, Item, number_remark
from portfolios.imports.report import Reject
from portfolios.imports.table import Table
from portfolios.imports.transactions import OPTIONAL, REQUIRED

NUMBERS = ("quantity", "price", "amount", "fee", "tax", "fx_rate", "counter_amount")


class OwnLayout:
    """`needs_portfolio`: every row names its portfolio, because nobody named one for all of them."""

    name = "own"
    names: Mapping[str, str] = {}

    def __init__(self, *, needs_portfolio: bool = True, has_decimal_comma: bool = False) -> None:
        self.needs_portfolio = needs_portfolio
        self.has_decimal_comma = has_decimal_comma

    def misfit(self, table: Table) -> str:
        missing = [name for name in self._required if name not in table.header]
        return f"lacks {', '.join(missing)}" if missing else ""

    def check_header(self, table: Table) -> None:
        table.check_header(self._required, ("portfolio", *OPTIONAL))

    def remarks(self, table: Table) -> list[str]:
        return [number_remark(self.name, COMMA, table)] if self.has_decimal_comma else []

    def rows(self, table: Table, reading: Reading) -> Iterator[Item]:
        rows = table.rows(reading)
        return map(_with_points, rows) if self.has_decimal_comma and not table.is_typed else rows

    @property
    def _required(self) -> list[str]:
        return [name for name in REQUIRED if self.needs_portfolio or name != "portfolio"]


def _with_points(row: Row | Reject) -> Row | Reject:
    if isinstance(row, Reject):
        return row
    cells = dict(row.cells)
    for name in NUMBERS:
        try:
            cells[name] = COMMA.plain(row.cell(name)) if row.cell(name) else ""
        except ValueError as error:
            return Reject(row.line, name, row.cell(name), str(error))
    return replace(row, cells=cells, origin=row)
