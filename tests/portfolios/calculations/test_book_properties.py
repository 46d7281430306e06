"""What must hold for every book, whatever is in it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolios.calculations.corporate_actions import action_key
from portfolios.calculations.ledger import DayBook
from portfolios.calculations.lots import COST_METHODS, CostMethod
from portfolios.calculations.valuation import Valuation
from tests.portfolios.calculations.booking import add_days, entry, every_day, last_known, value, walk
from tests.portfolios.calculations.random_books import CURRENCY_OF, DAYS, FIRST_DAY, RandomBook, random_books

METHODS = st.sampled_from(COST_METHODS)


def book(random_book: RandomBook, method: CostMethod) -> list[DayBook]:
    return walk(
        random_book.entries,
        random_book.actions,
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
        splits=random_book.actions,
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
    entries, actions = list(random_book.entries), list(random_book.actions)
    random.shuffle(entries)
    random.shuffle(actions)
    shuffled = RandomBook(entries, actions, random_book.prices, random_book.rates)
    assert book(shuffled, method) == expected


def price_by_hand(random_book: RandomBook, asset: int, day: date) -> float | None:
    """The last published price in the shares of the day; of an heir without one, what its parent's leaves."""
    published = [known for known in random_book.prices[asset] if known <= str(day)]
    if published:
        price = float(random_book.prices[asset][max(published)])
        for action in sorted(random_book.actions, key=lambda action: (action.date, *action_key(action))):
            if action.asset != asset or not max(published) < str(action.date) <= str(day):
                continue
            if action.kind == "split":
                price /= float(action.ratio or 1)
            elif action.kind == "spin_off" and action.new_asset is not None:
                child = price_by_hand(random_book, action.new_asset, action.date)
                spun_off = 0.0 if child is None else child * float(action.ratio or 1)
                price -= spun_off if spun_off <= price else 0.0
        return price
    for action in random_book.actions:
        if action.new_asset == asset and action.kind != "spin_off" and action.date <= day:
            earlier = [other for other in random_book.actions if other.date <= action.date]
            parent = price_by_hand(replace(random_book, actions=earlier), action.asset, day)
            left = 0.0 if parent is None else parent - float(action.amount or 0)
            return left / float(action.ratio or 1) if left > 0 else None
    return None


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
                price = price_by_hand(random_book, asset, day)
                if price is None:
                    expected += float(states[-1].costs[asset])
                else:
                    expected += float(quantity) * price * float(rate or 0)
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


@settings(max_examples=60, deadline=None)
@given(random_books(), METHODS)
def test_the_gains_of_assets_and_the_rest_make_the_gain_of_the_book(
    random_book: RandomBook, method: CostMethod
) -> None:
    """Asset by asset: value changes less what was put in; cash: interest, fees, taxes and rates."""
    v = valued(random_book, book(random_book, method))
    of_assets = np.diff(v.positions, axis=1, prepend=0.0) - v.net_purchases + v.asset_income - v.asset_costs
    of_book = np.diff(v.total_value, prepend=0.0) - v.inflow + v.outflow
    rest = (
        (v.income - v.asset_income.sum(axis=0))
        - (v.fees + v.taxes - v.asset_costs.sum(axis=0))
        + v.fx_on_cash
    )
    np.testing.assert_allclose(of_assets.sum(axis=0) + rest, of_book, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(random_books(), METHODS, st.sampled_from(["3", "0.01", "1000"]))
def test_all_money_times_k_is_every_figure_times_k(
    random_book: RandomBook, method: CostMethod, factor: str
) -> None:
    """Prices, fees and amounts times k; units and rates as they are."""
    k = Decimal(factor)

    def times(number: Decimal | None) -> Decimal | None:
        return None if number is None else number * k

    scaled = RandomBook(
        [
            replace(
                entry,
                price=times(entry.price),
                amount=times(entry.amount),
                fee=times(entry.fee),
                tax=times(entry.tax),
                counter_amount=times(entry.counter_amount),
            )
            for entry in random_book.entries
        ],
        [replace(action, amount=times(action.amount)) for action in random_book.actions],
        {
            asset: {day: str(Decimal(str(price)) * k) for day, price in table.items()}
            for asset, table in random_book.prices.items()
        },
        random_book.rates,
    )
    before, after = (valued(one, book(one, method)) for one in (random_book, scaled))
    for name in ("total_value", "realized", "realized_fx", "unrealized_pnl", "fx_on_cash", "income", "fees"):
        expected = getattr(before, name) * float(k)
        np.testing.assert_allclose(getattr(after, name), expected, rtol=1e-9, atol=1e-6 * float(k))
    np.testing.assert_allclose(after.weights, before.weights, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(random_books(), METHODS)
def test_a_full_close_leaves_no_dust(random_book: RandomBook, method: CostMethod) -> None:
    last_day = add_days(FIRST_DAY, DAYS)
    open_positions = book(random_book, method)[-1].lots if random_book.entries else {}
    closing = []
    for asset, lots in open_positions.items():
        for kind, sign in (("sell", 1), ("cover", -1)):
            units = sum(lot.quantity * sign for lot in lots if lot.quantity * sign > 0)
            if units:
                # As a broker writes it: twelve decimals.
                shown = units.quantize(Decimal("1e-12"))
                closing.append(entry(kind, last_day, asset, CURRENCY_OF[asset], quantity=shown, price=100))
    closed = replace(random_book, entries=[*random_book.entries, *closing])
    books = book(closed, method)
    assert not books or (books[-1].quantities, books[-1].costs, books[-1].lots) == ({}, {}, {})
