"""Transactions from a file."""

import datetime as dt
import re
from array import array
from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError

from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_upsert
from portfolio_site.kernel.locks import lock_rows
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
from portfolios.imports.transactions import (
    OPTIONAL,
    REQUIRED,
    UNSETTLED,
    TransactionRow,
    read_transaction,
)
from portfolios.models import Asset, ChangeCause, Portfolio, PortfolioRole, Transaction, TransactionStatus
from portfolios.selectors.holdings import POSITION_KINDS
from portfolios.services.audit import Actor
from portfolios.services.import_batches import (
    OWN_LAYOUT,
    Changes,
    FileImport,
    FileReport,
    FirstLines,
    OnError,
    columns_of,
    note_earliest,
    plain_text,
)
from portfolios.services.import_holdings import ImportedRows, oversold_rows
from portfolios.services.import_lookups import (
    ACTION_DAYS,
    AssetLookup,
    CorporateActionLookup,
    CurrencyLookup,
    PortfolioLookup,
)
from portfolios.services.portfolios import portfolio_create
from portfolios.services.staleness import mark_portfolio_stale

# What comes with this program; entry points add to them.
LAYOUTS = (AUTO, *BUILT_IN)
# Every line has its say, but not without end.
MAX_NOTES = 10_000
CODE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
KEY = ("portfolio", "source", "external_id")
# Well below the number of parameters that a statement may have.
LINES_A_QUERY = 500
# An audit row names so many changed lines one by one, and counts the others.
MAX_CHANGED = 1_000
# What a booked line says. Its note is no part of it: another note is no other line.
CONTENT = (
    "status",
    "kind",
    "trade_date",
    "settle_date",
    "asset",
    "quantity",
    "price",
    "amount",
    "fee",
    "tax",
    "currency",
    "fx_rate",
    "counter_amount",
    "counter_currency",
)


Stored = dict[str, Any]


class LineSet:
    """Lines of a file, a byte each: all of a long one may be refused, and a set takes sixty times as much."""

    def __init__(self) -> None:
        self._marks = bytearray()

    def add(self, line: int) -> None:
        self._marks.extend(bytes(max(0, line + 1 - len(self._marks))))
        self._marks[line] = 1

    def __contains__(self, line: object) -> bool:
        return isinstance(line, int) and line < len(self._marks) and self._marks[line] == 1


class Occurrences:
    """How often each content came up to now, in 24 bytes a row."""

    def __init__(self) -> None:
        self._firsts = FirstLines()
        # By the number of the row in which a content came first; there is no row 0.
        self._counts = array("i", [0])

    def count(self, contents: list[str]) -> list[int]:
        start = len(self._counts)
        self._counts.extend(array("i", bytes(4 * len(contents))))
        counts = []
        for first in self._firsts.find(contents, range(start, len(self._counts))):
            self._counts[first] += 1
            counts.append(self._counts[first])
        return counts


@dataclass
class Booking:
    """What an import does to one portfolio. `stale_from`: the first day of a settled row."""

    created: int = 0
    updated: int = 0
    first_day: dt.date = dt.date.max
    last_day: dt.date = dt.date.min
    stale_from: dt.date | None = None
    # Whose positions it changes.
    assets: set[int] = field(default_factory=set)
    before: dict[str, Stored] = field(default_factory=dict)
    after: dict[str, Stored] = field(default_factory=dict)

    def note(self, row: TransactionRow, stored: Stored | None) -> None:
        self.first_day, self.last_day = (
            min(self.first_day, row.trade_date),
            max(self.last_day, row.trade_date),
        )
        if row.status == TransactionStatus.SETTLED:
            self.stale_from = min(self.stale_from or row.trade_date, row.trade_date)
            if row.asset is not None and row.kind in POSITION_KINDS:
                self.assets.add(row.asset.pk)
        if stored is None:
            self.created += 1
            return
        self.updated += 1
        if len(self.before) < MAX_CHANGED:
            content, changed = _content(row), _differing(row, stored)
            self.before[row.external_id] = {name: stored[name] for name in changed}
            self.after[row.external_id] = {name: content[name] for name in changed}

    def summary(self) -> dict[str, Any]:
        summary = {
            "created": self.created,
            "updated": self.updated,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "changed": self.after,
        }
        unlisted = self.updated - len(self.after)
        return {**summary, "changed_unlisted": unlisted} if unlisted else summary


