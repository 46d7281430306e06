"""Which benchmarks a portfolio has, and which of them is the primary one."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from analytics.models import ChangeKind, ChangeRequest, PortfolioBenchmark
from analytics.services.second_person import applied_reason, column_value, payload_assets, second_person_check
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Asset, ChangeCause, Portfolio
from portfolios.services.audit import Actor, audit_append
from portfolios.services.portfolios import first_booked_day
from portfolios.services.staleness import mark_portfolio_stale

VALUES = ("is_primary", "start_date", "is_active")

Values = Mapping[str, Any]


@dataclass
class BenchmarkChange:
    """What would be set for some benchmarks of a portfolio, in the order in which it can be written."""

    portfolio: Portfolio
    lines: list[tuple[PortfolioBenchmark, Values]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.lines


class StandingBenchmarks:
    """The benchmarks of some portfolios as they stand. Read them under the lock of the portfolios."""

    def __init__(self, portfolio_ids: Iterable[int]) -> None:
        self.lines: defaultdict[int, dict[int, PortfolioBenchmark]] = defaultdict(dict)
        rows = PortfolioBenchmark.objects.filter(portfolio__in=list(portfolio_ids)).order_by("pk")
        for line in rows.select_related("portfolio", "asset"):
            self.lines[line.portfolio_id][line.asset_id] = line

    def values(self, portfolio: Portfolio, asset: Asset) -> dict[str, Any] | None:
        line = self.lines[portfolio.pk].get(asset.pk)
        return {name: getattr(line, name) for name in VALUES} if line else None

    def change(self, portfolio: Portfolio, benchmarks: Mapping[Asset, Values]) -> BenchmarkChange:
        """From what stands there to these benchmarks; others stay. A new primary one replaces the old one."""
        found, stored = BenchmarkChange(portfolio), self.lines[portfolio.pk]
        changed = {
            asset: values for asset, values in benchmarks.items() if self.values(portfolio, asset) != values
        }
        if any(values["is_primary"] for values in changed.values()):
            for line in stored.values():
                if line.is_primary and line.asset not in changed:
                    found.lines.append((line, {"is_primary": False}))
                    found.notes.append(f"{portfolio.code}: {line.asset.symbol} is not primary any more")
        # The old primary steps down first: the database knows one at a time.
        for asset, values in sorted(changed.items(), key=lambda item: item[1]["is_primary"]):
            line = stored.get(asset.pk) or PortfolioBenchmark(portfolio=portfolio, asset=asset)
            found.lines.append((line, values))
        return found

    def as_json(self, portfolio: Portfolio) -> dict[str, Any]:
        """The benchmarks that stand there, in the form of a change request."""
        lines = self.lines[portfolio.pk].values()
        return benchmarks_json({line.asset: {name: getattr(line, name) for name in VALUES} for line in lines})


def benchmarks_json(benchmarks: Mapping[Asset, Values]) -> dict[str, Any]:
    """Benchmarks in the form of a change request, in the order of the assets' ids."""
    return {
        "benchmarks": [
            {"asset": asset.pk, "symbol": str(asset), **values}
            for asset, values in sorted(benchmarks.items(), key=lambda item: item[0].pk)
        ]
    }


def benchmark_choices_write(change: BenchmarkChange) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the change with its stale mark; what stood there and what stands there now, by symbol.

    The audit row is the caller's.
    """
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    primary = _primary(change.portfolio)
    for line, values in change.lines:
        symbol = line.asset.symbol
        if line.pk:
            before[symbol] = {name: getattr(line, name) for name in values}
        for name, value in values.items():
            setattr(line, name, value)
        line.save()
        after[symbol] = dict(values)
    first_day = first_booked_day(change.portfolio)
    if _primary(change.portfolio) != primary and first_day is not None:
        mark_portfolio_stale(change.portfolio, first_day, ChangeCause.PARAMETER)
    return before, after


def _primary(portfolio: Portfolio) -> tuple[int, dt.date | None] | None:
    """The primary benchmark and the day from which it counts."""
    rows = PortfolioBenchmark.objects.filter(portfolio=portfolio, is_primary=True, is_active=True)
    found: tuple[int, dt.date | None] | None = rows.values_list("asset", "start_date").first()
    return found


@transaction.atomic
def benchmark_choices_set(
    portfolio: Portfolio,
    benchmarks: Mapping[Asset, Values],
    *,
    actor: Actor = None,
    reason: str = "",
    approved: ChangeRequest | None = None,
) -> bool:
    """Add and change benchmarks of a portfolio; False when they stand there already.

    Under the two-person rule only an approved request may. Raises ValidationError.
    """
    if sum(bool(values["is_primary"]) for values in benchmarks.values()) > 1:
        raise ValidationError(f"{portfolio.code}: there can be one primary benchmark only")
    lock_rows(Portfolio, [portfolio.pk])
    change = StandingBenchmarks([portfolio.pk]).change(portfolio, benchmarks)
    if change.is_empty:
        return False
    second_person_check(ChangeKind.BENCHMARKS, portfolio, approved)
    before, after = benchmark_choices_write(change)
    audit_append(
        action="benchmark.changed",
        object_type="portfolio",
        object_id=portfolio.pk,
        actor=actor,
        portfolio=portfolio,
        before=before or None,
        after={"benchmarks": after},
        reason=reason,
    )
    return True


def benchmarks_read(portfolio: Portfolio, payload: dict[str, Any]) -> dict[str, Any]:
    return StandingBenchmarks([portfolio.pk]).as_json(portfolio)


def benchmarks_apply(portfolio: Portfolio, request: ChangeRequest) -> None:
    lines = request.payload["benchmarks"]
    assets = payload_assets(line["asset"] for line in lines)
    benchmarks = {
        assets[line["asset"]]: {name: column_value(PortfolioBenchmark, name, line[name]) for name in VALUES}
        for line in lines
    }
    benchmark_choices_set(
        portfolio, benchmarks, actor=request.requested_by, reason=applied_reason(request), approved=request
    )
