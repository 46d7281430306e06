"""Who may do what with a portfolio, and with which token."""

from django.contrib.auth.models import User
from django.db import transaction
from rest_framework.authtoken.models import Token

from portfolios.models import Portfolio, PortfolioAccess, PortfolioRole
from portfolios.services.audit import Actor, audit_append


@transaction.atomic
def access_grant(user: User, portfolio: Portfolio, role: PortfolioRole, *, actor: Actor = None) -> bool:
    """Give a user a role on a portfolio; False when the user had it already."""
    _, is_new = PortfolioAccess.objects.get_or_create(user_id=user.pk, portfolio=portfolio, role=role)
    if is_new:
        audit_append(
            action="access.granted",
            object_type="user",
            object_id=user.pk,
            actor=actor,
            portfolio=portfolio,
            after={"user": user.get_username(), "role": role},
        )
    return is_new


@transaction.atomic
def api_token_issue(user: User, *, actor: Actor = None) -> str:
    """A new token for the user; an older one stops working."""
    replaced, _ = Token.objects.filter(user_id=user.pk).delete()
    token = Token.objects.create(user_id=user.pk)
    audit_append(
        action="api_token.issued",
        object_type="user",
        object_id=user.pk,
        actor=actor,
        after={"user": user.get_username(), "replaced": bool(replaced)},
    )
    key: str = token.key
    return key
