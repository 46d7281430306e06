"""The rows of a file of transactions, in whatever layout it has, as rows of our own."""

import datetime as dt
import re
from collections.abc import Hashable, Iterator
from pathlib import Path

from portfolios.imports.cells import CellError, Row
from portfolios.imports.errors import TableError
from portfolios.imports.layouts import (
    AUTO,
    BUILT_IN,
    Announced,
    Layout,
    Note,
    check_layout_name,
    find_layout,
)
from portfolios.imports.report import Reject
from portfolios.imports.table import Table
from portfolios.imports.transactions import OPTIONAL, REQUIRED, TransactionRow, read_transaction
from portfolios.models import PortfolioRole
from portfolios.services.audit import Actor
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OWN_LAYOUT, OnError
from portfolios.services.imports.lines import LineSet, Occurrences
from portfolios.services.imports.lookups import (
    ACTION_DAYS,
    AssetLookup,
    CorporateActionLookup,
    CurrencyLookup,
    PortfolioLookup,
)

# What comes with this program; entry points add to them.
LAYOUTS = (AUTO, *BUILT_IN)
# Every line has its say, but not without end.
MAX_NOTES = 10_000
CODE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class TransactionReading(FileImport[TransactionRow]):
    """How the rows are read; TransactionImport says what becomes of them."""

    target = "transactions"
    is_streamed = True
    required = REQUIRED
    optional = OPTIONAL
    identity = ("portfolio", "external_id")
    # Known once the header was seen.
    translator: Layout

    def __init__(
        self,
        path: str | Path,
        *,
        actor: Actor,
        on_error: OnError,
        portfolio: str,
        layout: str,
        create_portfolios: bool,
        base_currency: str,
        decimal_comma: bool,
    ) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        check_layout_name(layout)
        self.portfolio = portfolio
        self.layout = layout
        self.decimal_comma = decimal_comma
        self.create_portfolios = create_portfolios
        self.base_currency = base_currency
        self.assets = AssetLookup()
        self.actions = CorporateActionLookup()
        self.currencies = CurrencyLookup()
        self.portfolios = PortfolioLookup(actor, PortfolioRole.MAKER)
        self.occurrences = Occurrences()
        # What else came of these lines is not booked either.
        self.refused_lines = LineSet()

    def check_header(self, table: Table) -> None:
        self.translator = find_layout(
            self.layout,
            table,
            needs_portfolio=not self.portfolio,
            has_decimal_comma=self.decimal_comma,
        )
        self.layout = self.translator.name
        if self.layout != OWN_LAYOUT and not self.portfolio:
            reason = f"the layout {self.layout} names no portfolio: say which one the rows belong to"
            raise TableError(Reject(1, "portfolio", "", reason))

    def rows_of(self, table: Table) -> Iterator[Row | Reject]:
        """What the layout makes of the rows. `read` counts those of the file, whatever comes of each."""
        self.report.notes += [*table.remarks, *self.translator.remarks(table)]
        last_line, unsaid = 0, 0
        for item in self.translator.rows(table, self.reading):
            found = self._known_action(item) if isinstance(item, Announced) else item
            is_first = found.line != last_line and not (isinstance(found, Note) and not found.is_row)
            if isinstance(found, Note):
                self.report.read += is_first
                if len(self.report.notes) < MAX_NOTES:
                    self.report.notes.append(str(found))
                else:
                    unsaid += 1
            else:
                # The import counts each of these; what comes of one line after the first is no further row.
                self.report.read -= not is_first
                yield found
            last_line = found.line
        if unsaid:
            self.report.notes.append(f"{unsaid} further notes are not listed")

    def _known_action(self, announced: Announced) -> Note | Reject:
        assets = [asset for symbol in announced.symbols for asset in self.assets.named(symbol)]
        day = dt.date.fromisoformat(announced.row.cell("trade_date"))
        ex_date = self.actions.find(assets, announced.kinds, day)
        if ex_date is not None:
            return Note(announced.line, f"{announced.words}: known since {ex_date}, so the row books nothing")
        reason = (
            f"{announced.words}: not known within {ACTION_DAYS.days} days of {day}; "
            f"import it first, as {' or '.join(announced.kinds)}, with import_corporate_actions"
        )
        column = announced.row.name("symbol")
        return Reject(announced.line, column, announced.row.cell("symbol"), reason)

    def reject(self, line: int, column: str, value: object, reason: str) -> None:
        """Name the column as the file does."""
        self.refused_lines.add(line)
        super().reject(line, self.translator.names.get(column, column), value, reason)

    def parse(self, row: Row) -> TransactionRow:
        code = row.cell("portfolio") or self.portfolio
        if self.portfolio and code != self.portfolio:
            raise row.error("portfolio", f"not the portfolio asked for, {self.portfolio}")
        return read_transaction(
            row,
            portfolio=code,
            base_currency=self._base_currency(code),
            today=self.today,
            asset=lambda: self.assets.find(row),
            currency=lambda column, default: self.currencies.find(row, column, default),
        )

    def _base_currency(self, code: str) -> str:
        if code in self.portfolios or not self.create_portfolios:
            return self.portfolios.find(code).base_currency_id
        if not CODE_PATTERN.fullmatch(code):
            raise CellError("portfolio", code, "not a portfolio code")
        if self.base_currency not in self.currencies.codes:
            reason = "does not exist; to create it, its base currency must be given"
            raise CellError("portfolio", code, reason)
        return self.base_currency

    def complete(self, records: list[TransactionRow]) -> list[TransactionRow]:
        """Rows without an id are known by their content, and how often it came."""
        contents = [row.content_hash() for row in records if not row.external_id]
        ids = (
            f"{content}-{n}" for content, n in zip(contents, self.occurrences.count(contents), strict=True)
        )
        return [row if row.external_id else row._replace(external_id=next(ids)) for row in records]

    def identity_of(self, record: TransactionRow) -> Hashable:
        return record.portfolio, record.external_id
