"""Losses that do not count because the same was bought within thirty days of the sale."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calculations.wash_sales import (
    LotSale,
    Purchase,
    WashSale,
    disallowed_of,
    replacement_lots,
    wash_sales,
)
from portfolios.calculations.lots import Lot, total_cost, total_quantity

DAY = date(2024, 6, 28)


def loss(
    quantity: int = 100,
    amount: int = 1000,
    *,
    day: int = 0,
    sale: str = "s",
    lot: str = "old",
    identity: str = "A",
) -> LotSale:
    """Sold on `day` after having been held for 200 days."""
    sold_on = DAY + timedelta(days=day)
    return LotSale(
        sale, lot, identity, sold_on, sold_on - timedelta(days=200), Decimal(quantity), Decimal(amount)
    )


def bought(
    quantity: int,
    day: int,
    name: str = "",
    identity: str = "A",
    sheltered: bool = False,
    sold: tuple[tuple[int, int], ...] = (),
) -> Purchase:
    return Purchase(
        name or f"b{day}",
        identity,
        DAY + timedelta(days=day),
        Decimal(quantity),
        sheltered,
        tuple((DAY + timedelta(days=on), Decimal(units)) for on, units in sold),
    )


def parts(found: list[WashSale]) -> list[tuple[str, Decimal, Decimal]]:
    return [(wash.purchase.name, wash.quantity, wash.disallowed) for wash in found]


@pytest.mark.parametrize(
    ("day", "is_washed"), [(-31, False), (-30, True), (0, True), (30, True), (31, False)]
)
def test_the_window_is_thirty_days_before_and_after(day: int, is_washed: bool) -> None:
    assert bool(wash_sales([loss()], [bought(100, day)])) is is_washed


def test_the_disallowed_part_is_that_of_the_units_replaced() -> None:
    """100 sold at a loss of 1000, 40 bought back: 400 are disallowed."""
    (wash,) = wash_sales([loss()], [bought(40, 10)])
    assert (wash.quantity, wash.disallowed, wash.basis_added, wash.days_added) == (40, 400, 400, 200)


def test_a_replacement_in_a_retirement_account_loses_the_loss() -> None:
    (wash,) = wash_sales([loss()], [bought(40, 10, sheltered=True)])
    assert (wash.disallowed, wash.basis_added, wash.days_added) == (400, 0, 0)


def test_what_was_bought_first_replaces_first() -> None:
    found = wash_sales([loss()], [bought(50, 20), bought(70, -5), bought(50, 10)])
    assert parts(found) == [("b-5", 70, 700), ("b10", 30, 300)]


def test_each_unit_bought_replaces_once() -> None:
    sales = [loss(60, 600, day=5, sale="later"), loss(50, 100, day=0, sale="first")]
    found = wash_sales(sales, [bought(80, 10)])
    assert [(wash.sale.sale, wash.quantity, wash.disallowed) for wash in found] == [
        ("first", 50, 100),
        ("later", 30, 300),
    ]
    assert disallowed_of(found) == {("first", "old"): 100, ("later", "old"): 300}


def test_other_assets_replace_nothing_unless_substantially_identical() -> None:
    assert wash_sales([loss()], [bought(100, 1, identity="B")]) == []
    assert wash_sales([loss(identity="S&P 500")], [bought(100, 1, identity="S&P 500")]) != []


def test_the_rest_of_the_lot_that_was_sold_from_replaces_nothing() -> None:
    assert wash_sales([loss(lot="b-10")], [bought(300, -10)]) == []


def test_units_sold_by_then_replace_nothing() -> None:
    """Bought in two parts, sold together: nothing is left that could replace."""
    found = wash_sales([loss()], [bought(100, -10, sold=((0, 100),))])
    assert found == []
    assert parts(wash_sales([loss()], [bought(100, -10, sold=((-3, 70), (4, 30)))])) == [("b-10", 30, 300)]


def test_the_replacement_becomes_dearer_and_older() -> None:
    (wash,) = wash_sales([loss()], [bought(40, 10)])
    lot = Lot(Decimal(50), Decimal(4000), DAY + timedelta(days=10), 7, Decimal(4000))
    part, rest = replacement_lots([lot], {7: [wash]})
    assert (part.quantity, part.cost, part.opened) == (40, 3200 + 400, lot.opened - timedelta(days=200))
    assert (rest.quantity, rest.cost, rest.opened) == (10, 800, lot.opened)
    assert (part.id, rest.id) == (7, 7)
    assert replacement_lots([lot], {}) == [lot]


def test_of_a_replacement_sold_in_part_the_replaced_units_went_first() -> None:
    (wash,) = wash_sales([loss()], [bought(40, 10, sold=((20, 15),))])
    left = Lot(Decimal(25), Decimal(2500), DAY + timedelta(days=10), 7)
    (part,) = replacement_lots([left], {7: [wash]})
    assert (part.quantity, part.cost) == (25, 2500 + 250)
    (wash,) = wash_sales([loss(10, 100)], [bought(40, 10, sold=((20, 15),))])
    assert replacement_lots([left], {7: [wash]}) == [left]


def test_what_was_added_counts_when_the_replacement_is_sold_at_a_loss() -> None:
    """1000 lost and bought back; sold for 50 more than it cost, that is 950 lost, 40 % of it bought back."""
    replacement, again = bought(100, 10, sold=((25, 100),)), bought(40, 30)
    gain = loss(100, -50, day=25, sale="second", lot="b10")
    gain = replace(gain, opened=replacement.day)
    first, second = wash_sales([gain, loss()], [replacement, again])
    assert (first.disallowed, first.days_added) == (1000, 200)
    assert (second.sale.sale, second.quantity, second.disallowed, second.days_added) == (
        "second",
        40,
        380,
        215,
    )
    assert wash_sales([gain], [replacement, again]) == []
    assert len(wash_sales([loss(), replace(gain, is_adjusted=True)], [replacement, again])) == 1


def test_of_what_is_sold_the_replaced_units_go_first() -> None:
    replacement, again = bought(100, 10, sold=((25, 60),)), bought(60, 30)
    second = replace(loss(60, 120, day=25, sale="second", lot="b10"), opened=replacement.day)
    first, *others = wash_sales([loss(40, 400), second], [replacement, again])
    assert (first.quantity, first.disallowed) == (40, 400)
    assert [(wash.quantity, wash.disallowed, wash.days_added) for wash in others] == [
        (40, 480, 215),
        (20, 40, 15),
    ]


LOSSES = st.lists(
    st.builds(
        lambda day, quantity, amount, identity: (day, quantity, amount, identity),
        st.integers(-60, 60),
        st.integers(1, 50),
        st.integers(1, 500),
        st.sampled_from("AB"),
    ),
    max_size=8,
)
PURCHASES = st.lists(st.tuples(st.integers(-90, 90), st.integers(1, 50), st.sampled_from("AB")), max_size=8)


@settings(max_examples=150, deadline=None)
@given(LOSSES, PURCHASES, st.randoms(use_true_random=False))
def test_no_unit_is_used_twice_and_the_order_never_matters(
    sales: list[tuple[int, int, int, str]], purchases: list[tuple[int, int, str]], random: Random
) -> None:
    losses = [
        loss(quantity, amount, day=day, sale=f"s{place}", identity=identity)
        for place, (day, quantity, amount, identity) in enumerate(sales)
    ]
    offers = [
        bought(quantity, day, f"b{place}", identity)
        for place, (day, quantity, identity) in enumerate(purchases)
    ]
    found = wash_sales(losses, offers)
    for purchase in offers:
        assert sum(wash.quantity for wash in found if wash.purchase == purchase) <= purchase.quantity
    for sale in losses:
        mine = [wash for wash in found if wash.sale == sale]
        replaced = sum(wash.quantity for wash in mine)
        assert replaced <= sale.quantity
        assert abs(sum(wash.disallowed for wash in mine) - sale.loss * replaced / sale.quantity) < 1e-20
        for wash in mine:
            assert wash.purchase.identity == sale.identity
            assert abs((wash.purchase.day - sale.day).days) <= 30
    random.shuffle(losses)
    random.shuffle(offers)
    assert wash_sales(losses, offers) == found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 400)), min_size=1, max_size=4), st.integers(1, 90)
)
def test_the_disallowed_loss_is_all_in_the_cost_of_the_replacement(
    sales: list[tuple[int, int]], quantity: int
) -> None:
    losses = [loss(units, amount, sale=f"s{place}") for place, (units, amount) in enumerate(sales)]
    found = wash_sales(losses, [bought(quantity, 3)])
    lot = Lot(Decimal(quantity), Decimal(1000), DAY + timedelta(days=3), 7)
    adjusted = replacement_lots([lot], {7: found})
    assert abs(total_quantity(adjusted) - quantity) < Decimal("1e-20")
    added = (total_cost(adjusted) or 0) - 1000
    assert abs(added - sum((wash.disallowed for wash in found), Decimal(0))) < Decimal("1e-20")
