"""Which lots a sale takes, and what each method realises on one and the same sale."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calculations.sale_lots import (
    CHOOSING_METHODS,
    SaleMethod,
    TaxRates,
    choose_lots,
    compare_methods,
    disallow_loss,
)
from analytics.calculations.sale_taxes import sale_tax
from portfolios.calculations.lots import (
    InsufficientLotsError,
    Lot,
    NamedLot,
    NamedLotsError,
    match_lots,
    total_quantity,
)

DAY = date(2024, 6, 28)
RATES = TaxRates(short=Decimal("0.35"), long=Decimal("0.15"))


def lot(number: int, quantity: str, unit_cost: str | None, held: int) -> Lot:
    cost = None if unit_cost is None else Decimal(quantity) * Decimal(unit_cost)
    return Lot(Decimal(quantity), cost, DAY - timedelta(days=held), number)


# Oldest first, at a price of 100: a long-term gain, a long-term loss, no gain, short-term loss and gain.
LOTS = [
    lot(1, "10", "60", 900),
    lot(2, "10", "110", 800),
    lot(3, "10", "100", 300),
    lot(4, "10", "106", 200),
    lot(5, "10", "90", 100),
]


def taken(method: SaleMethod, quantity: str = "50", lots: list[Lot] = LOTS) -> list[int]:
    return [
        part.lot
        for part in choose_lots(lots, Decimal(quantity), method, price=Decimal(100), day=DAY, rates=RATES)
    ]


@pytest.mark.parametrize(
    ("method", "order"),
    [
        ("fifo", [1, 2, 3, 4, 5]),
        ("lifo", [5, 4, 3, 2, 1]),
        ("hifo", [2, 4, 3, 5, 1]),
        ("lowest", [1, 5, 3, 4, 2]),
        ("tax", [4, 2, 3, 5, 1]),
        ("average", [1, 2, 3, 4, 5]),
    ],
)
def test_the_order_of_the_methods(method: SaleMethod, order: list[int]) -> None:
    """By tax: 6 x 35 % lost, 10 x 15 % lost, nothing, 10 x 35 %, and 40 x 15 % gained."""
    assert taken(method) == order


def test_without_rates_losses_go_first_and_short_term_ones_before_long_term_ones() -> None:
    sold = choose_lots(
        LOTS, Decimal(50), "tax", price=Decimal(100), day=DAY, rates=TaxRates(Decimal(0), Decimal(0))
    )
    assert [part.lot for part in sold] == [4, 2, 3, 1, 5]


def test_the_figures_of_a_lot_that_is_sold_in_part() -> None:
    (first, second) = choose_lots(LOTS, Decimal(14), "tax", price=Decimal(100), day=DAY, rates=RATES)
    assert (first.lot, first.term, first.gain, first.tax) == (4, "short", -60, Decimal("-21"))
    assert (second.lot, second.quantity, second.cost, second.proceeds) == (2, 4, 440, 400)
    assert (second.term, second.gain, second.tax) == ("long", -40, Decimal("-6"))
    assert second.opened == LOTS[1].opened


def test_a_lot_is_long_term_only_when_it_was_held_for_more_days() -> None:
    assert RATES.term(DAY - timedelta(days=365), DAY) == "short"
    assert RATES.term(DAY - timedelta(days=366), DAY) == "long"


def test_named_lots_are_taken_as_named() -> None:
    named = [NamedLot(5, Decimal(2)), NamedLot(1, Decimal(3))]
    sold = choose_lots(LOTS, Decimal(5), "specific", price=Decimal(100), day=DAY, rates=RATES, named=named)
    assert [(part.lot, part.quantity, part.gain) for part in sold] == [(5, 2, 20), (1, 3, 120)]
    with pytest.raises(ValueError, match="add up to 5, not to 6"):
        choose_lots(LOTS, Decimal(6), "specific", price=Decimal(100), day=DAY, rates=RATES, named=named)
    with pytest.raises(NamedLotsError):
        choose_lots(LOTS[1:], Decimal(5), "specific", price=Decimal(100), day=DAY, rates=RATES, named=named)


@pytest.mark.parametrize("method", CHOOSING_METHODS)
def test_a_sale_beyond_the_lots_is_an_error(method: SaleMethod) -> None:
    with pytest.raises(InsufficientLotsError, match=r"50\.5 asked, 50 held"):
        taken(method, "50.5")
    with pytest.raises(InsufficientLotsError):
        taken(method, "1", [])
    with pytest.raises(ValueError, match="must be above 0"):
        taken(method, "0")


def test_a_lot_of_unknown_cost_comes_last_and_its_tax_is_unknown() -> None:
    lots = [lot(6, "10", None, 1000), *LOTS]
    for method in ("hifo", "lowest", "tax"):
        assert taken(method, "60", lots)[-1] == 6
    (sold,) = choose_lots(lots, Decimal(4), "fifo", price=Decimal(100), day=DAY, rates=RATES)
    assert (sold.cost, sold.gain, sold.tax, sold.proceeds) == (None, None, None, 400)
    pooled = choose_lots(lots, Decimal(20), "average", price=Decimal(100), day=DAY, rates=RATES)
    assert {part.gain for part in pooled} == {None}
    assert disallow_loss(sold, Decimal(5), RATES) == sold


def test_a_disallowed_loss_saves_no_tax() -> None:
    (sold,) = choose_lots(LOTS, Decimal(10), "tax", price=Decimal(100), day=DAY, rates=RATES)
    washed = disallow_loss(sold, Decimal(40), RATES)
    assert (washed.gain, washed.disallowed, washed.tax) == (-60, 40, Decimal("-7"))


# B7: buy 109 for 3149.20 and 52 for 1684.92, sell 15 for 531.50


@pytest.mark.parametrize(
    ("method", "gain"), [("fifo", "98.12385321100917"), ("average", "81.11614906832298")]
)
def test_b7_first_in_first_out_against_the_average(method: SaleMethod, gain: str) -> None:
    lots = [
        Lot(Decimal(109), Decimal("3149.20"), date(2010, 1, 1), 1),
        Lot(Decimal(52), Decimal("1684.92"), date(2010, 2, 1), 2),
    ]
    sold = choose_lots(
        lots, Decimal(15), method, price=Decimal("531.50") / 15, day=date(2010, 3, 1), rates=RATES
    )
    assert sum(part.gain or 0 for part in sold) == pytest.approx(Decimal(gain), abs=Decimal("1e-13"))


UNITS = st.integers(1, 400).map(lambda units: Decimal(units) / 4)
MANY_LOTS = st.lists(
    st.builds(
        lambda quantity, cost, held: (quantity, cost, held), UNITS, st.integers(1, 200), st.integers(0, 800)
    ),
    min_size=1,
    max_size=8,
).map(
    lambda parts: [
        lot(number, str(quantity), str(cost), held)
        for number, (quantity, cost, held) in enumerate(sorted(parts, key=lambda part: -part[2]))
    ]
)
SOME_RATES = st.builds(
    lambda short, long: TaxRates(Decimal(short) / 100, Decimal(long) / 100),
    st.integers(0, 60),
    st.integers(0, 60),
)


@settings(max_examples=80, deadline=None)
@given(MANY_LOTS, st.integers(1, 16), SOME_RATES, st.integers(1, 200))
def test_lots_add_up_and_minimum_tax_is_never_dearer(
    lots: list[Lot], sixteenths: int, rates: TaxRates, price: int
) -> None:
    quantity = total_quantity(lots) * sixteenths / 16
    sales = compare_methods(lots, quantity, price=Decimal(price), day=DAY, rates=rates)
    least = sale_tax(sales["tax"])
    assert least is not None
    for method, sold in sales.items():
        assert sum((part.quantity for part in sold), Decimal(0)) == quantity
        for part in sold:
            assert abs((part.gain or 0) - (part.proceeds - (part.cost or 0))) < 1e-20
            held = next(one for one in lots if one.id == part.lot)
            assert 0 < part.quantity <= held.quantity
        tax = sale_tax(sold)
        assert tax is not None
        if method != "average":  # which moves cost from lot to lot
            assert least <= tax + Decimal("1e-20")


@settings(max_examples=60, deadline=None)
@given(MANY_LOTS, st.integers(1, 16))
def test_the_methods_of_the_books_take_what_the_books_take(lots: list[Lot], sixteenths: int) -> None:
    quantity = total_quantity(lots) * sixteenths / 16
    for method in ("fifo", "lifo", "hifo"):
        closed, _ = match_lots(lots, quantity, method)
        sold = choose_lots(lots, quantity, method, price=Decimal(100), day=DAY, rates=RATES)
        assert {(part.lot, part.quantity, part.cost) for part in sold} == {
            (one.id, one.quantity, one.cost) for one in closed
        }
