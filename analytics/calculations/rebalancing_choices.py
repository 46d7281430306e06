"""What each line of a portfolio may do under its own rules, exactly, in whole lots; and what moves amount to.

Weights, amounts and costs are fractions of the portfolio's value before trading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from math import floor, inf
from typing import TYPE_CHECKING

from analytics.calculations.rebalancing_costs import LEAST_AMOUNT, cost_rate, impact_cost, root_up, to_decimal

if TYPE_CHECKING:
    from analytics.calculations.rebalancing import Group, Line, Rules, Side

NOTHING = Decimal(0)
_EXACT = Context(prec=400, traps=[Inexact])
# More than lines can weigh together: the ceiling of a group that has none.
_NO_CEILING = Fraction(10**6)
# A coefficient of market impact, a square root, is rounded up to so many parts of one.
_IMPACT_PARTS = 10**24


@dataclass(frozen=True)
class Move:
    """Lots bought (positive) or sold (negative); or the exit: all that is held, to the last fraction."""

    lots: int = 0
    exit: bool = False


@dataclass(frozen=True)
class Choice:
    """What one line may do: hold, buy or sell a number of lots in a range, or exit.

    `low` and `high` enclose the weights wanted: a line pays the distance by which it misses them. Trading x
    costs cost_rate * x + impact * x**1.5, the impact rounded up, and the fee.
    """

    held: Fraction
    lot: Fraction
    low: Fraction
    high: Fraction
    hold: bool
    buys: range
    sells: range
    exit: bool
    cost_rate: Fraction = Fraction(0)
    impact: Fraction = Fraction(0)

    def weight_after(self, move: Move) -> Fraction:
        return Fraction(0) if move.exit else self.held + self.lot * move.lots

    def distance_after(self, move: Move) -> Fraction:
        weight = self.weight_after(move)
        return max(Fraction(0), weight - self.high, self.low - weight)

    def traded(self, move: Move) -> Fraction:
        return abs(self.weight_after(move) - self.held)

    @property
    def may_improve(self) -> bool:
        return bool(self.buys) if self.held < self.low else bool(self.sells) or self.exit

    def neighbours(self, weight: Fraction) -> tuple[Move | None, Move | None]:
        """The moves that end nearest to `weight`: at or below it, and above it."""
        lots = floor((weight - self.held) / self.lot)
        moves = [Move()] if self.hold else []
        moves += [Move(exit=True)] if self.exit else []
        moves += [Move(nearest(near, self.buys)) for near in (lots, lots + 1) if self.buys]
        moves += [Move(-nearest(-near, self.sells)) for near in (lots, lots + 1) if self.sells]
        below = [move for move in moves if self.weight_after(move) <= weight]
        above = [move for move in moves if self.weight_after(move) > weight]
        return max(below, key=self.weight_after, default=None), min(
            above, key=self.weight_after, default=None
        )


@dataclass(frozen=True)
class GroupLimit:
    """What the weights of the members, by position, must add up to after trading."""

    members: tuple[int, ...]
    low: Fraction
    high: Fraction


@dataclass(frozen=True)
class Limits:
    """What the lines share. `free_cash`: cash less what must remain (negative: to raise; None: no limit).

    `cent`: the least amount, to a multiple of which impact is rounded up. `time_limit`: seconds a stage.
    """

    free_cash: Fraction | None
    fee: Fraction
    turnover: Fraction | None
    time_limit: float
    groups: tuple[GroupLimit, ...] = ()
    cent: Fraction = Fraction(1, 10**12)


def total_distance(choices: Sequence[Choice], moves: Sequence[Move]) -> Fraction:
    return sum((c.distance_after(move) for c, move in zip(choices, moves, strict=True)), Fraction(0))


def total_turnover(choices: Sequence[Choice], moves: Sequence[Move]) -> Fraction:
    return sum((c.traded(move) for c, move in zip(choices, moves, strict=True)), Fraction(0))


def group_weight(choices: Sequence[Choice], group: GroupLimit, moves: Sequence[Move]) -> Fraction:
    return sum((choices[i].weight_after(moves[i]) for i in group.members), Fraction(0))


def cash_spent(choices: Sequence[Choice], limits: Limits, moves: Sequence[Move]) -> Fraction:
    """Buys less sells, and all costs."""
    spent = Fraction(0)
    for choice, move in zip(choices, moves, strict=True):
        if move != Move():
            traded = choice.traded(move)
            spent += choice.weight_after(move) - choice.held + limits.fee + choice.cost_rate * traded
            spent += impact_cost(choice.impact, traded, limits.cent)
    return spent


def total_value(lines: Sequence["Line"], rules: "Rules") -> Fraction:
    """Cash and positions before trading."""
    with localcontext(_EXACT):
        return Fraction(rules.cash + sum(line.quantity * line.price for line in lines))


def pose(lines: Sequence["Line"], rules: "Rules") -> tuple[list[Choice], Limits]:
    """The portfolio as the programme and the search see it."""
    value = total_value(lines, rules)
    to_remain = rules.reserve
    if rules.mode == "raise_cash":
        to_remain = max(to_remain, rules.cash + rules.raise_amount)
    limits = Limits(
        free_cash=(Fraction(rules.cash) - Fraction(to_remain)) / value if to_remain.is_finite() else None,
        fee=Fraction(rules.fee_per_trade) / value,
        turnover=None if rules.turnover_cap is None else Fraction(rules.turnover_cap),
        time_limit=rules.time_limit if len(lines) > rules.proven_lines else inf,
        groups=_group_limits(lines, rules),
        cent=LEAST_AMOUNT / value,
    )
    with localcontext(_EXACT):
        worth = to_decimal(value)
        return [_choose_moves(line, rules, value, worth) for line in lines], limits


def _group_limits(lines: Sequence["Line"], rules: "Rules") -> tuple[GroupLimit, ...]:
    if rules.mode == "liquidate":
        return ()
    position = {line.symbol: number for number, line in enumerate(lines)}
    return tuple(
        GroupLimit(
            members=tuple(sorted({position[symbol] for symbol in group.symbols})),
            low=Fraction(group.minimum or 0),
            high=_NO_CEILING if group.maximum is None else Fraction(group.maximum),
        )
        for group in rules.groups
    )


def choose_moves(line: "Line", rules: "Rules", value: Fraction) -> Choice:
    """What one line may do, exactly: its own rules become ranges of lots.

    Counted in money, as Decimals: products of them are exact, and lots follow by division with remainder.
    """
    with localcontext(_EXACT):
        return _choose_moves(line, rules, value, to_decimal(value))


def _choose_moves(line: "Line", rules: "Rules", value: Fraction, worth: Decimal) -> Choice:
    lot, held = line.lot * line.price, line.quantity * line.price
    low, high = wanted_weights(line, rules)
    may_buy, may_sell = is_allowed(line, rules, "buy"), is_allowed(line, rules, "sell")
    least, most = _value_limits(line, rules, worth)
    hold = held >= least and (most is None or held <= most)
    least, most = _values_of_trades(line, rules, worth, least, most)
    fewest = max(1, _ceil(minimum_trade(line, rules), lot))
    at_least = _ceil(least - held, lot)
    first_buy, first_sell = max(fewest, at_least), fewest
    # Lots bought beyond what line and groups want can be left out of any answer, which is the better for it.
    useful = max([low, *(group.minimum or NOTHING for group in _groups_of(line, rules))]) * worth
    last_buy = max(first_buy, _ceil(useful - held, lot)) if held < useful or at_least > 0 else 0
    last_sell = min(_ceil(held, lot) - 1, -at_least)
    if most is not None:
        at_most = -_ceil(held - most, lot)
        last_buy, first_sell = min(last_buy, at_most), max(first_sell, -at_most)
    if rules.mode == "liquidate":
        last_buy = last_sell = 0
    nearest_wanted = Fraction(low)
    return Choice(
        held=_share(held, value),
        lot=_share(lot, value),
        low=nearest_wanted,
        high=nearest_wanted if high == low else Fraction(high),
        hold=hold,
        buys=range(first_buy, last_buy + 1) if may_buy else range(0),
        sells=range(first_sell, last_sell + 1) if may_sell else range(0),
        exit=may_sell and held > 0 and least <= 0 and (most is None or most >= 0),
        cost_rate=cost_rate(line, rules),
        impact=_impact(line, value),
    )


def minimum_trade(line: "Line", rules: "Rules") -> Decimal:
    """The least amount for which the line is traded, unless it is given up completely."""
    return rules.minimum_trade if line.minimum_trade is None else line.minimum_trade


def _ceil(amount: Decimal, lot: Decimal) -> int:
    """The smallest whole number of lots that is worth the amount."""
    lots, rest = divmod(amount, lot)
    return int(lots) + (rest > 0)


def _share(amount: Decimal, value: Fraction) -> Fraction:
    numerator, denominator = amount.as_integer_ratio()
    return Fraction(numerator * value.denominator, denominator * value.numerator)


def wanted_weights(line: "Line", rules: "Rules") -> tuple[Decimal, Decimal]:
    """The weights from target to destination: none of them is better than another."""
    if rules.mode == "bands" and line.destination is not None:
        return min(line.target, line.destination), max(line.target, line.destination)
    return line.target, line.target


def _value_limits(line: "Line", rules: "Rules", worth: Decimal) -> tuple[Decimal, Decimal | None]:
    """What the line must be worth in the end. Where only strangers are sold, the rest may stand as it is."""
    if rules.mode == "liquidate":
        return NOTHING, None
    return (line.minimum or NOTHING) * worth, None if line.maximum is None else line.maximum * worth


def _values_of_trades(
    line: "Line", rules: "Rules", worth: Decimal, least: Decimal, most: Decimal | None
) -> tuple[Decimal, Decimal | None]:
    """Where a trade must end: inside the limits, and so near the target that it is worth the trouble.

    Sales that raise cash are not there for the target: for them only the limits hold.
    """
    if rules.improvement_share is None or rules.mode == "raise_cash":
        return least, most
    target = line.target * worth
    reach = rules.improvement_share * abs(line.quantity * line.price - target)
    return max(least, target - reach), target + reach if most is None else min(most, target + reach)


def _groups_of(line: "Line", rules: "Rules") -> list["Group"]:
    return [group for group in rules.groups if line.symbol in group.symbols]


def _impact(line: "Line", value: Fraction) -> Fraction:
    """The line's impact on fractions of the value: impact * sqrt(value), rounded up by a hair."""
    if not line.impact:
        return Fraction(0)
    return Fraction(root_up(Fraction(line.impact) ** 2 * value * _IMPACT_PARTS**2), _IMPACT_PARTS)


def is_allowed(line: "Line", rules: "Rules", side: "Side") -> bool:
    """Whether the mode and the line let this side trade."""
    if rules.mode == "hold" or (rules.mode == "bands" and not line.breached):
        return False
    if rules.mode == "liquidate" and not line.unassigned:
        return False
    if side == "buy":
        return line.may_buy and rules.mode not in ("raise_cash", "liquidate")
    return line.may_sell and rules.mode != "invest_cash"


def nearest(number: int, allowed: range) -> int:
    return min(max(number, allowed[0]), allowed[-1])
