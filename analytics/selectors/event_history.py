"""The rebalancings of a portfolio: the one that is open, and what became of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.models import Approval, RebalancingEvent, RebalancingPolicy
from analytics.models.rebalancing import OPEN_STATUSES
from portfolios.models import Portfolio


@dataclass(frozen=True)
class EventHistory:
    """`past`: the newest first; `has_more`: there are older ones."""

    open: RebalancingEvent | None
    past: Sequence[RebalancingEvent]
    has_more: bool


def event_history(portfolio: Portfolio, count: int) -> EventHistory:
    rows = (
        RebalancingEvent.objects.filter(portfolio=portfolio)
        .select_related("portfolio__base_currency", "requested_by", "approved_by")
        .prefetch_related("approvals__user")
        .order_by("-pk")
    )
    past = list(rows.exclude(status__in=OPEN_STATUSES)[: count + 1])
    return EventHistory(
        rows.filter(status__in=OPEN_STATUSES).first(), past[:count], has_more=len(past) > count
    )


def policy_of(portfolio: Portfolio) -> RebalancingPolicy | None:
    return RebalancingPolicy.objects.filter(portfolio=portfolio).first()


def deciders_of(event: RebalancingEvent) -> list[Approval]:
    """One decision a person, the last one each made; `event` with its approvals read."""
    by_person = {approval.user_id: approval for approval in sorted(event.approvals.all(), key=_number)}
    return list(by_person.values())


def _number(approval: Approval) -> int:
    return approval.pk
