"""Another proposal in the place of one that is not being executed yet."""

import datetime as dt

from django.core.exceptions import ValidationError
from django.db import transaction

from analytics.models import EventStatus, ProposalVersion, RebalancingEvent
from analytics.services.approval_rules import check_maker
from analytics.services.approvals import checked_reason, event_once
from analytics.services.event_expiry import policy_of
from analytics.services.event_moves import EventConflict, check_move, event_lock, event_move, event_name
from analytics.services.rebalancing_events import proposal_fields, versions_store
from analytics.services.rebalancing_recommendation import Recommendation
from portfolio_site.kernel import clock
from portfolios.services.audit import Actor


def event_revise(
    event_id: int, recommendation: Recommendation, *, actor: Actor, reason: str, key: str | None = None
) -> RebalancingEvent:
    """Put another proposal in the place of the present one, as the next version, which nobody has approved.

    The approvals given so far stay with the version they were given for. A decision taken while this call
    waits is a conflict. Raises as the decisions do, and
    ValueError for a recommendation that cannot be stored.
    """
    body = {"event": event_id, "proposal_hash": recommendation.proposal_hash, "reason": reason}
    seen = RebalancingEvent.objects.get(pk=event_id)
    return event_once(
        key,
        actor,
        "rebalancing.revise",
        body,
        lambda: _revise(seen, recommendation, actor, checked_reason(reason)),
    )


@transaction.atomic
def _revise(
    seen: RebalancingEvent, recommendation: Recommendation, actor: Actor, reason: str
) -> RebalancingEvent:
    event = event_lock(seen.pk)
    check_maker(event, actor)
    if recommendation.portfolio.pk != event.portfolio_id:
        raise ValidationError(
            f"a proposal for {recommendation.portfolio.code} does not revise {event_name(event)}"
        )
    state = EventStatus(seen.status)
    check_move(event, EventStatus.PENDING, expected=[state], expected_version=seen.version)
    fields, now = proposal_fields(recommendation), clock.now()
    _check_new(event, recommendation.proposal_hash)
    revised = event_move(
        event.pk,
        EventStatus.PENDING,
        actor=actor,
        expected_version=event.version,
        reason=reason,
        **fields,
        version=event.version + 1,
        approved_by_id=None,
        approved_at=None,
        expires_at=now + dt.timedelta(hours=policy_of(event.portfolio).expiry_hours),
    )
    versions_store([(revised, recommendation)], actor=actor, reason=reason)
    return revised


def _check_new(event: RebalancingEvent, proposal_hash: str) -> None:
    """An older hash would bring back the approvals that were given for it."""
    if proposal_hash == event.proposal_hash:
        raise EventConflict(f"{event_name(event)}: version {event.version} is the very same proposal")
    known = ProposalVersion.objects.filter(event=event.pk, proposal_hash=proposal_hash).first()
    if known is not None:
        raise EventConflict(f"{event_name(event)}: version {known.version} is the very same proposal")
