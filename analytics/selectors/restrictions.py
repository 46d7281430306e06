"""What may not be traded or held on a day: restrictions of portfolios, and the list that holds for all."""

import datetime as dt
from collections.abc import Mapping

from django.db.models import Q, QuerySet

from analytics.models import TradingRestriction
from portfolios.models import Portfolio
from portfolios.selectors.visibility import User, limited_to, sees_everything


def restrictions_on(portfolio: Portfolio, day: dt.date) -> list[TradingRestriction]:
    """Those in force for a portfolio on a day, its own and the restricted list, in the order they came."""
    return restrictions_of({portfolio.pk: day})[portfolio.pk]


def restrictions_of(days: Mapping[int, dt.date]) -> dict[int, list[TradingRestriction]]:
    """Those in force for each portfolio on a day of its own, by the portfolio's id; one query."""
    if not days:
        return {}
    rows = (
        TradingRestriction.objects.filter(Q(portfolio__in=list(days)) | Q(portfolio__isnull=True))
        .filter(_in_force(min(days.values()), max(days.values())))
        .select_related("asset", "owner")
        .order_by("id")
    )
    found: dict[int, list[TradingRestriction]] = {portfolio_id: [] for portfolio_id in days}
    for row in rows:
        for portfolio_id in days if row.portfolio_id is None else [row.portfolio_id]:
            if is_in_force(row, days[portfolio_id]):
                found[portfolio_id].append(row)
    return found


def is_in_force(restriction: TradingRestriction, day: dt.date) -> bool:
    ends = restriction.ends_on
    return restriction.starts_on <= day and (ends is None or day <= ends)


def visible_restrictions(user: User) -> QuerySet[TradingRestriction]:
    """Those of the portfolios a user may see, and the list that holds for all of them."""
    rows = TradingRestriction.objects.select_related("portfolio", "asset", "owner")
    if sees_everything(user):
        return rows
    if not user.is_authenticated or not user.is_active:
        return rows.none()
    return rows.filter(portfolio__isnull=True) | limited_to(user, rows)


def _in_force(first: dt.date, last: dt.date) -> Q:
    return Q(starts_on__lte=last) & (Q(ends_on__isnull=True) | Q(ends_on__gte=first))
