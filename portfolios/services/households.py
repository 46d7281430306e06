"""Households: which portfolios are one before the tax law."""

from django.db import transaction

from portfolios.models import Household, Portfolio
from portfolios.services.audit import Actor, audit_append
from portfolios.services.portfolios import portfolio_update


@transaction.atomic
def household_create(*, code: str, name: str, actor: Actor = None) -> Household:
    """Raises ValidationError."""
    household = Household(code=code, name=name)
    household.full_clean()
    household.save(force_insert=True)
    audit_append(
        action="household.created",
        object_type="household",
        object_id=household.pk,
        actor=actor,
        after={"code": code, "name": name},
    )
    return household


def household_join(portfolio: Portfolio, household: Household | None, *, actor: Actor = None) -> Portfolio:
    """Put a portfolio into a household, or with None into none. Raises ValidationError."""
    return portfolio_update(portfolio, actor=actor, household_id=household.pk if household else None)
