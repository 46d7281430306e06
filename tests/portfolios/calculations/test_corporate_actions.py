"""Spin-offs, mergers and symbol changes: shares move, costs and dates of purchase go with them."""

import datetime as dt
from decimal import Decimal
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolios.calculations.corporate_actions import apply_action
from portfolios.calculations.entries import LedgerError
from portfolios.calculations.ledger import DayBook, Unknown
from portfolios.calculations.lots import COST_METHODS, CostMethod, Lot
from portfolios.calculations.positions import Positions
from portfolios.calculations.values import Market
from tests.portfolios.calculations.booking import action, at, entry, every_day, split, value, walk

OLD, NEW, THIRD = 1, 2, 3
TWO_LOTS = [
    entry("buy", "2020-01-01", OLD, quantity=10, price=100),
    entry("buy", "2020-02-01", OLD, quantity=30, price=120),
]


def lot_terms(book: DayBook, asset: int) -> list[tuple[Decimal, Decimal | None, dt.date]]:
    return [(lot.quantity, lot.cost, lot.opened) for lot in book.lots[asset]]


@pytest.mark.parametrize("kind", ["symbol_change", "merger"])
@pytest.mark.parametrize("method", COST_METHODS)
def test_shares_for_shares_keep_lots_costs_and_dates(kind: str, method: CostMethod) -> None:
    book = walk(TWO_LOTS, [action(kind, OLD, "2020-03-01", NEW, ratio="3/2")], method=method)[-1]
    assert lot_terms(book, NEW) == [
        (Decimal(15), Decimal(1000), dt.date(2020, 1, 1)),
        (Decimal(45), Decimal(3600), dt.date(2020, 2, 1)),
    ]
    assert (book.quantities, book.costs) == ({NEW: 60}, {NEW: 4600})
    assert (book.realized, book.cash, book.unknown) == (0, {"EUR": -4600}, ())


def test_a_symbol_change_needs_no_ratio_and_the_old_symbol_cannot_be_sold_any_more() -> None:
    change = action("symbol_change", OLD, "2020-03-01", NEW)
    sale = entry("sell", "2020-03-01", OLD, quantity=1, price=100)
    with pytest.raises(LedgerError, match="only 0 held"):
        walk([*TWO_LOTS, sale], [change])
    sold = walk([*TWO_LOTS, entry("sell", "2020-03-01", NEW, quantity=10, price=130)], [change])[-1]
    assert (sold.quantities, sold.realized) == ({NEW: 30}, 300)


def test_a_merger_for_cash_sells_everything_at_its_price() -> None:
    book = walk(TWO_LOTS, [action("merger", OLD, "2020-03-01", amount=150)])[-1]
    assert (book.quantities, book.costs, book.lots) == ({}, {}, {})
    assert book.cash == {"EUR": 6000 - 4600}
    assert (book.realized, book.cash_booked, book.net_purchases) == (1400, 6000, {OLD: -6000})


def test_a_merger_for_shares_and_cash_divides_the_cost_by_market_values() -> None:
    """Half a new share at 160 and 40 in cash for each old one: two thirds of the cost move."""
    merger = action("merger", OLD, "2020-03-01", NEW, ratio="1/2", amount=40)
    book = walk(TWO_LOTS, [merger], prices={NEW: {"2020-02-28": 160}})[-1]
    assert book.quantities == {NEW: 20}
    assert float(book.costs[NEW]) == pytest.approx(4600 * 2 / 3, abs=1e-12)
    assert float(book.realized) == pytest.approx(1600 - 4600 / 3, abs=1e-12)
    assert book.cash["EUR"] == 1600 - 4600
    assert book.net_purchases == {NEW: 3200, OLD: -4800}


