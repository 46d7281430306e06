"""Risk metrics: one row per portfolio and day over the last three years of returns."""

import datetime as dt
from collections.abc import Sequence

import numpy as np

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.risk_profile import risk_columns
from analytics.models import AnalyticsRun, PortfolioRiskMetrics
from analytics.selectors.portfolio_panels import PortfolioPanel
from analytics.services.computed_rows import rows_replace
from analytics.services.restatements import Cause

TABLE = PortfolioRiskMetrics._meta.db_table


def risk_metrics_write(
    run: AnalyticsRun, panel: PortfolioPanel, first: dt.date, causes: Sequence[Cause]
) -> int:
    """Store the portfolio's risk from `first` on; return how many rows changed."""
    rows = panel.rows_from(first)
    positions = panel.valuation.positions[:, panel.days[rows]]
    signed = np.sign(positions) * panel.valuation.weights[:, panel.days[rows]]
    columns, reasons = risk_columns(panel.daily_series, rows, signed.T, panel.asset_returns)
    dates = panel.dates[rows]
    return rows_replace(
        run,
        PortfolioRiskMetrics,
        {
            "portfolio": panel.portfolio.pk,
            "calculation_date": dates,
            **columns,
            "quality": reasons,
            "run": run.pk,
            "inputs_hash": panel.hashes[rows[0] :] if len(rows) else [],
            "engine_version": ENGINE_VERSION,
        },
        key=("portfolio", "calculation_date"),
        first=first,
        causes=causes,
    )
