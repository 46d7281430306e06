"""Why a line is traded or not, and which rules leave no way to trade at all, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from analytics.calculations.rebalancing_check import Figures
from analytics.calculations.rebalancing_choices import choose_moves, is_allowed, pose
from analytics.calculations.rebalancing_programme import is_feasible

if TYPE_CHECKING:
    from analytics.calculations.rebalancing import Line, Rules, Side, Trade


def explain_trade(line: "Line", trade: "Trade", weight: Decimal) -> str:
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
    purpose = " to free cash" if trade.side == "sell" and deviation <= 0 else ""
    return f"{standing}: {trade.side} {everything}{trade.quantity.normalize():f}{purpose}"


def explain_hold(line: "Line", rules: "Rules", figures: Figures) -> str:
    """Why a line is not traded: the first hindrance that stands in the way of the trade it would need."""
    if rules.mode == "bands" and not line.breached:
        return "inside its band"
    choice = choose_moves(line, rules, Fraction(figures.value))
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
    lot_value = choice.lot * Fraction(figures.value)
    amount = round(abs(deviation) / choice.lot) * lot_value
    if amount < Fraction(rules.minimum_trade):
        return f"trade of {float(amount):.2f} is below the minimum of {rules.minimum_trade:.2f}"
    lots = choice.buys if side == "buy" else choice.sells
    step = lots[0] * lot_value if lots else choice.held * Fraction(figures.value)
    cost = Fraction(rules.fee_per_trade) + Fraction(rules.cost_rate) * step
    if side == "buy" and step + cost > Fraction(figures.cash_after) - Fraction(rules.reserve):
        return "not enough cash above the reserve"
    if rules.turnover_cap is not None and Fraction(figures.turnover) + step / Fraction(
        figures.value
    ) > Fraction(rules.turnover_cap):
        return "the turnover cap leaves no room"
    return "no trade brings the portfolio closer to its targets"


def find_conflict(lines: Sequence["Line"], rules: "Rules") -> list[str]:
    """A smallest set of rules that cannot all be kept: lifting any one of them leaves a proposal.

    Deletion filter (Chinneck and Dravnieks 1991): lift one rule after the other; where the rest still leaves
    nothing, the contradiction does not need that rule.
    """
    conflict = []
    for words, symbol, free in _find_liftable(lines, rules):
        if symbol is None:
            lifted = lines, replace(rules, **free)
        else:
            lifted = [replace(line, **free) if line.symbol == symbol else line for line in lines], rules
        if is_feasible(*pose(*lifted)):
            conflict.append(words)
        else:
            lines, rules = lifted
    return conflict


def _find_liftable(
    lines: Sequence["Line"], rules: "Rules"
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """The rules in force: in words, the line they belong to if any, and the fields without them."""
    if rules.minimum_trade:
        yield f"the minimum trade of {rules.minimum_trade}", None, {"minimum_trade": Decimal(0)}
    if rules.fee_per_trade or rules.cost_rate:
        yield "the trading costs", None, {"fee_per_trade": Decimal(0), "cost_rate": Decimal(0)}
    if rules.turnover_cap is not None:
        yield f"the turnover cap of {rules.turnover_cap}", None, {"turnover_cap": None}
    if rules.mode == "bands":
        yield "only lines outside their band are traded", None, {"mode": "full"}
    if rules.mode == "invest_cash":
        yield "only buys invest cash", None, {"mode": "full"}
    for line in lines:
        if not line.may_buy:
            yield f"{line.symbol} may not be bought", line.symbol, {"may_buy": True}
        if not line.may_sell:
            yield f"{line.symbol} may not be sold", line.symbol, {"may_sell": True}
        if line.maximum is not None:
            yield f"the maximum weight of {line.symbol} of {line.maximum}", line.symbol, {"maximum": None}
        if line.minimum:
            yield f"the minimum weight of {line.symbol} of {line.minimum}", line.symbol, {"minimum": None}
    if rules.mode == "raise_cash":
        yield f"the cash to be raised of {rules.raise_amount}", None, {"raise_amount": Decimal("-Infinity")}
    yield f"the cash reserve of {rules.reserve}", None, {"reserve": Decimal("-Infinity")}
