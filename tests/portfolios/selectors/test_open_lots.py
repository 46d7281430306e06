import datetime as dt
from typing import Any

import pytest

from portfolios.calculations.entries import LedgerError
from portfolios.models import CorporateAction, TransactionKind
from portfolios.selectors.books import book_on
from portfolios.selectors.open_lots import named_lots_fault, open_lots, walked_books
from tests.support import factories as make

pytestmark = pytest.mark.django_db

DAYS = [dt.date(2024, 1, 8), dt.date(2024, 2, 8), dt.date(2024, 3, 8)]
TODAY = dt.date(2024, 4, 8)


def test_open_lots_are_those_of_the_book() -> None:
    portfolio, acme, heir = make.make_portfolio(), make.make_asset("ACME"), make.make_asset("HEIR")
    for asset, close in ((acme, 80), (heir, 20)):
        make.make_price(asset, DAYS[1], close)
    bought = make.make_transaction(
        portfolio, kind="buy", asset=acme, quantity=10, price=100, amount=None, trade_date=DAYS[0]
    )
    moved = make.make_transaction(
        portfolio, kind="transfer_in", asset=heir, quantity=4, amount=None, trade_date=DAYS[2]
    )
    CorporateAction.objects.create(
        asset=acme, ex_date=DAYS[1], kind="spin_off", new_asset=heir, ratio_new=1, ratio_old=1
    )
    lots = open_lots(portfolio, TODAY)
    assert {asset: tuple(found) for asset, found in lots.items()} == book_on(portfolio, TODAY).lots
    assert [(lot.id, lot.opened, lot.cost) for lot in lots[heir.pk]] == [
        (bought.pk, DAYS[0], 200),
        (moved.pk, DAYS[2], 80),
    ]
    assert open_lots(portfolio, DAYS[0] - dt.timedelta(days=1)) == {}


def test_several_books_are_read_at_once_and_a_broken_one_says_why(django_assert_max_num_queries: Any) -> None:
    acme = make.make_asset("ACME")
    portfolios = [make.make_portfolio() for _ in range(6)]
    for portfolio in portfolios:
        make.make_transaction(
            portfolio, kind="buy", asset=acme, quantity=10, price=100, amount=None, trade_date=DAYS[0]
        )
    make.make_transaction(
        portfolios[2],
        kind=TransactionKind.SELL,
        asset=acme,
        quantity=11,
        price=100,
        amount=None,
        trade_date=DAYS[1],
    )
    with django_assert_max_num_queries(6):
        books = list(walked_books(portfolios, TODAY))
    assert [book.portfolio for book in books] == portfolios
    assert [place for place, book in enumerate(books) if book.fault] == [2]
    with pytest.raises(LedgerError, match=r"sell of 11.* only 10"):
        open_lots(portfolios[2], TODAY)


def test_a_book_without_named_lots_is_not_walked(django_assert_num_queries: Any) -> None:
    portfolio = make.make_portfolio()
    with django_assert_num_queries(1):
        assert named_lots_fault(portfolio) is None
