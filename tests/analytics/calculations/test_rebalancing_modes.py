"""What each mode trades and leaves alone, and the properties of proposals under all the rules together."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.calculations.drift import Band, BandRule, band_destination, line_drift
from analytics.calculations.rebalancing import Group, Line, Mode, Proposal, Rules, propose
from analytics.calculations.rebalancing_check import check_trades
from tests.analytics.calculations.test_rebalancing_limits import line, random_case, reasons, traded

MODES: tuple[Mode, ...] = ("full", "bands", "invest_cash", "raise_cash", "liquidate", "hold")


def house(**options: Any) -> list[Line]:
    return [
        line("A", "60", "1", "0.5", **options),
        line("B", "20", "1", "0.5"),
        line("OLD", "7.5", "2", "0", unassigned=True),
    ]


def test_strangers_are_sold_completely_and_nothing_else_moves() -> None:
    found = propose(house(maximum=D("0.5")), Rules(cash=D(5), mode="liquidate", minimum_trade=D(50)))
    assert traded(found) == {"OLD": D("-7.5")}
    assert (found.status, found.cash_after, found.proven) == ("ready", 20, True)
    assert reasons(found) == {
        "A": "only what has no target is sold",
        "B": "only what has no target is sold",
        "OLD": "over target by 15.0 points: sell all 7.5",
    }


def test_a_stranger_that_may_not_be_sold_stays_and_says_so() -> None:
    lines = [*house()[:2], line("OLD", "7.5", "2", "0", unassigned=True, may_sell=False)]
    found = propose(lines, Rules(cash=D(5), mode="liquidate"))
    assert (found.status, found.trades) == ("in_balance", ())
    assert reasons(found)["OLD"] == "may not be sold"


def test_a_line_with_target_zero_that_is_in_the_allocation_is_no_stranger() -> None:
    lines = [*house()[:2], line("OLD", "7.5", "2", "0")]
    assert propose(lines, Rules(cash=D(5), mode="liquidate")).trades == ()


def test_a_stranger_with_a_target_is_a_contradiction_of_the_input() -> None:
    found = propose([line("A", "1", "1", "0.5", unassigned=True)], Rules(cash=D(1), mode="liquidate"))
    assert found.status == "blocked"
    assert found.reasons == ("A: has a target of 0.5 and is to be given up",)


def test_strangers_cannot_fill_a_reserve_that_is_too_high() -> None:
    found = propose(house(), Rules(cash=D(5), mode="liquidate", reserve=D(21)))
    assert (found.status, found.trades) == ("infeasible", ())
    assert found.reasons == ("only what has no target is sold", "the cash reserve of 21")


def test_hold_moves_nothing_whatever_the_limits_and_every_line_has_its_outcome() -> None:
    found = propose(house(maximum=D("0.1")), Rules(cash=D(5), mode="hold", reserve=D(50)))
    assert (found.status, found.trades, found.cash_after) == ("in_balance", (), 5)
    assert set(reasons(found).values()) == {"the mode holds every line"}
    assert {outcome.symbol: outcome.residual for outcome in found.outcomes} == {
        "A": D("0.1"),
        "B": D("-0.3"),
        "OLD": D("0.15"),
    }


@pytest.mark.parametrize("mode", MODES)
def test_b13_every_line_has_an_outcome_and_a_reason_in_every_mode(mode: Mode) -> None:
    found = propose(house(breached=True), Rules(cash=D(5), mode=mode))
    assert [outcome.symbol for outcome in found.outcomes] == ["A", "B", "OLD"]
    assert all(outcome.reason for outcome in found.outcomes)


@pytest.mark.parametrize(
    ("options", "rules", "words"),
    [
        ({"impact": D(-1)}, {}, "A: a cost rate is negative"),
        ({"cost_rate": D("-0.1")}, {}, "A: a cost rate is negative"),
        ({}, {"improvement_share": D(-1)}, "the improvement share of -1 is negative"),
        ({}, {"groups": (Group("X", ("A", "Z")),)}, "group X: Z is not a line of the portfolio"),
    ],
)
def test_input_that_cannot_be_meant_is_blocked(
    options: dict[str, Any], rules: dict[str, Any], words: str
) -> None:
    found = propose(house(**options), Rules(cash=D(5), **rules))
    assert (found.status, found.reasons, found.trades) == ("blocked", (words,), ())


# --- bands ------------------------------------------------------------------------------------------


def banded(weight: int, band: Band, fraction: str | None = None) -> Line:
    """A line of so many percent of 1,000, in shares of 1."""
    destination = band_destination(D(weight), band, "inner", D(fraction)) if fraction else None
    return line(
        f"T{band.target}",
        str(weight * 10),
        "1",
        str(band.target / 100),
        breached=line_drift(D(weight), band).breached,
        destination=None if destination is None else destination / 100,
    )


@pytest.mark.parametrize(
    ("rule", "weight", "sold"),
    [("absolute", 14, 0), ("relative", 14, 40), ("either", 14, 40), ("both", 14, 0)],
)
def test_the_band_rule_decides_whether_a_line_is_traded(rule: BandRule, weight: int, sold: int) -> None:
    entry = banded(weight, Band(target=D(10), absolute=D(5), relative=D(25), rule=rule))
    found = propose([entry], Rules(cash=D(860), mode="bands"))
    assert traded(found) == ({"T10": -sold} if sold else {})


@pytest.mark.parametrize(("fraction", "sold"), [("0", 130), ("0.5", 70), ("1", 10)])
def test_c5_a_line_is_traded_to_a_fraction_of_its_band(fraction: str, sold: int) -> None:
    entry = banded(73, Band(target=D(60), relative=D(20)), fraction)
    found = propose([entry], Rules(cash=D(270), mode="bands"))
    assert traded(found) == {"T60": -sold}
    assert found.outcomes[0].residual == 0


def test_c5_exactly_on_the_edge_nothing_is_traded() -> None:
    entry = banded(72, Band(target=D(60), relative=D(20)), "0.5")
    found = propose([entry], Rules(cash=D(280), mode="bands"))
    assert (found.status, reasons(found)) == ("in_balance", {"T60": "inside its band"})


def test_c1_c2_buying_goes_to_the_largest_deviations() -> None:
    """Buy only, two lines equally far from their targets in points: the distance is all that counts."""
    lines = [line("FI", "450", "1", "0.5"), line("LC", "60", "1", "0.1"), line("OTHER", "480", "1", "0.4")]
    found = propose(lines, Rules(cash=D(10), mode="invest_cash"))
    assert traded(found) == {"FI": 10}
    assert reasons(found)["OTHER"] == "only buys invest cash"


# --- properties -------------------------------------------------------------------------------------

many = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
cases = st.builds(random_case, st.integers(10**4, 10**6))
Case = tuple[Sequence[Line], Rules]


def quantities_after(lines: Sequence[Line], found: Proposal) -> dict[str, Fraction]:
    change = traded(found)
    return {entry.symbol: Fraction(entry.quantity) + Fraction(change.get(entry.symbol, 0)) for entry in lines}


@many
@given(cases, st.sampled_from(MODES))
def test_cash_is_conserved_and_nothing_goes_short(case: Case, mode: Mode) -> None:
    lines, rules = case[0], replace(case[1], mode=mode)
    found = propose(lines, rules)
    after = quantities_after(lines, found)
    moved = sum((after[entry.symbol] - Fraction(entry.quantity)) * Fraction(entry.price) for entry in lines)
    assert Fraction(found.cash_after) == Fraction(rules.cash) - moved - Fraction(found.cost)
    assert min(after.values()) >= 0
    assert Fraction(found.cost) == sum(Fraction(trade.cost) for trade in found.trades)


@many
@given(cases, st.sampled_from(MODES))
def test_limits_hold_after_rounding(case: Case, mode: Mode) -> None:
    lines, rules = case[0], replace(case[1], mode=mode)
    found = propose(lines, rules)
    if found.status != "ready":
        assert found.trades == ()
        return
    assert check_trades(lines, rules, found.trades) == []
    after = quantities_after(lines, found)
    weight = {
        entry.symbol: after[entry.symbol] * Fraction(entry.price) / Fraction(found.value) for entry in lines
    }
    if mode != "liquidate":
        for entry in lines:
            assert Fraction(entry.minimum or 0) <= weight[entry.symbol]
            assert entry.maximum is None or weight[entry.symbol] <= Fraction(entry.maximum)
        for group in rules.groups:
            together = sum(weight[symbol] for symbol in group.symbols)
            assert Fraction(group.minimum or 0) <= together
            assert group.maximum is None or together <= Fraction(group.maximum)
    assert found.cash_after >= rules.reserve


@many
@given(cases)
def test_no_line_inside_its_band_is_traded(case: Case) -> None:
    lines, rules = case[0], replace(case[1], mode="bands")
    breached = {entry.symbol for entry in lines if entry.breached}
    assert {trade.symbol for trade in propose(lines, rules).trades} <= breached


@many
@given(cases)
def test_a_trade_leaves_no_more_than_the_share_of_its_deviation(case: Case) -> None:
    lines, rules = case[0], replace(case[1], mode="full", improvement_share=D("0.5"))
    for outcome in propose(lines, rules).outcomes:
        if outcome.trade:
            before = abs(outcome.weight_before - outcome.target)
            assert abs(outcome.weight_after - outcome.target) <= before / 2 + D("1E-14")


@many
@given(cases)
def test_after_completion_nothing_is_left_to_do(case: Case) -> None:
    """Without costs: with them the value to be divided is another one afterwards."""
    lines = [replace(entry, impact=D(0), cost_rate=None) for entry in case[0]]
    rules = replace(
        case[1], mode="full", fee_per_trade=D(0), cost_rate=D(0), turnover_cap=None, improvement_share=None
    )
    found = propose(lines, rules)
    if found.status != "ready":
        return
    done = [replace(entry, quantity=entry.quantity + traded(found).get(entry.symbol, 0)) for entry in lines]
    again = propose(done, replace(rules, cash=found.cash_after))
    assert again.tracking_distance_after >= found.tracking_distance_after - D("2E-7")
    assert again.turnover <= D("2E-7")


@many
@given(cases, st.randoms(use_true_random=False))
def test_the_order_of_lines_and_groups_does_not_matter(case: Case, random: Any) -> None:
    lines, rules = list(case[0]), case[1]
    expected = propose(lines, rules)
    random.shuffle(lines)
    assert propose(lines, rules) == expected or expected.bound != expected.bound  # NaN equals nothing
    assert repr(propose(lines, rules)) == repr(expected)
