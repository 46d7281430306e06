"""Snapshot creation: one row of performance history per portfolio and day."""

import datetime as dt

import numpy as np

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.performance import performance_columns
from analytics.models import AnalyticsRun, PortfolioPerformanceHistory
from analytics.selectors.portfolio_panels import PortfolioPanel
from analytics.services.computed_rows import PROVENANCE, rounded_money, rows_drop
from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.calculations.valuation import calendar_reasons

LEVELS = ("total_value", "invested_value", "cash_value", "cost_basis", "unrealized_pnl")
TABLE = PortfolioPerformanceHistory._meta.db_table


def snapshots_write(run: AnalyticsRun, panel: PortfolioPanel, first: dt.date) -> int:
    """Store the portfolio's snapshots from `first` on; return how many rows changed."""
    rows = panel.rows_from(first)
    columns, reasons = performance_columns(panel.series, rows)
    dates = panel.dates[rows]
    dropped = rows_drop(
        PortfolioPerformanceHistory.objects.filter(portfolio=panel.portfolio),
        "snapshot_date",
        first,
        run.calculation_date,
        dates,
    )
    return dropped + bulk_upsert(
        PortfolioPerformanceHistory,
        {
            "portfolio": panel.portfolio.pk,
            "snapshot_date": dates,
            "benchmark": panel.primary_benchmark,
            **{name: rounded_money(values[rows]) for name, values in _money(panel).items()},
            **columns,
            "quality": _quality(panel, rows, reasons),
            "run": run.pk,
            "inputs_hash": panel.hashes[rows[0] :] if len(rows) else [],
            "engine_version": ENGINE_VERSION,
        },
        key=("portfolio", "snapshot_date"),
        provenance=PROVENANCE,
    )


def _money(panel: PortfolioPanel) -> dict[str, np.ndarray]:
    levels = {name: getattr(panel.valuation, name)[panel.days] for name in LEVELS}
    sums = panel.sums
    net_flow = sums["inflow"] - sums["outflow"]
    return levels | {
        "net_flow": net_flow,
        "cumulative_net_flow": np.cumsum(net_flow),
        "realized_pnl": sums["realized"],
        "income": sums["income"],
        "fees": sums["fees"],
        "taxes": sums["taxes"],
        "fx_on_cash": sums["fx_on_cash"],
    }


def _quality(panel: PortfolioPanel, rows: np.ndarray, reasons: list[dict[str, str]]) -> list[dict[str, str]]:
    """What is to be said of the value, then of the return, then of the statistics built on both."""
    of_value = calendar_reasons(panel.valuation)
    return [
        {**figures, **panel.weighted.reasons[row], **of_value[row]}
        for row, figures in zip(rows, reasons, strict=True)
    ]