@pytest.mark.parametrize("terms", [{"ratio": "1/2", "amount": 40}])
def test_a_stated_allocation_goes_before_market_values(terms: dict) -> None:
    merger = action("merger", OLD, "2020-03-01", NEW, cost_allocation="0.75", **terms)
    book = walk(TWO_LOTS, [merger], prices={NEW: {"2020-02-28": 160}})[-1]
    assert book.costs == {NEW: 3450}
    assert book.realized == 1600 - 1150


def test_a_spin_off_divides_the_cost_by_the_closes_of_its_day() -> None:
    spin_off = action("spin_off", OLD, "2020-03-01", NEW, ratio="1/4")
    prices = {OLD: {"2020-03-01": 90}, NEW: {"2020-03-01": 40, "2020-03-02": 999}}
    book = walk(TWO_LOTS, [spin_off], prices=prices)[-1]
    assert book.quantities == {OLD: 40, NEW: 10}
    assert (book.costs[OLD], book.costs[NEW]) == (4140, 460)
    assert [opened for _, _, opened in lot_terms(book, NEW)] == [dt.date(2020, 1, 1), dt.date(2020, 2, 1)]
    assert book.net_purchases == {OLD: -400, NEW: 400}
    assert (book.realized, book.unknown) == (0, ())


def spun_off(parent: str, child: str, *, traded: bool, held: int = 40, **terms: str) -> Positions:
    """Bought for 4600 and split one for four, at the prices known on the day."""
    lots = [Lot(Decimal(held), Decimal(4600).copy_sign(held), dt.date(2020, 1, 1), 1)]
    positions = Positions("fifo", long={OLD: lots})
    known = {OLD: Decimal(parent)} | ({NEW: Decimal(child)} if child else {})
    market = Market(
        "EUR",
        rate=lambda currency, day: None,
        price=lambda asset, day: known.get(asset),
        currencies={},
        names={},
        traded=lambda asset, day: asset != OLD or traded,
    )
    apply_action(action("spin_off", OLD, "2020-03-01", NEW, ratio="1/4", **terms), positions, market)
    positions.refresh()
    return positions


@pytest.mark.parametrize("terms", [{"child": "40"}, {"child": "", "amount": "40"}], ids=["price", "stated"])
@pytest.mark.parametrize("held", [40, -40], ids=["long", "short"])
def test_a_close_from_before_the_day_still_contains_what_is_spun_off(terms: Any, held: int) -> None:
    """100 with the new shares are 90 without them: a tenth of the cost moves, whether OLD trades or not."""
    expected = {OLD: Decimal(4140).copy_sign(held), NEW: Decimal(460).copy_sign(held)}
    assert spun_off("90", traded=True, held=held, **terms).costs == expected
    assert spun_off("100", traded=False, held=held, **terms).costs == expected


def test_new_shares_worth_more_than_the_old_ones_were_with_them_leave_the_costs_unknown() -> None:
    assert spun_off("9", "40", traded=False).costs == {}
    assert spun_off("10", "40", traded=False).costs == {OLD: 0, NEW: 4600}


def test_a_stated_allocation_needs_no_close_of_the_day() -> None:
    found = spun_off("9", "40", traded=False, cost_allocation="0.25")
    assert found.costs == {OLD: 3450, NEW: 1150}


def test_a_spin_off_may_state_the_value_of_a_share_that_does_not_trade_yet() -> None:
    spin_off = action("spin_off", OLD, "2020-03-01", NEW, ratio="1/4", amount=40)
    book = walk(TWO_LOTS, [spin_off], prices={OLD: {"2020-03-01": 90}})[-1]
    assert book.costs == {OLD: 4140, NEW: 460}


def test_a_spin_off_without_values_leaves_the_costs_unknown_not_zero() -> None:
    book = walk(TWO_LOTS, [action("spin_off", OLD, "2020-03-01", NEW, ratio="1/4")])[-1]
    assert book.quantities == {OLD: 40, NEW: 10}
    assert book.costs == {}
    assert book.net_purchases == {OLD: None, NEW: None}


