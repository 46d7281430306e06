"""Cash by date: what it comes to after every move, and the days that end below the reserve."""

import datetime as dt
from decimal import Decimal as D
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.cash_ladder import (
    CashMove,
    Rung,
    Shortfall,
    cash_ladder,
    settlement_day,
    shortfalls,
)

DAY = dt.date(2024, 3, 28)  # a Thursday


def later(days: int) -> dt.date:
    return DAY + dt.timedelta(days=days)


def test_every_move_changes_cash_and_what_must_be_kept() -> None:
    moves = [
        CashMove(later(9), D(-300), "fee", frees=D(300)),
        CashMove(later(2), D(500), "sells"),
        CashMove(later(2), D(-450), "buys"),
    ]
    assert cash_ladder(DAY, D(400), D(350), moves, "settled cash") == [
        Rung(DAY, D(400), D(350), D(0), "settled cash"),
        Rung(later(2), D(900), D(350), D(500), "sells"),
        Rung(later(2), D(450), D(350), D(-450), "buys"),
        Rung(later(9), D(150), D(50), D(-300), "fee"),
    ]


def test_what_is_overdue_moves_on_the_first_day() -> None:
    ladder = cash_ladder(DAY, D(400), D(300), [CashMove(later(-9), D(-300), "fee", D(300))], "settled cash")
    assert ladder[-1] == Rung(DAY, D(100), D(0), D(-300), "fee")


def test_a_shortfall_lasts_until_the_cash_is_there_again() -> None:
    moves = [
        CashMove(later(1), D(-100), "bought"),
        CashMove(later(2), D(-50), "bought too"),
        CashMove(later(3), D(200), "sold"),
        CashMove(later(4), D(-500), "withdrawn"),
    ]
    ladder = cash_ladder(DAY, D(120), D(100), moves, "settled cash")
    assert shortfalls(ladder) == [
        Shortfall(later(1), later(3), D(20), D(100)),
        Shortfall(later(4), None, D(-330), D(100)),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_within_a_day_the_order_does_not_matter(order: int) -> None:
    moves = [CashMove(later(1), D(100), "sold"), CashMove(later(1), D(-100), "bought")][::order]
    assert shortfalls(cash_ladder(DAY, D(50), D(50), moves, "")) == []


def test_exactly_the_reserve_is_enough() -> None:
    moves = [CashMove(later(1), D(-10), "bought"), CashMove(later(2), D("-0.01"), "bought")]
    assert shortfalls(cash_ladder(DAY, D(60), D(50), moves, "")) == [
        Shortfall(later(2), None, D("49.99"), D(50))
    ]


def test_what_is_short_on_the_first_day_and_repaired_is_no_news() -> None:
    assert shortfalls(cash_ladder(DAY, D(0), D(50), [CashMove(later(4), D(50), "sold")], "")) == []


@given(st.lists(st.tuples(st.integers(-3, 9), st.decimals(-1000, 1000, places=2)), max_size=8))
def test_nothing_is_lost_on_the_ladder(moves: list[tuple[int, D]]) -> None:
    ladder = cash_ladder(DAY, D(10), D(0), [CashMove(later(n), amount, "") for n, amount in moves], "")
    assert ladder[-1].cash == 10 + sum(amount for _, amount in moves)
    assert [rung.date for rung in ladder] == sorted(rung.date for rung in ladder)
    for before, after in pairwise(ladder):
        assert after.cash - before.cash == after.change


@pytest.mark.parametrize(
    ("day", "days", "settles"),
    [
        (dt.date(2024, 3, 25), 2, dt.date(2024, 3, 28)),
        (dt.date(2024, 3, 28), 2, dt.date(2024, 4, 2)),
        (dt.date(2024, 3, 29), 2, dt.date(2024, 4, 3)),
        (dt.date(2024, 3, 30), 1, dt.date(2024, 4, 2)),
        (dt.date(2024, 3, 28), 0, dt.date(2024, 3, 29)),
        (dt.date(2024, 3, 29), 0, dt.date(2024, 4, 1)),
    ],
)
def test_trades_are_made_on_the_next_weekday_and_settle_weekdays_later(
    day: dt.date, days: int, settles: dt.date
) -> None:
    assert settlement_day(day, days) == settles
