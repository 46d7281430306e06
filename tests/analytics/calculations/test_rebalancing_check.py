"""The judge of proposals: every rule, broken by hand; and the figures, worked out by hand."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest

from analytics.calculations.rebalancing import Group, Line, Rules, Side, Trade
from analytics.calculations.rebalancing_check import check_trades, measure_trades

LINES = (
    Line("A", D("60.5"), D(10), target=D("0.5"), minimum=D("0.2"), maximum=D("0.7"), breached=True),
    Line("B", D(20), D(10), target=D("0.4"), lot=D(2), breached=True),
)
RULES = Rules(
    cash=D(195),
    reserve=D(50),
    minimum_trade=D(40),
    fee_per_trade=D(1),
    cost_rate=D("0.01"),
    turnover_cap=D("0.35"),
)


def trade(symbol: str, side: Side, quantity: str, **options: Any) -> Trade:
    amount = D(quantity) * 10
    fair = Trade(symbol, side, D(quantity), D(10), amount, 1 + amount / 100)
    return replace(fair, **options)


GOOD = (trade("A", "sell", "10"), trade("B", "buy", "20"))


def test_trades_within_the_rules_pass() -> None:
    assert check_trades(LINES, RULES, GOOD) == []
    assert check_trades(LINES, RULES, ()) == []


@pytest.mark.parametrize(
    ("trades", "violation"),
    [
        ((trade("Z", "buy", "10"),), "Z: is not a line of the portfolio"),
        ((trade("A", "sell", "10"), trade("A", "sell", "10")), "A: is traded more than once"),
        ((trade("A", "sell", "0"),), "A: quantity 0 is not positive"),
        ((trade("B", "sell", "22"),), "B: sells 22 but holds 20"),
        ((trade("B", "buy", "5"),), "B: 5 is not a multiple of the lot of 2"),
        ((trade("A", "sell", "10.5"),), "A: 10.5 is not a multiple of the lot of 1"),
        ((trade("A", "sell", "3"),), "A: trade is below the minimum of 40"),
        ((trade("A", "sell", "10", price=D(11)),), "A: price 11 is not the line's 10"),
        (
            (trade("A", "sell", "10", amount=D(99)),),
            "A: amount or cost does not follow from quantity and price",
        ),
        ((trade("A", "sell", "10", cost=D(0)),), "A: amount or cost does not follow from quantity and price"),
        ((trade("B", "buy", "14"),), "cash of 52.6 falls short of the reserve of 53"),
        ((trade("A", "sell", "18"), trade("B", "buy", "18")), "turnover exceeds its cap of 0.35"),
    ],
)
def test_each_broken_rule_is_named(trades: tuple[Trade, ...], violation: str) -> None:
    rules = replace(RULES, reserve=D(53))
    assert violation in check_trades(LINES, rules, trades)


@pytest.mark.parametrize(
    ("line_options", "rule_options", "violation"),
    [
        ({"maximum": D("0.5")}, {}, "A: weight exceeds its maximum of 0.5"),
        ({"minimum": D("0.6")}, {}, "A: weight falls short of its minimum of 0.6"),
        ({"may_sell": False}, {}, "A: may not sell"),
        ({}, {"mode": "invest_cash"}, "A: mode invest_cash does not sell"),
        ({}, {"mode": "raise_cash"}, "B: mode raise_cash does not buy"),
        ({}, {"mode": "liquidate"}, "B: mode liquidate does not buy"),
        ({}, {"mode": "liquidate"}, "A: mode liquidate sells what has no target, and all of it"),
        (
            {"unassigned": True},
            {"mode": "liquidate"},
            "A: mode liquidate sells what has no target, and all of it",
        ),
        ({}, {"mode": "hold"}, "A: mode hold does not sell"),
        ({}, {"mode": "hold"}, "B: mode hold does not buy"),
        ({}, {"improvement_share": D("0.04")}, "A: trade leaves more than 0.04 of the deviation"),
        ({"impact": D("0.0001")}, {}, "A: amount or cost does not follow from quantity and price"),
        ({"cost_rate": D("0.02")}, {}, "A: amount or cost does not follow from quantity and price"),
        ({"breached": False}, {"mode": "bands"}, "A: is inside its band"),
    ],
)
def test_each_restriction_is_named(
    line_options: dict[str, Any], rule_options: dict[str, Any], violation: str
) -> None:
    lines = (replace(LINES[0], **line_options), LINES[1])
    assert violation in check_trades(lines, replace(RULES, **rule_options), GOOD)


@pytest.mark.parametrize(
    ("group", "violation"),
    [
        (Group("X", ("A", "B"), maximum=D("0.9")), "group X: weight exceeds its maximum of 0.9"),
        (Group("X", ("B",), minimum=D("0.41")), "group X: weight falls short of its minimum of 0.41"),
        (Group("X", ("A", "B"), minimum=D("0.905"), maximum=D("0.905")), None),
    ],
)
def test_groups_are_limited_together(group: Group, violation: str | None) -> None:
    found = check_trades(LINES, replace(RULES, groups=(group,)), GOOD)
    assert found == ([violation] if violation else [])


def test_exactly_the_share_of_the_improvement_test_is_enough() -> None:
    lines = (replace(LINES[0], target=D("0.4")), replace(LINES[1], target=D("0.3")))
    rules = replace(RULES, improvement_share=D("0.51"))  # 0.105 / 0.205 of A; all of B, 0.1 / 0.1
    assert check_trades(lines, rules, GOOD) == [
        "A: trade leaves more than 0.51 of the deviation",
        "B: trade leaves more than 0.51 of the deviation",
    ]
    assert check_trades(LINES, replace(RULES, improvement_share=D("0.05")), GOOD) == []
    assert (
        check_trades(
            (LINES[0], replace(LINES[1], target=D("0.3"))), replace(rules, improvement_share=D(1)), GOOD
        )
        == []
    )


def test_where_strangers_are_sold_the_rest_may_stand_outside_its_limits() -> None:
    lines = (replace(LINES[0], maximum=D("0.1")), replace(LINES[1], unassigned=True, target=D(0)))
    rules = replace(RULES, mode="liquidate", groups=(Group("X", ("A",), maximum=D("0.1")),))
    assert check_trades(lines, rules, (trade("B", "sell", "20"),)) == []


def test_limits_bind_lines_that_are_not_traded_too() -> None:
    lines = (replace(LINES[0], maximum=D("0.6")), LINES[1])
    assert check_trades(lines, RULES, ()) == ["A: weight exceeds its maximum of 0.6"]


def test_a_complete_exit_needs_neither_the_minimum_nor_whole_lots() -> None:
    lines = (Line("A", D("2.5"), D(10), target=D(0)),)
    rules = Rules(cash=D(0), minimum_trade=D(40))
    assert check_trades(lines, rules, (trade("A", "sell", "2.5", cost=D(0)),)) == []


def test_too_little_cash_raised() -> None:
    rules = replace(RULES, mode="raise_cash", raise_amount=D(99))
    assert check_trades(LINES, rules, GOOD[:1]) == ["less than 99 of cash is raised"]
    assert check_trades(LINES, replace(rules, raise_amount=D(98)), GOOD[:1]) == []


def test_exactly_on_every_limit_is_allowed() -> None:
    # 1000 in all: sells 100 and buys 200, which cost 2 + 3; A ends at 505.
    lines = (replace(LINES[0], maximum=D("0.505"), minimum=D("0.505")), LINES[1])
    rules = replace(RULES, reserve=D(90), turnover_cap=D("0.3"), minimum_trade=D(100))
    assert check_trades(lines, rules, GOOD) == []
    hair = D("1E-20")
    assert len(check_trades(lines, replace(rules, reserve=rules.reserve + hair), GOOD)) == 1
    assert len(check_trades(lines, replace(rules, turnover_cap=D("0.3") - hair), GOOD)) == 1
    assert len(check_trades(lines, replace(rules, minimum_trade=rules.minimum_trade + hair), GOOD)) == 1


def test_figures_by_hand() -> None:
    figures = measure_trades(LINES, RULES, GOOD)
    assert figures.value == 1000
    assert figures.cost == 5
    assert figures.cash_after == 90
    assert figures.turnover == D("0.3")
    assert figures.weights_before == {"A": D("0.605"), "B": D("0.2")}
    assert figures.weights_after == {"A": D("0.505"), "B": D("0.4")}
    assert figures.tracking_distance_before == D("0.305")
    assert figures.tracking_distance_after == D("0.005")
    # Cash, wanted at 10 percent, counts in the drift; after trading 995 are left.
    assert float(figures.drift_before) == pytest.approx((10.5 + 20 + 9.5) / 2)
    assert figures.drift_after is not None
    after = abs(505 / 9.95 - 50) + abs(400 / 9.95 - 40) + abs(90 / 9.95 - 10)
    assert float(figures.drift_after) == pytest.approx(after / 2)


def test_without_a_value_shares_are_unknown() -> None:
    figures = measure_trades((replace(LINES[0], quantity=D(0)),), Rules(cash=D(0)), ())
    assert figures.value == 0
    assert figures.tracking_distance_before.is_nan()
    assert figures.drift_before.is_nan()


def test_when_costs_eat_all_there_is_no_drift() -> None:
    lines = (Line("A", D(1), D(10), target=D(0)),)
    rules = Rules(cash=D(0), fee_per_trade=D(10))
    assert measure_trades(lines, rules, (Trade("A", "sell", D(1), D(10), D(10), D(10)),)).drift_after is None
