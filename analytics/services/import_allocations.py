"""Target allocations from a file. A file is the whole set of targets of each portfolio that it names."""

from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from analytics.models import BandRule, ChangeKind, ChangeRequest, RebalanceFrequency
from analytics.services.second_person import (
    NOBODY_ASKS,
    REASON_LENGTH,
    change_draft,
    change_request,
    change_waiting,
    needs_second_person,
)
from analytics.services.targets import (
    CASH,
    WHOLE,
    StandingTargets,
    TargetChange,
    targets_json,
    targets_write,
)
from portfolio_site.kernel.locks import lock_rows
from portfolios.imports.cells import PERCENT, Row
from portfolios.imports.report import ImportReport
from portfolios.models import Asset, Portfolio
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import AssetLookup, PortfolioLookup
from portfolios.services.imports.reports import plain_text


@dataclass(frozen=True, slots=True)
class Target:
    """`asset` is None for the cash target."""

    line: int
    portfolio: Portfolio
    asset: Asset | None
    values: dict[str, Any]

    @property
    def symbol(self) -> str:
        return self.asset.symbol if self.asset else CASH

    @property
    def target(self) -> Decimal:
        target: Decimal = self.values["target_percentage"]
        return target


class AllocationImport(FileImport[Target]):
    target = "allocations"
    required = (
        "portfolio",
        "symbol",
        "target_percentage",
        "min_percentage",
        "max_percentage",
        "rebalance_threshold",
        "rebalance_frequency",
    )
    optional = ("rebalance_threshold_relative", "band_rule")
    identity = ("portfolio", "symbol")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.assets = AssetLookup()
        self.portfolios = PortfolioLookup(actor)
        self.rows_of_portfolio: Counter[int] = Counter()
        self.standing = StandingTargets([])
        self.direct: list[TargetChange] = []
        self.asked: list[ChangeRequest] = []

    def parse(self, row: Row) -> Target:
        portfolio = self.portfolios.find(row.cell("portfolio"))
        self.rows_of_portfolio[portfolio.pk] += 1
        asset = None if row.cell("symbol") == CASH else self.assets.find(row)
        target = row.given("target_percentage", row.number_from_zero("target_percentage", PERCENT))
        low = row.number_from_zero("min_percentage", PERCENT) or Decimal(0)
        high = row.number_from_zero("max_percentage", PERCENT)
        high = WHOLE if high is None else high
        if low > target:
            raise row.error("min_percentage", f"above the target, {plain_text(target)}")
        if high < target:
            raise row.error("max_percentage", f"below the target, {plain_text(target)}")
        if high > WHOLE:
            raise row.error("max_percentage", "above 100")
        values = {
            "target_percentage": target,
            "min_percentage": low,
            "max_percentage": high,
            "rebalance_threshold": row.number_from_zero("rebalance_threshold", PERCENT),
            "rebalance_threshold_relative": row.number_from_zero("rebalance_threshold_relative", PERCENT),
            "band_rule": row.choice("band_rule", BandRule.values, default=BandRule.EITHER),
            "rebalance_frequency": row.choice(
                "rebalance_frequency", RebalanceFrequency.values, default=RebalanceFrequency.NONE
            ),
            "is_active": True,
        }
        return Target(row.line, portfolio, asset, values)

    def identity_of(self, record: Target) -> Hashable:
        return record.portfolio.pk, record.symbol

    def compare(self, records: list[Target]) -> Changes[Target]:
        by_portfolio: defaultdict[int, list[Target]] = defaultdict(list)
        for row in records:
            by_portfolio[row.portfolio.pk].append(row)
        lock_rows(Portfolio, by_portfolio)
        self.standing = StandingTargets(by_portfolio)
        changes: Changes[Target] = Changes()
        for rows in by_portfolio.values():
            reason = self._refusal(rows)
            if reason:
                for row in rows:
                    self.reject(row.line, "target_percentage", row.target, reason)
            else:
                self._compare_set(rows, changes)
        return changes

    def _compare_set(self, rows: list[Target], changes: Changes[Target]) -> None:
        """What the rows of one portfolio change, at once or when a second person agrees."""
        portfolio, found = rows[0].portfolio, self._change(rows)
        must_ask = not found.is_empty and needs_second_person(ChangeKind.TARGETS, portfolio)
        if must_ask and self.actor is None:
            for row in rows:
                self.reject(row.line, "portfolio", portfolio.code, NOBODY_ASKS)
            return
        counted: Changes[Target] = Changes()
        for row in rows:
            counted.sort_in(row, *self._stored_and_given(row))
        changes.unchanged += counted.unchanged
        if must_ask:
            self._note_asked(rows)
        elif not found.is_empty:
            changes.created += counted.created
            changes.updated += counted.updated
            self.direct.append(found)

    def _refusal(self, rows: list[Target]) -> str:
        """Why the targets of one portfolio cannot be its whole set. Their limits then leave room for it."""
        portfolio = rows[0].portfolio
        if len(rows) < self.rows_of_portfolio[portfolio.pk]:
            return f"left out: another row of {portfolio.code} is rejected"
        total = sum(row.target for row in rows)
        return (
            ""
            if total == WHOLE
            else f"the targets and cash of {portfolio.code} make {plain_text(total)}, not 100"
        )

    def _note_asked(self, rows: list[Target]) -> None:
        portfolio = rows[0].portfolio
        draft = change_draft(
            ChangeKind.TARGETS,
            portfolio=portfolio,
            payload=targets_json(*_target_set(rows)),
            before=self.standing.as_json(portfolio),
            actor=self.actor,
            reason=f"{self.target} of {self.file_name}"[:REASON_LENGTH],
        )
        if change_waiting(draft):
            self.report.notes.append(f"{portfolio}: these targets wait for a second person already")
        else:
            self.asked.append(draft)

    def _stored_and_given(self, row: Target) -> tuple[object, object]:
        if row.asset is None:
            return self.standing.cash(row.portfolio), row.target
        return self.standing.values(row.portfolio, row.asset), row.values

    def _change(self, rows: list[Target]) -> TargetChange:
        return self.standing.change(rows[0].portfolio, *_target_set(rows))

    def has_other_changes(self) -> bool:
        return bool(self.direct or self.asked)

    def write(self, changes: Changes[Target]) -> None:
        self.written: list[tuple[Portfolio, dict[str, Any], dict[str, Any]]] = []
        for change in self.direct:
            self.written.append((change.portfolio, *targets_write(change)))
            self.report.notes += change.notes
        for draft in self.asked:
            change_request(draft, actor=self.actor)
            self.report.notes.append(f"{draft.portfolio}: the targets wait for a second person")

    def audit(self) -> None:
        for portfolio, before, after in self.written:
            self.append_audit(
                action="allocation.changed",
                portfolio=portfolio,
                before=before or None,
                after={"targets": after},
            )


def _target_set(rows: list[Target]) -> tuple[dict[Asset, dict[str, Any]], Decimal | None]:
    """The targets of one portfolio by asset, and its cash target if the file has one."""
    cash = [row.target for row in rows if row.asset is None]
    return {row.asset: row.values for row in rows if row.asset}, cash[0] if cash else None


def allocations_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> ImportReport:
    """Replace the targets of every portfolio in the file; targets that it does not name become inactive.

    A row `CASH` sets the cash target, which is 0 without one. Targets and cash must make exactly 100.
    What needs a second person is kept as a change request, one for each portfolio, and told in the notes.
    """
    return AllocationImport(path, actor=actor, on_error=on_error).run(preview=preview)