def test_costs_of_a_spin_off_add_up_whatever_the_share() -> None:
    spin_off = action("spin_off", OLD, "2020-03-01", NEW, ratio="1/3", cost_allocation="0.123456789")
    book = walk(TWO_LOTS, [spin_off])[-1]
    assert book.costs[OLD] + book.costs[NEW] == 4600


def test_a_short_position_follows_its_shares_too() -> None:
    short = entry("short", "2020-01-01", OLD, quantity=10, price=100)
    moved = walk([short], [action("symbol_change", OLD, "2020-03-01", NEW)])[-1]
    assert (moved.quantities, moved.costs) == ({NEW: -10}, {NEW: -1000})
    paid = walk([short], [action("merger", OLD, "2020-03-01", amount=120)])[-1]
    assert (paid.quantities, paid.cash, paid.realized) == ({}, {"EUR": 1000 - 1200}, -200)


def test_a_split_comes_before_the_merger_of_its_day_whatever_their_order() -> None:
    actions = [action("merger", OLD, "2020-03-01", NEW, ratio="1"), split(OLD, "2020-03-01", "2")]
    for order in permutations(actions):
        assert walk(TWO_LOTS, order)[-1].quantities == {NEW: 80}


def test_actions_of_what_came_from_an_action_are_followed() -> None:
    actions = [
        action("symbol_change", OLD, "2020-03-01", NEW),
        action("merger", NEW, "2020-04-01", THIRD, ratio="2"),
    ]
    assert walk(TWO_LOTS, actions)[-1].quantities == {THIRD: 80}


def test_actions_of_one_day_follow_each_other_whatever_their_kind() -> None:
    actions = [
        action("symbol_change", OLD, "2020-03-01", NEW),
        action("merger", NEW, "2020-03-01", THIRD, ratio="2"),
    ]
    for order in permutations(actions):
        assert walk(TWO_LOTS, order)[-1].quantities == {THIRD: 80}


def test_a_foreign_merger_for_cash_has_its_gain_from_the_rate() -> None:
    buy = entry("buy", "2020-01-01", OLD, currency="USD", quantity=10, price=100)
    book = walk(
        [buy],
        [action("merger", OLD, "2020-03-01", amount=110)],
        rates={"USD": {"2020-01-01": "0.9", "2020-03-01": "0.8"}},
        asset_currencies={OLD: "USD"},
    )[-1]
    assert book.cash == {"USD": 100}
    assert (book.realized, book.realized_fx) == (880 - 900, 800 - 900)


def test_an_unknown_rate_of_a_cash_merger_is_said_and_never_one() -> None:
    book = walk(
        [entry("buy", "2020-01-01", OLD, currency="USD", quantity=10, price=100, fx_rate="0.9")],
        [action("merger", OLD, "2020-03-01", amount=110)],
        asset_currencies={OLD: "USD"},
    )[-1]
    reason = "no EUR rate for USD on 2020-03-01"
    assert {Unknown("realized", reason), Unknown("cash_booked", reason)} <= set(book.unknown)
    assert book.realized == 0


def test_value_and_returns_do_not_jump_when_a_symbol_changes() -> None:
    prices = {OLD: {"2020-02-28": 130}, NEW: {"2020-03-01": 130, "2020-03-02": 131}}
    books = walk(TWO_LOTS, [action("symbol_change", OLD, "2020-03-01", NEW)], prices=prices)
    found = value(books, prices, every_day("2020-02-28", "2020-03-02"))
    assert at(found, found.invested_value, "2020-02-29") == at(found, found.invested_value, "2020-03-01")
    assert at(found, found.unrealized_pnl, "2020-03-02") == 40 * 131 - 4600


