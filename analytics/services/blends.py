"""Blended benchmarks: other assets in fixed weights, and the rule that restores these weights."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from analytics.models import (
    BlendComponent,
    BlendedBenchmark,
    ChangeKind,
    ChangeRequest,
    PortfolioBenchmark,
)
from analytics.services.second_person import (
    applied_reason,
    column_value,
    payload_assets,
    second_person_check,
)
from portfolio_site.kernel.canonical import decimal_text
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Asset, AssetClass, ChangeCause, PriceBar, Transaction
from portfolios.services.audit import Actor, audit_append
from portfolios.services.portfolios import first_booked_day
from portfolios.services.staleness import mark_portfolio_stale

WHOLE = Decimal(100)
# A change of these changes the returns of the blend.
FIGURE_FIELDS = ("rebalance_frequency", "start_date", "components")


@transaction.atomic
def blend_save(
    *,
    symbol: str,
    name: str,
    currency: str,
    components: Mapping[Asset, Decimal],
    rebalance_frequency: str,
    start_date: dt.date | None = None,
    actor: Actor = None,
    reason: str = "",
    approved: ChangeRequest | None = None,
) -> BlendedBenchmark:
    """Make or change the blend of that symbol; `components` are all of its weights in percent.

    What stands there already is no change. Under the two-person rule of a portfolio measured against it only
    an approved request may. Raises ValidationError.
    """
    asset = Asset.objects.filter(symbol=symbol, exchange="").first() or Asset(symbol=symbol)
    lock_rows(Asset, [part.pk for part in (asset, *components) if part.pk])
    refusal = blend_refusal(asset) or components_refusal(asset, components)
    if refusal:
        raise ValidationError(refusal)
    stored = BlendedBenchmark.objects.filter(asset=asset).first() if asset.pk else None
    blend = stored or BlendedBenchmark()
    before = _state(blend) if stored else None
    asset.name, asset.currency_id = name, currency
    blend.rebalance_frequency, blend.start_date = rebalance_frequency, start_date
    after = {**_own_state(asset, blend), "components": _weights(components)}
    if before == after:
        return blend
    second_person_check(ChangeKind.BENCHMARKS, None, approved, asset)
    _write(asset, blend, components)
    audit_append(
        action="blend.changed" if stored else "blend.created",
        object_type="blended_benchmark",
        object_id=blend.pk,
        actor=actor,
        before=before,
        after={"symbol": symbol, **after},
        reason=reason,
    )
    if before is None or any(before[field] != after[field] for field in FIGURE_FIELDS):
        _mark_measured_stale(asset)
    return blend


def blend_json(symbol: str, components: Mapping[Asset, Decimal], **settings: Any) -> dict[str, Any]:
    """A blend in the form of a change request."""
    parts = sorted(components.items(), key=lambda item: item[0].pk)
    return {
        "blend": symbol,
        **settings,
        "components": [
            {"asset": asset.pk, "symbol": str(asset), "weight": weight} for asset, weight in parts
        ],
    }


def blend_read(payload: dict[str, Any]) -> dict[str, Any] | None:
    """What stands of the blend that a request names, under its lock; None without."""
    blend = BlendedBenchmark.objects.filter(asset__symbol=payload["blend"]).select_related("asset").first()
    if blend is None or not lock_rows(Asset, [blend.asset_id]):
        return None
    blend.refresh_from_db()
    return _state(blend)


def blend_apply(request: ChangeRequest) -> None:
    payload = request.payload
    assets = payload_assets(part["asset"] for part in payload["components"])
    blend_save(
        symbol=payload["blend"],
        name=payload["name"],
        currency=payload["currency"],
        components={assets[part["asset"]]: Decimal(part["weight"]) for part in payload["components"]},
        rebalance_frequency=payload["rebalance_frequency"],
        start_date=column_value(BlendedBenchmark, "start_date", payload["start_date"]),
        actor=request.requested_by,
        reason=applied_reason(request),
        approved=request,
    )


def blend_refusal(asset: Asset) -> str:
    """Why this asset cannot be a blend; empty when it can, as one that is not stored yet."""
    if asset.pk and BlendedBenchmark.objects.filter(asset=asset).exists():
        return ""
    if Asset.objects.filter(symbol=asset.symbol).exclude(exchange="").exists():
        return f"{asset.symbol} is traded on an exchange"
    if asset.pk is None:
        return ""
    if asset.asset_class != AssetClass.INDEX:
        return f"{asset.symbol} is an asset of class {asset.asset_class}"
    if PriceBar.objects.filter(asset=asset).exists():
        return f"{asset.symbol} has prices of its own"
    if Transaction.objects.filter(asset=asset).exists():
        return f"{asset.symbol} is traded"
    part = BlendComponent.objects.filter(asset=asset).select_related("blend__asset").first()
    return f"{asset.symbol} is a component of {part.blend}" if part else ""


def components_refusal(asset: Asset, components: Mapping[Asset, Decimal]) -> str:
    """Why a blend cannot consist of these; empty when it can."""
    blended = set(BlendedBenchmark.objects.filter(asset__in=components).values_list("asset", flat=True))
    for component in components:
        if component.pk in blended or component.pk == asset.pk:
            return f"{component.symbol} is itself a blend"
    total = sum(components.values(), Decimal(0))
    return "" if total == WHOLE else f"the weights of {asset.symbol} make {decimal_text(total)}, not 100"


def _write(asset: Asset, blend: BlendedBenchmark, components: Mapping[Asset, Decimal]) -> None:
    asset.asset_class = AssetClass.INDEX
    asset.full_clean()
    asset.save()
    blend.asset = asset
    blend.full_clean()
    blend.save()
    blend.components.all().delete()
    for component, weight in components.items():
        line = BlendComponent(blend=blend, asset=component, weight_percentage=weight)
        line.full_clean()
        line.save()


def _state(blend: BlendedBenchmark) -> dict[str, Any]:
    parts = blend.components.select_related("asset")
    weights = _weights({part.asset: part.weight_percentage for part in parts})
    return {**_own_state(blend.asset, blend), "components": weights}


def _own_state(asset: Asset, blend: BlendedBenchmark) -> dict[str, Any]:
    return {
        "name": asset.name,
        "currency": asset.currency_id,
        "rebalance_frequency": blend.rebalance_frequency,
        "start_date": blend.start_date,
    }


def _weights(components: Mapping[Asset, Decimal]) -> dict[str, Decimal]:
    return {f"{asset.symbol} {asset.exchange}".strip(): weight for asset, weight in components.items()}


def _mark_measured_stale(asset: Asset) -> None:
    """Every day of a portfolio's history is measured against its benchmark."""
    rows = PortfolioBenchmark.objects.filter(asset=asset, is_active=True).select_related("portfolio")
    for row in rows.order_by("portfolio"):
        first_day = first_booked_day(row.portfolio)
        if first_day is not None:
            mark_portfolio_stale(row.portfolio, first_day, ChangeCause.PARAMETER)
