"""Transactions from a file."""

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

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
from portfolios.imports.report import ImportReport, Reject
from portfolios.imports.table import Table
from portfolios.imports.transactions import (
    OPTIONAL,
    REQUIRED,
    UNSETTLED,
    TransactionRow,
    read_transaction,
)
from portfolios.models import Asset, ChangeCause, Portfolio, PortfolioRole, Transaction, TransactionStatus
from portfolios.services.audit import Actor
from portfolios.services.import_batches import (
    OWN_LAYOUT,
    Changes,
    FileImport,
    OnError,
    columns_of,
    first_days,
    plain_text,
)
from portfolios.services.import_holdings import oversold_rows
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


class TransactionImport(FileImport[TransactionRow]):
    target = "transactions"
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
        self.occurrences: Counter[str] = Counter()
        # What else came of these lines is not booked either.
        self.refused_lines: set[int] = set()
        self.stored: dict[str, dict[str, dict[str, Any]]] = {}
        self.booked: dict[str, Portfolio] = {}

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
        parsed = read_transaction(
            row,
            portfolio=code,
            base_currency=self._base_currency(code),
            today=self.today,
            asset=lambda: self.assets.find(row),
            currency=lambda column, default: self.currencies.find(row, column, default),
        )
        if parsed.external_id:
            return parsed
        content = parsed.content_hash()
        self.occurrences[content] += 1
        return replace(parsed, external_id=f"{content}-{self.occurrences[content]}")

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

    def compare(self, records: list[TransactionRow]) -> Changes[TransactionRow]:
        by_portfolio: defaultdict[str, list[TransactionRow]] = defaultdict(list)
        for row in records:
            if row.line not in self.refused_lines:
                by_portfolio[row.portfolio].append(row)
        found = Portfolio.objects.filter(code__in=by_portfolio)
        lock_rows(Portfolio, [portfolio.pk for portfolio in found])
        self.booked = {portfolio.code: portfolio for portfolio in found}
        changes: Changes[TransactionRow] = Changes()
        for code, rows in by_portfolio.items():
            self._compare_portfolio(code, rows, changes)
        return changes

    def _compare_portfolio(
        self, code: str, rows: list[TransactionRow], changes: Changes[TransactionRow]
    ) -> None:
        portfolio = self.booked.get(code)
        stored = self.stored[code] = _stored_lines(portfolio, self.layout) if portfolio else {}
        found: Changes[TransactionRow] = Changes()
        for row in rows:
            line, content = stored.get(row.external_id), _content(row)
            differing = [name for name in CONTENT if line is not None and line[name] != content[name]]
            if differing and line is not None and line["status"] not in UNSETTLED:
                self._reject_other(row, differing[0], line)
            else:
                found.sort_in(row, line and {name: line[name] for name in CONTENT}, content)
        oversold = dict(oversold_rows(portfolio.pk if portfolio else None, found.rows))
        for row, reason in oversold.items():
            self.reject(row.line, "quantity", row.quantity, reason)
        changes.created += [row for row in found.created if row.line not in self.refused_lines]
        changes.updated += [row for row in found.updated if row.line not in self.refused_lines]
        changes.unchanged += found.unchanged

    def _reject_other(self, row: TransactionRow, name: str, booked: dict[str, Any]) -> None:
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
        for code, day in first_days((row.portfolio, row.trade_date) for row in changes.created).items():
            if code not in self.booked:
                self.booked[code] = portfolio_create(
                    code=code,
                    name=code,
                    base_currency=self.base_currency,
                    inception_date=day,
                    risk_free=settings.DEFAULT_RISK_FREE,
                    owner=self.owner,
                    actor=self.actor,
                )
        self._upsert(changes.updated, insert=False)
        self._upsert(changes.created, insert=True)
        settled = (row for row in changes.rows if row.status == TransactionStatus.SETTLED)
        for code, day in first_days((row.portfolio, row.trade_date) for row in settled).items():
            mark_portfolio_stale(self.booked[code], day, ChangeCause.TRANSACTION)

    def _upsert(self, rows: list[TransactionRow], *, insert: bool) -> None:
        contents = [_content(row) for row in rows]
        columns: dict[str, Any] = {name: [content[name] for content in contents] for name in CONTENT}
        columns |= columns_of(rows, ("external_id", "note"))
        columns["portfolio"] = [self.booked[row.portfolio].pk for row in rows]
        constants: dict[str, Any] = {"source": self.layout, "batch": self.batch.pk}
        if insert:
            constants["created_at"] = clock.now()
        bulk_upsert(Transaction, {**columns, **constants}, key=KEY, insert=insert)

    def audit(self, changes: Changes[TransactionRow]) -> None:
        for code in sorted({row.portfolio for row in changes.rows}):
            created = [row for row in changes.created if row.portfolio == code]
            updated = [row for row in changes.updated if row.portfolio == code]
            days = [row.trade_date for row in created + updated]
            before, after = {}, {}
            for row in updated:
                line, content = self.stored[code][row.external_id], _content(row)
                changed = [name for name in CONTENT if line[name] != content[name]]
                before[row.external_id] = {name: line[name] for name in changed}
                after[row.external_id] = {name: content[name] for name in changed}
            self.append_audit(
                portfolio=self.booked[code],
                before=before or None,
                after={
                    "created": len(created),
                    "updated": len(updated),
                    "first_day": min(days),
                    "last_day": max(days),
                    "changed": after,
                },
            )


def _content(row: TransactionRow) -> dict[str, Any]:
    content = {name: getattr(row, name) for name in CONTENT}
    content["asset"] = row.asset.pk if row.asset else None
    return content


def _stored_lines(portfolio: Portfolio, source: str) -> dict[str, dict[str, Any]]:
    lines = Transaction.objects.filter(portfolio=portfolio, source=source)
    return {line["external_id"]: line for line in lines.values("id", "external_id", *CONTENT)}


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
) -> ImportReport:
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
    ).run()
