"""Statuses, reversals and what the books refuse, whoever asks and however many ask at once."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from portfolios.models import (
    Asset,
    AuditEvent,
    CorporateAction,
    Portfolio,
    PortfolioRole,
    PortfolioStatus,
    StaleMark,
    Transaction,
    TransactionStatus,
)
from portfolios.selectors.books import book_on
from portfolios.services.transactions import (
    MOVES,
    dividend_reinvest,
    transaction_change,
    transaction_create,
    transaction_delete,
    transaction_move,
    transaction_rebook,
    transaction_reverse,
)
from tests.support import factories as make
from tests.support.imports import nothing_written
from tests.support.threads import in_thread

pytestmark = pytest.mark.django_db

BOUGHT, SOLD, LATER = dt.date(2024, 1, 10), dt.date(2024, 2, 10), dt.date(2024, 3, 11)


@pytest.fixture
def portfolio() -> Portfolio:
    return make.make_portfolio("BOOK")


@pytest.fixture
def acme() -> Asset:
    return make.make_asset("ACME")


def settled(portfolio: Portfolio, kind: str, day: dt.date, **fields: Any) -> Transaction:
    return transaction_create(
        portfolio, status=TransactionStatus.SETTLED, kind=kind, trade_date=day, **fields
    )


def trade(portfolio: Portfolio, kind: str, asset: Asset, quantity: int, day: dt.date) -> Transaction:
    return settled(portfolio, kind, day, asset=asset, quantity=Decimal(quantity), price=Decimal(100))


def last_event() -> AuditEvent:
    return AuditEvent.objects.latest("sequence")


def refused(call: Callable[[], object], field: str, reason: str) -> None:
    with nothing_written(), pytest.raises(ValidationError) as caught:
        call()
    messages = caught.value.message_dict if field else {"": caught.value.messages}
    assert reason in messages[field][0]


# Statuses


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (before, after)
        for before, after in product(TransactionStatus, TransactionStatus)
        if after not in MOVES.get(before, set())
    ],
)
def test_a_move_that_is_not_allowed_changes_nothing(
    portfolio: Portfolio, before: TransactionStatus, after: TransactionStatus
) -> None:
    line = make.make_transaction(portfolio, status=before)
    refused(lambda: transaction_move(line, after), "status", f"does not become {after}")


def test_from_draft_to_settled_each_step_is_audited_and_only_the_last_counts(portfolio: Portfolio) -> None:
    line = transaction_create(portfolio, kind="deposit", trade_date=BOUGHT, amount=Decimal(500))
    assert (line.status, line.currency_id, line.source) == ("draft", "USD", "manual")
    transaction_move(line, TransactionStatus.PENDING)
    assert book_on(portfolio, LATER).cash == {}
    assert not StaleMark.objects.exists()
    transaction_move(line, TransactionStatus.SETTLED)
    assert book_on(portfolio, LATER).cash == {"USD": 500}
    assert StaleMark.objects.get().from_date == BOUGHT
    assert list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True)) == [
        "transaction.created",
        "transaction.pending",
        "transaction.settled",
    ]
    assert (last_event().before, last_event().after) == ({"status": "pending"}, {"status": "settled"})


def test_a_line_of_tomorrow_may_wait_but_not_settle(portfolio: Portfolio) -> None:
    tomorrow = dt.date.today() + dt.timedelta(days=2)
    line = transaction_create(portfolio, kind="deposit", trade_date=tomorrow, amount=Decimal(500))
    transaction_move(line, TransactionStatus.PENDING)
    refused(lambda: transaction_move(line, TransactionStatus.SETTLED), "trade_date", "lies in the future")


def test_a_pending_line_is_corrected_and_a_settled_one_is_not(portfolio: Portfolio, acme: Asset) -> None:
    line = transaction_create(
        portfolio, kind="buy", trade_date=BOUGHT, asset=acme, quantity=Decimal(3), price=Decimal(10)
    )
    transaction_move(line, TransactionStatus.PENDING)
    transaction_change(line, quantity=Decimal(4))
    line.refresh_from_db()
    assert (line.quantity, line.amount) == (4, 40)
    assert last_event().after == {"quantity": "4", "amount": "40"}
    with nothing_written():
        transaction_change(line, quantity=Decimal(4))
    transaction_move(line, TransactionStatus.SETTLED)
    refused(lambda: transaction_change(line, quantity=Decimal(5)), "", "reverse a settled one")
    refused(lambda: transaction_delete(line), "", "only a draft is")


def test_a_draft_is_deleted_and_remembered(portfolio: Portfolio) -> None:
    line = transaction_create(portfolio, kind="fee", trade_date=BOUGHT, amount=Decimal(5))
    transaction_delete(line, reason="typed twice")
    assert not Transaction.objects.exists()
    assert (last_event().action, last_event().reason) == ("transaction.deleted", "typed twice")
    assert (last_event().before or {})["amount"] == "5"


# Rules of a line


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"kind": "deposit"}, "amount", "must not be blank"),
        ({"kind": "deposit", "amount": Decimal(-1)}, "amount", "must be above 0"),
        ({"kind": "buy", "quantity": Decimal(1), "price": Decimal(1)}, "asset", "must not be blank"),
        ({"kind": "deposit", "amount": Decimal(1), "currency": "XXX"}, "currency", "unknown currency"),
        ({"kind": "gift", "amount": Decimal(1)}, "kind", "must be one of"),
        (
            {"kind": "deposit", "amount": Decimal(1), "settle_date": dt.date(2023, 1, 1)},
            "settle_date",
            "before",
        ),
        ({"kind": "deposit", "amount": Decimal("NaN")}, "amount", "not a finite number"),
        ({"kind": "deposit", "amount": Decimal("1e30")}, "amount", "digits"),
        ({"kind": "deposit", "amount": Decimal(1), "fx_rate": Decimal(2)}, "fx_rate", "base currency"),
    ],
)
def test_an_impossible_line_is_refused_by_field(
    portfolio: Portfolio, fields: dict[str, Any], field: str, reason: str
) -> None:
    refused(lambda: transaction_create(portfolio, trade_date=BOUGHT, **fields), field, reason)


def test_only_makers_and_managers_write(portfolio: Portfolio) -> None:
    viewer, checker, maker = (make.make_user(name) for name in ("viewer", "checker", "maker"))
    make.grant(viewer, portfolio, PortfolioRole.VIEWER)
    make.grant(checker, portfolio, PortfolioRole.CHECKER)
    make.grant(maker, portfolio, PortfolioRole.MAKER)
    line = make.make_transaction(portfolio, status="draft")
    for actor in (viewer, checker, make.make_user("stranger")):
        calls: list[Callable[[], object]] = [
            partial(
                transaction_create,
                portfolio,
                actor=actor,
                kind="fee",
                trade_date=BOUGHT,
                amount=Decimal(1),
            ),
            partial(transaction_change, line, actor=actor, amount=Decimal(1)),
            partial(transaction_move, line, TransactionStatus.PENDING, actor=actor),
            partial(transaction_delete, line, actor=actor),
            partial(transaction_reverse, line, actor=actor, reason="no"),
            partial(transaction_rebook, line, actor=actor, reason="no", amount=Decimal(1)),
        ]
        for call in calls:
            with nothing_written(), pytest.raises(PermissionDenied):
                call()
    transaction_move(line, TransactionStatus.PENDING, actor=maker)
    assert last_event().actor == "maker"


def test_a_closed_portfolio_takes_no_lines(portfolio: Portfolio) -> None:
    Portfolio.objects.update(status=PortfolioStatus.CLOSED)
    refused(lambda: settled(portfolio, "deposit", BOUGHT, amount=Decimal(1)), "", "closed")


# More than is held


def test_a_sale_before_its_purchase_is_refused_though_a_later_one_would_cover_it(
    portfolio: Portfolio, acme: Asset
) -> None:
    trade(portfolio, "buy", acme, 10, LATER)
    refused(lambda: trade(portfolio, "sell", acme, 1, SOLD), "quantity", "only 0 held on 2024-02-10")


def test_a_sale_put_before_another_may_not_take_its_shares(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, "buy", acme, 10, BOUGHT)
    trade(portfolio, "sell", acme, 8, LATER)
    refused(
        lambda: trade(portfolio, "sell", acme, 3, SOLD),
        "quantity",
        "leaves only 7 for the sell of 8 booked on 2024-03-11",
    )


@pytest.mark.parametrize(
    "changes",
    [{"quantity": Decimal(4)}, {"trade_date": LATER}, {"kind": "fee", "quantity": None, "price": None}],
)
def test_a_purchase_that_was_sold_is_neither_reversed_nor_made_smaller_nor_moved_back(
    portfolio: Portfolio, acme: Asset, changes: dict[str, Any]
) -> None:
    purchase = trade(portfolio, "buy", acme, 5, BOUGHT)
    trade(portfolio, "sell", acme, 5, SOLD)
    refused(
        lambda: transaction_reverse(purchase, reason="error"), "quantity", "leaves only 0 for the sell of 5"
    )
    if changes.get("kind") == "fee":
        changes |= {"amount": Decimal(500)}
    refused(
        lambda: transaction_rebook(purchase, reason="error", **changes),
        "quantity",
        "for the sell of 5 booked on",
    )


def test_a_pending_sale_counts_when_it_settles(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, "buy", acme, 5, BOUGHT)
    sales = [
        transaction_create(
            portfolio,
            status="pending",
            kind="sell",
            trade_date=SOLD,
            asset=acme,
            quantity=Decimal(3),
            price=Decimal(100),
        )
        for _ in range(2)
    ]
    transaction_move(sales[0], TransactionStatus.SETTLED)
    refused(lambda: transaction_move(sales[1], TransactionStatus.SETTLED), "quantity", "only 2 held")
    transaction_move(sales[1], TransactionStatus.FAILED)


def test_shares_that_changed_their_symbol_are_sold_under_the_new_one(
    portfolio: Portfolio, acme: Asset
) -> None:
    newco = make.make_asset("NEWCO")
    purchase = trade(portfolio, "buy", acme, 5, BOUGHT)
    CorporateAction.objects.create(asset=acme, ex_date=SOLD, kind="symbol_change", new_asset=newco)
    trade(portfolio, "sell", newco, 5, LATER)
    refused(lambda: trade(portfolio, "sell", acme, 1, LATER), "quantity", "only 0 held")
    refused(
        lambda: transaction_reverse(purchase, reason="error"), "quantity", "leaves only 0 for the sell of 5"
    )
    assert book_on(portfolio, LATER).quantities == {}


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_two_sales_at_once_sell_the_shares_once(acme: Asset, portfolio: Portfolio) -> None:
    trade(portfolio, "buy", acme, 5, BOUGHT)
    sales = [in_thread(lambda: trade(Portfolio.objects.get(), "sell", acme, 4, SOLD)) for _ in range(4)]
    errors = [sale.exception(timeout=60) for sale in sales]
    refusals = [error for error in errors if error is not None]
    assert len(refusals) == 3
    assert {type(error) for error in refusals} == {ValidationError}
    assert book_on(portfolio, LATER).quantities == {acme.pk: 1}


# Reversal


def test_a_reversal_takes_the_line_out_of_the_books_and_keeps_both(portfolio: Portfolio, acme: Asset) -> None:
    settled(portfolio, "deposit", BOUGHT, amount=Decimal(1000))
    line = trade(portfolio, "buy", acme, 5, SOLD)
    StaleMark.objects.all().delete()
    reversal = transaction_reverse(line, reason="wrong account")
    assert (reversal.reverses, reversal.status, reversal.quantity) == (line, "settled", 5)
    assert (book_on(portfolio, LATER).quantities, book_on(portfolio, LATER).cash) == ({}, {"USD": 1000})
    assert StaleMark.objects.get().from_date == SOLD
    assert (last_event().action, last_event().object_id) == ("transaction.reversed", str(line.pk))
    assert (last_event().reason, last_event().after) == ("wrong account", {"reversal": reversal.pk})
    line.refresh_from_db()
    assert line.status == "settled"
    refused(lambda: transaction_reverse(line, reason="again"), "", "reversed already")
    refused(lambda: transaction_reverse(reversal, reason="again"), "", "a reversal is not reversed")


@pytest.mark.parametrize("status", ["draft", "pending", "cancelled", "failed"])
def test_only_what_is_settled_is_reversed(portfolio: Portfolio, status: str) -> None:
    line = make.make_transaction(portfolio, status=status)
    refused(lambda: transaction_reverse(line, reason="error"), "", "only a settled transaction is reversed")


def test_a_reversal_needs_a_reason(portfolio: Portfolio) -> None:
    line = settled(portfolio, "deposit", BOUGHT, amount=Decimal(1))
    refused(lambda: transaction_reverse(line, reason=" "), "reason", "needs a reason")


def test_a_correction_reverses_and_books_again_from_the_earlier_day(
    portfolio: Portfolio, acme: Asset
) -> None:
    line = trade(portfolio, "buy", acme, 5, SOLD)
    trade(portfolio, "sell", acme, 4, LATER)
    StaleMark.objects.all().delete()
    reversal, rebooked = transaction_rebook(line, reason="fill was 6", quantity=Decimal(6), trade_date=BOUGHT)
    assert Transaction.objects.count() == 4
    assert (rebooked.source, rebooked.external_id, rebooked.amount) == ("rebooking", str(line.pk), 600)
    assert book_on(portfolio, LATER).quantities == {acme.pk: 2}
    assert min(StaleMark.objects.values_list("from_date", flat=True)) == BOUGHT
    assert reversal.reverses == line
    refused(lambda: transaction_rebook(rebooked, reason="none", quantity=Decimal(6)), "", "nothing would be")


def test_a_corrected_line_can_be_corrected_again(portfolio: Portfolio) -> None:
    line = settled(portfolio, "deposit", BOUGHT, amount=Decimal(1))
    for amount in (2, 3):
        _, line = transaction_rebook(line, reason="typing error", amount=Decimal(amount))
    assert book_on(portfolio, LATER).cash == {"USD": 3}
    assert Transaction.objects.booked().get() == line


# Reinvested dividends and settled cash


def test_a_reinvested_dividend_is_two_lines_or_none(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, "buy", acme, 10, BOUGHT)
    terms: dict[str, Any] = {
        "asset": acme,
        "trade_date": SOLD,
        "amount": Decimal(30),
        "quantity": Decimal("0.3"),
    }
    dividend, purchase = dividend_reinvest(portfolio, price=Decimal(100), external_id="DRIP1", **terms)
    assert (dividend.kind, purchase.kind) == ("dividend", "buy")
    book = book_on(portfolio, LATER)
    assert (book.quantities[acme.pk], book.cash["USD"]) == (Decimal("10.3"), -1000)
    refused(lambda: dividend_reinvest(portfolio, price=Decimal(-1), **terms), "price", "must not be negative")


def test_cash_is_counted_by_trade_date_and_settled_cash_by_settle_date(
    portfolio: Portfolio, acme: Asset
) -> None:
    settled(portfolio, "deposit", BOUGHT, amount=Decimal(1000))
    settled(
        portfolio,
        "buy",
        SOLD,
        asset=acme,
        quantity=Decimal(2),
        price=Decimal(100),
        settle_date=SOLD + dt.timedelta(days=2),
    )
    book = book_on(portfolio, SOLD)
    assert (book.cash, book.settled_cash) == ({"USD": 800}, {"USD": 1000})
    assert book_on(portfolio, SOLD + dt.timedelta(days=2)).settled_cash == {"USD": 800}
    assert book_on(portfolio, BOUGHT - dt.timedelta(days=1)).settled_cash == {}
