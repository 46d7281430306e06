"""Everything that is computed per portfolio: snapshots, risk, benchmarks, drift and proposals."""

import datetime as dt
from collections import Counter
from typing import Any

from analytics.models import AnalyticsRun, PortfolioPerformanceHistory
from analytics.selectors.portfolio_panels import PanelFault, PortfolioPanel, portfolio_panels
from analytics.services import allocation_analysis, benchmarks, rebalancing_events, risk_metrics, snapshots
from analytics.services.planning import LATEST_SECTIONS
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio

Written = tuple[dict[str, int], list[str]]


def portfolio_figures_write(run: AnalyticsRun, work: dict[str, Any]) -> Written:
    """Compute and store the chunk's portfolios, each from its first stale day on.

    The portfolios are locked before anything is read, so two runs over one portfolio queue up and the later
    one sees what the earlier one saw, or more.
    """
    first_days = {int(pk): dt.date.fromisoformat(day) for pk, day in work["portfolios"]}
    lock_rows(Portfolio, first_days)
    portfolios = Portfolio.objects.filter(pk__in=first_days).order_by("pk")
    written: Counter[str] = Counter()
    issues: list[str] = []
    for panel in portfolio_panels(portfolios, run.calculation_date):
        if isinstance(panel, PanelFault):
            issues.append(f"{panel.portfolio.code}: {panel.reason}")
        elif len(panel.dates):
            written.update(
                _write_panel(run, panel, first_days[panel.portfolio.pk], set(work["sections"]), issues)
            )
    return dict(written), issues


def _write_panel(
    run: AnalyticsRun, panel: PortfolioPanel, first: dt.date, sections: set[str], issues: list[str]
) -> dict[str, int]:
    written: dict[str, int] = {}
    if "performance" in sections:
        written[snapshots.TABLE] = snapshots.snapshots_write(run, panel, first)
    if "risk" in sections:
        written[risk_metrics.TABLE] = risk_metrics.risk_metrics_write(run, panel, first)
    # What stands in one row per line is as of the latest day: a run over earlier days leaves it alone.
    later = PortfolioPerformanceHistory.objects.filter(
        portfolio=panel.portfolio, snapshot_date__gt=run.calculation_date
    )
    if not sections & LATEST_SECTIONS or later.exists():
        return written
    if "benchmarks" in sections:
        written[benchmarks.TABLE] = benchmarks.benchmarks_write(run, panel)
    if "rebalancing" in sections:
        state = allocation_analysis.allocation_analyse(panel)
        written[allocation_analysis.TABLE] = allocation_analysis.drift_write(run, state, panel.hashes[-1])
        outcome = rebalancing_events.event_propose_if_due(run, state)
        written[rebalancing_events.TABLE] = outcome.created
        issues += [f"{panel.portfolio.code}: {problem}" for problem in outcome.problems]
    return written
