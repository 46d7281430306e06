"""Benchmarks of portfolios from a file."""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from analytics.models import ChangeKind, ChangeRequest
from analytics.services.benchmark_choices import (
    BenchmarkChange,
    StandingBenchmarks,
    benchmark_choices_write,
    benchmarks_json,
)
from analytics.services.second_person import (
    NOBODY_ASKS,
    REASON_LENGTH,
    change_draft,
    change_request,
    change_waiting,
    needs_second_person,
)
from portfolio_site.kernel.locks import lock_rows
from portfolios.imports.cells import Row
from portfolios.imports.report import ImportReport
from portfolios.models import Asset, Portfolio
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import AssetLookup, PortfolioLookup


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
        self.standing = StandingBenchmarks([])
        self.direct: list[BenchmarkChange] = []
        self.asked: list[ChangeRequest] = []

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
        by_portfolio: defaultdict[int, list[BenchmarkRow]] = defaultdict(list)
        for row in records:
            by_portfolio[row.portfolio.pk].append(row)
        lock_rows(Portfolio, by_portfolio)
        self.standing = StandingBenchmarks(by_portfolio)
        changes: Changes[BenchmarkRow] = Changes()
        for rows in by_portfolio.values():
            self._compare_portfolio(rows, changes)
        return changes

    def _compare_portfolio(self, rows: list[BenchmarkRow], changes: Changes[BenchmarkRow]) -> None:
        """What the rows of one portfolio change, at once or when a second person agrees."""
        portfolio = rows[0].portfolio
        found = self.standing.change(portfolio, {row.asset: row.values for row in rows})
        must_ask = not found.is_empty and needs_second_person(ChangeKind.BENCHMARKS, portfolio)
        if must_ask and self.actor is None:
            for row in rows:
                self.reject(row.line, "portfolio", portfolio.code, NOBODY_ASKS)
            return
        counted: Changes[BenchmarkRow] = Changes()
        for row in rows:
            counted.sort_in(row, self.standing.values(portfolio, row.asset), row.values)
        changes.unchanged += counted.unchanged
        if must_ask:
            self._note_asked(rows)
        elif not found.is_empty:
            changes.created += counted.created
            changes.updated += counted.updated
            self.direct.append(found)

    def _note_asked(self, rows: list[BenchmarkRow]) -> None:
        portfolio = rows[0].portfolio
        draft = change_draft(
            ChangeKind.BENCHMARKS,
            portfolio=portfolio,
            payload=benchmarks_json({row.asset: row.values for row in rows}),
            before=self.standing.as_json(portfolio),
            actor=self.actor,
            reason=f"{self.target} of {self.file_name}"[:REASON_LENGTH],
        )
        if change_waiting(draft):
            self.report.notes.append(f"{portfolio}: these benchmarks wait for a second person already")
        else:
            self.asked.append(draft)

    def has_other_changes(self) -> bool:
        return bool(self.asked)

    def write(self, changes: Changes[BenchmarkRow]) -> None:
        self.written: list[tuple[Portfolio, dict[str, Any], dict[str, Any]]] = []
        for change in self.direct:
            self.written.append((change.portfolio, *benchmark_choices_write(change)))
            self.report.notes += change.notes
        for draft in self.asked:
            change_request(draft, actor=self.actor)
            self.report.notes.append(f"{draft.portfolio}: the benchmarks wait for a second person")

    def audit(self) -> None:
        for portfolio, before, after in self.written:
            self.append_audit(
                action="benchmark.changed",
                portfolio=portfolio,
                before=before or None,
                after={"benchmarks": after},
            )


def benchmarks_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> ImportReport:
    """Add and change benchmarks by (portfolio, asset). A new primary one takes the place of the old one.

    What needs a second person is kept as a change request, one for each portfolio, and told in the notes.
    """
    return BenchmarkImport(path, actor=actor, on_error=on_error).run(preview=preview)
