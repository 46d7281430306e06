"""Opening portfolios and changing what they are called and how they are measured."""

import datetime as dt
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Min

from portfolio_site.kernel.locks import lock_rows
from portfolios.models import ChangeCause, Portfolio, Transaction
from portfolios.selectors.open_lots import named_lots_fault
from portfolios.services.audit import Actor, audit_append
from portfolios.services.staleness import mark_portfolio_stale

EDITABLE_FIELDS = (
    "name",
    "base_currency_id",
    "inception_date",
    "cost_method",
    "status",
    "risk_free",
    "inflow_timing",
    "outflow_timing",
    "valuation_frequency",
    "large_flow_percentage",
    "household_id",
    "tax_treatment",
    "owner_id",
)
# A change of these changes figures of the past.
FIGURE_FIELDS = {
    "base_currency_id",
    "cost_method",
    "risk_free",
    "inflow_timing",
    "outflow_timing",
    "valuation_frequency",
    "large_flow_percentage",
}


@transaction.atomic
def portfolio_create(
    *,
    code: str,
    name: str,
    base_currency: str,
    inception_date: dt.date | None = None,
    risk_free: str = "",
    owner: User | None = None,
    actor: Actor = None,
) -> Portfolio:
    """Raises ValidationError."""
    portfolio = Portfolio(
        code=code,
        name=name,
        base_currency_id=base_currency,
        inception_date=inception_date,
        risk_free=risk_free,
        owner_id=owner.pk if owner else None,
    )
    portfolio.full_clean()
    portfolio.save(force_insert=True)
    audit_append(
        action="portfolio.created",
        object_type="portfolio",
        object_id=portfolio.pk,
        actor=actor,
        portfolio=portfolio,
        after={"code": code, **_fields(portfolio, EDITABLE_FIELDS)},
    )
    return portfolio


@transaction.atomic
def portfolio_update(portfolio: Portfolio, *, actor: Actor = None, **changes: Any) -> Portfolio:
    """Set fields of EDITABLE_FIELDS; what stands there already is no change. Raises ValidationError.

    Another cost method is refused where it would take lots that sales of the past name.
    """
    unknown = changes.keys() - set(EDITABLE_FIELDS)
    if unknown:
        raise TypeError(f"a portfolio has no editable {', '.join(sorted(unknown))}")
    lock_rows(Portfolio, [portfolio.pk])
    portfolio.refresh_from_db()
    changed = [name for name, value in changes.items() if getattr(portfolio, name) != value]
    if not changed:
        return portfolio
    before = _fields(portfolio, changed)
    for name in changed:
        setattr(portfolio, name, changes[name])
    portfolio.full_clean()
    portfolio.save(update_fields=changed)
    if "cost_method" in changed:
        _refuse_broken_lots(portfolio)
    audit_append(
        action="portfolio.changed",
        object_type="portfolio",
        object_id=portfolio.pk,
        actor=actor,
        portfolio=portfolio,
        before=before,
        after=_fields(portfolio, changed),
    )
    first_day = first_booked_day(portfolio)
    if FIGURE_FIELDS & set(changed) and first_day is not None:
        mark_portfolio_stale(portfolio, first_day, ChangeCause.PARAMETER)
    return portfolio


def _refuse_broken_lots(portfolio: Portfolio) -> None:
    fault = named_lots_fault(portfolio)
    if fault is not None:
        raise ValidationError({"cost_method": f"{portfolio.cost_method}: {fault}"})


def first_booked_day(portfolio: Portfolio) -> dt.date | None:
    """The day from which the portfolio has figures."""
    booked = Transaction.objects.booked().filter(portfolio=portfolio)
    day: dt.date | None = booked.aggregate(first=Min("trade_date"))["first"]
    return day


def _fields(portfolio: Portfolio, names: Any) -> dict[str, Any]:
    return {name: getattr(portfolio, name) for name in names}
