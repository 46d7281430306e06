"""Books as of a day: what corporate actions find at the market on days without a bar."""

import datetime as dt
from decimal import Decimal

import pytest

from portfolios.models import CorporateAction, CorporateActionKind, TransactionKind
from portfolios.selectors.books import book_on
from tests.support import factories as make

pytestmark = pytest.mark.django_db

FRIDAY, MONDAY, TUESDAY = dt.date(2024, 3, 1), dt.date(2024, 3, 4), dt.date(2024, 3, 5)


@pytest.mark.parametrize(
    ("closes", "kept"),
    [
        # With the new shares 100, without them 90: a tenth of the cost goes with them.
        ({FRIDAY: 100, TUESDAY: 30}, 3600),
        ({FRIDAY: 100, MONDAY: 90}, 3600),
        ({FRIDAY: 9}, None),
    ],
    ids=["not traded", "traded", "worth less than what was spun off"],
)
def test_a_spin_off_on_a_day_without_a_bar(closes: dict[dt.date, int], kept: int | None) -> None:
    parent, child, portfolio = make.make_asset("OLD"), make.make_asset("NEW"), make.make_portfolio()
    make.make_transaction(
        portfolio,
        kind=TransactionKind.BUY,
        asset=parent,
        quantity=40,
        price=100,
        amount=None,
        trade_date=FRIDAY,
    )
    for day, close in closes.items():
        make.make_price(parent, day, Decimal(close))
    make.make_price(child, MONDAY, Decimal(40))
    CorporateAction.objects.create(
        asset=parent,
        ex_date=MONDAY,
        kind=CorporateActionKind.SPIN_OFF,
        ratio_new=1,
        ratio_old=4,
        new_asset=child,
    )
    costs = {} if kept is None else {parent.pk: kept, child.pk: 4000 - kept}
    for day in (MONDAY, TUESDAY):
        assert book_on(portfolio, day).costs == costs
