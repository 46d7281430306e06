"""Prices that a person enters, where no source has published one or it was wrong."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from portfolio_site.kernel import clock
from portfolio_site.kernel.locks import lock_rows
from portfolios.imports.cells import FIRST_YEAR, PRICE, QUANTITY, Digits, round_number
from portfolios.models import Asset, ChangeCause, PriceBar
from portfolios.selectors.derived_assets import derived_assets
from portfolios.services.audit import Actor, audit_append
from portfolios.services.imports.importer import SQLITE_DIGITS
from portfolios.services.staleness import mark_assets_stale

MANUAL_SOURCE = "manual"
FIGURES = ("open", "high", "low", "close", "volume")
# What a manual price replaces, and what an audit row tells of it.
STORED = (*FIGURES, "source", "adjusted_through")

Figures = Mapping[str, Decimal | None]


@transaction.atomic
def price_enter(
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
    second_person: User | None = None,
) -> PriceBar:
    """Store one day's prices, as traded, in place of what stands there; the same figures change nothing.

    With the setting TWO_PERSON_PRICES `second_person`, who is not the actor, must have agreed. Raises
    ValidationError.
    """
    figures = {"open": open, "high": high, "low": low, "close": close, "volume": volume}
    price_check(asset, day, figures, reason)
    lock_rows(Asset, [asset.pk])
    bar = PriceBar.objects.filter(asset=asset, date=day).first()
    before = bar and {name: getattr(bar, name) for name in STORED}
    after = {**figures, "source": MANUAL_SOURCE, "adjusted_through": None}
    if bar is not None and before == after:
        return bar
    _second_person_check(actor, second_person)
    bar = bar or PriceBar(asset=asset, date=day)
    for name, value in after.items():
        setattr(bar, name, value)
    bar.save()
    mark_assets_stale({asset.pk: day}, ChangeCause.PRICE)
    agreed = {"second_person": second_person.get_username()} if second_person else {}
    audit_append(
        action="price.entered",
        object_type="price_bar",
        object_id=bar.pk,
        actor=actor,
        before=before,
        after={"symbol": asset.symbol, "date": day, **after, **agreed},
        reason=reason,
    )
    return bar


def price_check(asset: Asset, day: dt.date, figures: Figures, reason: str) -> None:
    """Whether these can be the prices of the asset on that day. Raises ValidationError, by field.

    Unlike what a source published, what a person enters must not contradict itself.
    """
    errors: dict[str, str] = {}
    derived = derived_assets()
    if asset.pk in derived:
        errors["asset"] = f"{asset.symbol} has no prices of its own: {derived[asset.pk]}"
    if day > clock.today():
        errors["date"] = f"{day} lies in the future"
    elif day.year < FIRST_YEAR:
        errors["date"] = f"{day} is before {FIRST_YEAR}"
    if not reason.strip():
        errors["reason"] = "must say why the price is entered by hand"
    for name, value in figures.items():
        fault = _fault(name, value)
        if fault:
            errors[name] = f"{value}: {fault}" if value is not None else fault
    if not errors:
        errors = _contradictions(figures)
    if errors:
        raise ValidationError(errors)


def _fault(name: str, value: Decimal | None) -> str:
    if value is None:
        return "must not be blank" if name == "close" else ""
    if not value.is_finite():
        return "not a finite number"
    if name == "volume":
        return "must not be negative" if value < 0 else _digits_fault(value, QUANTITY)
    return "must be above 0" if value <= 0 else _digits_fault(value, PRICE)


def _digits_fault(value: Decimal, digits: Digits) -> str:
    """A file's numbers are rounded to what the column keeps and counted; a person is told."""
    try:
        kept = round_number(value, digits, SQLITE_DIGITS if connection.vendor == "sqlite" else None)
    except ValueError as error:
        return str(error)
    return "" if kept == value else f"more than {digits.places} decimals, or more digits than can be kept"


def _contradictions(figures: Figures) -> dict[str, str]:
    low, high = figures["low"], figures["high"]
    given = {name: value for name in ("open", "close") if (value := figures[name]) is not None}
    if low is not None and high is not None and high < low:
        return {"high": f"{high} is below the low, {low}"}
    for name, value in given.items():
        if low is not None and value < low:
            return {name: f"{value} is below the low, {low}"}
        if high is not None and value > high:
            return {name: f"{value} is above the high, {high}"}
    return {}


def _second_person_check(actor: Actor, second_person: User | None) -> None:
    if not settings.TWO_PERSON_PRICES:
        return
    if actor is None or second_person is None or second_person.pk == actor.pk:
        raise ValidationError(
            "a price entered by hand needs a second person (two-person rule)", code="two_person_rule"
        )
