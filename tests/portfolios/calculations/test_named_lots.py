"""Sales that name their lots: exactly these leave the books, whatever the cost method."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolios.calculations.entries import Entry, LedgerError
from portfolios.calculations.ledger import DayBook
from portfolios.calculations.lots import (
    COST_METHODS,
    CostMethod,
    Lot,
    NamedLot,
    NamedLotsError,
    take_named_lots,
    total_cost,
    total_quantity,
)
from tests.portfolios.calculations.booking import action, add_days, entry, split, walk

OLD = entry("buy", "2024-01-02", 1, quantity=10, price=100)
NEW = entry("buy", "2024-02-02", 1, quantity=10, price=130)


def sale(quantity: str, *named: tuple[Entry, str], day: str = "2024-03-04", kind: str = "sell") -> Entry:
    lots = tuple(NamedLot(purchase.id, Decimal(units)) for purchase, units in named)
    return replace(entry(kind, day, 1, quantity=quantity, price=120), lots=lots)


def units(book: DayBook) -> dict[int, Decimal]:
    return {lot.id: lot.quantity for lots in book.lots.values() for lot in lots}


@pytest.mark.parametrize("method", ["fifo", "lifo", "hifo"])
def test_exactly_the_named_lots_are_sold_whatever_the_method(method: CostMethod) -> None:
    last = walk([OLD, NEW, sale("7", (NEW, "4"), (OLD, "3"))], method=method)[-1]
    assert units(last) == {OLD.id: 7, NEW.id: 6}
    assert last.realized == 7 * 120 - 3 * 100 - 4 * 130
    assert last.costs == {1: 7 * 100 + 6 * 130}
    (closing,) = last.closings
    assert [(lot.id, lot.quantity) for lot in closing.lots] == [(NEW.id, 4), (OLD.id, 3)]
    assert closing.proceeds == 840


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (sale("3", (NEW, "2")), "the named lots add up to 2"),
        (sale("11", (NEW, "11")), f"11 of lot {NEW.id}, which holds only 10"),
        (sale("2", (entry("buy", "2024-01-02", 1), "2")), "is not open"),
        (sale("2", (NEW, "1"), (NEW, "1")), "a lot is named twice"),
        (sale("0.5", (OLD, "1.5"), (NEW, "-1")), "must be above 0"),
        (sale("2", (NEW, "2"), day="2024-01-15"), f"lot {NEW.id} is not open"),
    ],
)
def test_lots_that_cannot_be_taken_are_refused(wrong: Entry, reason: str) -> None:
    with pytest.raises(LedgerError, match=reason) as caught:
        walk([OLD, NEW, wrong], names={1: "ACME"})
    assert caught.value.entry == wrong
    assert "ACME" in str(caught.value)


def test_average_cost_knows_no_lots() -> None:
    with pytest.raises(LedgerError, match="at average cost a sale cannot name its lots"):
        walk([OLD, NEW, sale("2", (NEW, "2"))], method="average")


def test_a_lot_that_was_sold_before_is_not_open_any_more() -> None:
    earlier = entry("sell", "2024-02-20", 1, quantity=10, price=120)
    with pytest.raises(LedgerError, match=f"lot {OLD.id} is not open"):
        walk([OLD, NEW, earlier, sale("1", (OLD, "1"))])


def test_on_one_day_named_lots_go_first() -> None:
    unnamed = entry("sell", "2024-03-04", 1, quantity=10, price=90)
    named = sale("10", (OLD, "10"))
    for entries in ([OLD, NEW, unnamed, named], [named, unnamed, NEW, OLD]):
        last = walk(entries)[-1]
        assert last.lots == {}
        assert [closing.entry for closing in last.closings] == [named.id, unnamed.id]


def test_quantities_are_those_of_the_day_of_the_sale() -> None:
    """Ten shares of 100 become thirty; fifteen of them cost 500."""
    last = walk([OLD, NEW, sale("15", (OLD, "15"))], [split(1, "2024-02-20", "3")])[-1]
    assert units(last) == {OLD.id: 15, NEW.id: 30}
    assert last.realized == 15 * 120 - 500


def test_the_rounded_rest_of_a_split_lot_sells_out() -> None:
    third = split(1, "2024-02-20", "1/3")
    last = walk([OLD, NEW, sale("3.333333333333", (OLD, "3.333333333333"))], [third])[-1]
    assert set(units(last)) == {NEW.id}


def test_shares_of_a_spin_off_are_named_by_the_purchase_they_came_from() -> None:
    spin_off = action("spin_off", 1, "2024-02-20", 2, ratio="1/2", cost_allocation="0.2")
    lots = (NamedLot(OLD.id, Decimal(5)),)
    heirs = replace(entry("sell", "2024-03-04", 2, quantity=5, price=60), lots=lots)
    last = walk([OLD, NEW, heirs], [spin_off])[-1]
    assert last.realized == 5 * 60 - 200
    assert last.quantities == {1: 20, 2: 5}


def test_a_cover_and_a_transfer_out_name_lots_too() -> None:
    first, second = (
        entry("short", day, 1, quantity=10, price=price)
        for day, price in [("2024-01-02", 100), ("2024-02-02", 130)]
    )
    last = walk([first, second, sale("4", (second, "4"), kind="cover")])[-1]
    assert units(last) == {first.id: -10, second.id: -6}
    assert last.realized == 4 * 130 - 4 * 120
    moved = walk([OLD, NEW, sale("10", (NEW, "10"), kind="transfer_out")])[-1]
    assert units(moved) == {OLD.id: 10}


def test_what_was_left_keeps_its_order() -> None:
    lots = [Lot(Decimal(10), Decimal(100), date(2024, 1, day), day) for day in (1, 2, 3)]
    _, left = take_named_lots(lots, [NamedLot(2, Decimal(4))])
    assert [lot.id for lot in left] == [1, 2, 3]
    with pytest.raises(NamedLotsError):
        take_named_lots([], [NamedLot(2, Decimal(4))])


PURCHASES = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 300)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(PURCHASES, st.data(), st.sampled_from(COST_METHODS[:3]))
def test_the_books_after_a_named_sale_are_the_sum_of_the_parts(
    purchases: list[tuple[int, int]], data: st.DataObject, method: CostMethod
) -> None:
    bought = [
        entry("buy", add_days("2024-01-01", place), 1, quantity=size, price=price)
        for place, (size, price) in enumerate(purchases)
    ]
    taken = [Decimal(data.draw(st.integers(0, size * 4))) / 4 for size, _ in purchases]
    named = tuple(NamedLot(one.id, part) for one, part in zip(bought, taken, strict=True) if part)
    if not named:
        return
    total = sum(taken, Decimal(0))
    sold = replace(entry("sell", "2024-03-01", 1, quantity=total, price=77), lots=named)
    last = walk([*bought, sold], method=method)[-1]
    kept = [(one, (one.quantity or 0) - part) for one, part in zip(bought, taken, strict=True)]
    assert units(last) == {one.id: left for one, left in kept if left}
    cost_sold = sum(part * price for part, (_, price) in zip(taken, purchases, strict=True))
    assert last.realized == total * 77 - cost_sold
    assert last.costs.get(1, 0) == sum(left * (one.price or 0) for one, left in kept)
    (closing,) = last.closings
    assert total_quantity(closing.lots) == total
    assert total_cost(closing.lots) == cost_sold
