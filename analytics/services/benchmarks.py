"""Benchmark figures: how a portfolio compares with each of its benchmarks on the run's day."""

from typing import Any

import numpy as np

from analytics.calculations.benchmark import benchmark_figures
from analytics.calculations.constants import ENGINE_VERSION
from analytics.models import AnalyticsRun, PortfolioBenchmark
from analytics.selectors.portfolio_panels import PortfolioPanel
from analytics.services.computed_rows import PROVENANCE
from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_upsert

TABLE = PortfolioBenchmark._meta.db_table
PRICE_INDEX_NOTE = "a price index without dividends, against a total return"


def benchmarks_write(run: AnalyticsRun, panel: PortfolioPanel) -> int:
    """Update the statistics of the portfolio's benchmarks; return how many rows changed."""
    rows = [_figures(panel, asset_id, returns) for asset_id, returns in sorted(panel.benchmarks.items())]
    if not rows or not len(panel.dates):
        return 0
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    return bulk_upsert(
        PortfolioBenchmark,
        {
            "portfolio": panel.portfolio.pk,
            **columns,
            "calculation_date": panel.dates[-1].item(),
            "calculated_at": clock.now(),
            "run": run.pk,
            "inputs_hash": panel.hashes[-1],
            "engine_version": ENGINE_VERSION,
        },
        key=("portfolio", "asset"),
        provenance=PROVENANCE,
        insert=False,
    )


def _figures(panel: PortfolioPanel, asset_id: int, returns: np.ndarray | str) -> dict[str, Any]:
    if isinstance(returns, str):
        nothing = np.full(len(panel.dates), np.nan)
        figures, _ = benchmark_figures(panel.daily_series.returns, nothing, panel.daily_series.risk_free)
        reasons = {name: returns for name in figures if name != "window"}
    else:
        figures, reasons = benchmark_figures(
            panel.daily_series.returns, returns, panel.daily_series.risk_free
        )
    parts = panel.benchmark_parts.get(asset_id)
    notes = [
        *([] if panel.is_total_return(asset_id) else [PRICE_INDEX_NOTE]),
        *([parts.note] if parts and parts.note else []),
    ]
    if notes:
        reasons = {**reasons, "benchmark": "; ".join(notes)}
    return {"asset": asset_id, **figures, "quality": reasons}
