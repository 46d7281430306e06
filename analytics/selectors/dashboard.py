"""The morning view: how every portfolio stands, from stored rows only, in a fixed number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import OuterRef, Subquery

from analytics.models import (
    AnalyticsRun,
    PortfolioAllocation,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    RebalancingEvent,
)
from analytics.models.rebalancing import OPEN_STATUSES
from analytics.selectors.visible_runs import visible_runs
from portfolios.models import Portfolio, PortfolioStatus
from portfolios.selectors.visibility import User, visible_to

PORTFOLIOS_PER_PAGE = 50
RUNS_SHOWN = 8


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
    """One portfolio as of its latest stored rows. What is None is not known; `drift_reason` says why."""

    portfolio: Portfolio
    performance: PortfolioPerformanceHistory | None
    risk: PortfolioRiskMetrics | None
    drift: float | None
    drift_reason: str
    tightest_line: LineDeviation | None
    breaches: int
    open_event: RebalancingEvent | None


@dataclass(frozen=True)
class Dashboard:
    standings: Sequence[Standing]
    page: Page
    runs: Sequence[AnalyticsRun]


def dashboard(user: User, page_number: Any = 1) -> Dashboard:
    """The active portfolios that `user` may see, a page at a time, and the latest runs."""
    visible = visible_to(user).filter(status=PortfolioStatus.ACTIVE).order_by("code")
    portfolios = visible.select_related("base_currency", "rebalancing_policy")
    page = Paginator(portfolios, PORTFOLIOS_PER_PAGE).get_page(page_number)
    runs = visible_runs(user).order_by("-id")[:RUNS_SHOWN]
    return Dashboard(_standings(list(page)), page, list(runs))


def _standings(portfolios: Sequence[Portfolio]) -> list[Standing]:
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
