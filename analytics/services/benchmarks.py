"""Benchmark figures: how a portfolio compares with each of its benchmarks on the run's day."""

from collections.abc import Sequence
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


def benchmarks_write(run: AnalyticsRun, panels: Sequence[PortfolioPanel]) -> int:
    """Update the statistics of the portfolios' benchmarks; return how many rows changed."""
    rows = [
        {
            "portfolio": panel.portfolio.pk,
            **_figures(panel, asset_id, returns),
            "calculation_date": panel.dates[-1].item(),
            "inputs_hash": panel.last_hash,
        }
        for panel in panels
        for asset_id, returns in sorted(panel.benchmarks.items())
    ]
    if not rows:
        return 0
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    return bulk_upsert(
        PortfolioBenchmark,
        {**columns, "calculated_at": clock.now(), "run": run.pk, "engine_version": ENGINE_VERSION},
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
