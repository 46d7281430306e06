"""Everything that is computed per portfolio: snapshots, risk, benchmarks, drift and proposals."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Model

from analytics.models import AnalyticsRun, PortfolioPerformanceHistory, PortfolioRiskMetrics
from analytics.selectors.portfolio_panels import PanelFault, PortfolioPanel, portfolio_panels
from analytics.services import (
    allocation_analysis,
    approvals,
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
# Portfolios whose rows are written together: some tens of megabytes with ten years behind each.
PORTFOLIOS_PER_WRITE = 20

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
    batch: list[PortfolioPanel] = []
    writer = partial(_write_panels, run, first=first_days, causes=causes, sections=set(work["sections"]))
    for panel in portfolio_panels(portfolios, run.calculation_date):
        if isinstance(panel, PortfolioPanel) and not len(panel.dates):
            continue
        without_book.discard(panel.portfolio.pk)
        if isinstance(panel, PanelFault):
            issues.append(f"{panel.portfolio.code}: {panel.reason}")
            continue
        batch.append(panel)
        if len(batch) == PORTFOLIOS_PER_WRITE:
            written.update(writer(batch, issues=issues))
            batch = []
    if batch:
        written.update(writer(batch, issues=issues))
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
            run,
            model,
            nothing,
            key=("portfolio", day),
            first={portfolio_id: first},
            causes={portfolio_id: causes},
        )
    return written | risk_models.risk_models_drop(portfolio_id, first)


def _write_panels(
    run: AnalyticsRun,
    panels: Sequence[PortfolioPanel],
    *,
    first: Mapping[int, dt.date],
    causes: Mapping[int, Sequence[Cause]],
    sections: set[str],
    issues: list[str],
) -> dict[str, int]:
    written: dict[str, int] = {}
    since = {
        panel.portfolio.pk: first[panel.portfolio.pk]
        - (dt.timedelta() if panel.is_valued_daily else MONTH_END_DOUBT)
        for panel in panels
    }
    known_causes = {pk: causes.get(pk, []) for pk in since}
    if "performance" in sections:
        written[snapshots.TABLE] = snapshots.snapshots_write(run, panels, since, known_causes)
    if RISK_SECTION in sections:
        written[risk_metrics.TABLE] = risk_metrics.risk_metrics_write(run, panels, since, known_causes)
    if not sections & {RISK_SECTION, *LATEST_SECTIONS}:
        return written
    # What stands as of the latest day only is left alone by a run over earlier days.
    later = PortfolioPerformanceHistory.objects.filter(
        portfolio__in=list(since), snapshot_date__gt=run.calculation_date
    )
    superseded = set(later.values_list("portfolio", flat=True).distinct())
    latest = [panel for panel in panels if panel.portfolio.pk not in superseded]
    if RISK_SECTION in sections:
        written |= risk_models.risk_models_write(run, latest)
    if "benchmarks" in sections:
        written[benchmarks.TABLE] = benchmarks.benchmarks_write(run, latest)
    if "rebalancing" in sections:
        written |= _propose(run, latest, issues)
    return written


def _propose(run: AnalyticsRun, panels: Sequence[PortfolioPanel], issues: list[str]) -> dict[str, int]:
    states = allocation_analysis.allocations_analyse(panels)
    hashes = [panel.last_hash for panel in panels]
    drifted = allocation_analysis.drifts_write(run, list(zip(states, hashes, strict=True)))
    outcomes = rebalancing_events.events_propose_if_due(run, states)
    for state, outcome in zip(states, outcomes, strict=True):
        issues += [f"{state.portfolio.code}: {problem}" for problem in outcome.problems]
    if settings.AUTOMATIC_APPROVAL:
        approvals.events_approve_automatically(run, [state.portfolio.pk for state in states])
    created = sum(outcome.created for outcome in outcomes)
    return {allocation_analysis.TABLE: drifted, rebalancing_events.TABLE: created}
