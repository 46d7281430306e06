"""Cash that is spoken for: dated reserves, and trades of which the money has not moved yet."""

import datetime as dt
from collections.abc import Mapping

from django.db.models import Q

from analytics.models import CashReserve
from portfolios.calculations.entries import Entry
from portfolios.models import Transaction
from portfolios.selectors.books import ENTRY_FIELDS


def reserves_of(days: Mapping[int, dt.date]) -> dict[int, list[CashReserve]]:
    """Those of each portfolio that are not ended on a day of its own, by its id; the first due first."""
    found: dict[int, list[CashReserve]] = {portfolio_id: [] for portfolio_id in days}
    if not days:
        return found
    rows = CashReserve.objects.filter(portfolio__in=list(days))
    rows = rows.filter(Q(ended_on__isnull=True) | Q(ended_on__gt=min(days.values())))
    for row in rows.order_by("due_date", "id"):
        if row.ended_on is None or row.ended_on > days[row.portfolio_id]:
            found[row.portfolio_id].append(row)
    return found


def unsettled_entries(days: Mapping[int, dt.date]) -> dict[int, list[Entry]]:
    """What was booked in each portfolio up to a day of its own and settles later, by its id."""
    found: dict[int, list[Entry]] = {portfolio_id: [] for portfolio_id in days}
    if not days:
        return found
    rows = Transaction.objects.booked().filter(
        portfolio__in=list(days),
        trade_date__lte=max(days.values()),
        settle_date__gt=min(days.values()),
    )
    names = list(ENTRY_FIELDS.values())
    for portfolio_id, *values in rows.order_by("id").values_list("portfolio_id", *ENTRY_FIELDS):
        entry = Entry(**dict(zip(names, values, strict=True)))
        if is_unsettled(entry, days[portfolio_id]):
            found[portfolio_id].append(entry)
    return found


def is_unsettled(entry: Entry, day: dt.date) -> bool:
    return entry.settle_date is not None and entry.date <= day < entry.settle_date
