"""Snapshot creation: one row of performance history per portfolio and day."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from django.conf import settings

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.performance import leave_out_daily_statistics, performance_columns
from analytics.models import AnalyticsRun, PortfolioPerformanceHistory
from analytics.selectors.portfolio_panels import PortfolioPanel, snapshot_money
from analytics.services.computed_rows import joined_columns, rounded_money, rows_replace
from analytics.services.restatements import Cause
from portfolios.calculations.quality import data_quality
from portfolios.calculations.valuation import calendar_reasons

# Day figures of the books whose columns have other names.
COLUMNS = {
    "inflow": "net_flow",
    "outflow": "net_flow",
    "realized": "realized_pnl",
    "realized_fx": "realized_fx_pnl",
}
TABLE = PortfolioPerformanceHistory._meta.db_table


def snapshots_write(
    run: AnalyticsRun,
    panels: Sequence[PortfolioPanel],
    first: Mapping[int, dt.date],
    causes: Mapping[int, Sequence[Cause]],
) -> int:
    """Store the portfolios' snapshots, of each from its `first` day on; return how many rows changed."""
    return rows_replace(
        run,
        PortfolioPerformanceHistory,
        joined_columns([_columns(run, panel, first[panel.portfolio.pk]) for panel in panels]),
        key=("portfolio", "snapshot_date"),
        first=first,
        causes=causes,
    )


def _columns(run: AnalyticsRun, panel: PortfolioPanel, first: dt.date) -> dict[str, Any]:
    rows = panel.rows_from(first)
    columns, reasons = performance_columns(panel.series, rows)
    if not panel.is_valued_daily:
        reasons = leave_out_daily_statistics(columns, reasons, panel.portfolio.valuation_frequency)
    quality = data_quality(panel.valuation, price_stale_days=settings.PRICE_STALE_DAYS)
    return {
        "portfolio": panel.portfolio.pk,
        "snapshot_date": panel.dates[rows],
        "benchmark": panel.primary_benchmark,
        **{name: rounded_money(values[rows]) for name, values in snapshot_money(panel).items()},
        **columns,
        "data_quality": [quality[day] for day in panel.days[rows]],
        "quality": _quality(panel, rows, reasons),
        "run": run.pk,
        "inputs_hash": panel.hashes[rows],
        "engine_version": ENGINE_VERSION,
    }


def _quality(panel: PortfolioPanel, rows: np.ndarray, reasons: list[dict[str, str]]) -> list[dict[str, str]]:
    """What is to be said of the value, then of the return, then of the statistics built on both.

    Where there is nothing to add the statistics' own dictionary stays, which many rows share.
    """
    of_value = calendar_reasons(panel.valuation)
    quality = []
    for row, figures in zip(rows.tolist(), reasons, strict=True):
        of_day, of_return = of_value[row], panel.weighted.reasons[row]
        if of_day or of_return:
            values = {COLUMNS.get(name, name): reason for name, reason in of_day.items()}
            figures = {**figures, **of_return, **values}
        quality.append(figures)
    return quality
