"""What is wrong this morning, worst first."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from analytics.models import AnalyticsRun, EventStatus, RebalancingEvent, RunStatus
from analytics.models.performance import DataQuality
from analytics.selectors.dashboard.ranking import Rank
from analytics.selectors.visible_runs import visible_runs
from portfolio_site.kernel import clock
from portfolios.models import DataFinding, FindingSeverity, FindingStatus
from portfolios.selectors.market_data import latest_trading_day
from portfolios.selectors.visibility import User, limited_to

FAILED_WITHIN = dt.timedelta(days=7)
NAMED = 5


@dataclass(frozen=True)
class Alert:
    """`tone`: bad, poor or fair. `view`: the list that shows more, with its query."""

    tone: str
    text: str
    view: str = ""
    query: str = ""


def alerts_of(user: User, ranks: Sequence[Rank]) -> list[Alert]:
    found: list[Alert | None] = [
        _failed_executions(user),
        _failed_runs(user),
        _blocked(ranks),
        _behind(ranks),
        _never_computed(ranks),
        _breached(ranks),
        _findings(user),
    ]
    return [alert for alert in found if alert is not None]


def _failed_executions(user: User) -> Alert | None:
    events = limited_to(user, RebalancingEvent.objects.filter(status=EventStatus.FAILED))
    since = clock.now() - FAILED_WITHIN
    codes = sorted(set(events.filter(completed_at__gte=since).values_list("portfolio__code", flat=True)))
    if not codes:
        return None
    return Alert(
        "bad", f"Execution failed in the last week: {_named(codes)}",
        "analytics_rebalancingevent", "status__exact=failed",
    )  # fmt: skip


def _failed_runs(user: User) -> Alert | None:
    since = clock.now() - FAILED_WITHIN
    runs: list[AnalyticsRun] = list(
        visible_runs(user).filter(status=RunStatus.FAILED, created_at__gte=since).order_by("-id")[: NAMED + 1]
    )
    if not runs:
        return None
    return Alert(
        "bad", f"Runs failed in the last week: {_named([str(run.pk) for run in runs])}",
        "analytics_analyticsrun", "status__exact=failed",
    )  # fmt: skip


def _blocked(ranks: Sequence[Rank]) -> Alert | None:
    poor = {DataQuality.MISSING_FX.value, DataQuality.BLOCKED.value}
    codes = [rank.code for rank in ranks if rank.data_quality in poor or (rank.day and rank.value is None)]
    return Alert("bad", f"Value unknown or in doubt: {_named(codes)}") if codes else None


def _behind(ranks: Sequence[Rank]) -> Alert | None:
    latest = latest_trading_day(clock.today())
    codes = [rank.code for rank in ranks if rank.day and latest and rank.day < latest]
    return Alert("poor", f"Not valued as of {latest} yet: {_named(codes)}") if codes else None


def _never_computed(ranks: Sequence[Rank]) -> Alert | None:
    codes = [rank.code for rank in ranks if rank.day is None]
    return Alert("poor", f"Never valued: {_named(codes)}") if codes else None


def _breached(ranks: Sequence[Rank]) -> Alert | None:
    codes = [rank.code for rank in ranks if rank.breaches]
    if not codes:
        return None
    return Alert(
        "fair",
        f"Outside of their bands: {_named(codes)}",
        "analytics_portfolioallocation",
        "is_breached__exact=1",
    )


def _findings(user: User) -> Alert | None:
    """Prices belong to all; whoever may look at findings is told of the severe ones that are open."""
    if not user.has_perm("portfolios.view_datafinding"):
        return None
    severe = DataFinding.objects.filter(status=FindingStatus.OPEN, severity=FindingSeverity.ERROR)
    count = severe.aggregate(number=Count("pk"))["number"]
    if not count:
        return None
    return Alert(
        "fair", f"{count} severe findings in the prices are open",
        "portfolios_datafinding", "status__exact=open&severity__exact=error",
    )  # fmt: skip


def _named(codes: Sequence[str]) -> str:
    shown = ", ".join(codes[:NAMED])
    more = len(codes) - NAMED
    return f"{shown} and {more} more" if more > 0 else shown