@given(
    share=st.decimals("0", "1", places=6),
    ratio=st.fractions(min_value="1/50", max_value=50, max_denominator=50),
    quantities=st.lists(st.integers(1, 10**6), min_size=1, max_size=4),
)
def test_no_action_makes_or_loses_cost(share: Decimal, ratio: object, quantities: list[int]) -> None:
    entries = [entry("buy", "2020-01-01", OLD, quantity=units, price="7.77") for units in quantities]
    book = walk(
        entries, [action("spin_off", OLD, "2020-03-01", NEW, ratio=str(ratio), cost_allocation=str(share))]
    )[-1]
    assert sum(book.costs.values()) == sum(quantities) * Decimal("7.77")
    assert book.quantities[OLD] == sum(quantities)


@pytest.mark.parametrize(
    ("change", "prices_of_new"),
    [
        (action("symbol_change", OLD, "2020-03-02", NEW), [130, 130, 131]),
        (action("merger", OLD, "2020-03-02", NEW, ratio="1/2"), [260, 260, 131]),
        (
            action("merger", OLD, "2020-03-02", NEW, ratio="1/2", amount=30, cost_allocation="0.5"),
            [200, 200, 131],
        ),
        # Worth less than the cash that was paid: there is no such price, so the new shares stand at cost.
        (
            action("merger", OLD, "2020-03-02", NEW, ratio="1/2", amount=130, cost_allocation="0.5"),
            [115, 115, 131],
        ),
    ],
)
def test_new_shares_have_the_price_of_the_old_until_they_trade(change: Any, prices_of_new: list[int]) -> None:
    prices = {OLD: {"2020-02-28": 130}, NEW: {"2020-03-04": 131}}
    books = walk(TWO_LOTS, [change], prices=prices)
    found = value(books, prices, every_day("2020-03-02", "2020-03-04"), splits=[change])
    units = float(books[-1].quantities[NEW])
    np.testing.assert_allclose(found.invested_value[-3:], [units * price for price in prices_of_new])


def test_the_price_of_the_old_shares_follows_the_splits_of_the_new() -> None:
    prices = {OLD: {"2020-02-28": 120}, NEW: {"2020-03-05": 50}}
    actions = [
        split(NEW, "2020-03-04", "3"),
        action("symbol_change", OLD, "2020-03-03", NEW),
        split(OLD, "2020-03-02", "2"),
    ]
    found = value(
        walk(TWO_LOTS, actions, prices=prices), prices, every_day("2020-03-01", "2020-03-05"), splits=actions
    )
    np.testing.assert_allclose(found.invested_value[-5:], [4800, 4800, 4800, 4800, 240 * 50])


@pytest.mark.parametrize(
    ("change", "price_of_new"),
    [
        (action("spin_off", OLD, "2020-03-02", NEW, ratio="1/4"), {"2020-03-02": 40, "2020-03-03": 44}),
        (action("spin_off", OLD, "2020-03-02", NEW, ratio="1/4", amount=40), {"2020-03-03": 44}),
    ],
    ids=["price", "stated"],
)
def test_nothing_is_counted_twice_while_the_old_shares_do_not_trade(change: Any, price_of_new: Any) -> None:
    """40 shares at 100 with the new ones; 30 without them since, which is known a day later only."""
    prices = {OLD: {"2020-02-28": 100, "2020-03-04": 30}, NEW: price_of_new}
    books = walk(TWO_LOTS, [change], prices=prices)
    assert books[-1].costs == {OLD: 4140, NEW: 460}
    found = value(books, prices, every_day("2020-03-01", "2020-03-04"), splits=[change])
    np.testing.assert_allclose(found.invested_value[-4:], [4000, 3600 + 400, 3600 + 440, 1200 + 440])


def test_without_any_value_of_the_new_shares_the_day_is_unknown() -> None:
    prices = {OLD: {"2020-02-28": 100}, NEW: {"2020-03-03": 44}}
    change = action("spin_off", OLD, "2020-03-02", NEW, ratio="1/4")
    found = value(
        walk(TWO_LOTS, [change], prices=prices),
        prices,
        every_day("2020-03-01", "2020-03-03"),
        splits=[change],
    )
    assert np.isnan(at(found, found.invested_value, "2020-03-02"))