class TransactionImport(FileImport[TransactionRow]):
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
        owner: User | None,
        decimal_comma: bool = False,
    ) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        check_layout_name(layout)
        self.portfolio = portfolio
        self.layout = layout
        self.decimal_comma = decimal_comma
        self.create_portfolios = create_portfolios
        self.base_currency = base_currency
        self.owner = owner
        self.assets = AssetLookup()
        self.actions = CorporateActionLookup()
        self.currencies = CurrencyLookup()
        self.portfolios = PortfolioLookup(actor, PortfolioRole.MAKER)
        self.occurrences = Occurrences()
        # What else came of these lines is not booked either.
        self.refused_lines = LineSet()
        # Of each portfolio in the file; one that does not exist is opened on that day.
        self.first_days: dict[str, dt.date] = {}
        self.booked: dict[str, Portfolio] = {}
        self.opened: set[str] = set()
        self.bookings: defaultdict[str, Booking] = defaultdict(Booking)

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

    def complete(self, records: list[TransactionRow]) -> list[TransactionRow]:
        """Rows without an id are known by their content, and how often it came."""
        contents = [row.content_hash() for row in records if not row.external_id]
        ids = (
            f"{content}-{n}" for content, n in zip(contents, self.occurrences.count(contents), strict=True)
        )
        return [row if row.external_id else replace(row, external_id=next(ids)) for row in records]

    def _base_currency(self, code: str) -> str:
        if code in self.portfolios or not self.create_portfolios:
            return self.portfolios.find(code).base_currency_id
        if not CODE_PATTERN.fullmatch(code):
            raise CellError("portfolio", code, "not a portfolio code")
        if self.base_currency not in self.currencies.codes:
            reason = "does not exist; to create it, its base currency must be given"
            raise CellError("portfolio", code, reason)
        return self.base_currency

    def identity_of(self, record: TransactionRow) -> Hashable:
        return record.portfolio, record.external_id

    def survey(self, records: list[TransactionRow]) -> None:
        rows = (row for row in records if row.line not in self.refused_lines)
        note_earliest(self.first_days, ((row.portfolio, row.trade_date) for row in rows))

    def start(self) -> None:
        """Other imports into the same portfolios wait from here on, until what they compare with stands."""
        found = Portfolio.objects.filter(code__in=self.first_days)
        lock_rows(Portfolio, [portfolio.pk for portfolio in found])
        self.booked = {portfolio.code: portfolio for portfolio in found}
        for code in self.booked:
            if code not in self.portfolios:
                raise IntegrityError(f"{code} was opened while the file was read")
        self.opened = set()
        self.bookings.clear()

    def compare(self, records: list[TransactionRow]) -> Changes[TransactionRow]:
        rows = [row for row in records if row.line not in self.refused_lines]
        stored_lines = self._stored_lines(rows)
        changing: list[tuple[TransactionRow, Stored | None]] = []
        unchanged = []
        for row in rows:
            stored = stored_lines.get(self.identity_of(row))
            differing = [] if stored is None else _differing(row, stored)
            if stored is None or (differing and stored["status"] in UNSETTLED):
                changing.append((row, stored))
            elif differing:
                self._reject_other(row, differing[0], stored)
            else:
                unchanged.append(row)
        changes: Changes[TransactionRow] = Changes()
        for row, stored in changing:
            if row.line not in self.refused_lines:
                (changes.created if stored is None else changes.updated).append(row)
                self.bookings[row.portfolio].note(row, stored)
        for row in unchanged:
            if row.line not in self.refused_lines:
                changes.leave(row)
        return changes

    def _stored_lines(self, rows: list[TransactionRow]) -> dict[Hashable, Stored]:
        """What is booked under the ids of these rows."""
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for row in rows:
            ids[row.portfolio].append(row.external_id)
        stored: dict[Hashable, Stored] = {}
        for code in ids.keys() & self.booked.keys():
            for start in range(0, len(ids[code]), LINES_A_QUERY):
                lines = Transaction.objects.filter(
                    portfolio=self.booked[code],
                    source=self.layout,
                    external_id__in=ids[code][start : start + LINES_A_QUERY],
                ).order_by()
                for line in lines.values("id", "external_id", *CONTENT):
                    stored[code, line["external_id"]] = line
        return stored

    def _reject_other(self, row: TransactionRow, name: str, booked: Stored) -> None:
        value, there = getattr(row, name), booked[name]
        if name == "asset":
            symbols = dict(Asset.objects.filter(pk=there).values_list("pk", "symbol"))
            value, there = value or "", symbols.get(there, "none")
        reason = (
            f"{row.external_id} is booked already as transaction {booked['id']}, with {plain_text(there)}; "
            "a booked line is reversed and booked again, never edited"
        )
        self.reject(row.line, "symbol" if name == "asset" else name, value, reason)

    def write(self, changes: Changes[TransactionRow]) -> None:
        for row in changes.created:
            if row.portfolio not in self.booked:
                self._open(row.portfolio)
        self._upsert(changes.updated, insert=False)
        self._upsert(changes.created, insert=True)

    def _open(self, code: str) -> None:
        self.opened.add(code)
        self.booked[code] = portfolio_create(
            code=code,
            name=code,
            base_currency=self.base_currency,
            inception_date=self.first_days[code],
            risk_free=settings.DEFAULT_RISK_FREE,
            owner=self.owner,
            actor=self.actor,
        )

    def _upsert(self, rows: list[TransactionRow], *, insert: bool) -> None:
        columns: dict[str, Any] = columns_of(rows, (*CONTENT, "external_id", "note"))
        columns["asset"] = [asset and asset.pk for asset in columns["asset"]]
        columns["portfolio"] = [self.booked[row.portfolio].pk for row in rows]
        constants: dict[str, Any] = {"source": self.layout, "batch": self.batch.pk}
        if insert:
            constants["created_at"] = clock.now()
        bulk_upsert(Transaction, {**columns, **constants}, key=KEY, insert=insert)

    def holds(self) -> bool:
        """Whether the books can take all rows, and the new portfolios begin with their first."""
        is_sound = True
        for code, booking in self.bookings.items():
            for entry, reason in oversold_rows(self._imported(code), booking.assets):
                is_sound = False
                if -entry.id not in self.refused_lines:
                    self.reject(-entry.id, "quantity", entry.quantity, reason)
        if is_sound:
            # The first row of a new portfolio may have been refused since it was opened.
            for code in self.opened:
                is_sound &= self.first_days[code] == self.bookings[code].first_day
                self.first_days[code] = self.bookings[code].first_day
        return is_sound

    def _imported(self, code: str) -> ImportedRows:
        # The database knows no lines. The hashes that tell repeated rows do, at 20 bytes a row.
        return ImportedRows(
            portfolio_id=self.booked[code].pk,
            batch_id=self.batch.pk,
            lines_of=lambda ids: self.first_lines.lines_of((code, external_id) for external_id in ids),
            refused=self.refused_lines,
        )

    def finish(self) -> None:
        for code, booking in self.bookings.items():
            if booking.stale_from is not None:
                mark_portfolio_stale(self.booked[code], booking.stale_from, ChangeCause.TRANSACTION)

    def audit(self, changes: Changes[TransactionRow]) -> None:
        for code, booking in sorted(self.bookings.items()):
            self.append_audit(
                portfolio=self.booked[code], before=booking.before or None, after=booking.summary()
            )


