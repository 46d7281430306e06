"""Prices entered by hand."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from portfolios.models import AuditEvent, ChangeCause, PriceBar, StaleMark
from portfolios.services.manual_prices import price_enter
from tests.support import factories as make
from tests.support.imports import last_event, nothing_written

pytestmark = pytest.mark.django_db

WHY = "the feed was down"


def entered(**options: Any) -> PriceBar:
    asset = options.pop("asset", None) or make.make_asset("AAA")
    given: dict[str, Any] = {"close": Decimal(10), "reason": WHY, **options}
    return price_enter(asset, given.pop("day", make.DAY), **given)


def test_a_price_is_stored_with_its_mark_and_audit_row() -> None:
    ann = make.make_user("ann")
    bar = entered(close=Decimal("10.25"), low=Decimal(10), volume=Decimal(0), actor=ann)
    assert (bar.close, bar.low, bar.high, bar.volume) == (Decimal("10.25"), 10, None, 0)
    assert (bar.source, bar.adjusted_through) == ("manual", None)
    mark = StaleMark.objects.get()
    assert (mark.asset, mark.from_date, mark.cause) == (bar.asset, make.DAY, ChangeCause.PRICE)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.reason, event.before) == ("price.entered", "ann", WHY, None)
    _, _, after = last_event()
    assert (after["symbol"], after["date"], after["close"]) == ("AAA", "2024-03-28", "10.25")


def test_it_takes_the_place_of_what_a_source_published() -> None:
    asset = make.make_asset("AAA")
    stored = make.make_price(
        asset, close="9.5", high="9.75", source="feed", adjusted_through=dt.date(2024, 6, 10)
    )
    bar = entered(asset=asset)
    assert (bar.pk, bar.close, bar.high, bar.source, bar.adjusted_through) == (
        stored.pk,
        10,
        None,
        "manual",
        None,
    )
    _, before, _ = last_event()
    assert (before["close"], before["source"], before["adjusted_through"]) == ("9.5", "feed", "2024-06-10")


def test_the_same_price_again_changes_nothing() -> None:
    bar = entered()
    with nothing_written():
        assert entered(asset=bar.asset) == bar
    entered(asset=bar.asset, close=Decimal(11))
    assert AuditEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("figures", "field", "reason"),
    [
        ({"close": Decimal(0)}, "close", "0: must be above 0"),
        ({"close": Decimal(-1)}, "close", "-1: must be above 0"),
        ({"close": None}, "close", "must not be blank"),
        ({"close": Decimal("NaN")}, "close", "NaN: not a finite number"),
        ({"open": Decimal("Infinity")}, "open", "Infinity: not a finite number"),
        ({"close": Decimal("1e20")}, "close", "digits before the point"),
        ({"close": Decimal("1.0000000000001")}, "close", "decimals"),
        ({"volume": Decimal(-1)}, "volume", "-1: must not be negative"),
        ({"high": Decimal(9), "low": Decimal("9.5")}, "high", "9 is below the low, 9.5"),
        ({"high": Decimal("9.5")}, "close", "10 is above the high, 9.5"),
        ({"low": Decimal(11)}, "close", "10 is below the low, 11"),
        ({"low": Decimal(9), "open": Decimal(8)}, "open", "8 is below the low, 9"),
        ({"day": dt.date(2999, 1, 1)}, "date", "2999-01-01 lies in the future"),
        ({"day": dt.date(1899, 12, 31)}, "date", "before 1900"),
        ({"reason": " "}, "reason", "must say why"),
    ],
)
def test_impossible_prices_are_refused(figures: dict[str, Any], field: str, reason: str) -> None:
    asset = make.make_asset("AAA")
    with nothing_written(), pytest.raises(ValidationError) as refused:
        entered(asset=asset, **figures)
    assert list(refused.value.message_dict) == [field]
    assert reason in refused.value.message_dict[field][0]


def test_a_blend_has_no_prices_to_enter() -> None:
    blend = make.make_blend({make.make_asset(): 60, make.make_asset(): 40})
    with nothing_written(), pytest.raises(ValidationError, match="has no prices of its own"):
        entered(asset=blend.asset)


def test_with_two_persons_one_alone_enters_nothing(settings: Any) -> None:
    settings.TWO_PERSON_PRICES = True
    ann, bob, asset = make.make_user("ann"), make.make_user("bob"), make.make_asset("AAA")
    with nothing_written():
        for persons in ({}, {"actor": ann}, {"actor": ann, "second_person": ann}, {"second_person": bob}):
            with pytest.raises(ValidationError, match="two-person rule"):
                entered(asset=asset, **persons)
    entered(asset=asset, actor=ann, second_person=bob)
    assert last_event()[2]["second_person"] == "bob"
