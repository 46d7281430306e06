"""Who may carry out what was approved."""

from django.core.exceptions import PermissionDenied

from portfolios.models import Portfolio, PortfolioRole
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor


def check_executor(portfolio: Portfolio, actor: Actor) -> None:
    """Makers and checkers; nobody in person is the system. Raises PermissionDenied."""
    if actor is not None and not has_role(actor, portfolio, PortfolioRole.MAKER, PortfolioRole.CHECKER):
        raise PermissionDenied(f"{actor.get_username() or 'nobody'} may not execute in this portfolio")


def booking_actor(portfolio: Portfolio, actor: Actor) -> Actor:
    """Who books a fill: a maker in person, else the system. The audit row of the fill names the actor."""
    return actor if actor is not None and has_role(actor, portfolio, PortfolioRole.MAKER) else None
