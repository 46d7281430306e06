"""Restrictions under the two-person rule: made, changed and lifted at once, or when another person agrees."""

import datetime as dt
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from analytics.models import ChangeKind, ChangeRequest, TradingRestriction
from analytics.services.restrictions import (
    EDITABLE,
    SUBJECT,
    refuse_unknown,
    restriction_add,
    restriction_change,
    restriction_check,
    restriction_content,
    restriction_lift,
    restriction_lock,
)
from analytics.services.second_person import (
    REASON_LENGTH,
    applied_reason,
    change_draft,
    change_request,
    column_value,
    direct_change_check,
    needs_second_person,
    payload_assets,
)
from portfolio_site.kernel import clock
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio
from portfolios.services.audit import Actor


@transaction.atomic
def restriction_add_or_ask(
    portfolio: Portfolio | None,
    *,
    actor: Actor = None,
    effective_from: dt.date | None = None,
    **fields: Any,
) -> TradingRestriction | ChangeRequest:
    """As restriction_add. Where `starts_on` is not given it begins on the day on which it is made."""
    if not needs_second_person(ChangeKind.RESTRICTION, portfolio):
        direct_change_check(effective_from)
        return restriction_add(portfolio, actor=actor, **fields)
    refuse_unknown(fields, (*SUBJECT, *EDITABLE))
    restriction_lock(portfolio, actor)
    wanted = TradingRestriction(portfolio=portfolio, **{"starts_on": clock.today()} | fields)
    restriction_check(wanted)
    payload = {"action": "add", "about": str(wanted), "fields": _plain(fields)}
    return _ask(portfolio, payload, None, actor, wanted.reason, effective_from)


@transaction.atomic
def restriction_change_or_ask(
    restriction: TradingRestriction,
    *,
    actor: Actor = None,
    reason: str = "",
    effective_from: dt.date | None = None,
    **changes: Any,
) -> TradingRestriction | ChangeRequest:
    """As restriction_change."""
    portfolio = restriction.portfolio
    if not needs_second_person(ChangeKind.RESTRICTION, portfolio):
        direct_change_check(effective_from)
        return restriction_change(restriction, actor=actor, reason=reason, **changes)
    refuse_unknown(changes, EDITABLE)
    restriction_lock(portfolio, actor, restriction)
    before = restriction_content(restriction)
    changed = {name: value for name, value in changes.items() if getattr(restriction, name) != value}
    if not changed:
        return restriction
    for name, value in changed.items():
        setattr(restriction, name, value)
    restriction_check(restriction)
    restriction.refresh_from_db()  # as it stands until then
    payload = {
        "action": "change",
        "about": str(restriction),
        "restriction": restriction.pk,
        "fields": _plain(changed),
    }
    return _ask(portfolio, payload, before, actor, reason, effective_from)


@transaction.atomic
def restriction_lift_or_ask(
    restriction: TradingRestriction,
    *,
    actor: Actor = None,
    reason: str,
    last_day: dt.date | None = None,
    effective_from: dt.date | None = None,
) -> TradingRestriction | ChangeRequest:
    """As restriction_lift."""
    portfolio = restriction.portfolio
    if not needs_second_person(ChangeKind.RESTRICTION, portfolio):
        direct_change_check(effective_from)
        return restriction_lift(restriction, actor=actor, reason=reason, last_day=last_day)
    restriction_lock(portfolio, actor, restriction)
    if not reason.strip():
        raise ValidationError({"reason": "lifting a restriction needs a reason"})
    if restriction.ends_on is not None and restriction.ends_on < clock.today():
        raise ValidationError(f"this restriction ended on {restriction.ends_on}")
    payload = {
        "action": "lift",
        "about": str(restriction),
        "restriction": restriction.pk,
        "last_day": last_day,
    }
    return _ask(portfolio, payload, restriction_content(restriction), actor, reason, effective_from)


def _ask(
    portfolio: Portfolio | None,
    payload: dict[str, Any],
    before: dict[str, Any] | None,
    actor: Actor,
    reason: str,
    effective_from: dt.date | None,
) -> ChangeRequest:
    draft = change_draft(
        ChangeKind.RESTRICTION,
        portfolio=portfolio,
        payload=payload,
        before=before,
        actor=actor,
        reason=reason[:REASON_LENGTH],
        effective_from=effective_from,
    )
    return change_request(draft, actor=actor)


def restriction_read(request: ChangeRequest) -> dict[str, Any] | None:
    """The restriction that a request names, under its lock; None for a new one, and for one taken back."""
    restriction_id = request.payload.get("restriction")
    if restriction_id is None or not lock_rows(TradingRestriction, [restriction_id]):
        return None
    return restriction_content(TradingRestriction.objects.get(pk=restriction_id))


def restriction_apply(request: ChangeRequest) -> None:
    payload, actor, reason = request.payload, request.requested_by, applied_reason(request)
    fields = {name: _value(name, stored) for name, stored in payload.get("fields", {}).items()}
    if payload["action"] == "add":
        restriction_add(request.portfolio, actor=actor, approved=request, **fields)
        return
    restriction = TradingRestriction.objects.select_related("portfolio").get(pk=payload["restriction"])
    if payload["action"] == "change":
        restriction_change(restriction, actor=actor, reason=reason, approved=request, **fields)
    else:
        last_day = payload["last_day"] and dt.date.fromisoformat(payload["last_day"])
        restriction_lift(restriction, actor=actor, reason=reason, last_day=last_day, approved=request)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Assets and users by their ids."""
    return {name: getattr(value, "pk", value) for name, value in fields.items()}


def _value(name: str, stored: Any) -> Any:
    if stored is None:
        return None
    if name == "asset":
        return payload_assets([stored])[stored]
    if name == "owner":
        return User.objects.get(pk=stored)
    return column_value(TradingRestriction, name, stored)
