"""Trading restrictions: adding, changing and lifting them, each with its audit row.

What they mean for a proposal is in `trading_limits`.
"""

import datetime as dt
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from analytics.models import (
    ChangeKind,
    ChangeRequest,
    PortfolioAllocation,
    RestrictionKind,
    RestrictionUnit,
    TradingRestriction,
)
from analytics.services.second_person import second_person_check
from analytics.services.staleness import mark_targets_changed
from portfolio_site.kernel import clock
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor, audit_append

OBJECT_TYPE = "trading_restriction"
# To restrict all portfolios; for one of them its managers may do it.
CHANGE_ALL = "analytics.change_tradingrestriction"
WHOLE = Decimal(100)
# What a restriction is about stays what it is: for another asset there is another restriction.
SUBJECT = ("asset", "issuer", "sector")
EDITABLE = ("kind", "unit", "minimum", "maximum", "starts_on", "ends_on", "owner", "reason")
CONTENT = (
    "asset_id",
    "issuer",
    "sector",
    "kind",
    "unit",
    "minimum",
    "maximum",
    "starts_on",
    "ends_on",
    "owner_id",
    "reason",
    "version",
)


@transaction.atomic
def restriction_add(
    portfolio: Portfolio | None, *, actor: Actor = None, approved: ChangeRequest | None = None, **fields: Any
) -> TradingRestriction:
    """Restrict one portfolio, or with None all of them; `fields` are those of SUBJECT and EDITABLE.

    It begins today where `starts_on` is not given. Under the two-person rule only an approved request may
    add, change or lift one. Raises ValidationError and PermissionDenied.
    """
    refuse_unknown(fields, (*SUBJECT, *EDITABLE))
    restriction_lock(portfolio, actor)
    second_person_check(ChangeKind.RESTRICTION, portfolio, approved)
    if fields.get("owner") is None and actor is not None and actor.is_authenticated:
        fields["owner"] = actor
    restriction = TradingRestriction(portfolio=portfolio, **{"starts_on": clock.today()} | fields)
    restriction_check(restriction)
    restriction.save(force_insert=True)
    _record(restriction, "added", actor, after=restriction_content(restriction), reason=restriction.reason)
    return restriction


@transaction.atomic
def restriction_change(
    restriction: TradingRestriction,
    *,
    actor: Actor = None,
    reason: str = "",
    approved: ChangeRequest | None = None,
    **changes: Any,
) -> TradingRestriction:
    """Set fields of EDITABLE; what stands there already is no change. `reason`: of the change.

    The first day can be moved only while it is still to come. Raises ValidationError and PermissionDenied.
    """
    refuse_unknown(changes, EDITABLE)
    restriction_lock(restriction.portfolio, actor, restriction)
    before, first_day = restriction_content(restriction), restriction.starts_on
    changed = {name for name, value in changes.items() if getattr(restriction, name) != value}
    if not changed:
        return restriction
    second_person_check(ChangeKind.RESTRICTION, restriction.portfolio, approved)
    if "starts_on" in changed and min(first_day, changes["starts_on"]) <= clock.today():
        raise ValidationError({"starts_on": f"it began on {first_day} or would begin in the past"})
    for name in changed:
        setattr(restriction, name, changes[name])
    restriction.version += 1
    restriction_check(restriction)
    restriction.save()
    _record(
        restriction, "changed", actor, before=before, after=restriction_content(restriction), reason=reason
    )
    return restriction


@transaction.atomic
def restriction_lift(
    restriction: TradingRestriction,
    *,
    actor: Actor = None,
    reason: str,
    last_day: dt.date | None = None,
    approved: ChangeRequest | None = None,
) -> TradingRestriction:
    """End a restriction: yesterday was its last day, where no later one is given.

    One that began today still holds for today, one that has not begun is taken back altogether. Raises
    ValidationError and PermissionDenied.
    """
    restriction_lock(restriction.portfolio, actor, restriction)
    second_person_check(ChangeKind.RESTRICTION, restriction.portfolio, approved)
    today = clock.today()
    if not reason.strip():
        raise ValidationError({"reason": "lifting a restriction needs a reason"})
    if restriction.ends_on is not None and restriction.ends_on < today:
        raise ValidationError(f"this restriction ended on {restriction.ends_on}")
    before = restriction_content(restriction)
    if last_day is None and restriction.starts_on > today:
        _record(restriction, "lifted", actor, before=before, reason=reason)
        restriction.delete()
        return restriction
    yesterday = today - dt.timedelta(days=1)
    if last_day is not None and last_day < yesterday:
        raise ValidationError({"last_day": f"{last_day} is past: it did hold until today"})
    restriction.ends_on = max(restriction.starts_on, last_day or yesterday)
    restriction.version += 1
    restriction_check(restriction)
    restriction.save()
    _record(
        restriction, "lifted", actor, before=before, after=restriction_content(restriction), reason=reason
    )
    return restriction


