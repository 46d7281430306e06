"""Lines with a smallest trade of their own, in place of the one that holds for all."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction as F
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calculations.rebalancing import Line, Rules, Trade, propose
from analytics.calculations.rebalancing_check import check_trades
from analytics.calculations.rebalancing_choices import choose_moves, pose, total_value
from analytics.calculations.rebalancing_many import propose_many
from analytics.calculations.rebalancing_programme import find_best_moves
from analytics.calculations.rebalancing_search import find_good_moves

PRECISION = 2e-7
# 60 of A at 100 and 10 of B at 200, with 2,000 in cash: A is to be sold by 10, B to be bought by 10.
A = Line("A", D(60), D(100), D("0.5"))
B = Line("B", D(10), D(200), D("0.4"))
RULES = Rules(cash=D(2000))


def trade(line: Line, quantity: int) -> Trade:
    amount = abs(quantity) * line.price
    return Trade(line.symbol, "buy" if quantity > 0 else "sell", D(abs(quantity)), line.price, amount, D(0))


@pytest.mark.parametrize(
    ("own", "of_all", "amount", "faults"),
    [
        (D(1000), D(0), 1000, []),
        (D(1001), D(0), 1000, ["A: trade is below the minimum of 1001"]),
        (D(0), D(5000), 1000, []),
        (None, D(1001), 1000, ["A: trade is below the minimum of 1001"]),
    ],
)
def test_the_check_takes_the_minimum_of_the_line_before_that_of_the_rules(
    own: D | None, of_all: D, amount: int, faults: list[str]
) -> None:
    line = replace(A, minimum_trade=own)
    rules = replace(RULES, minimum_trade=of_all)
    assert check_trades([line, B], rules, [trade(line, -amount // 100)]) == faults


def test_a_complete_exit_needs_no_minimum_of_its_line_either() -> None:
    line = replace(A, minimum_trade=D(10**6))
    assert check_trades([line, B], RULES, [trade(line, -60)]) == []
    assert choose_moves(line, RULES, total_value([line, B], RULES)).exit


def test_the_choices_begin_at_the_minimum_of_the_line() -> None:
    value = total_value([A, B], RULES)
    rules = replace(RULES, minimum_trade=D(5000))
    for own, first in ((D(0), 1), (D("250.01"), 3), (D(300), 3)):
        choice = choose_moves(replace(A, minimum_trade=own), rules, value)
        assert (choice.sells[0], choice.held) == (first, F(6, 10))
    assert choose_moves(A, rules, value).sells[0] == 50


@pytest.mark.parametrize("gear", ["exact", "fast"])
def test_only_the_line_itself_is_held_back(gear: str) -> None:
    rules = replace(RULES, gear=gear)  # type: ignore[arg-type]
    found = propose([replace(A, minimum_trade=D(2100)), B], rules)
    assert [(t.symbol, t.quantity) for t in found.trades] == [("B", 10)]
    held = next(outcome for outcome in found.outcomes if outcome.symbol == "A")
    assert held.reason == "trade of 1000.00 is below the minimum of 2100.00"
    found = propose([replace(A, minimum_trade=D(1000)), B], replace(rules, minimum_trade=D(5000)))
    assert [(t.symbol, t.quantity) for t in found.trades] == [("A", 10)]


def test_a_minimum_that_leaves_no_way_out_is_named_with_its_lines() -> None:
    lines = [replace(A, minimum_trade=D(900), maximum=D("0.59"), minimum=D("0.55")), B]
    found = propose(lines, RULES)
    assert found.status == "infeasible"
    assert "the minimum trade of 900 of A" in found.reasons
    assert any(reason.startswith("the minimum weight of A") for reason in found.reasons)
    assert propose([replace(lines[0], minimum_trade=D(500)), B], RULES).status == "ready"


def test_lines_of_one_minimum_are_named_together() -> None:
    stuck = {"minimum_trade": D(9000), "maximum": D("0.55"), "minimum": D("0.5")}
    lines = [replace(A, **stuck), replace(B, minimum_trade=D(9000)), replace(A, symbol="C", quantity=D(0))]  # type: ignore[arg-type]
    lines[2] = replace(lines[2], target=D(0))
    assert "the minimum trade of 9000 of A, B" in propose(lines, RULES).reasons


def reachable(line: Line, value: D) -> list[int]:
    """Every whole number of units that the line may end with."""
    most = int(2 * value / line.price)
    return [
        after
        for after in range(most + 1)
        if after in (0, line.quantity) or abs(after - line.quantity) * line.price >= (line.minimum_trade or 0)
    ]


def best_by_hand(lines: Sequence[Line], rules: Rules) -> float:
    value = rules.cash + sum(line.quantity * line.price for line in lines)
    distances = []
    for after in product(*(reachable(line, value) for line in lines)):
        spent = sum((n - line.quantity) * line.price for n, line in zip(after, lines, strict=True))
        fees = rules.fee_per_trade * sum(n != line.quantity for n, line in zip(after, lines, strict=True))
        if rules.cash - spent - fees >= rules.reserve:
            off = (abs(n * line.price / value - line.target) for n, line in zip(after, lines, strict=True))
            distances.append(float(sum(off)))
    return min(distances)


@st.composite
def two_lines(draw: st.DrawFn) -> tuple[list[Line], Rules]:
    minimums = st.one_of(st.none(), st.integers(0, 500).map(D))
    lines = [
        Line(
            symbol,
            D(draw(st.integers(0, 8))),
            D(draw(st.integers(2000, 9000))) / 100,
            D(draw(st.integers(0, 50))) / 100,
            minimum_trade=draw(minimums),
        )
        for symbol in ("A", "B")
    ]
    rules = Rules(
        cash=D(draw(st.integers(1, 400))),
        minimum_trade=D(draw(st.integers(0, 300))),
        fee_per_trade=D(draw(st.integers(0, 3))),
    )
    return lines, rules


def own_minimums(lines: Sequence[Line], rules: Rules) -> list[Line]:
    """The same case with every minimum at its line."""
    return [
        replace(line, minimum_trade=rules.minimum_trade if line.minimum_trade is None else line.minimum_trade)
        for line in lines
    ]


@settings(max_examples=40)
@given(two_lines())
def test_the_programme_finds_what_enumeration_finds(case: tuple[list[Line], Rules]) -> None:
    lines, rules = case
    found = propose(lines, rules)
    assert found.status in ("ready", "in_balance")
    assert float(found.tracking_distance_after) == pytest.approx(
        best_by_hand(own_minimums(lines, rules), rules), abs=PRECISION
    )


@settings(max_examples=40)
@given(two_lines())
def test_neither_gear_breaks_the_minimum_of_a_line(case: tuple[list[Line], Rules]) -> None:
    lines, rules = case
    for found in (propose(lines, rules), *propose_many([case])):
        minimum = {line.symbol: line.minimum_trade for line in own_minimums(lines, rules)}
        held = {line.symbol: line.quantity for line in lines}
        for done in found.trades:
            is_exit = done.side == "sell" and done.quantity == held[done.symbol]
            assert is_exit or done.amount >= (minimum[done.symbol] or 0)


@settings(max_examples=30)
@given(two_lines())
def test_programme_and_search_move_each_line_within_its_own_choices(case: tuple[list[Line], Rules]) -> None:
    choices, limits = pose(*case)
    best, found = find_best_moves(choices, limits), find_good_moves([(choices, limits)])[0]
    assert best is not None
    for moves in (best.moves, *([found.moves] if found else [])):
        for choice, move in zip(choices, moves, strict=True):
            assert (
                (move.exit and choice.exit)
                or (move.lots == 0 and choice.hold and not move.exit)
                or move.lots in choice.buys
                or -move.lots in choice.sells
            )


def test_at_the_rules_minimum_a_minimum_of_the_line_changes_nothing() -> None:
    rules = replace(RULES, minimum_trade=D(700))
    own = [replace(line, minimum_trade=D(700)) for line in (A, B)]
    assert propose(own, rules) == propose([A, B], rules) == propose(own, RULES)
