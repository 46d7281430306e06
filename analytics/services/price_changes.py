"""Prices entered by hand: at once, or when a second person agrees."""

import datetime as dt
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction

from analytics.models import ChangeKind, ChangeRequest
from analytics.services.second_person import (
    applied_reason,
    change_draft,
    change_request,
    direct_change_check,
    needs_second_person,
    payload_assets,
)
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Asset, PriceBar
from portfolios.services.audit import Actor
from portfolios.services.manual_prices import FIGURES, MANUAL_SOURCE, STORED, price_check, price_enter

MAY_ENTER = "portfolios.add_pricebar"


@transaction.atomic
def price_change(
    asset: Asset,
    day: dt.date,
    *,
    close: Decimal,
    open: Decimal | None = None,
    high: Decimal | None = None,
    low: Decimal | None = None,
    volume: Decimal | None = None,
    actor: Actor = None,
    reason: str,
    effective_from: dt.date | None = None,
) -> PriceBar | ChangeRequest:
    """Enter a price, or with the setting TWO_PERSON_PRICES ask a second person to agree.

    What stands there already is no change. Raises ValidationError and PermissionDenied.
    """
    if actor is not None and not actor.has_perm(MAY_ENTER):
        raise PermissionDenied(f"{actor.get_username()} may not enter prices.")
    figures = {"open": open, "high": high, "low": low, "close": close, "volume": volume}
    if not needs_second_person(ChangeKind.PRICE, None):
        direct_change_check(effective_from)
        return price_enter(asset, day, close=close, actor=actor, reason=reason, **_others(figures))
    price_check(asset, day, figures, reason)
    payload = {"asset": asset.pk, "symbol": str(asset), "date": day, **figures}
    before = price_read(payload)
    if before == {**figures, "source": MANUAL_SOURCE, "adjusted_through": None}:
        return PriceBar.objects.get(asset=asset, date=day)
    draft = change_draft(
        ChangeKind.PRICE,
        portfolio=None,
        payload=payload,
        before=before,
        actor=actor,
        reason=reason,
        effective_from=effective_from,
    )
    return change_request(draft, actor=actor)


def price_read(payload: dict[str, Any]) -> dict[str, Any] | None:
    """The bar that stands where a request would put one; None without. Locks the asset."""
    lock_rows(Asset, [payload["asset"]])
    return PriceBar.objects.filter(asset=payload["asset"], date=payload["date"]).values(*STORED).first()


def price_apply(request: ChangeRequest) -> None:
    payload = request.payload
    asset = payload_assets([payload["asset"]])[payload["asset"]]
    figures = {name: None if payload[name] is None else Decimal(payload[name]) for name in FIGURES}
    price_enter(
        asset,
        dt.date.fromisoformat(payload["date"]),
        close=Decimal(payload["close"]),
        actor=request.requested_by,
        reason=applied_reason(request),
        second_person=request.decided_by,
        **_others(figures),
    )


def _others(figures: dict[str, Decimal | None]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "close"}