def _content(row: TransactionRow) -> dict[str, Any]:
    content = {name: getattr(row, name) for name in CONTENT}
    content["asset"] = row.asset.pk if row.asset else None
    return content


def _differing(row: TransactionRow, stored: Stored) -> list[str]:
    content = _content(row)
    return [name for name in CONTENT if stored[name] != content[name]]


def transactions_import(
    path: str | Path,
    *,
    actor: Actor = None,
    on_error: OnError = "abort",
    portfolio: str = "",
    layout: str = AUTO,
    create_portfolios: bool = False,
    base_currency: str = "",
    owner: User | None = None,
    decimal_comma: bool = False,
    preview: bool = False,
) -> FileReport:
    """Add transactions, and settle or correct those that are still pending or drafts.

    `portfolio`: the one that all rows belong to, for files that name none. Portfolios that do not exist are
    created only with `create_portfolios`, in `base_currency`, for `owner`. `layout`: one of LAYOUTS or of an
    entry point; its name is the `source` of the rows. `decimal_comma`: how the numbers of our own and of the
    generic layout are written; the others say so themselves. Raises FileError.
    """
    return TransactionImport(
        path,
        actor=actor,
        on_error=on_error,
        portfolio=portfolio,
        layout=layout,
        create_portfolios=create_portfolios,
        base_currency=base_currency,
        owner=owner,
        decimal_comma=decimal_comma,
    ).run(preview=preview)
