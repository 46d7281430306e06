"""Why a line is traded or not, and which rules leave no way to trade at all, in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from analytics.calculations.rebalancing_check import Figures
from analytics.calculations.rebalancing_choices import (
    Choice,
    _groups_of,
    choose_moves,
    is_allowed,
    minimum_trade,
    pose,
)
from analytics.calculations.rebalancing_costs import trade_cost
from analytics.calculations.rebalancing_programme import is_feasible

if TYPE_CHECKING:
    from analytics.calculations.rebalancing import Line, Rules, Side, Trade

    Case = tuple[Sequence[Line], Rules]
    Lift = Callable[[Sequence[Line], Rules], Case]


def explain_trade(line: "Line", trade: "Trade", weight: Decimal, rules: "Rules", figures: Figures) -> str:
    deviation = weight - line.target
    points = f"{abs(deviation) * 100:.1f} points"
    standing = (
        f"over target by {points}"
        if deviation > 0
        else f"under target by {points}"
        if deviation
        else "on target"
    )
    everything = "all " if trade.side == "sell" and trade.quantity == line.quantity else ""
    purpose = _explain_detour(line, trade, weight, rules, figures)
    return f"{standing}: {trade.side} {everything}{trade.quantity.normalize():f}{purpose}"


def _explain_detour(line: "Line", trade: "Trade", weight: Decimal, rules: "Rules", figures: Figures) -> str:
    """What a trade is for that leads away from the target."""
    if trade.side == "buy":
        return "" if weight < line.target else " to reach a minimum weight"
    if weight > line.target:
        return ""
    is_above = line.maximum is not None and weight > line.maximum
    if is_above:
        return " to keep its maximum weight"
    for group in _groups_of(line, rules):
        held = sum(Fraction(figures.weights_before[symbol]) for symbol in {*group.symbols})
        if group.maximum is not None and held > Fraction(group.maximum):
            return f" to keep the maximum weight of group {group.name}"
    return " to free cash"


def explain_hold(line: "Line", rules: "Rules", figures: Figures) -> str:
    """Why a line is not traded: the first hindrance that stands in the way of the trade it would need."""
    if rules.mode == "hold":
        return "the mode holds every line"
    if rules.mode == "liquidate" and not line.unassigned:
        return "only what has no target is sold"
    if rules.mode == "bands" and not line.breached:
        return "without a target: bands leave it as it is" if line.unassigned else "inside its band"
    value = Fraction(figures.value)
    choice = choose_moves(line, rules, value)
    deviation = (
        choice.held - choice.high if choice.held > choice.high else min(choice.held - choice.low, Fraction(0))
    )
    if not deviation:
        return "on target"
    if 2 * abs(deviation) <= choice.lot:
        return "within one lot of target"
    side: Side = "buy" if deviation < 0 else "sell"
    if not (line.may_buy if side == "buy" else line.may_sell):
        return "may not be bought" if side == "buy" else "may not be sold"
    if not is_allowed(line, rules, side):
        return "only sells raise cash" if side == "buy" else "only buys invest cash"
    amount = round(abs(deviation) / choice.lot) * choice.lot * value
    minimum = minimum_trade(line, rules)
    if amount < Fraction(minimum):
        return f"trade of {float(amount):.2f} is below the minimum of {minimum:.2f}"
    if rules.improvement_share is not None and _least_trade(choice, side) is None:
        untested = choose_moves(line, replace(rules, improvement_share=None), value)
        if _least_trade(untested, side) is not None:
            return f"no trade leaves at most {rules.improvement_share} of its deviation"
    step = (_least_trade(choice, side) or choice.held) * value
    return (
        _shared_hindrance(line, rules, figures, side, step)
        or "no trade brings the portfolio closer to its targets"
    )


def _least_trade(choice: Choice, side: "Side") -> Fraction | None:
    lots = choice.buys if side == "buy" else choice.sells
    if lots:
        return lots[0] * choice.lot
    return choice.held if side == "sell" and choice.exit else None


def _shared_hindrance(
    line: "Line", rules: "Rules", figures: Figures, side: "Side", step: Fraction
) -> str | None:
    """The shared limit that leaves no room for even the smallest trade, of the amount `step`."""
    value = Fraction(figures.value)
    if side == "buy" and step + trade_cost(line, rules, step) > Fraction(figures.cash_after) - Fraction(
        rules.reserve
    ):
        return "not enough cash above the reserve"
    if rules.turnover_cap is not None and Fraction(figures.turnover) + step / value > Fraction(
        rules.turnover_cap
    ):
        return "the turnover cap leaves no room"
    for group in rules.groups:
        if line.symbol not in group.symbols or rules.mode == "liquidate":
            continue
        weight = sum(Fraction(figures.weights_after[symbol]) for symbol in {*group.symbols})
        weight += step / value if side == "buy" else -step / value
        if side == "buy" and group.maximum is not None and weight > Fraction(group.maximum):
            return f"the maximum weight of group {group.name} leaves no room"
        if side == "sell" and group.minimum is not None and weight < Fraction(group.minimum):
            return f"the minimum weight of group {group.name} leaves no room"
    return None


def find_conflict(lines: Sequence["Line"], rules: "Rules") -> list[str]:
    """A smallest set of rules that cannot all be kept: lifting any one of them leaves a proposal.

    Deletion filter (Chinneck and Dravnieks 1991): lift one rule after the other; where the rest still leaves
    nothing, the contradiction does not need that rule.
    """
    conflict = []
    case: Case = lines, rules
    for words, lift in _find_liftable(lines, rules):
        lifted = lift(*case)
        if is_feasible(*pose(*lifted)):
            conflict.append(words)
        else:
            case = lifted
    return conflict


def _find_liftable(lines: Sequence["Line"], rules: "Rules") -> Iterator[tuple[str, "Lift"]]:
    """The rules in force, in words, each with what lifts it from a portfolio."""
    if rules.minimum_trade:
        yield f"the minimum trade of {rules.minimum_trade}", _lift(minimum_trade=Decimal(0))
    for minimum in sorted({line.minimum_trade for line in lines if line.minimum_trade}):
        symbols = [line.symbol for line in lines if line.minimum_trade == minimum]
        yield f"the minimum trade of {minimum} of {', '.join(symbols)}", _lift_minimum(minimum)
    if any(trade_cost(line, rules, Fraction(1)) for line in lines):
        yield "the trading costs", _lift_costs
    if rules.improvement_share is not None and rules.mode != "raise_cash":
        words = f"a trade leaves at most {rules.improvement_share} of its line's deviation"
        yield words, _lift(improvement_share=None)
    if rules.turnover_cap is not None:
        yield f"the turnover cap of {rules.turnover_cap}", _lift(turnover_cap=None)
    if rules.mode == "bands":
        yield "only lines outside their band are traded", _lift(mode="full")
    if rules.mode == "invest_cash":
        yield "only buys invest cash", _lift(mode="full")
    if rules.mode == "liquidate":
        yield "only what has no target is sold", _lift_liquidation
    else:
        yield from _find_weight_limits(lines, rules)
    for line in lines:
        if not line.may_buy:
            yield f"{line.symbol} may not be bought", _lift_of(line, may_buy=True)
        if not line.may_sell:
            yield f"{line.symbol} may not be sold", _lift_of(line, may_sell=True)
    if rules.mode == "raise_cash":
        yield f"the cash to be raised of {rules.raise_amount}", _lift(raise_amount=Decimal("-Infinity"))
    yield f"the cash reserve of {rules.reserve}", _lift(reserve=Decimal("-Infinity"))


def _find_weight_limits(lines: Sequence["Line"], rules: "Rules") -> Iterator[tuple[str, "Lift"]]:
    for line in lines:
        if line.maximum is not None:
            yield f"the maximum weight of {line.symbol} of {line.maximum}", _lift_of(line, maximum=None)
        if line.minimum:
            yield f"the minimum weight of {line.symbol} of {line.minimum}", _lift_of(line, minimum=None)
    for place, group in enumerate(rules.groups):
        if group.maximum is not None:
            words = f"the maximum weight of group {group.name} of {group.maximum}"
            yield words, _lift_of_group(place, maximum=None)
        if group.minimum:
            words = f"the minimum weight of group {group.name} of {group.minimum}"
            yield words, _lift_of_group(place, minimum=None)


def _lift(**free: Any) -> "Lift":
    return lambda lines, rules: (lines, replace(rules, **free))


def _lift_of(lifted: "Line", **free: Any) -> "Lift":
    def lift(lines: Sequence["Line"], rules: "Rules") -> "Case":
        return [replace(line, **free) if line.symbol == lifted.symbol else line for line in lines], rules

    return lift


def _lift_minimum(minimum: Decimal) -> "Lift":
    def lift(lines: Sequence["Line"], rules: "Rules") -> "Case":
        nothing = Decimal(0)
        return [
            replace(line, minimum_trade=nothing) if line.minimum_trade == minimum else line for line in lines
        ], rules

    return lift


def _lift_of_group(lifted: int, **free: Any) -> "Lift":
    def lift(lines: Sequence["Line"], rules: "Rules") -> "Case":
        groups = [
            replace(group, **free) if place == lifted else group for place, group in enumerate(rules.groups)
        ]
        return lines, replace(rules, groups=tuple(groups))

    return lift


def _lift_costs(lines: Sequence["Line"], rules: "Rules") -> "Case":
    nothing = Decimal(0)
    return (
        [replace(line, cost_rate=None, impact=nothing) for line in lines],
        replace(rules, fee_per_trade=nothing, cost_rate=nothing),
    )


def _lift_liquidation(lines: Sequence["Line"], rules: "Rules") -> "Case":
    """Every trade, but still no limits of weights, so that nothing new forbids what was allowed."""
    return [replace(line, minimum=None, maximum=None) for line in lines], replace(
        rules, mode="full", groups=()
    )
