"""An annual interest rate series from a file."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.imports.cells import PRICE, Row
from portfolios.models import InterestRate
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes, columns_of, note_earliest
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.reports import FileReport
from portfolios.services.staleness import mark_series_stale


class AnnualRate(NamedTuple):
    line: int
    date: dt.date
    annual_rate: Decimal


class InterestRateImport(FileImport[AnnualRate]):
    target = "interest_rates"
    is_streamed = True
    required = ("date", "annual_rate")
    identity = ("date",)

    def __init__(self, path: str | Path, *, name: str, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.name = name
        self.stale_from: dict[str, dt.date] = {}

    def parse(self, row: Row) -> AnnualRate:
        rate = row.given("annual_rate", row.number("annual_rate", PRICE))
        if not -1 < rate < 1:
            raise row.error("annual_rate", "must be a fraction of one: 0.05 is 5 %")
        return AnnualRate(row.line, row.past_date("date", self.today), rate)

    def compare(self, records: list[AnnualRate]) -> Changes[AnnualRate]:
        days = [rate.date for rate in records]
        rows = InterestRate.objects.filter(name=self.name, date__range=(min(days), max(days))).order_by()
        wanted = set(days)
        stored = {
            day: rate for day, rate in rows.values_list("date", "annual_rate").iterator() if day in wanted
        }
        changes: Changes[AnnualRate] = Changes()
        for rate in records:
            changes.sort_in(rate, stored.get(rate.date), rate.annual_rate)
        return changes

    def write(self, changes: Changes[AnnualRate]) -> None:
        columns = columns_of(changes.rows, ("date", "annual_rate"))
        bulk_upsert(InterestRate, {**columns, "name": self.name}, key=("name", "date"))
        note_earliest(self.stale_from, ((self.name, day) for day in columns["date"]))

    def finish(self) -> None:
        mark_series_stale(self.name, self.stale_from[self.name])


def interest_rates_import(
    path: str | Path,
    *,
    name: str,
    actor: Actor = None,
    on_error: OnError = "abort",
    preview: bool = False,
) -> FileReport:
    """Add and correct the rates of the series `name` by date."""
    return InterestRateImport(path, name=name, actor=actor, on_error=on_error).run(preview=preview)
