"""Rows of transactions into the books of their portfolios."""

import datetime as dt
from collections import defaultdict
from collections.abc import Hashable
from itertools import chain
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError

from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_upsert
from portfolio_site.kernel.locks import lock_rows
from portfolios.imports.layouts import AUTO
from portfolios.imports.transactions import UNSETTLED, TransactionRow
from portfolios.models import Asset, ChangeCause, Portfolio, Transaction
from portfolios.services.audit import Actor
from portfolios.services.import_transactions.booked import (
    CONTENT,
    Booking,
    Stored,
    booked_lines,
    differing,
)
from portfolios.services.import_transactions.named_lots import lot_taking_rows
from portfolios.services.import_transactions.reading import TransactionReading
from portfolios.services.import_transactions.shortages import ImportedRows, oversold_rows
from portfolios.services.imports.changes import Changes, columns_of, note_earliest
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.reports import FileReport, plain_text
from portfolios.services.portfolios import portfolio_create
from portfolios.services.staleness import mark_portfolio_stale

KEY = ("portfolio", "source", "external_id")


class TransactionImport(TransactionReading):
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
        super().__init__(
            path,
            actor=actor,
            on_error=on_error,
            portfolio=portfolio,
            layout=layout,
            create_portfolios=create_portfolios,
            base_currency=base_currency,
            decimal_comma=decimal_comma,
        )
        self.owner = owner
        # Of each portfolio in the file; one that does not exist is opened on that day.
        self.first_days: dict[str, dt.date] = {}
        self.booked: dict[str, Portfolio] = {}
        self.opened: set[str] = set()
        self.bookings: defaultdict[str, Booking] = defaultdict(Booking)

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
            changed = [] if stored is None else differing(row, stored)
            if stored is None or (changed and stored["status"] in UNSETTLED):
                changing.append((row, stored))
            elif changed:
                self._reject_other(row, changed[0], stored)
            else:
                unchanged.append(row)
        changes: Changes[TransactionRow] = Changes()
        for row, stored in changing:
            if row.line not in self.refused_lines:
                (changes.created if stored is None else changes.updated).append(row)
                self.bookings[row.portfolio].note(row, stored)
        for row in unchanged:
            if row.line not in self.refused_lines:
                changes.unchanged.append(row)
        return changes

    def _stored_lines(self, rows: list[TransactionRow]) -> dict[Hashable, Stored]:
        """What is booked under the ids of these rows."""
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for row in rows:
            ids[row.portfolio].append(row.external_id)
        return {
            (code, line["external_id"]): line
            for code in ids.keys() & self.booked.keys()
            for line in booked_lines(self.booked[code], self.layout, ids[code])
        }

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
            rows = self._imported(code)
            oversold = oversold_rows(rows, booking.assets)
            # Asked for only when those are refused.
            lot_taking = lot_taking_rows(rows, self.booked[code], booking.assets)
            for entry, reason in chain(oversold, lot_taking):
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

    def audit(self) -> None:
        for code, booking in sorted(self.bookings.items()):
            self.append_audit(
                portfolio=self.booked[code], before=booking.before or None, after=booking.summary()
            )


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
