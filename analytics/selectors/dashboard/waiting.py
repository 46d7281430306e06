"""What waits for one person's decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q

from analytics.models import (
    Approval,
    ChangeRequest,
    ChangeStatus,
    EventStatus,
    ProposalVersion,
    RebalancingEvent,
)
from analytics.selectors.change_requests import MAY_DECIDE
from portfolios.models import Portfolio
from portfolios.selectors.visibility import User, decidable_by

SHOWN = 20


@dataclass(frozen=True)
class Waiting:
    """`kind`: event or change; `maker`: who asked, empty for the schedule."""

    kind: str
    pk: int
    portfolio: Portfolio | None
    what: str
    maker: str
    since: datetime
    needs_review: bool = False


def waiting_for(user: User) -> Sequence[Waiting]:
    """Proposals and changes that the user may decide about and has not made, the oldest first."""
    if not user.is_authenticated or not user.is_active:
        return []
    found = [*_events(user), *_changes(user)]
    return sorted(found, key=lambda each: each.since)[:SHOWN]


def _events(user: Any) -> list[Waiting]:
    spoken = Approval.objects.filter(event=OuterRef("pk"), proposal_hash=OuterRef("proposal_hash"), user=user)
    own_version = ProposalVersion.objects.filter(
        event=OuterRef("pk"), version=OuterRef("version"), created_by=user
    )
    events = (
        RebalancingEvent.objects.filter(status=EventStatus.PENDING, portfolio__in=decidable_by(user))
        .filter(Q(requested_by__isnull=True) | ~Q(requested_by=user), ~Exists(spoken), ~Exists(own_version))
        .select_related("portfolio", "requested_by")
        .order_by("created_at")
        .defer("trigger", "joined_triggers", "pre_state", "post_state", "outcomes", "warnings")
    )
    return [
        Waiting(
            "event",
            event.pk,
            event.portfolio,
            f"{event.get_event_type_display().lower()} rebalancing, {_count(len(event.actions), 'trade')}",
            event.requested_by.get_username() if event.requested_by else "",
            event.created_at,
            event.needs_review,
        )
        for event in events[:SHOWN]
    ]


def _changes(user: Any) -> list[Waiting]:
    decidable = Q(portfolio__in=decidable_by(user))
    if user.has_perm(MAY_DECIDE):
        decidable |= Q(portfolio__isnull=True)
    changes = (
        ChangeRequest.objects.filter(decidable, status=ChangeStatus.PENDING)
        .exclude(requested_by=user)
        .select_related("portfolio", "requested_by")
        .order_by("created_at")
    )
    return [
        Waiting(
            "change",
            change.pk,
            change.portfolio,
            f"change of {change.get_kind_display().lower()}",
            change.requested_by.get_username() if change.requested_by else "",
            change.created_at,
        )
        for change in changes[:SHOWN]
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
