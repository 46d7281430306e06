"""What each line of a portfolio may do under its own rules, exactly, in whole lots."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from analytics.calculations.rebalancing_programme import Choice, Limits

if TYPE_CHECKING:
    from analytics.calculations.rebalancing import Line, Rules, Side


def total_value(lines: Sequence["Line"], rules: "Rules") -> Fraction:
    """Cash and positions before trading."""
    return Fraction(rules.cash) + sum(Fraction(line.quantity) * Fraction(line.price) for line in lines)


def pose(
    lines: Sequence["Line"], rules: "Rules", margin: Fraction = Fraction(0)
) -> tuple[list[Choice], Limits]:
    """The portfolio as the programme sees it: fractions of its value, `margin` inside the shared limits."""
    value = total_value(lines, rules)
    to_remain = rules.reserve
    if rules.mode == "raise_cash":
        to_remain = max(to_remain, rules.cash + rules.raise_amount)
    limits = Limits(
        free_cash=(Fraction(rules.cash) - Fraction(to_remain)) / value - margin
        if to_remain.is_finite()
        else None,
        fee=Fraction(rules.fee_per_trade) / value,
        cost_rate=Fraction(rules.cost_rate),
        turnover=None
        if rules.turnover_cap is None
        else max(Fraction(rules.turnover_cap) - margin, Fraction(0)),
        time_limit=rules.time_limit,
    )
    return [choose_moves(line, rules, value) for line in lines], limits


def choose_moves(line: "Line", rules: "Rules", value: Fraction) -> Choice:
    """What one line may do, exactly: its own rules become ranges of lots."""
    lot_value = Fraction(line.lot) * Fraction(line.price)
    lot, held, target = (
        lot_value / value,
        Fraction(line.quantity) * Fraction(line.price) / value,
        Fraction(line.target),
    )
    low = high = target
    if rules.mode == "bands" and line.destination is not None:
        low, high = sorted((target, Fraction(line.destination)))
    minimum = Fraction(line.minimum or 0)
    fewest = max(1, ceil(Fraction(rules.minimum_trade) / lot_value))
    at_least = ceil((minimum - held) / lot)
    first_buy, first_sell = max(fewest, at_least), fewest
    # Lots bought beyond the target, or above it, can be left out of any answer, which is the better for it.
    last_buy = max(first_buy, ceil((low - held) / lot)) if held < low or at_least > 0 else 0
    last_sell = min(ceil(held / lot) - 1, -at_least)
    hold = at_least <= 0
    if line.maximum is not None:
        at_most = floor((Fraction(line.maximum) - held) / lot)
        last_buy, first_sell = min(last_buy, at_most), max(first_sell, -at_most)
        hold = hold and at_most >= 0
    may_buy, may_sell = is_allowed(line, rules, "buy"), is_allowed(line, rules, "sell")
    return Choice(
        held=held,
        lot=lot,
        low=low,
        high=high,
        hold=hold,
        buys=range(first_buy, last_buy + 1) if may_buy else range(0),
        sells=range(first_sell, last_sell + 1) if may_sell else range(0),
        exit=may_sell and held > 0 and minimum == 0,
    )


def is_allowed(line: "Line", rules: "Rules", side: "Side") -> bool:
    """Whether the mode and the line let this side trade."""
    if rules.mode == "bands" and not line.breached:
        return False
    if side == "buy":
        return line.may_buy and rules.mode != "raise_cash"
    return line.may_sell and rules.mode != "invest_cash"
