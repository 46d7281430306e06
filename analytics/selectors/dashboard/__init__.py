"""The morning view: how every portfolio stands, from stored rows only, in a fixed number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator

from analytics.models import AnalyticsRun
from analytics.selectors.dashboard.alerts import Alert, alerts_of
from analytics.selectors.dashboard.ranking import Rank, Total, rank_portfolios, ranks_of, totals_of
from analytics.selectors.dashboard.standings import LineDeviation, Standing, latest_rows, standings_of
from analytics.selectors.dashboard.waiting import Waiting, waiting_for
from analytics.selectors.visible_runs import visible_runs
from portfolios.models import Portfolio, PortfolioStatus
from portfolios.selectors.visibility import User, visible_to

__all__ = ["Dashboard", "LineDeviation", "Rank", "Standing", "Total", "Waiting", "dashboard", "latest_rows"]

PORTFOLIOS_PER_PAGE = 50
RUNS_SHOWN = 8


@dataclass(frozen=True)
class Dashboard:
    """`order`: by what the portfolios are sorted, with a minus where the largest comes first."""

    standings: Sequence[Standing]
    page: Page
    order: str
    totals: Sequence[Total]
    alerts: Sequence[Alert]
    waiting: Sequence[Waiting]
    runs: Sequence[AnalyticsRun]


def dashboard(user: User, query: Mapping[str, Any] | None = None) -> Dashboard:
    """The active portfolios that `user` may see, a page at a time, and what the morning has to deal with."""
    query = query or {}
    visible = visible_to(user).filter(status=PortfolioStatus.ACTIVE)
    ranks = ranks_of(visible)
    ranked, order = rank_portfolios(ranks, str(query.get("order", "")))
    page = Paginator(ranked, PORTFOLIOS_PER_PAGE).get_page(query.get("page", 1))
    ids = [rank.portfolio_id for rank in page]
    portfolios = Portfolio.objects.select_related("base_currency", "rebalancing_policy").in_bulk(ids)
    waiting = waiting_for(user)
    return Dashboard(
        standings=standings_of([portfolios[pk] for pk in ids]),
        page=page,
        order=order,
        totals=totals_of(ranks),
        alerts=alerts_of(user, ranks),
        waiting=waiting,
        runs=list(visible_runs(user).order_by("-id")[:RUNS_SHOWN]),
    )
