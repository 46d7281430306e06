"""Proposals against enumeration of every whole-lot answer, and the properties a proposal must have."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.calculations.rebalancing import Line, Proposal, Rules, propose
from analytics.calculations.rebalancing_check import check_trades

# The programme proves an optimum to this part of the portfolio's value.
PRECISION = 2e-7


def quantities_after(line: Line, value: D) -> Iterator[D]:
    """Every quantity the line can end with by whole lots, and the complete exit."""
    yield from {line.quantity, D(0)}
    lots = int(2 * value / (line.price * line.lot)) + 1
    for k in range(-lots, lots + 1):
        if k and line.quantity + k * line.lot >= 0:
            yield line.quantity + k * line.lot


def is_allowed(lines: Sequence[Line], rules: Rules, after: Sequence[D], value: D) -> bool:
    cash = rules.cash
    for line, quantity in zip(lines, after, strict=True):
        change = quantity - line.quantity
        traded = abs(change) * line.price
        if change:
            if traded < rules.minimum_trade and quantity != 0:
                return False
            if not (line.may_buy if change > 0 else line.may_sell):
                return False
            if rules.mode == ("raise_cash" if change > 0 else "invest_cash"):
                return False
            cash -= rules.fee_per_trade + rules.cost_rate * traded
        cash -= change * line.price
        weight = quantity * line.price / value
        if weight < (line.minimum or 0) or weight > (1 if line.maximum is None else line.maximum):
            return False
    return cash >= rules.reserve


def best_by_enumeration(lines: Sequence[Line], rules: Rules) -> tuple[float, float] | None:
    value = rules.cash + sum(line.quantity * line.price for line in lines)
    best = None
    for after in product(*(sorted(set(quantities_after(line, value))) for line in lines)):
        if is_allowed(lines, rules, after, value):
            distance = sum(
                abs(q * line.price / value - line.target) for q, line in zip(after, lines, strict=True)
            )
            turnover = sum(
                abs(q - line.quantity) * line.price / value for q, line in zip(after, lines, strict=True)
            )
            answer = (float(distance), float(turnover))
            best = answer if best is None or answer < best else best
    return best


def assert_optimal(lines: Sequence[Line], rules: Rules) -> Proposal:
    expected, found = best_by_enumeration(lines, rules), propose(lines, rules)
    if expected is None:
        assert found.status == "infeasible"
        assert found.reasons
        return found
    assert found.status in ("ready", "in_balance")
    assert check_trades(lines, rules, found.trades) == []
    assert float(found.tracking_distance_after) == pytest.approx(expected[0], abs=PRECISION)
    if float(found.tracking_distance_after) <= expected[0] + 1e-12:
        assert float(found.turnover) <= expected[1] + PRECISION
    return found


def random_case(seed: int) -> tuple[list[Line], Rules]:
    """Two or three lines of few, large lots, so that enumeration is short and rounding matters."""
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 4))
    targets = random.dirichlet(np.ones(count + 1)).round(2)
    lines = [
        Line(
            symbol=f"L{number}",
            quantity=D(int(random.integers(0, 7))) + (D("0.5") if random.random() < 0.2 else 0),
            price=D(str(round(float(random.uniform(20, 90)), 2))),
            target=D(str(targets[number])),
            minimum=D("0.1") if random.random() < 0.15 else None,
            maximum=D("0.6") if random.random() < 0.3 else None,
            may_buy=bool(random.random() > 0.1),
            may_sell=bool(random.random() > 0.1),
        )
        for number in range(count)
    ]
    modes = ["full", "full", "full", "invest_cash", "raise_cash"]
    return lines, Rules(
        cash=D(str(round(float(random.uniform(-20, 200)), 2))),
        reserve=D(int(random.choice([0, 10, 40]))),
        minimum_trade=D(int(random.choice([0, 0, 60, 110]))),
        fee_per_trade=D(str(random.choice(["0", "1.50", "5"]))),
        cost_rate=D(str(random.choice(["0", "0.001", "0.01"]))),
        mode=modes[int(random.integers(len(modes)))],  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("seed", range(60))
def test_the_optimum_of_enumeration_is_found(seed: int) -> None:
    assert_optimal(*random_case(seed))


def line(symbol: str, quantity: str, price: str, target: str, **options: object) -> Line:
    return Line(symbol=symbol, quantity=D(quantity), price=D(price), target=D(target), **options)  # type: ignore[arg-type]


def traded(proposal: Proposal) -> dict[str, D]:
    return {t.symbol: t.quantity if t.side == "buy" else -t.quantity for t in proposal.trades}


def test_b13_half_and_half() -> None:
    lines = [line("A", "100", "1", "0.5"), line("B", "0", "1", "0.5")]
    assert traded(propose(lines, Rules(cash=D(0)))) == {"A": -50, "B": 50}
    lines = [line("A", "100", "1", "0.5"), line("B", "0", "1", "0.5")]
    assert traded(propose(lines, Rules(cash=D(100)))) == {"B": 100}
    lines = [line("A", "200", "1", "0.5"), line("B", "100", "1", "0.5")]
    assert traded(propose(lines, Rules(cash=D(0)))) == {"A": -50, "B": 50}


def test_an_exit_sells_the_fraction_and_ignores_the_minimum() -> None:
    lines = [line("OLD", "0.75", "40", "0"), line("A", "10", "100", "0.97")]
    found = propose(lines, Rules(cash=D(0), minimum_trade=D(500)))
    assert traded(found) == {"OLD": D("-0.75")}


def test_an_exit_whose_fee_cannot_be_paid_is_infeasible_or_left() -> None:
    lines = [line("OLD", "1", "2", "0"), line("A", "10", "100", "1")]
    rules = Rules(cash=D(0), fee_per_trade=D(5))
    assert_optimal(lines, rules)
    assert traded(propose(lines, rules)) == {}


def test_infeasible_names_the_binding_rule() -> None:
    lines = [line("A", "10", "10", "1", may_sell=False)]
    found = propose(lines, Rules(cash=D(0), reserve=D(50)))
    assert found.status == "infeasible"
    assert found.trades == ()
    assert "the cash reserve" in " ".join(found.reasons)


def test_bands_trade_only_what_is_breached() -> None:
    lines = [
        line("A", "60", "1", "0.5", breached=True),
        line("B", "32", "1", "0.4"),
        line("C", "8", "1", "0.1"),
    ]
    found = propose(lines, Rules(cash=D(0), mode="bands"))
    assert traded(found) == {"A": -10}
    assert {outcome.symbol: outcome.reason for outcome in found.outcomes}["B"] == "inside its band"


def test_bands_without_a_breach_are_in_balance() -> None:
    found = propose([line("A", "60", "1", "0.5")], Rules(cash=D(40), mode="bands"))
    assert found.status == "in_balance"
    assert found.trades == ()


def test_a_band_edge_is_a_destination() -> None:
    found = propose(
        [line("A", "73", "1", "0.6", breached=True, destination=D("0.66"))], Rules(cash=D(27), mode="bands")
    )
    assert traded(found) == {"A": -7}


def test_raise_cash_raises_at_least_the_amount_after_costs() -> None:
    lines = [line("A", "50", "10", "0.6"), line("B", "50", "10", "0.4")]
    rules = Rules(cash=D(5), mode="raise_cash", raise_amount=D(200), fee_per_trade=D(3))
    found = propose(lines, rules)
    assert found.cash_after - found.cash_before >= 200
    assert all(trade.side == "sell" for trade in found.trades)


def test_the_turnover_cap_is_kept() -> None:
    lines = [line("A", "100", "1", "0.5"), line("B", "0", "1", "0.5")]
    found = propose(lines, Rules(cash=D(0), turnover_cap=D("0.4")))
    assert found.turnover <= D("0.4")
    assert traded(found) == {"A": -20, "B": 20}


def test_no_value_is_blocked_and_two_lines_of_one_symbol_are_an_error() -> None:
    assert propose([line("A", "0", "1", "1")], Rules(cash=D(0))).status == "blocked"
    with pytest.raises(ValueError, match="symbol"):
        propose([line("A", "1", "1", "1"), line("A", "2", "1", "0")], Rules(cash=D(0)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1000, 10**6))
def test_cash_is_conserved_to_the_last_digit_and_nothing_goes_short(seed: int) -> None:
    lines, rules = random_case(seed)
    found = propose(lines, rules)
    cash = Fraction(rules.cash)
    held = {entry.symbol: entry.quantity for entry in lines}
    for trade in found.trades:
        sign = 1 if trade.side == "sell" else -1
        cash += sign * Fraction(trade.quantity) * Fraction(trade.price) - Fraction(trade.cost)
        held[trade.symbol] -= sign * trade.quantity
    assert Fraction(found.cash_after) == cash
    assert min(held.values()) >= 0
    assert len(found.outcomes) == len(lines)
    assert all(outcome.reason for outcome in found.outcomes)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1000, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(seed: int, random: object) -> None:
    lines, rules = random_case(seed)
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert propose(shuffled, rules) == propose(lines, rules)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1000, 10**6))
def test_after_completion_nothing_is_left_to_do(seed: int) -> None:
    lines, rules = random_case(seed)
    rules = replace(rules, mode="full", fee_per_trade=D(0), cost_rate=D(0), minimum_trade=D(0))
    found = propose(lines, rules)
    if found.status != "ready":
        return
    change = traded(found)
    done = [replace(entry, quantity=entry.quantity + change.get(entry.symbol, D(0))) for entry in lines]
    again = propose(done, replace(rules, cash=found.cash_after))
    assert float(again.tracking_distance_after) >= float(found.tracking_distance_after) - PRECISION
    assert again.trades == () or float(again.turnover) <= PRECISION
