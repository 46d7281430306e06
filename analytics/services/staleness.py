"""Marks for what analytics itself is asked to measure against: targets and policies."""

from django.db.models import Max

from analytics.models import PortfolioPerformanceHistory
from portfolios.models import ChangeCause, Portfolio
from portfolios.services.staleness import mark_portfolio_stale


def mark_targets_changed(portfolio: Portfolio) -> None:
    """Drift and proposals are stale on the last computed day; a portfolio never computed has none."""
    last = PortfolioPerformanceHistory.objects.filter(portfolio=portfolio).aggregate(day=Max("snapshot_date"))
    if last["day"] is not None:
        mark_portfolio_stale(portfolio, last["day"], ChangeCause.PARAMETER)
