"""One portfolio at a glance, as of a day: what its computed rows say, and why a figure is missing.

Every answer carries `portfolio`, `calculation_date`, `run` (the run that wrote it) and `quality` (field to
reason). Without a day the latest rows count, otherwise the latest on or before it.
"""

import datetime as dt
from decimal import Decimal
from typing import Any, TypeVar

from django.db.models import F

from analytics.models import (
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.models.computed import ComputedRow
from analytics.models.rebalancing import OPEN_STATUSES
from portfolio_site.kernel.fields import PERCENT_PLACES
from portfolios.models import Portfolio

Figures = dict[str, Any]
Row = TypeVar("Row", bound=ComputedRow)

WHOLE = 100
BOOKKEEPING = {"id", "inputs_hash", "engine_version"}
HEADLINES = (
    "total_value",
    "invested_value",
    "cash_value",
    "cost_basis",
    "cumulative_net_flow",
    "unrealized_pnl",
    "daily_return",
    "return_1m",
    "return_3m",
    "return_6m",
    "return_ytd",
    "return_1y",
    "return_3y",
    "return_5y",
    "cumulative_return",
    "annualized_return",
    "money_weighted_return",
    "volatility",
    "sharpe_ratio",
    "max_drawdown",
    "current_drawdown",
    "benchmark",
    "benchmark_cumulative_return",
    "excess_return",
)
RISK_HEADLINES = ("risk_level", "risk_class", "var_95_1d", "cvar_95_1d")
BENCHMARK_FIGURES = (
    "is_primary",
    "calculation_date",
    "window",
    "tracking_error",
    "information_ratio",
    "beta",
    "alpha",
    "excess_return",
    "correlation",
    "r_squared",
    "up_capture",
    "down_capture",
    "quality",
)
VAR_METHOD_FIGURES = (
    "method",
    "level",
    "var",
    "cvar",
    "window",
    "observations",
    "exceptions",
    "expected",
    "kupiec_lr",
    "kupiec_p",
    "christoffersen_lr",
    "christoffersen_p",
    "joint_lr",
    "joint_p",
    "zone",
    "zone_exceptions",
    "quality",
)
CONTRIBUTION_FIGURES = (
    "weight",
    "volatility",
    "marginal_var",
    "component_var",
    "component_var_percentage",
    "component_volatility",
    "method",
    "quality",
)


def performance_snapshot(portfolio: Portfolio, day: dt.date | None) -> PortfolioPerformanceHistory | None:
    rows = PortfolioPerformanceHistory.objects.filter(portfolio=portfolio).select_related("benchmark")
    if day is not None:
        rows = rows.filter(snapshot_date__lte=day)
    return rows.order_by("-snapshot_date").first()


def risk_row(portfolio: Portfolio, day: dt.date | None) -> PortfolioRiskMetrics | None:
    rows = PortfolioRiskMetrics.objects.filter(portfolio=portfolio)
    if day is not None:
        rows = rows.filter(calculation_date__lte=day)
    return rows.order_by("-calculation_date").first()


def open_event(portfolio: Portfolio) -> RebalancingEvent | None:
    return RebalancingEvent.objects.filter(portfolio=portfolio, status__in=OPEN_STATUSES).first()


def recommendation_context(portfolio: Portfolio, day: dt.date | None = None) -> Figures:
    """What a recommendation was drawn from: the snapshot it starts at, and the event it would join."""
    snapshot = performance_snapshot(portfolio, day)
    event = open_event(portfolio)
    return {
        "calculation_date": snapshot.snapshot_date if snapshot else None,
        "run": snapshot.run_id if snapshot else None,
        "quality": snapshot.quality if snapshot else {"row": _not_computed(day)},
        "open_event": event.pk if event else None,
    }


def performance_analysis(portfolio: Portfolio, day: dt.date | None = None) -> Figures:
    """Every figure of the performance row, and how the portfolio compares with each of its benchmarks."""
    row = performance_snapshot(portfolio, day)
    answer = _row_figures(PortfolioPerformanceHistory, row, portfolio, day)
    answer["calculation_date"] = answer.pop("snapshot_date")
    benchmarks = PortfolioBenchmark.objects.filter(portfolio=portfolio, is_active=True)
    answer["benchmarks"] = [
        {"symbol": line.asset.symbol} | {name: getattr(line, name) for name in BENCHMARK_FIGURES}
        for line in benchmarks.select_related("asset").order_by("-is_primary", "asset__symbol")
    ]
    return answer


def risk_analysis(portfolio: Portfolio, day: dt.date | None = None) -> Figures:
    """Every figure of the risk row, value at risk by every method with its backtest, and what each
    position contributes; the last two are kept for the days that runs ended on.
    """
    row = risk_row(portfolio, day)
    answer = _row_figures(PortfolioRiskMetrics, row, portfolio, day)
    of_day = {"portfolio": portfolio, "calculation_date": answer["calculation_date"]}
    backtests = PortfolioVarBacktest.objects.filter(**of_day).order_by("level", "method")
    contributions = PortfolioRiskContribution.objects.filter(**of_day).select_related("asset")
    answer["methods"] = list(backtests.values(*VAR_METHOD_FIGURES))
    answer["contributions"] = [
        {"symbol": line.asset.symbol} | {name: getattr(line, name) for name in CONTRIBUTION_FIGURES}
        for line in contributions.order_by(
            F("component_var_percentage").desc(nulls_last=True), "asset__symbol"
        )
    ]
    if row is not None and not answer["methods"]:
        answer["quality"] = answer["quality"] | {"methods": "no run ended on this day"}
    return answer


def _row_figures(model: type[Row], row: Row | None, portfolio: Portfolio, day: dt.date | None) -> Figures:
    names = [field.name for field in model._meta.concrete_fields if field.name not in BOOKKEEPING | {"run"}]
    figures = {name: getattr(row, name, None) for name in names}
    quality = row.quality if row else {"row": _not_computed(day)}
    return figures | {"portfolio": portfolio.code, "run": row.run_id if row else None, "quality": quality}


def _not_computed(day: dt.date | None) -> str:
    return f"nothing computed on or before {day}" if day else "nothing computed yet"


def portfolio_summary(portfolio: Portfolio, day: dt.date | None = None) -> Figures:
    """The headlines of the other analyses; `quality` is keyed by the analysis it comes from."""
    performance = performance_analysis(portfolio, day)
    risk = _row_figures(PortfolioRiskMetrics, risk_row(portfolio, day), portfolio, day)
    allocation = allocation_analysis(portfolio, day)
    event = open_event(portfolio)
    return (
        {name: performance[name] for name in (*HEADLINES, "portfolio", "calculation_date", "run")}
        | {name: risk[name] for name in RISK_HEADLINES}
        | {
            "name": portfolio.name,
            "base_currency": portfolio.base_currency_id,
            "risk_date": risk["calculation_date"],
            "allocation_date": allocation["calculation_date"],
            "drift": allocation["drift"],
            "breached_lines": allocation["breached_lines"],
            "open_event": event.pk if event else None,
            "quality": {
                name: analysis["quality"]
                for name, analysis in (
                    ("performance", performance),
                    ("risk", risk),
                    ("allocation", allocation),
                )
                if analysis["quality"]
            },
        }
    )


def allocation_analysis(portfolio: Portfolio, day: dt.date | None = None) -> Figures:
    """Where each line and the cash stand against their targets, in percent of the portfolio's value.

    `unassigned_percentage` is held without a target; `drift` is half the sum of all absolute deviations.
    Allocations keep the weights of their last computed day only: an earlier day has targets but no weights.
    """
    allocations = list(
        PortfolioAllocation.objects.filter(portfolio=portfolio, is_active=True)
        .select_related("asset")
        .order_by("-target_percentage", "asset__symbol")
    )
    policy = RebalancingPolicy.objects.filter(portfolio=portfolio).first()
    computed_on = max((line.calculation_date for line in allocations if line.calculation_date), default=None)
    is_kept = computed_on is not None and (day is None or computed_on <= day)
    snapshot = performance_snapshot(portfolio, computed_on if is_kept else day)
    calculation_date = computed_on if is_kept else getattr(snapshot, "snapshot_date", None)
    if snapshot is not None and snapshot.snapshot_date != calculation_date:
        snapshot = None

    lines = [_allocation_line(line, line.calculation_date == calculation_date) for line in allocations]
    cash = _cash_line(snapshot, policy.cash_target_percentage if policy else Decimal(0))
    unassigned, drift = _drift([*lines, cash])
    runs = [line.run_id for line in allocations if line.run_id and line.calculation_date == calculation_date]
    return {
        "portfolio": portfolio.code,
        "calculation_date": calculation_date,
        "run": max(runs, default=snapshot.run_id if snapshot else None),
        "total_value": snapshot.total_value if snapshot else None,
        "lines": lines,
        "cash": cash,
        "unassigned_percentage": unassigned,
        "drift": drift if lines else None,
        "breached_lines": sum(line["breached"] is True for line in lines),
        "quality": _allocation_quality(allocations, lines, cash, computed_on, day),
    }


def _drift(lines: list[Figures]) -> tuple[float | None, float | None]:
    """What is held without a target, and the drift of the whole; unknown while any line's is."""
    if any(line["current"] is None or line["drift"] is None for line in lines):
        return None, None
    unassigned = WHOLE - sum(line["current"] for line in lines)
    drift = (sum(abs(line["drift"]) for line in lines) + abs(unassigned)) / 2
    # Weights are binary fractions: what is left of a full 100 is their noise.
    return round(unassigned, PERCENT_PLACES) or 0.0, round(drift, PERCENT_PLACES)


def _allocation_line(line: PortfolioAllocation, is_current: bool) -> Figures:
    return {
        "symbol": line.asset.symbol,
        "name": line.asset.name,
        "target": line.target_percentage,
        "min": line.min_percentage,
        "max": line.max_percentage,
        "band": {"absolute": line.rebalance_threshold, "relative": line.rebalance_threshold_relative},
        "current": line.current_percentage if is_current else None,
        "drift": line.drift_percentage if is_current else None,
        "breached": line.is_breached if is_current else None,
        "value": line.current_value if is_current else None,
    }


def _cash_line(snapshot: PortfolioPerformanceHistory | None, target: Decimal) -> Figures:
    current = None
    if snapshot is not None and snapshot.cash_value is not None and (snapshot.total_value or 0) > 0:
        current = float(snapshot.cash_value / snapshot.total_value * WHOLE)
    return {
        "target": target,
        "current": current,
        "drift": None if current is None else current - float(target),
        "value": snapshot.cash_value if snapshot else None,
    }


def _allocation_quality(
    allocations: list[PortfolioAllocation],
    lines: list[Figures],
    cash: Figures,
    computed_on: dt.date | None,
    day: dt.date | None,
) -> dict[str, str]:
    quality = {}
    if not allocations:
        quality["lines"] = "no targets are set"
    for allocation, line in zip(allocations, lines, strict=True):
        if line["current"] is None:
            if computed_on is not None and day is not None and computed_on > day:
                reason = f"weights are kept for {computed_on} only"
            else:
                reason = "; ".join(map(str, allocation.quality.values())) or "not computed yet"
            quality[line["symbol"]] = reason
    if cash["current"] is None:
        quality["cash"] = "no portfolio value on that day"
    return quality
