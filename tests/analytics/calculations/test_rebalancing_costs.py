"""What trades cost, to the last digit, and when that is too much for what they achieve."""

from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.rebalancing import Line, Proposal, Rules, propose
from analytics.calculations.rebalancing_costs import (
    LEAST_AMOUNT,
    benefit_reasons,
    impact_cost,
    root_up,
    split_cost,
    trade_cost,
)

LINE = Line("A", D(60), D(100), target=D("0.5"))
AMOUNTS = st.fractions(min_value=0, max_value=10**9, max_denominator=10**6)


def test_a_cost_by_hand() -> None:
    rules = Rules(cash=D(0), fee_per_trade=D(2), cost_rate=D("0.001"))
    assert trade_cost(LINE, rules, Fraction(400)) == Fraction("2.4")
    assert trade_cost(replace(LINE, cost_rate=D(0)), rules, Fraction(400)) == 2
    # 0.0005 * 400 * 20
    assert trade_cost(replace(LINE, impact=D("0.0005")), rules, Fraction(400)) == Fraction("6.4")


def test_impact_follows_the_square_root_law() -> None:
    """A share of daily volume of 4 percent at 2 percent volatility costs 2 % * 0.2 of the amount."""
    volume, amount = 1_000_000, Fraction(40_000)
    impact = Fraction("0.02") / 1000  # over the root of the volume
    assert impact**2 * volume == Fraction("0.02") ** 2
    assert impact_cost(impact, amount) == amount * Fraction("0.02") * Fraction("0.2")


@given(st.fractions(min_value=0, max_value=1, max_denominator=10**9), AMOUNTS)
def test_impact_is_rounded_up_and_by_less_than_the_least_amount(impact: Fraction, amount: Fraction) -> None:
    cost = impact_cost(impact, amount)
    assert cost % LEAST_AMOUNT == 0
    assert cost**2 >= impact**2 * amount**3
    assert cost == 0 or (cost - LEAST_AMOUNT) ** 2 < impact**2 * amount**3


@pytest.mark.parametrize(("square", "root"), [("0", 0), ("1", 1), ("1.0000001", 2), ("0.25", 1), ("9", 3)])
def test_roots_are_rounded_up(square: str, root: int) -> None:
    assert root_up(Fraction(square)) == root


@given(st.decimals(min_value=0, max_value=10**7, places=4))
def test_the_parts_of_a_cost_add_up_to_it(amount: D) -> None:
    rates = {"commission": D("0.001"), "spread": D("0.00025"), "fx": D("0.0012")}
    line = replace(LINE, cost_rate=sum(rates.values(), D(0)), impact=D("0.0000371"))
    parts = split_cost(amount, **rates, impact=line.impact, fee=D("1.5"))
    assert set(parts) == {"commission", "spread", "impact", "fx", "fee"}
    total = sum(map(Fraction, parts.values()))
    assert total == trade_cost(line, Rules(cash=D(0), fee_per_trade=D("1.5")), Fraction(amount))


def half_and_half(**rules: Any) -> tuple[list[Line], Rules]:
    """10,000 in all, without cash: 1,000 of A pay for 900 of B and the fees of 20."""
    lines = [LINE, Line("B", D(40), D(100), target=D("0.5"))]
    return lines, Rules(cash=D(0), fee_per_trade=D(10), **rules)


def proposal() -> tuple[Proposal, Rules]:
    lines, rules = half_and_half()
    return propose(lines, rules), rules


def test_cost_and_tax_at_the_limit_pass_and_a_hair_above_do_not() -> None:
    found, rules = proposal()
    assert (found.cost, found.value) == (20, 10_000)
    assert benefit_reasons(found, replace(rules, cost_limit=D("0.002"))) == []
    assert benefit_reasons(found, replace(rules, cost_limit=D("0.0025")), tax=D(5)) == []
    assert len(benefit_reasons(found, replace(rules, cost_limit=D("0.002") - D("1E-20")))) == 1
    assert benefit_reasons(found, replace(rules, cost_limit=D("0.002")), tax=D(5)) == [
        "cost and tax of 25.00 are 0.2500% of the value, more than the limit of 0.2000%"
    ]


def test_what_a_unit_of_drift_may_cost() -> None:
    found, rules = proposal()
    # Half of 10 + 10 points before, of 50.1 - 50, 49.1 - 50 and 0.8 of 9,980 after: 9.1 points less.
    assert float(found.drift_before - (found.drift_after or 0)) == pytest.approx(9.098, abs=0.001)
    assert benefit_reasons(found, replace(rules, cost_per_drift=D("0.022"))) == []
    assert benefit_reasons(found, replace(rules, cost_per_drift=D("0.0219"))) == [
        "cost and tax of 20.00 are too much for 9.0982 points of drift"
        " at 2.1900% of the value for each unit of drift"
    ]
    assert len(benefit_reasons(found, replace(rules, cost_per_drift=D("0.022")), tax=D(1))) == 1


def test_drift_that_rises_is_worth_nothing() -> None:
    found, rules = proposal()
    worse = replace(found, drift_after=found.drift_before + 1)
    assert len(benefit_reasons(worse, replace(rules, cost_per_drift=D(100)))) == 1
    gone = replace(found, drift_after=None)
    assert len(benefit_reasons(gone, replace(rules, cost_per_drift=D(100)))) == 1


def test_where_cash_is_raised_drift_is_not_what_the_cost_is_for() -> None:
    found, rules = proposal()
    for mode in ("raise_cash", "liquidate"):
        rules = replace(rules, mode=mode, cost_per_drift=D(0))
        assert benefit_reasons(found, rules) == []
        assert benefit_reasons(found, replace(rules, cost_limit=D(0))) != []


def test_a_proposal_that_costs_too_much_is_refused_and_nothing_is_traded() -> None:
    lines, rules = half_and_half(cost_limit=D("0.001"))
    refused = propose(lines, rules)
    assert (refused.status, refused.trades, refused.cash_after) == ("blocked", (), 0)
    assert "more than the limit of 0.1000%" in refused.reasons[0]
    assert {outcome.reason for outcome in refused.outcomes} == {refused.reasons[0]}


def test_tax_counts_where_it_is_known() -> None:
    lines, rules = half_and_half(cost_limit=D("0.003"))
    assert propose(lines, rules).status == "ready"
    assert propose(lines, replace(rules, tax=D(50))).status == "blocked"


def test_nothing_traded_costs_nothing() -> None:
    lines, rules = half_and_half(cost_limit=D(0), cost_per_drift=D(0))
    assert propose(lines, replace(rules, mode="hold", tax=D(50))).status == "in_balance"
