"""Target allocations from a file. A file is the whole set of targets of each portfolio that it names."""

from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from analytics.models import PortfolioAllocation, RebalanceFrequency, RebalancingPolicy
from analytics.services.staleness import mark_targets_changed
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

CASH = "CASH"
WHOLE = Decimal(100)
VALUES = (
    "target_percentage",
    "min_percentage",
    "max_percentage",
    "rebalance_threshold",
    "rebalance_frequency",
    "is_active",
)
# Figures of the last run that no longer hold once the target is another one.
OUTDATED = {"drift_percentage": "the target changed", "is_breached": "the target changed"}


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
    identity = ("portfolio", "symbol")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.assets = AssetLookup()
        self.portfolios = PortfolioLookup(actor)
        self.rows_of_portfolio: Counter[int] = Counter()
        self.stored: dict[tuple[int, int], PortfolioAllocation] = {}
        self.policies: dict[int, RebalancingPolicy] = {}
        self.dropped: list[PortfolioAllocation] = []
        self.without_cash: list[Portfolio] = []

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
        allocations = PortfolioAllocation.objects.filter(portfolio__in=by_portfolio).select_related("asset")
        self.stored = {(line.portfolio_id, line.asset_id): line for line in allocations}
        policies = RebalancingPolicy.objects.filter(portfolio__in=by_portfolio)
        self.policies = {policy.portfolio_id: policy for policy in policies}
        changes: Changes[Target] = Changes()
        for portfolio_id, rows in by_portfolio.items():
            reason = self._refusal(rows)
            if reason:
                for row in rows:
                    self.reject(row.line, "target_percentage", row.target, reason)
                continue
            for row in rows:
                changes.sort_in(row, *self._stored_and_given(row))
            self._note_missing(portfolio_id, rows)
        return changes

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

    def _stored_and_given(self, row: Target) -> tuple[object, object]:
        if row.asset is None:
            policy = self.policies.get(row.portfolio.pk)
            return policy and policy.cash_target_percentage, row.target
        stored = self.stored.get((row.portfolio.pk, row.asset.pk))
        return stored and {name: getattr(stored, name) for name in VALUES}, row.values

    def _note_missing(self, portfolio_id: int, rows: list[Target]) -> None:
        """What the portfolio has and the file does not name: those targets end."""
        named = {row.asset.pk for row in rows if row.asset}
        self.dropped += [
            line
            for (owner, asset), line in self.stored.items()
            if owner == portfolio_id and asset not in named and line.is_active
        ]
        policy = self.policies.get(portfolio_id)
        if policy and policy.cash_target_percentage and all(row.asset for row in rows):
            self.without_cash.append(rows[0].portfolio)

    def has_other_changes(self) -> bool:
        return bool(self.dropped or self.without_cash)

    def write(self, changes: Changes[Target]) -> None:
        self.before: defaultdict[Portfolio, dict[str, Any]] = defaultdict(dict)
        self.after: defaultdict[Portfolio, dict[str, Any]] = defaultdict(dict)
        for row in changes.rows:
            if row.asset is None:
                self._set_cash(row.portfolio, row.target)
            else:
                stored = self.stored.get((row.portfolio.pk, row.asset.pk))
                line = stored or PortfolioAllocation(portfolio=row.portfolio, asset=row.asset, version=0)
                self._set_line(line, row.values)
        for line in self.dropped:
            self._set_line(line, {"is_active": False})
            self.report.notes.append(f"{line.portfolio.code}: {line.asset.symbol} is no target any more")
        for portfolio in self.without_cash:
            self._set_cash(portfolio, Decimal(0))
            self.report.notes.append(f"{portfolio.code}: cash is no target any more")
        for portfolio in self.after:
            mark_targets_changed(portfolio)

    def _set_line(self, line: PortfolioAllocation, values: dict[str, Any]) -> None:
        symbol = line.asset.symbol
        if line.pk:
            self.before[line.portfolio][symbol] = {name: getattr(line, name) for name in values}
            if line.drift_percentage is not None:
                line.drift_percentage, line.is_breached = None, None
                line.quality = {**line.quality, **OUTDATED}
        for name, value in values.items():
            setattr(line, name, value)
        line.version += 1
        line.save()
        self.after[line.portfolio][symbol] = values

    def _set_cash(self, portfolio: Portfolio, target: Decimal) -> None:
        policy = self.policies.get(portfolio.pk)
        if policy is None:
            policy = RebalancingPolicy(portfolio=portfolio, version=0)
        else:
            self.before[portfolio][CASH] = policy.cash_target_percentage
        policy.cash_target_percentage = target
        policy.version += 1
        policy.save()
        self.after[portfolio][CASH] = target

    def audit(self) -> None:
        for portfolio, after in self.after.items():
            self.append_audit(
                action="allocation.changed",
                portfolio=portfolio,
                before=self.before.get(portfolio),
                after={"targets": after},
            )


def allocations_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> ImportReport:
    """Replace the targets of every portfolio in the file; targets that it does not name become inactive.

    A row `CASH` sets the cash target, which is 0 without one. Targets and cash must make exactly 100.
    """
    return AllocationImport(path, actor=actor, on_error=on_error).run(preview=preview)
