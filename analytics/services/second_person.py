"""The rule of two persons: who asks for a change never makes it; it waits until another one agrees.

What waits stands in change requests only, which no calculation reads.
"""

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Field, Model

from analytics.models import ChangeKind, ChangeRequest, ChangeStatus, PortfolioBenchmark, RebalancingPolicy
from portfolio_site.kernel.canonical import canonical_json, sha256_of
from portfolios.models import Asset, Portfolio
from portfolios.services.audit import Actor, audit_append

REASON_LENGTH = 500
NOBODY_ASKS = "a change under the two-person rule must name who asks for it"


def needs_second_person(kind: ChangeKind, portfolio: Portfolio | None, blend: Asset | None = None) -> bool:
    """Whether one person alone may not make such a change.

    Prices: by a setting. Else by the portfolio's policy; what holds for all portfolios needs a second person
    as soon as one of them does, and a blend as soon as one that is measured against it does.
    """
    if kind == ChangeKind.PRICE:
        return bool(settings.TWO_PERSON_PRICES)
    policies = RebalancingPolicy.objects.filter(two_person_changes=True)
    if blend is not None:
        measured = PortfolioBenchmark.objects.filter(asset=blend.pk, is_active=True)
        return policies.filter(portfolio__in=measured.values("portfolio")).exists()
    return (policies if portfolio is None else policies.filter(portfolio=portfolio)).exists()


def second_person_check(
    kind: ChangeKind,
    portfolio: Portfolio | None,
    approved: ChangeRequest | None,
    blend: Asset | None = None,
) -> None:
    """What every direct write asks first, under its lock. Raises ValidationError.

    `approved`: the request that is being applied.
    """
    is_alone = needs_second_person(kind, portfolio, blend)
    if is_alone and not _is_being_applied(kind, portfolio, approved):
        raise ValidationError(
            f"{portfolio or blend or 'all portfolios'}: a change of {kind.label.lower()} needs a second "
            "person (two-person rule)",
            code="two_person_rule",
        )


def _is_being_applied(kind: ChangeKind, portfolio: Portfolio | None, approved: ChangeRequest | None) -> bool:
    if approved is None:
        return False
    return ChangeRequest.objects.filter(
        pk=approved.pk,
        kind=kind,
        portfolio=portfolio,
        status=ChangeStatus.APPROVED,
        applied_at__isnull=True,
    ).exists()


def direct_change_check(effective_from: dt.date | None) -> None:
    """A change without a second person is made at once. Raises ValidationError."""
    if effective_from is not None:
        raise ValidationError(
            {"effective_from": "only a change that waits for a second person can begin on a later day"}
        )


def asking_person(actor: Actor) -> User:
    """Raises ValidationError: the system cannot be one of two persons."""
    if actor is None or not actor.is_authenticated or not isinstance(actor, User):
        raise ValidationError(NOBODY_ASKS)
    return actor


def change_draft(
    kind: ChangeKind,
    *,
    portfolio: Portfolio | None,
    payload: Any,
    before: Any,
    actor: Actor,
    reason: str = "",
    effective_from: dt.date | None = None,
) -> ChangeRequest:
    """A request that is not stored yet. Raises ValidationError.

    `before` is what stands there now, in the form in which the registry of kinds reads it.
    """
    draft = ChangeRequest(
        kind=kind,
        portfolio=portfolio,
        payload=stored_json(payload),
        before=stored_json(before),
        effective_from=effective_from,
        reason=reason,
        requested_by_id=asking_person(actor).pk,
    )
    draft.content_hash = content_hash(draft)
    draft.full_clean()
    return draft


@transaction.atomic
def change_request(draft: ChangeRequest, *, actor: Actor) -> ChangeRequest:
    """Keep a change for a second person; one that waits already in the very same words is returned as it is.

    The caller holds the lock of what is to be changed.
    """
    waiting = change_waiting(draft)
    if waiting is not None:
        return waiting
    draft.save(force_insert=True)
    audit_append(
        action="change.requested",
        object_type="change_request",
        object_id=draft.pk,
        actor=actor,
        portfolio=draft.portfolio,
        before=draft.before,
        after={
            "kind": draft.kind,
            "payload": draft.payload,
            "effective_from": draft.effective_from,
            "content_hash": draft.content_hash,
        },
        reason=draft.reason,
    )
    return draft


def change_waiting(draft: ChangeRequest) -> ChangeRequest | None:
    """The pending request with the same content, whoever asked for it."""
    return ChangeRequest.objects.filter(
        kind=draft.kind,
        portfolio=draft.portfolio,
        content_hash=draft.content_hash,
        status=ChangeStatus.PENDING,
    ).first()


def content_hash(request: ChangeRequest) -> str:
    """Over all that is decided on: what is to be set where and when, and what stood there."""
    return sha256_of(
        {
            "kind": request.kind,
            "portfolio": request.portfolio_id,
            "payload": request.payload,
            "before": request.before,
            "effective_from": request.effective_from,
        }
    )


def stored_json(value: Any) -> Any:
    """As a JSON column gives it back, with decimals and days as text."""
    return json.loads(canonical_json(value))


def applied_reason(request: ChangeRequest) -> str:
    """For the audit row of the change itself, which names who asked for it: who agreed, and why it was."""
    text = f"change request {request.pk}, approved by {request.decided_by}"
    return f"{text}: {request.reason}"[:REASON_LENGTH] if request.reason else text


def payload_assets(ids: Iterable[int]) -> dict[int, Asset]:
    """The assets that a request names. Raises ValidationError when one is gone."""
    wanted = set(ids)
    assets: dict[int, Asset] = Asset.objects.in_bulk(wanted)
    gone = sorted(wanted - assets.keys())
    if gone:
        raise ValidationError({"payload": f"there is no asset {', '.join(map(str, gone))} any more"})
    return assets


def column_value(model: type[Model], name: str, stored: Any) -> Any:
    """What a column holds, from its text in a request."""
    return cast("Field[Any, Any]", model._meta.get_field(name)).to_python(stored)
