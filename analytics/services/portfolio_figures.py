"""Everything that is computed per portfolio: snapshots, risk, benchmarks, drift and proposals."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db.models import Model

from analytics.models import AnalyticsRun, PortfolioPerformanceHistory, PortfolioRiskMetrics
from analytics.selectors.portfolio_panels import PanelFault, PortfolioPanel, portfolio_panels
from analytics.services import (
    allocation_analysis,
    benchmarks,
    rebalancing_events,
    risk_metrics,
    risk_models,
    snapshots,
)
from analytics.services.computed_rows import rows_replace
from analytics.services.planning import LATEST_SECTIONS
from analytics.services.restatements import Cause
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio

PUBLISHED: dict[type[Model], str] = {
    PortfolioPerformanceHistory: "snapshot_date",
    PortfolioRiskMetrics: "calculation_date",
}
# Whether a day was the last session of its month may only show when the next one comes.
MONTH_END_DOUBT = dt.timedelta(days=10)
RISK_SECTION = "risk"

Written = tuple[dict[str, int], list[str]]


def portfolio_figures_write(run: AnalyticsRun, work: dict[str, Any]) -> Written:
    """Compute and store the chunk's portfolios, each from its first stale day on.

    The portfolios are locked before anything is read, so two runs over one portfolio queue up and the later
    one sees what the earlier one saw, or more.
    """
    first_days = {int(pk): dt.date.fromisoformat(day) for pk, day in work["portfolios"]}
    lock_rows(Portfolio, first_days)
    portfolios = Portfolio.objects.filter(pk__in=first_days).order_by("pk")
    causes = {int(pk): found for pk, found in work.get("causes", {}).items()}
    written: Counter[str] = Counter()
    issues: list[str] = []
    without_book = set(first_days)
    for panel in portfolio_panels(portfolios, run.calculation_date):
        if isinstance(panel, PortfolioPanel) and not len(panel.dates):
            continue
        without_book.discard(panel.portfolio.pk)
        if isinstance(panel, PanelFault):
            issues.append(f"{panel.portfolio.code}: {panel.reason}")
        else:
            pk = panel.portfolio.pk
            written.update(
                _write_panel(run, panel, first_days[pk], causes.get(pk, []), set(work["sections"]), issues)
            )
    for pk in without_book:
        written.update(_drop_figures(run, pk, first_days[pk], causes.get(pk, [])))
    return dict(written), issues


def _drop_figures(
    run: AnalyticsRun, portfolio_id: int, first: dt.date, causes: Sequence[Cause]
) -> dict[str, int]:
    """What was stored of a book whose lines are all reversed, or that has no day to be valued on yet."""
    written = {}
    for model, day in PUBLISHED.items():
        nothing: dict[str, Any] = {field.name: [] for field in model._meta.concrete_fields}
        nothing |= {"portfolio": portfolio_id, day: np.empty(0, dtype="datetime64[D]")}
        written[model._meta.db_table] = rows_replace(
            run, model, nothing, key=("portfolio", day), first=first, causes=causes
        )
    return written | risk_models.risk_models_drop(portfolio_id, first)


def _write_panel(
    run: AnalyticsRun,
    panel: PortfolioPanel,
    first: dt.date,
    causes: Sequence[Cause],
    sections: set[str],
    issues: list[str],
) -> dict[str, int]:
    written: dict[str, int] = {}
    if not panel.is_valued_daily:
        first -= MONTH_END_DOUBT
    if "performance" in sections:
        written[snapshots.TABLE] = snapshots.snapshots_write(run, panel, first, causes)
    if RISK_SECTION in sections:
        written[risk_metrics.TABLE] = risk_metrics.risk_metrics_write(run, panel, first, causes)
    # What stands as of the latest day only is left alone by a run over earlier days.
    later = PortfolioPerformanceHistory.objects.filter(
        portfolio=panel.portfolio, snapshot_date__gt=run.calculation_date
    )
    if not sections & {RISK_SECTION, *LATEST_SECTIONS} or later.exists():
        return written
    if RISK_SECTION in sections:
        written |= risk_models.risk_models_write(run, panel)
    if "benchmarks" in sections:
        written[benchmarks.TABLE] = benchmarks.benchmarks_write(run, panel)
    if "rebalancing" in sections:
        state = allocation_analysis.allocation_analyse(panel)
        written[allocation_analysis.TABLE] = allocation_analysis.drift_write(run, state, panel.hashes[-1])
        outcome = rebalancing_events.event_propose_if_due(run, state)
        written[rebalancing_events.TABLE] = outcome.created
        issues += [f"{panel.portfolio.code}: {problem}" for problem in outcome.problems]
    return written
