"""What must hold for every book, whatever is in it."""

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolios.calculations.ledger import DayBook
from portfolios.calculations.lots import COST_METHODS, CostMethod
from portfolios.calculations.valuation import Valuation
from tests.portfolios.calculations.booking import add_days, every_day, last_known, value, walk
from tests.portfolios.calculations.random_books import CURRENCY_OF, DAYS, FIRST_DAY, RandomBook, random_books

METHODS = st.sampled_from(COST_METHODS)


def book(random_book: RandomBook, method: CostMethod) -> list[DayBook]:
    return walk(
        random_book.entries,
        random_book.splits,
        method=method,
        rates=random_book.rates,
        prices=random_book.prices,
        asset_currencies=CURRENCY_OF,
    )


def valued(random_book: RandomBook, books: list[DayBook]) -> Valuation:
    return value(
        books,
        random_book.prices,
        every_day(FIRST_DAY, add_days(FIRST_DAY, DAYS - 1)),
        asset_currencies=CURRENCY_OF,
        rates=random_book.rates,
        splits=random_book.splits,
    )


@settings(max_examples=80, deadline=None)
@given(random_books(), METHODS)
def test_opening_and_all_that_happened_make_the_closing_value(
    random_book: RandomBook, method: CostMethod
) -> None:
    v = valued(random_book, book(random_book, method))
    explained = (
        v.inflow
        - v.outflow
        + v.realized
        + np.diff(v.unrealized_pnl, prepend=0.0)
        - v.transferred_pnl
        + v.income
        + v.fx_on_cash
        - v.fees
        - v.taxes
    )
    assert np.isfinite(v.total_value).all()
    np.testing.assert_allclose(np.diff(v.total_value, prepend=0.0), explained, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(random_books(), METHODS, st.randoms(use_true_random=False))
def test_the_order_of_the_input_never_matters(
    random_book: RandomBook, method: CostMethod, random: Random
) -> None:
    expected = book(random_book, method)
    entries, splits = list(random_book.entries), list(random_book.splits)
    random.shuffle(entries)
    random.shuffle(splits)
    shuffled = RandomBook(entries, splits, random_book.prices, random_book.rates)
    assert book(shuffled, method) == expected


@settings(max_examples=40, deadline=None)
@given(random_books())
def test_the_value_is_quantity_times_price_times_rate(random_book: RandomBook) -> None:
    books = book(random_book, "fifo")
    v = valued(random_book, books)
    for place, day in enumerate(v.timeline.tolist()):
        states = [state for state in books if state.date <= day]
        expected = 0.0
        if states:
            for asset, quantity in states[-1].quantities.items():
                rate = last_known(random_book.rates["USD"], day) if CURRENCY_OF[asset] == "USD" else 1
                published = [known for known in random_book.prices[asset] if known <= str(day)]
                if published:
                    worth = float(quantity) * float(random_book.prices[asset][max(published)])
                    for action in random_book.splits:
                        if action.asset == asset and max(published) < str(action.date) <= str(day):
                            worth /= float(action.ratio or 1)
                    expected += worth * float(rate or 0)
                else:
                    expected += float(states[-1].costs[asset])
            for currency, amount in states[-1].cash.items():
                rate = last_known(random_book.rates["USD"], day) if currency == "USD" else 1
                expected += float(amount) * float(rate or 0)
        np.testing.assert_allclose(v.total_value[place], expected, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(random_books())
def test_the_cost_method_moves_gains_in_time_but_makes_none(random_book: RandomBook) -> None:
    totals = []
    for method in COST_METHODS:
        v = valued(random_book, book(random_book, method))
        totals.append(v.realized.sum() + v.unrealized_pnl[-1] - v.transferred_pnl.sum())
    np.testing.assert_allclose(totals, totals[0], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(random_books(), METHODS)
def test_lots_add_up_to_quantities_and_costs(random_book: RandomBook, method: CostMethod) -> None:
    for state in book(random_book, method):
        assert set(state.lots) == set(state.quantities) == set(state.costs)
        for asset, lots in state.lots.items():
            assert abs(sum(lot.quantity for lot in lots) - state.quantities[asset]) < 1e-20
            assert abs(sum(lot.cost or 0 for lot in lots) - state.costs[asset]) < 1e-20
