"""The fast search against enumeration of all moves, and against the exact check and the programme."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calculations.rebalancing import Group, Line, Rules, propose
from analytics.calculations.rebalancing_check import check_trades
from analytics.calculations.rebalancing_choices import (
    Choice,
    GroupLimit,
    Limits,
    Move,
    pose,
    total_distance,
)
from analytics.calculations.rebalancing_many import propose_many
from analytics.calculations.rebalancing_search import find_feasible_moves, find_good_moves, obeys

PRECISION = 1e-7
POSITION = Choice(
    held=F(1, 10),
    lot=F(1, 100),
    low=F(1, 5),
    high=F(1, 5),
    hold=True,
    buys=range(1, 11),
    sells=range(1, 10),
    exit=True,
)
FREE = Limits(free_cash=F(1), fee=F(0), turnover=None, time_limit=1.0)


def all_moves(choice: Choice) -> Iterator[Move]:
    if choice.hold:
        yield Move()
    if choice.exit:
        yield Move(exit=True)
    yield from (Move(lots) for lots in choice.buys)
    yield from (Move(-lots) for lots in choice.sells)


def least_distance(choices: Sequence[Choice], limits: Limits) -> F | None:
    feasible = (
        total_distance(choices, moves)
        for moves in itertools.product(*(list(all_moves(choice)) for choice in choices))
        if obeys(moves, choices, limits)
    )
    return min(feasible, default=None)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    lot = F(draw(st.integers(7, 90)), 1000)
    held = lot * draw(st.integers(0, 4)) + (F(1, 700) if draw(st.booleans()) else 0)
    low = F(draw(st.integers(0, 40)), 100)
    first_buy, first_sell = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    may_buy, may_sell = draw(st.booleans()), draw(st.booleans())
    return Choice(
        held=held,
        lot=lot,
        low=low,
        high=low + (F(3, 100) if draw(st.booleans()) else 0),
        hold=draw(st.sampled_from([True, True, True, False])),
        buys=range(first_buy, draw(st.integers(first_buy, 5)) + 1) if may_buy else range(0),
        sells=range(first_sell, -(-held // lot)) if may_sell else range(0),
        exit=may_sell and held > 0,
        cost_rate=F(draw(st.integers(0, 20)), 1000),
        impact=F(draw(st.sampled_from([0, 0, 1, 30])), 1000),
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Choice], Limits]:
    lines = draw(st.lists(choices(), min_size=1, max_size=4))
    group = GroupLimit(
        members=tuple(range(0, len(lines), 2)), low=F(0), high=F(draw(st.integers(10, 60)), 100)
    )
    limits = Limits(
        free_cash=draw(st.sampled_from([None, F(-3, 100), F(0), F(1, 100), F(11, 70), F(1, 2)])),
        fee=F(draw(st.sampled_from([0, 1, 10])), 10_000),
        turnover=draw(st.sampled_from([None, None, F(0), F(7, 100), F(1, 3)])),
        time_limit=1.0,
        groups=(group,) if draw(st.booleans()) else (),
        cent=F(1, 10**6),
    )
    return lines, limits


@settings(max_examples=60, deadline=None)
@given(st.lists(problems(), min_size=1, max_size=4))
def test_what_is_found_obeys_every_limit_and_no_moves_come_below_the_bound(
    posed: list[tuple[list[Choice], Limits]],
) -> None:
    for (lines, limits), found in zip(posed, find_good_moves(posed), strict=True):
        least = least_distance(lines, limits)
        if found is None:
            continue
        assert least is not None
        assert all(move in set(all_moves(line)) for line, move in zip(lines, found.moves, strict=True))
        assert obeys(found.moves, lines, limits)
        assert found.distance == pytest.approx(float(total_distance(lines, found.moves)), abs=1e-12)
        assert found.bound <= float(least)


def test_an_exit_pays_for_what_is_missing_and_leaves_no_fraction_behind() -> None:
    stranger = replace(POSITION, held=F(237, 1000), low=F(0), high=F(0), buys=range(0), sells=range(1, 24))
    limits = replace(FREE, free_cash=F(-137, 1000))
    (moves,) = find_feasible_moves([([POSITION, stranger], limits)])
    assert moves == (Move(10), Move(exit=True))


def test_what_just_fits_is_found_exactly() -> None:
    cost = F(1, 10) + F(1, 3000) + F(1, 10) * F(7, 1000)
    line, fee = replace(POSITION, cost_rate=F(7, 1000)), F(1, 3000)
    (enough,) = find_feasible_moves([([line], replace(FREE, free_cash=cost, fee=fee))])
    (too_little,) = find_feasible_moves([([line], replace(FREE, free_cash=cost - F(1, 10**30), fee=fee))])
    assert enough == (Move(10),)
    assert too_little == (Move(9),)


def test_standing_still_is_found_where_nothing_is_better() -> None:
    on_target = replace(POSITION, low=F(1, 10), high=F(1, 10))
    (found,) = find_good_moves([([on_target, on_target], FREE)])
    assert found is not None
    assert found.moves == (Move(), Move())
    assert found.distance == found.bound == 0


def test_where_no_moves_obey_the_limits_nothing_is_found() -> None:
    stuck = replace(POSITION, hold=False, buys=range(0), sells=range(0), exit=False)
    assert find_feasible_moves([([POSITION], replace(FREE, free_cash=F(-1)))]) == [None]
    assert find_feasible_moves([([stuck], FREE), ([POSITION], FREE), ([], FREE)]) == [None, (Move(10),), None]


def test_groups_and_turnover_hold() -> None:
    group = GroupLimit(members=(0, 1), low=F(0), high=F(3, 10))
    grouped, capped = replace(FREE, groups=(group,)), replace(FREE, turnover=F(17, 100))
    for limits, distance in ((grouped, 0.1), (capped, 0.03)):
        (found,) = find_good_moves([([POSITION, POSITION], limits)])
        assert found is not None
        assert obeys(found.moves, [POSITION, POSITION], limits)
        assert found.distance == pytest.approx(distance)


def market(random: np.random.Generator, lines: int, **rules: Any) -> tuple[list[Line], Rules]:
    """A portfolio of which each line stands about a quarter away from its target."""
    shares = random.dirichlet(np.full(lines, 3.0)) * 0.98
    value, prices = float(np.exp(random.normal(12.2, 0.7))), np.exp(random.normal(4.2, 0.9, lines))
    counts = np.floor(shares * np.exp(random.normal(0, 0.25, lines)) * value / prices)
    held = [
        Line(f"A{i:02}", D(int(n)), D(str(round(p, 2))), D(str(round(t, 6))))
        for i, (n, p, t) in enumerate(zip(counts, prices.tolist(), shares.tolist(), strict=True))
    ]
    cash = D(str(round(max(value - float(counts @ prices), 0.005 * value), 2)))
    total = cash + sum(line.quantity * line.price for line in held)
    reserve = (total * D("0.02")).quantize(D("0.01"))
    usual: dict[str, Any] = {"minimum_trade": D(250), "fee_per_trade": D(2), "cost_rate": D("0.001")}
    return held, Rules(cash=cash, reserve=reserve, **(usual | rules))


def test_many_portfolios_come_within_two_percent_of_what_cannot_be_beaten() -> None:
    random = np.random.default_rng(5)
    for rules in ({}, {"turnover_cap": D("0.1")}):
        cases = [market(random, 50, **rules) for _ in range(15)]
        found = find_good_moves([pose(*case) for case in cases])
        assert all(found)
        distance, bound = (sum(getattr(each, name) for each in found) for name in ("distance", "bound"))
        assert bound < distance < 1.02 * bound


def test_proposals_for_many_are_feasible_in_the_fast_gear_and_as_good_as_the_programme() -> None:
    random = np.random.default_rng(8)
    cases = [market(random, 6) for _ in range(4)] + [market(random, 4, cost_rate=D("0.02"))]
    lines, rules = cases[0]
    impact = [replace(line, impact=D("0.0001")) for line in lines]
    group = Group("first", (lines[0].symbol, lines[1].symbol), maximum=lines[0].target)
    cases += [(impact, rules), (lines, replace(rules, groups=(group,)))]
    for case, proposal in zip(cases, propose_many(cases), strict=True):
        best = propose(*case)
        assert proposal.gear == "fast"
        assert proposal.status == best.status == "ready"
        assert check_trades(*case, proposal.trades) == []
        assert float(proposal.tracking_distance_after) >= best.bound - PRECISION
        assert float(proposal.tracking_distance_after) <= float(best.tracking_distance_after) * 1.1
        assert proposal.bound <= float(best.tracking_distance_after) + PRECISION


def test_a_portfolio_without_any_way_out_is_named_with_its_rules_among_many() -> None:
    lines, rules = market(np.random.default_rng(3), 3)
    locked = [replace(line, may_buy=False, may_sell=False) for line in lines]
    ready, infeasible, blocked = propose_many(
        [
            (lines, rules),
            (locked, replace(rules, reserve=rules.cash + 1)),
            ([replace(lines[0], price=D(0))], rules),
        ]
    )
    assert ready.status == "ready"
    assert infeasible.status == "infeasible"
    assert any("reserve" in reason for reason in infeasible.reasons)
    assert blocked.status == "blocked"


def test_the_order_of_portfolios_and_lines_does_not_matter() -> None:
    random = np.random.default_rng(4)
    cases = [market(random, lines) for lines in (3, 9, 5)]
    forwards = propose_many(cases)
    backwards = propose_many([(lines[::-1], rules) for lines, rules in reversed(cases)])
    assert forwards == backwards[::-1]
