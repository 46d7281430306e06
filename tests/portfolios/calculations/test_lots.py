from datetime import date
from decimal import Decimal, getcontext
from fractions import Fraction

import pytest

from portfolios.calculations.lots import (
    COST_METHODS,
    CostMethod,
    InsufficientLotsError,
    Lot,
    match_lots,
    split_lots,
    total_cost,
    total_quantity,
)


def lot(number: int, quantity: str, cost: str | None) -> Lot:
    return Lot(Decimal(quantity), None if cost is None else Decimal(cost), date(2020, 1, number), number)


THREE = [lot(1, "10", "100"), lot(2, "10", "300"), lot(3, "10", "200")]


@pytest.mark.parametrize(
    ("method", "closed_ids", "closed_cost", "left_ids"),
    [
        ("fifo", [1, 2], "250", [2, 3]),
        ("lifo", [3, 2], "350", [1, 2]),
        ("hifo", [2, 3], "400", [1, 3]),
        ("average", [1], "300", [1]),
    ],
)
def test_each_method_takes_its_lots(
    method: CostMethod, closed_ids: list[int], closed_cost: str, left_ids: list[int]
) -> None:
    closed, left = match_lots(THREE, Decimal(15), method)
    assert [part.id for part in closed] == closed_ids
    assert total_cost(closed) == Decimal(closed_cost)
    assert [part.id for part in left] == left_ids
    assert total_quantity(left) == 15
    assert total_cost(left) == 600 - Decimal(closed_cost)


def test_a_whole_lot_sold_leaves_the_next_untouched() -> None:
    closed, left = match_lots(THREE, Decimal(10), "fifo")
    assert closed == THREE[:1]
    assert left == THREE[1:]


@pytest.mark.parametrize("method", COST_METHODS)
@pytest.mark.parametrize("asked", ["30", "30.000000001", "29.9999999999995"])
def test_a_full_close_leaves_nothing(method: CostMethod, asked: str) -> None:
    closed, left = match_lots(THREE, Decimal(asked), method)
    assert left == []
    assert total_cost(closed) == 600


@pytest.mark.parametrize("asked", ["30.0000000011", "31"])
def test_more_than_the_holding_is_refused(asked: str) -> None:
    with pytest.raises(InsufficientLotsError) as caught:
        match_lots(THREE, Decimal(asked), "fifo")
    assert caught.value.held == 30
    assert caught.value.asked == Decimal(asked)


def test_nothing_held_sells_nothing_however_little_is_asked() -> None:
    with pytest.raises(InsufficientLotsError):
        match_lots([], Decimal("1e-12"), "fifo")


def test_hifo_takes_the_oldest_of_equal_costs_and_unknown_costs_last() -> None:
    lots = [lot(1, "1", None), lot(2, "1", "5"), lot(3, "1", "5")]
    closed, left = match_lots(lots, Decimal(1), "hifo")
    assert [part.id for part in closed] == [2]
    closed, left = match_lots(left, Decimal(1), "hifo")
    assert [part.id for part in closed] == [3]
    assert [part.id for part in left] == [1]


def test_an_unknown_cost_stays_unknown_in_both_parts() -> None:
    closed, left = match_lots([lot(1, "4", None)], Decimal(1), "fifo")
    assert total_cost(closed) is None
    assert total_cost(left) is None
    assert total_quantity(left) == 3


def test_short_lots_are_closed_by_their_size() -> None:
    closed, left = match_lots([lot(1, "-10", "-100"), lot(2, "-5", "-60")], Decimal(12), "fifo")
    assert total_quantity(closed) == -12
    assert total_cost(closed) == -124
    assert total_quantity(left) == -3
    assert left[0].unit_cost == 12


@pytest.mark.parametrize("ratios", [("2", "1/3"), ("7/3",), ("7", "1/10", "3/7")])
def test_splits_keep_the_cost_and_multiply_by_the_exact_ratio(ratios: tuple[str, ...]) -> None:
    lots, expected = [lot(1, "10", "1000")], Fraction(10)
    for ratio in ratios:
        lots, expected = split_lots(lots, Fraction(ratio)), expected * Fraction(ratio)
    assert abs(Fraction(lots[0].quantity) - expected) < Fraction(1, 10**45)
    assert lots[0].cost == 1000


def test_a_split_and_its_reverse_restore_the_quantity() -> None:
    there = split_lots([lot(1, "10", "1000")], Fraction(2, 3))
    assert split_lots(there, Fraction(3, 2))[0].quantity == 10


def test_results_do_not_depend_on_the_callers_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = match_lots([lot(1, "3", "10")], Decimal(1), "fifo")
    monkeypatch.setattr(getcontext(), "prec", 4)
    assert match_lots([lot(1, "3", "10")], Decimal(1), "fifo") == expected
