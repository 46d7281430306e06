"""Portfolios with everything that their lines of the morning table show."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import OuterRef, Q, Subquery

from analytics.calculations.returns import months_earlier
from analytics.models import (
    PortfolioAllocation,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    RebalancingEvent,
)
from analytics.models.rebalancing import OPEN_STATUSES
from portfolios.models import Portfolio

# Snapshots may be missing for so many days before the day that a return is counted from.
REACH = dt.timedelta(days=14)


@dataclass(frozen=True)
class LineDeviation:
    """How far one line stands from its target, and how far it may on that side; both in percentage points."""

    symbol: str
    deviation: float
    room: float
    is_breached: bool

    @property
    def used(self) -> float:
        """Share of the room that is used up; above 1 the line is outside its band."""
        if self.room > 0:
            return abs(self.deviation) / self.room
        return float("inf") if self.deviation else 0.0


@dataclass(frozen=True)
class Standing:
    """One portfolio as of its latest stored rows. What is None is not known; `drift_reason` says why.

    `benchmark_month`, `benchmark_year`: what its benchmark has returned in the month and the calendar year.
    """

    portfolio: Portfolio
    performance: PortfolioPerformanceHistory | None
    benchmark_month: float | None
    benchmark_year: float | None
    risk: PortfolioRiskMetrics | None
    drift: float | None
    drift_reason: str
    tightest_line: LineDeviation | None
    breaches: int
    open_event: RebalancingEvent | None


def standings_of(portfolios: Sequence[Portfolio]) -> list[Standing]:
    """In the given order, in a fixed number of queries."""
    ids = [portfolio.pk for portfolio in portfolios]
    performance = latest_rows(PortfolioPerformanceHistory, "snapshot_date", ids)
    risk = latest_rows(PortfolioRiskMetrics, "calculation_date", ids)
    events = RebalancingEvent.objects.filter(portfolio__in=ids, status__in=OPEN_STATUSES).defer(
        "trigger", "pre_state", "post_state", "outcomes"
    )
    event_of = {event.portfolio_id: event for event in events}
    lines: dict[int, list[PortfolioAllocation]] = {}
    for line in PortfolioAllocation.objects.filter(portfolio__in=ids, is_active=True).select_related("asset"):
        lines.setdefault(line.portfolio_id, []).append(line)
    benchmarks = _benchmark_returns(performance)
    standings = []
    for portfolio in portfolios:
        own = lines.get(portfolio.pk, [])
        snapshot = performance.get(portfolio.pk)
        drift, drift_reason = _drift(portfolio, snapshot, own)
        deviations = [deviation for line in own if (deviation := _deviation(line)) is not None]
        standings.append(
            Standing(
                portfolio=portfolio,
                performance=snapshot,
                benchmark_month=benchmarks.get((portfolio.pk, "month")),
                benchmark_year=benchmarks.get((portfolio.pk, "year")),
                risk=risk.get(portfolio.pk),
                drift=drift,
                drift_reason=drift_reason,
                tightest_line=max(deviations, key=lambda line: line.used, default=None),
                breaches=sum(line.is_breached for line in deviations),
                open_event=event_of.get(portfolio.pk),
            )
        )
    return standings


def latest_rows(model: type[Any], day: str, portfolio_ids: Sequence[int]) -> dict[int, Any]:
    """The newest row of each portfolio: one descent of the (portfolio, day) index each, in one query."""
    rows = model._default_manager
    newest = rows.filter(portfolio=OuterRef("pk")).order_by(f"-{day}").values("pk")[:1]
    keys = Portfolio.objects.filter(pk__in=portfolio_ids).values(newest=Subquery(newest))
    return {row.portfolio_id: row for row in rows.filter(pk__in=keys).defer("inputs_hash")}


def _benchmark_returns(
    latest: Mapping[int, PortfolioPerformanceHistory],
) -> dict[tuple[int, str], float]:
    """By portfolio and period, counted from the same days as the portfolio's own returns."""
    starts = {
        (pk, name): day for pk, row in latest.items() for name, day in _starts(row.snapshot_date).items()
    }
    wanted = Q(pk__in=[])
    for (portfolio_id, _), day in starts.items():
        wanted |= Q(portfolio=portfolio_id, snapshot_date__range=(day - REACH, day))
    rows = PortfolioPerformanceHistory.objects.filter(wanted).order_by("snapshot_date")
    before: dict[tuple[int, str], float] = {}
    for portfolio_id, day, level in rows.values_list(
        "portfolio", "snapshot_date", "benchmark_cumulative_return"
    ):
        for name in ("month", "year"):
            if level is not None and day <= starts[portfolio_id, name]:
                before[portfolio_id, name] = level
    return {
        key: (1 + now) / (1 + level) - 1
        for key, level in before.items()
        if (now := latest[key[0]].benchmark_cumulative_return) is not None
    }


def _starts(day: dt.date) -> dict[str, dt.date]:
    month = months_earlier(np.array([day], dtype="datetime64[D]"), 1)[0].item()
    return {"month": month, "year": dt.date(day.year - 1, 12, 31)}


def _drift(
    portfolio: Portfolio, snapshot: PortfolioPerformanceHistory | None, lines: Sequence[PortfolioAllocation]
) -> tuple[float | None, str]:
    """Half the sum of |weight - target|, in percent: of lines, of cash, of what is held without a target."""
    if not lines:
        return None, "no targets yet"
    if snapshot is None or not snapshot.total_value or snapshot.cash_value is None:
        return None, "no valuation yet"
    weights = [line.current_percentage for line in lines if line.calculation_date == snapshot.snapshot_date]
    if len(weights) < len(lines) or None in weights:
        return None, f"the weights of {snapshot.snapshot_date} are not computed yet"
    known = [float(weight) for weight in weights if weight is not None]
    targets = [float(line.target_percentage) for line in lines]
    cash = float(snapshot.cash_value / snapshot.total_value * 100)
    unassigned = 100 - sum(known) - cash
    strayed = sum(abs(weight - target) for weight, target in zip(known, targets, strict=True))
    return (strayed + abs(cash - _cash_target(portfolio)) + abs(unassigned)) / 2, ""


def _cash_target(portfolio: Portfolio) -> float:
    policy = getattr(portfolio, "rebalancing_policy", None)
    return 0.0 if policy is None else float(policy.cash_target_percentage)


def _deviation(line: PortfolioAllocation) -> LineDeviation | None:
    if line.drift_percentage is None:
        return None
    limit = (
        line.max_percentage - line.target_percentage
        if line.drift_percentage >= 0
        else line.target_percentage - line.min_percentage
    )
    bounds = [limit]
    if line.rebalance_threshold is not None:
        bounds.append(line.rebalance_threshold)
    if line.rebalance_threshold_relative is not None and line.target_percentage:
        bounds.append(line.rebalance_threshold_relative * line.target_percentage / 100)
    return LineDeviation(
        symbol=line.asset.symbol,
        deviation=line.drift_percentage,
        room=float(min(bounds)),
        is_breached=bool(line.is_breached),
    )
