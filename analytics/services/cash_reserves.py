"""Dated cash reserves: entering and ending them, each with its audit row.

What they mean for a proposal is in `rebalancing_recommendation`.
"""

import datetime as dt
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from analytics.models import CashReserve
from analytics.services.staleness import mark_targets_changed
from portfolio_site.kernel import clock
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor, audit_append

OBJECT_TYPE = "cash_reserve"
CONTENT = ("kind", "amount", "due_date", "note", "owner_id", "ended_on", "ended_by_id")


@transaction.atomic
def reserve_add(
    portfolio: Portfolio,
    *,
    kind: str,
    amount: Decimal,
    due_date: dt.date,
    note: str,
    actor: Actor = None,
    owner: User | None = None,
) -> CashReserve:
    """Keep back cash for a payment of `amount`, in base currency, on `due_date`.

    The owner is who enters it, where no other is given. Raises ValidationError and PermissionDenied.
    """
    _lock(portfolio, actor)
    reserve = CashReserve(
        portfolio=portfolio,
        kind=kind,
        amount=amount,
        due_date=due_date,
        note=note.strip(),
        owner=owner or _person(actor),
    )
    reserve.clean_fields()
    if not reserve.amount > 0:
        raise ValidationError({"amount": f"{reserve.amount} is not above 0"})
    reserve.full_clean()
    reserve.save(force_insert=True)
    _record(reserve, "added", actor, after=_content(reserve), reason=reserve.note)
    return reserve


@transaction.atomic
def reserve_end(
    reserve: CashReserve, *, reason: str, actor: Actor = None, ended_on: dt.date | None = None
) -> CashReserve:
    """From `ended_on`, by default today, it is not kept back any more: it was paid, or is not wanted.

    Raises ValidationError and PermissionDenied.
    """
    _lock(reserve.portfolio, actor)
    lock_rows(CashReserve, [reserve.pk])
    reserve.refresh_from_db()
    today = clock.today()
    if not reason.strip():
        raise ValidationError({"reason": "ending a reserve needs a reason"})
    if reserve.ended_on is not None:
        raise ValidationError(f"this reserve ended on {reserve.ended_on}")
    if ended_on is not None and ended_on > today:
        raise ValidationError({"ended_on": f"{ended_on} is still to come"})
    before = _content(reserve)
    reserve.ended_on, reserve.ended_by = ended_on or today, _person(actor)
    reserve.save(update_fields=["ended_on", "ended_by"])
    _record(reserve, "ended", actor, before=before, after=_content(reserve), reason=reason.strip())
    return reserve


def _lock(portfolio: Portfolio, actor: Actor) -> None:
    """Who may not keep back cash is refused; of two who may, one waits for the other."""
    if actor is not None and not has_role(actor, portfolio):
        raise PermissionDenied(f"{actor.get_username() or 'nobody'} may not keep back cash of {portfolio}")
    lock_rows(Portfolio, [portfolio.pk])


def _person(actor: Actor) -> User | None:
    return actor if isinstance(actor, User) else None


def _record(
    reserve: CashReserve,
    what: str,
    actor: Actor,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str,
) -> None:
    audit_append(
        action=f"cash_reserve.{what}",
        object_type=OBJECT_TYPE,
        object_id=reserve.pk,
        actor=actor,
        portfolio=reserve.portfolio,
        before=before,
        after=after,
        reason=reason,
    )
    mark_targets_changed(reserve.portfolio)


def _content(reserve: CashReserve) -> dict[str, Any]:
    return {name: getattr(reserve, name) for name in CONTENT}
