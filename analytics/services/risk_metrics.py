"""Risk metrics: one row per portfolio and day over the last three years of returns."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.risk_profile import risk_columns
from analytics.models import AnalyticsRun, PortfolioRiskMetrics
from analytics.selectors.portfolio_panels import PortfolioPanel
from analytics.services.computed_rows import joined_columns, rows_replace
from analytics.services.restatements import Cause

TABLE = PortfolioRiskMetrics._meta.db_table


def risk_metrics_write(
    run: AnalyticsRun,
    panels: Sequence[PortfolioPanel],
    first: Mapping[int, dt.date],
    causes: Mapping[int, Sequence[Cause]],
) -> int:
    """Store the portfolios' risk, of each from its `first` day on; return how many rows changed."""
    return rows_replace(
        run,
        PortfolioRiskMetrics,
        joined_columns([_columns(run, panel, first[panel.portfolio.pk]) for panel in panels]),
        key=("portfolio", "calculation_date"),
        first=first,
        causes=causes,
    )


def _columns(run: AnalyticsRun, panel: PortfolioPanel, first: dt.date) -> dict[str, Any]:
    rows = panel.rows_from(first)
    positions = panel.valuation.positions[:, panel.days[rows]]
    signed = np.sign(positions) * panel.valuation.weights[:, panel.days[rows]]
    columns, reasons = risk_columns(panel.daily_series, rows, signed.T, panel.asset_returns)
    return {
        "portfolio": panel.portfolio.pk,
        "calculation_date": panel.dates[rows],
        **columns,
        "quality": reasons,
        "run": run.pk,
        "inputs_hash": panel.hashes[rows],
        "engine_version": ENGINE_VERSION,
    }
