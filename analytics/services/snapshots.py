"""Snapshot creation: one row of performance history per portfolio and day."""

import datetime as dt
from collections.abc import Sequence

import numpy as np
from django.conf import settings

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.performance import leave_out_daily_statistics, performance_columns
from analytics.models import AnalyticsRun, PortfolioPerformanceHistory
from analytics.selectors.portfolio_panels import PortfolioPanel, snapshot_money
from analytics.services.computed_rows import rounded_money, rows_replace
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


def snapshots_write(run: AnalyticsRun, panel: PortfolioPanel, first: dt.date, causes: Sequence[Cause]) -> int:
    """Store the portfolio's snapshots from `first` on; return how many rows changed."""
    rows = panel.rows_from(first)
    columns, reasons = performance_columns(panel.series, rows)
    if not panel.is_valued_daily:
        reasons = leave_out_daily_statistics(columns, reasons, panel.portfolio.valuation_frequency)
    dates = panel.dates[rows]
    quality = data_quality(panel.valuation, price_stale_days=settings.PRICE_STALE_DAYS)
    return rows_replace(
        run,
        PortfolioPerformanceHistory,
        {
            "portfolio": panel.portfolio.pk,
            "snapshot_date": dates,
            "benchmark": panel.primary_benchmark,
            **{name: rounded_money(values[rows]) for name, values in snapshot_money(panel).items()},
            **columns,
            "data_quality": [quality[day] for day in panel.days[rows]],
            "quality": _quality(panel, rows, reasons),
            "run": run.pk,
            "inputs_hash": panel.hashes[rows[0] :] if len(rows) else [],
            "engine_version": ENGINE_VERSION,
        },
        key=("portfolio", "snapshot_date"),
        first=first,
        causes=causes,
    )


def _quality(panel: PortfolioPanel, rows: np.ndarray, reasons: list[dict[str, str]]) -> list[dict[str, str]]:
    """What is to be said of the value, then of the return, then of the statistics built on both."""
    of_value = [
        {COLUMNS.get(name, name): reason for name, reason in reasons_of_day.items()}
        for reasons_of_day in calendar_reasons(panel.valuation)
    ]
    return [
        {**figures, **panel.weighted.reasons[row], **of_value[row]}
        for row, figures in zip(rows, reasons, strict=True)
    ]
