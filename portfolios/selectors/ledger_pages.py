"""The lines of a book and its audit trail, newest first, a page at a time, found by key and never counted."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from portfolios.models import AuditEvent, Portfolio, Transaction
from portfolios.selectors.visibility import User, visible_audit_events

LinesKey = tuple[dt.date, int]
ONE_DAY = dt.timedelta(days=1)


def transaction_page(
    portfolio: Portfolio, *, asked: Mapping[str, Any], before: LinesKey | None, count: int
) -> list[Transaction]:
    """asked: kind, status, from and to (trade dates, both included); before: key of the last line seen."""
    rows = Transaction.objects.filter(portfolio=portfolio)
    wanted = {"kind": "kind", "status": "status", "from": "trade_date__gte", "to": "trade_date__lte"}
    rows = rows.filter(**{path: asked[name] for name, path in wanted.items() if asked.get(name)})
    if before is not None:
        day, pk = before
        rows = rows.filter(trade_date__lte=day).filter(Q(trade_date__lt=day) | Q(pk__lt=pk))
    related = ("asset", "currency", "counter_currency", "reversed_by", "reverses")
    return list(rows.select_related(*related).order_by("-trade_date", "-pk")[:count])


def audit_page(
    portfolio: Portfolio, user: User, *, asked: Mapping[str, Any], before: int | None, count: int
) -> list[AuditEvent]:
    """asked: person, day (of the reader's time zone) and object (a type, or type and id)."""
    rows: QuerySet[AuditEvent] = visible_audit_events(user).filter(portfolio=portfolio)
    if asked.get("person"):
        rows = rows.filter(actor=asked["person"])
    if asked.get("object"):
        rows = rows.filter(**_object_filter(asked["object"]))
    if asked.get("day"):
        zone = timezone.get_current_timezone()
        first, last = (dt.datetime.combine(day, dt.time.min, zone) for day in _day_and_next(asked["day"]))
        rows = rows.filter(occurred_at__gte=first, occurred_at__lt=last)
    if before is not None:
        rows = rows.filter(sequence__lt=before)
    return list(rows.order_by("-sequence")[:count])


def _day_and_next(day: dt.date) -> tuple[dt.date, dt.date]:
    return day, day + ONE_DAY


def _object_filter(text: str) -> dict[str, str]:
    """An object's type alone, or with its id: "rebalancing event 3"."""
    words = text.lower().replace("_", " ").split()
    named = {"object_id": words.pop()} if len(words) > 1 and words[-1].isdecimal() else {}
    return {"object_type": "_".join(words), **named}
