"""Exchange rates from a file: one rate a row, or the European Central Bank's own wide table."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.imports.cells import PRICE, Row
from portfolios.imports.report import Reject
from portfolios.imports.table import Table, TableError
from portfolios.models import ExchangeRate
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes, columns_of, note_earliest
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import CurrencyLookup
from portfolios.services.imports.reports import FileReport
from portfolios.services.staleness import mark_currencies_stale

LONG_COLUMNS = ("date", "base", "quote", "rate")
ECB_LAYOUT = "ecb"
ECB_BASE = "EUR"
NOT_PUBLISHED = {"", "N/A", "-"}


class Rate(NamedTuple):
    line: int
    base: str
    quote: str
    date: dt.date
    rate: Decimal


class ExchangeRateImport(FileImport[Rate]):
    """In the ECB's layout a row has one column a currency, in units for 1 EUR; each filled cell is a rate."""

    target = "exchange_rates"
    is_streamed = True
    required = LONG_COLUMNS
    identity = ("base", "quote", "date")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError, source: str = "") -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.source = source
        self.currencies = CurrencyLookup()
        self.stale_from: dict[str, dt.date] = {}

    def check_header(self, table: Table) -> None:
        first, *others = table.header or [""]
        if first != "date" or not others or {"base", "quote", "rate"} & set(others):
            super().check_header(table)
            return
        self.layout = ECB_LAYOUT
        codes = {code.lower() for code in self.currencies.codes} - {ECB_BASE.lower()}
        unknown = [name for name in others if name not in codes]
        if unknown:
            raise TableError(*(Reject(1, name.upper(), name.upper(), "unknown currency") for name in unknown))
        table.check_header(("date", *dict.fromkeys(others)))

    def rows_of(self, table: Table) -> Iterator[Row | Reject]:
        for row in super().rows_of(table):
            if self.layout != ECB_LAYOUT or isinstance(row, Reject):
                yield row
                continue
            for name, cell in row.cells.items():
                if name != "date" and cell.strip() not in NOT_PUBLISHED:
                    quote = name.upper()
                    yield Row(row.line, {"date": row.cells["date"], quote: cell}, row.reading)

    def parse(self, row: Row) -> Rate:
        day = row.past_date("date", self.today)
        if self.layout == ECB_LAYOUT:
            base, quote = ECB_BASE, next(name for name in row.cells if name != "date")
            column = quote
        else:
            base, quote = self.currencies.find(row, "base"), self.currencies.find(row, "quote")
            column = "rate"
        if base == quote:
            raise row.error("quote", "the same currency as base")
        return Rate(row.line, base, quote, day, row.given(column, row.positive_number(column, PRICE)))

    def identity_of(self, record: Rate) -> tuple[str, str, dt.date]:
        return record.base, record.quote, record.date

    def compare(self, records: list[Rate]) -> Changes[Rate]:
        changes: Changes[Rate] = Changes()
        days = [rate.date for rate in records]
        rows = ExchangeRate.objects.filter(
            base__in={rate.base for rate in records},
            quote__in={rate.quote for rate in records},
            date__range=(min(days), max(days)),
        ).order_by()
        wanted = {self.identity_of(rate) for rate in records}
        names = (*self.identity, "rate")
        stored = {
            tuple(key): rate for *key, rate in rows.values_list(*names).iterator() if tuple(key) in wanted
        }
        for rate in records:
            changes.sort_in(rate, stored.get(self.identity_of(rate)), rate.rate)
        return changes

    def write(self, changes: Changes[Rate]) -> None:
        rows = changes.rows
        columns = columns_of(rows, ("base", "quote", "date", "rate"))
        bulk_upsert(ExchangeRate, {**columns, "source": self.source}, key=("base", "quote", "date"))
        # Both sides: either can be the currency that a portfolio holds, the other one its base currency.
        note_earliest(
            self.stale_from, ((code, rate.date) for rate in rows for code in (rate.base, rate.quote))
        )

    def finish(self) -> None:
        mark_currencies_stale(self.stale_from)


def exchange_rates_import(
    path: str | Path,
    *,
    actor: Actor = None,
    on_error: OnError = "abort",
    source: str = "",
    preview: bool = False,
) -> FileReport:
    """Add and correct rates by (base, quote, date)."""
    return ExchangeRateImport(path, actor=actor, on_error=on_error, source=source).run(preview=preview)