def restriction_lock(
    portfolio: Portfolio | None, actor: Actor, restriction: TradingRestriction | None = None
) -> None:
    """Who may not restrict is refused; of two who may, one waits for the other."""
    if actor is not None and not _may_restrict(actor, portfolio):
        raise PermissionDenied(
            f"{actor.get_username() or 'nobody'} may not restrict {portfolio or 'all portfolios'}"
        )
    if portfolio is not None:
        lock_rows(Portfolio, [portfolio.pk])
    if restriction is not None:
        if not lock_rows(TradingRestriction, [restriction.pk]):
            raise ValidationError("this restriction has been taken back")
        restriction.refresh_from_db()


def _may_restrict(actor: Any, portfolio: Portfolio | None) -> bool:
    if portfolio is None:
        return bool(actor.is_active and actor.has_perm(CHANGE_ALL))
    return has_role(actor, portfolio)


def restriction_check(restriction: TradingRestriction) -> None:
    """Whether such a restriction can be. Raises ValidationError."""
    faults: dict[str, str] = {}
    limits = (restriction.minimum, restriction.maximum)
    is_range = restriction.kind == RestrictionKind.RANGE
    if is_range and limits == (None, None):
        faults["maximum"] = "a range needs a minimum or a maximum"
    if not is_range and limits != (None, None):
        faults["kind"] = f"only a range has limits, not {restriction.kind}"
    if restriction.asset_id is not None and (restriction.issuer or restriction.sector):
        faults["asset"] = "either one asset, or a group by issuer or sector"
    if is_range and restriction.unit == RestrictionUnit.UNITS and restriction.asset_id is None:
        faults["unit"] = "units are those of one asset"
    if is_range and restriction.unit == RestrictionUnit.PERCENT:
        for name, limit in zip(("minimum", "maximum"), limits, strict=True):
            if limit is not None and limit > WHOLE:
                faults[name] = f"{limit} is more than 100 percent"
    for name, limit in zip(("minimum", "maximum"), limits, strict=True):
        if limit is not None and limit < 0:
            faults[name] = f"{limit} is negative"
    low, high = limits
    if low is not None and high is not None and low > high:
        faults["minimum"] = f"the minimum of {low} is above the maximum of {high}"
    if restriction.ends_on is not None and restriction.ends_on < restriction.starts_on:
        faults["ends_on"] = (
            f"the last day, {restriction.ends_on}, is before the first, {restriction.starts_on}"
        )
    if not (restriction.reason or "").strip():
        faults["reason"] = "a restriction needs a reason"
    if faults:
        raise ValidationError(faults)
    restriction.full_clean()


def _record(
    restriction: TradingRestriction,
    what: str,
    actor: Actor,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    audit_append(
        action=f"restriction.{what}",
        object_type=OBJECT_TYPE,
        object_id=restriction.pk,
        actor=actor,
        portfolio=restriction.portfolio,
        before=before,
        after=after,
        reason=reason,
    )
    for portfolio in _touched(restriction):
        mark_targets_changed(portfolio)


def _touched(restriction: TradingRestriction) -> list[Portfolio]:
    if restriction.portfolio is not None:
        return [restriction.portfolio]
    with_targets = PortfolioAllocation.objects.filter(is_active=True).values("portfolio")
    return list(Portfolio.objects.filter(pk__in=with_targets).order_by("pk"))


def refuse_unknown(fields: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = fields.keys() - set(known)
    if unknown:
        raise TypeError(f"a restriction has no editable {', '.join(sorted(unknown))}")


def restriction_content(restriction: TradingRestriction) -> dict[str, Any]:
    return {name: getattr(restriction, name) for name in CONTENT}
