"""Benchmarks of portfolios from a file."""

import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from analytics.models import PortfolioBenchmark
from portfolio_site.kernel.locks import lock_rows
from portfolios.imports.cells import Row
from portfolios.imports.report import ImportReport
from portfolios.models import Asset, ChangeCause, Portfolio
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import AssetLookup, PortfolioLookup
from portfolios.services.portfolios import first_booked_day
from portfolios.services.staleness import mark_portfolio_stale

VALUES = ("is_primary", "start_date", "is_active")


class BenchmarkRow(NamedTuple):
    line: int
    portfolio: Portfolio
    asset: Asset
    values: dict[str, Any]


class BenchmarkImport(FileImport[BenchmarkRow]):
    target = "benchmarks"
    required = ("portfolio", "symbol", "is_primary")
    optional = ("start_date",)
    identity = ("portfolio", "symbol")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.assets = AssetLookup()
        self.portfolios = PortfolioLookup(actor)
        self.primary_lines: dict[int, int] = {}
        self.stored: dict[tuple[int, int], PortfolioBenchmark] = {}

    def parse(self, row: Row) -> BenchmarkRow:
        portfolio = self.portfolios.find(row.cell("portfolio"))
        asset = self.assets.find(row)
        values = {
            "is_primary": row.flag("is_primary"),
            "start_date": row.date("start_date"),
            "is_active": True,
        }
        if values["is_primary"]:
            first = self.primary_lines.setdefault(portfolio.pk, row.line)
            if first != row.line:
                raise row.error(
                    "is_primary", f"the primary benchmark of {portfolio.code} stands on line {first}"
                )
        return BenchmarkRow(row.line, portfolio, asset, values)

    def identity_of(self, record: BenchmarkRow) -> tuple[int, int]:
        return record.portfolio.pk, record.asset.pk

    def compare(self, records: list[BenchmarkRow]) -> Changes[BenchmarkRow]:
        portfolios = {row.portfolio.pk for row in records}
        lock_rows(Portfolio, portfolios)
        benchmarks = PortfolioBenchmark.objects.filter(portfolio__in=portfolios).select_related("asset")
        self.stored = {(line.portfolio_id, line.asset_id): line for line in benchmarks}
        changes: Changes[BenchmarkRow] = Changes()
        for row in records:
            stored = self.stored.get(self.identity_of(row))
            changes.sort_in(row, stored and {name: getattr(stored, name) for name in VALUES}, row.values)
        return changes

    def write(self, changes: Changes[BenchmarkRow]) -> None:
        self.before: defaultdict[Portfolio, dict[str, Any]] = defaultdict(dict)
        self.after: defaultdict[Portfolio, dict[str, Any]] = defaultdict(dict)
        primaries = _primaries(row.portfolio for row in changes.rows)
        # The old primary steps down first: the database knows one at a time.
        for row in sorted(changes.rows, key=lambda row: row.values["is_primary"]):
            if row.values["is_primary"]:
                self._step_down(row)
            stored = self.stored.get(self.identity_of(row))
            line = stored or PortfolioBenchmark(portfolio=row.portfolio, asset=row.asset)
            self._set_line(line, row.values)
        for portfolio, primary in _primaries(primaries).items():
            first_day = first_booked_day(portfolio)
            if primary != primaries[portfolio] and first_day is not None:
                mark_portfolio_stale(portfolio, first_day, ChangeCause.PARAMETER)

    def _step_down(self, row: BenchmarkRow) -> None:
        for line in self.stored.values():
            if line.portfolio_id == row.portfolio.pk and line.is_primary and line.asset_id != row.asset.pk:
                self._set_line(line, {"is_primary": False})
                self.report.notes.append(f"{row.portfolio.code}: {line.asset.symbol} is not primary any more")

    def _set_line(self, line: PortfolioBenchmark, values: dict[str, Any]) -> None:
        if line.pk:
            self.before[line.portfolio][line.asset.symbol] = {name: getattr(line, name) for name in values}
        for name, value in values.items():
            setattr(line, name, value)
        line.save()
        self.after[line.portfolio][line.asset.symbol] = values

    def audit(self) -> None:
        for portfolio, after in self.after.items():
            self.append_audit(
                action="benchmark.changed",
                portfolio=portfolio,
                before=self.before.get(portfolio),
                after={"benchmarks": after},
            )


def _primaries(portfolios: Any) -> dict[Portfolio, tuple[int, dt.date | None] | None]:
    """The primary benchmark of each portfolio and the day from which it counts."""
    found = dict.fromkeys(portfolios)
    rows = PortfolioBenchmark.objects.filter(portfolio__in=list(found), is_primary=True, is_active=True)
    for line in rows.select_related("portfolio"):
        found[line.portfolio] = (line.asset_id, line.start_date)
    return found


def benchmarks_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> ImportReport:
    """Add and change benchmarks by (portfolio, asset). A new primary one takes the place of the old one."""
    return BenchmarkImport(path, actor=actor, on_error=on_error).run(preview=preview)
