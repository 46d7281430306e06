"""Who may decide about a rebalancing event, how many have to agree, and what needs nobody."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q

from analytics.models import ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services.event_expiry import expiry_reason, policy_of
from analytics.services.event_state import books_changed
from portfolios.models import Portfolio, PortfolioRole
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor

CHECKER_LEVEL, MANAGER_LEVEL = 1, 2


@dataclass(frozen=True)
class Quorum:
    """How many have to approve, and the level that at least one of them must have."""

    approvals: int
    level: int

    def is_met(self, levels: list[int]) -> bool:
        return len(levels) >= self.approvals and max(levels, default=0) >= self.level


def quorum_of(event: RebalancingEvent) -> Quorum:
    """By the policy as it is now. Where several approve and a manager could, one of them must be one."""
    policy = policy_of(event.portfolio)
    needed = policy.approvals_needed
    if _is_large(traded_value(event), policy):
        needed = max(needed, policy.approvals_needed_when_large)
    has_levels = needed > 1 and _has_manager(event.portfolio, makers_of(event))
    return Quorum(needed, MANAGER_LEVEL if has_levels else CHECKER_LEVEL)


def makers_of(event: RebalancingEvent) -> set[int]:
    """Who asked for the event and who made its present version."""
    version = ProposalVersion.objects.filter(event=event.pk, version=event.version)
    found = {event.requested_by_id, version.values_list("created_by", flat=True).first()}
    return {user_id for user_id in found if user_id is not None}


def traded_value(event: RebalancingEvent) -> Decimal:
    """What is bought and sold, in base currency."""
    return sum((abs(Decimal(action["amount"])) for action in event.actions), Decimal(0))


def deciding_user(event: RebalancingEvent, actor: Actor) -> User:
    """The actor, who may decide about the event. Raises PermissionDenied."""
    if not isinstance(actor, User) or not has_role(actor, event.portfolio, PortfolioRole.CHECKER):
        name = actor.get_username() if actor is not None else ""
        raise PermissionDenied(f"{name or 'nobody'} may not decide about {event.portfolio.code}")
    if actor.pk in makers_of(event):
        raise PermissionDenied(f"{actor.get_username()} made this proposal; a second person decides about it")
    return actor


def check_maker(event: RebalancingEvent, actor: Actor) -> None:
    if actor is not None and not has_role(actor, event.portfolio, PortfolioRole.MAKER):
        raise PermissionDenied(
            f"{actor.get_username() or 'nobody'} may not change proposals for {event.portfolio.code}"
        )


def level_of(user: User, portfolio: Portfolio) -> int:
    return MANAGER_LEVEL if has_role(user, portfolio, PortfolioRole.MANAGER) else CHECKER_LEVEL


def automatic_refusals(event: RebalancingEvent) -> list[str]:
    """Why a pending event needs persons."""
    if not settings.AUTOMATIC_APPROVAL:
        return ["automatic approval is switched off"]
    policy, traded = policy_of(event.portfolio), traded_value(event)
    if not policy.automatic_approval:
        return ["the policy does not allow automatic approval"]
    reasons = []
    if not policy.is_discretionary:
        reasons.append("the portfolio is not discretionary")
    if event.needs_review:
        reasons.append("the proposal needs review")
    if event.turnover is None:
        reasons.append("the turnover is unknown")
    elif Decimal(repr(event.turnover)) > policy.automatic_turnover_cap:
        reasons.append(f"the turnover is above {policy.automatic_turnover_cap.normalize():f}")
    if traded > policy.automatic_value_cap:
        reasons.append(f"the traded value is above {policy.automatic_value_cap:.2f}")
    if policy.approvals_needed > 1:
        reasons.append(f"the policy needs {policy.approvals_needed} approvals")
    if _is_large(traded, policy):
        reasons.append("the traded value needs more approvals")
    outdated = expiry_reason(event) or books_changed(event)
    return [*reasons, outdated] if outdated else reasons


def _has_manager(portfolio: Portfolio, makers: set[int]) -> bool:
    """Whether somebody is named a manager of the portfolio who may also approve."""
    managing = Q(portfolio_access__portfolio=portfolio, portfolio_access__role=PortfolioRole.MANAGER)
    through_group = Q(
        groups__portfolio_access__portfolio=portfolio,
        groups__portfolio_access__role=PortfolioRole.MANAGER,
    )
    return User.objects.filter(managing | through_group, is_active=True).exclude(pk__in=makers).exists()


def _is_large(traded: Decimal, policy: RebalancingPolicy) -> bool:
    return policy.large_trade_value is not None and traded > policy.large_trade_value
