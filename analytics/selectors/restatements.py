"""Why did this figure change? What the restatements say about it."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from analytics.models import Restatement
from portfolios.models import Asset, Portfolio
from portfolios.selectors.visibility import User, visible_to


@dataclass(frozen=True)
class FigureChange:
    """One change of one figure. `causes`: cause, subject and from_date of what had changed before."""

    created_at: dt.datetime
    field: str
    old: Any
    new: Any
    causes: list[dict[str, Any]]
    run: int | None


def visible_restatements(user: User) -> QuerySet[Restatement]:
    """Those of the portfolios that the user may see; figures of assets are for everybody who is logged in."""
    rows = Restatement.objects.select_related("portfolio", "asset")
    if not user.is_authenticated or not user.is_active:
        return rows.none()
    return rows.filter(Q(portfolio=None) | Q(portfolio__in=visible_to(user)))


def figure_history(
    restatements: QuerySet[Restatement],
    subject: Portfolio | Asset,
    table: str,
    day: dt.date,
    field: str = "",
) -> list[FigureChange]:
    """How the figures of one row changed, in order; only `field` if it is named.

    `restatements` is where to look: `visible_restatements(user)`, or all of them for who runs the house.
    """
    owner = "portfolio" if isinstance(subject, Portfolio) else "asset"
    rows = restatements.filter(**{owner: subject}, table_name=table, row_date=day)
    if field:
        rows = rows.filter(changes__has_key=field)
    return [
        FigureChange(row.created_at, name, old, new, row.causes, row.run_id)
        for row in rows.order_by("id")
        for name, (old, new) in sorted(row.changes.items())
        if field in {"", name}
    ]
