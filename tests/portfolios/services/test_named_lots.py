"""Booking sales that name their lots, and what may not be done to those lots afterwards."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from portfolios.models import Asset, AuditEvent, Portfolio, Transaction, TransactionStatus
from portfolios.selectors.books import book_inputs, book_on
from portfolios.selectors.open_lots import open_lots
from portfolios.services.portfolios import portfolio_update
from portfolios.services.transactions import (
    transaction_create,
    transaction_move,
    transaction_rebook,
    transaction_reverse,
)
from tests.support import factories as make
from tests.support.imports import nothing_written
from tests.support.threads import in_thread

pytestmark = pytest.mark.django_db

FIRST, SECOND, SOLD, LATER = (dt.date(2024, month, 8) for month in (1, 2, 3, 4))


@pytest.fixture
def portfolio() -> Portfolio:
    return make.make_portfolio("BOOK")


@pytest.fixture
def acme() -> Asset:
    return make.make_asset("ACME")


def book(
    portfolio: Portfolio, kind: str, asset: Asset, quantity: Any, day: dt.date, **more: Any
) -> Transaction:
    given: dict[str, Any] = {"status": TransactionStatus.SETTLED, "price": Decimal(100)} | more
    return transaction_create(
        portfolio, kind=kind, asset=asset, quantity=Decimal(quantity), trade_date=day, **given
    )


@pytest.fixture
def bought(portfolio: Portfolio, acme: Asset) -> tuple[Transaction, Transaction]:
    return (
        book(portfolio, "buy", acme, 10, FIRST),
        book(portfolio, "buy", acme, 10, SECOND, price=Decimal(130)),
    )


def named(*parts: tuple[Transaction, Any]) -> list[dict[str, Any]]:
    return [{"lot": purchase.pk, "quantity": str(quantity)} for purchase, quantity in parts]


def left(portfolio: Portfolio, asset: Asset) -> dict[int, Decimal]:
    return {lot.id: lot.quantity for lot in open_lots(portfolio, LATER)[asset.pk]}


Bought = tuple[Transaction, Transaction]


def test_a_sale_takes_the_lots_it_names(portfolio: Portfolio, acme: Asset, bought: Bought) -> None:
    old, new = bought
    sale = book(portfolio, "sell", acme, 7, SOLD, lots=[*named((new, "2.50"), (old, 3)), *named((new, 1.5))])
    sale.refresh_from_db()
    assert sale.lots == [{"lot": new.pk, "quantity": "4"}, {"lot": old.pk, "quantity": "3"}]
    assert left(portfolio, acme) == {old.pk: 7, new.pk: 6}
    assert book_on(portfolio, LATER).costs == {acme.pk: 7 * 100 + 6 * 130}
    after = AuditEvent.objects.latest("sequence").after
    assert after is not None
    assert after["lots"] == sale.lots


def test_lines_without_lots_read_none(portfolio: Portfolio, acme: Asset, bought: Bought) -> None:
    book(portfolio, "sell", acme, 7, SOLD, lots=[])
    assert {entry.lots for entry in book_inputs([portfolio.pk], LATER)[portfolio.pk].entries} == {None}
    assert left(portfolio, acme) == {bought[0].pk: 3, bought[1].pk: 10}


@pytest.mark.parametrize(
    ("lots", "reason"),
    [
        ([{"lot": "new", "quantity": "6"}], "add up to 6, not to the quantity of 7"),
        ([{"lot": "none", "quantity": "7"}], "is not open"),
        ([{"lot": "new", "quantity": "-3"}, {"lot": "old", "quantity": "10"}], "must be above 0"),
        ([{"lot": "new", "quantity": "NaN"}], "must be above 0"),
        ([{"lot": "new"}], "is not {lot, quantity}"),
        (["new"], "is not {lot, quantity}"),
    ],
)
def test_wrong_lots_are_refused_and_nothing_is_stored(
    portfolio: Portfolio, acme: Asset, bought: Bought, lots: list[Any], reason: str
) -> None:
    ids = {"old": bought[0].pk, "new": bought[1].pk, "none": 999_999}
    given = [part | {"lot": ids[part["lot"]]} if isinstance(part, dict) else part for part in lots]
    with nothing_written(), pytest.raises(ValidationError) as caught:
        book(portfolio, "sell", acme, 7, SOLD, lots=given)
    assert reason in caught.value.message_dict["lots"][0]


def test_a_lot_is_open_only_from_its_purchase_on(portfolio: Portfolio, acme: Asset, bought: Bought) -> None:
    with nothing_written(), pytest.raises(ValidationError, match="is not open"):
        book(portfolio, "sell", acme, 3, FIRST, lots=named((bought[1], 3)))


def test_only_what_closes_a_position_names_lots(portfolio: Portfolio, acme: Asset, bought: Bought) -> None:
    with nothing_written(), pytest.raises(ValidationError, match="must be blank for a buy"):
        book(portfolio, "buy", acme, 3, SOLD, lots=named((bought[1], 3)))


def test_a_portfolio_at_average_cost_knows_no_lots(acme: Asset) -> None:
    portfolio = make.make_portfolio("MEAN", cost_method="average")
    purchase = book(portfolio, "buy", acme, 3, FIRST)
    with nothing_written(), pytest.raises(ValidationError, match="at average cost"):
        book(portfolio, "sell", acme, 3, SOLD, lots=named((purchase, 3)))


def test_a_pending_sale_is_checked_when_it_settles(portfolio: Portfolio, acme: Asset, bought: Bought) -> None:
    line = book(
        portfolio, "sell", acme, 3, SOLD, lots=named((bought[0], 3)), status=TransactionStatus.PENDING
    )
    book(portfolio, "sell", acme, 8, SECOND)
    with nothing_written(), pytest.raises(ValidationError, match="which holds only 2"):
        transaction_move(line, TransactionStatus.SETTLED)


def test_a_named_lot_is_not_taken_from_under_its_sale(
    portfolio: Portfolio, acme: Asset, bought: Bought
) -> None:
    """By an earlier sale, by a reversal of its purchase, by another cost method."""
    old, new = bought
    book(portfolio, "sell", acme, 10, SOLD, lots=named((old, 10)))
    book(portfolio, "buy", acme, 10, SECOND)
    with nothing_written(), pytest.raises(ValidationError, match=f"lot {old.pk}"):
        book(portfolio, "sell", acme, 1, SECOND)
    with nothing_written(), pytest.raises(ValidationError, match=f"lot {old.pk} is not open"):
        transaction_reverse(old, reason="wrong")
    with nothing_written(), pytest.raises(ValidationError, match=f"lot {old.pk} is not open"):
        transaction_rebook(old, reason="wrong", price=Decimal(90))
    with nothing_written(), pytest.raises(ValidationError) as caught:
        portfolio_update(portfolio, cost_method="average")
    assert "cannot name its lots" in caught.value.message_dict["cost_method"][0]
    portfolio_update(portfolio, cost_method="lifo")
    transaction_reverse(new, reason="never happened")


def test_a_reversed_sale_gives_its_lots_back(portfolio: Portfolio, acme: Asset, bought: Bought) -> None:
    old, new = bought
    sale = book(portfolio, "sell", acme, 10, SOLD, lots=named((new, 10)))
    reversal, again = transaction_rebook(sale, reason="wrong lot", lots=named((old, 10)))
    assert left(portfolio, acme) == {new.pk: 10}
    assert (reversal.lots, again.lots) == (sale.lots, [{"lot": old.pk, "quantity": "10"}])
    transaction_reverse(again, reason="not sold at all")
    assert left(portfolio, acme) == {old.pk: 10, new.pk: 10}


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_two_sales_at_once_take_a_lot_once(portfolio: Portfolio, acme: Asset, bought: Bought) -> None:
    lots = named((bought[1], 6))
    sales = [
        in_thread(lambda: book(Portfolio.objects.get(), "sell", acme, 6, SOLD, lots=lots)) for _ in range(3)
    ]
    refusals = [sale.exception(timeout=60) for sale in sales]
    assert sum(refusal is None for refusal in refusals) == 1
    assert all("lot" in str(refusal) for refusal in refusals if refusal is not None)
    assert left(portfolio, acme) == {bought[0].pk: 10, bought[1].pk: 4}
