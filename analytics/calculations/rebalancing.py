"""Rebalancing of one portfolio: the best whole-lot trades its rules allow, or the rules that allow none.

The smallest tracking distance sum(|x * p / V - t|) over the lines comes first, then the smallest turnover
sum(|x - q| * p) / V at that distance; V is the value before trading. `rebalancing_choices` works out what
each line may do, `rebalancing_programme` decides between the lines, or `rebalancing_search` where speed
counts more than proof, `rebalancing_check` judges the answer and supplies the figures, `rebalancing_costs`
says what trades cost and `rebalancing_reasons` explains them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import nan
from typing import Literal

from analytics.calculations.rebalancing_check import Figures, check_trades, measure_trades
from analytics.calculations.rebalancing_choices import (
    Move,
    pose,
    total_value,
    wanted_weights,
)
from analytics.calculations.rebalancing_costs import benefit_reasons, exact_cost, to_decimal
from analytics.calculations.rebalancing_programme import Solution, find_best_moves
from analytics.calculations.rebalancing_reasons import explain_hold, explain_trade, find_conflict
from analytics.calculations.rebalancing_search import Found, find_good_moves

Mode = Literal["full", "bands", "invest_cash", "raise_cash", "liquidate", "hold"]
Gear = Literal["exact", "fast"]
Side = Literal["buy", "sell"]
Status = Literal["ready", "in_balance", "infeasible", "blocked"]

_EXACT = Context(prec=100)
_NOTHING_BETTER = "no trade improves the portfolio under its rules"


@dataclass(frozen=True)
class Line:
    """One asset: weights are fractions of the value before trading, money is in base currency.

    `breached` and `destination` (a weight; None: the target) matter in mode "bands" only, `unassigned` (held,
    but without a place in the allocation) in mode "liquidate". Trading an amount a costs cost_rate * a (None:
    at the rate of the rules) and impact * a * sqrt(a), rounded up. `minimum_trade`: the least amount of a
    trade that is no complete exit; None: that of the rules.
    """

    symbol: str
    quantity: Decimal
    price: Decimal
    target: Decimal
    lot: Decimal = Decimal(1)
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    may_buy: bool = True
    may_sell: bool = True
    breached: bool = False
    destination: Decimal | None = None
    unassigned: bool = False
    cost_rate: Decimal | None = None
    impact: Decimal = Decimal(0)
    minimum_trade: Decimal | None = None


@dataclass(frozen=True)
class Group:
    """What lines of one issuer, sector or the like may weigh together, in fractions; None: no such limit."""

    name: str
    symbols: tuple[str, ...]
    minimum: Decimal | None = None
    maximum: Decimal | None = None


@dataclass(frozen=True)
class Rules:
    """What holds for the whole portfolio. Amounts are in base currency, rates, shares and caps are fractions.

    Modes: "full" (every line to its target), "bands" (breached lines only, to their destinations),
    "invest_cash" (buy only), "raise_cash" (sell only, until `raise_amount` is there), "liquidate" (sell all
    that is unassigned) and "hold" (nothing). `improvement_share`: a trade must leave at most this share of
    its line's deviation, unless it raises cash. `cost_limit`, `cost_per_drift`, `tax`: see `benefit_reasons`.
    `time_limit`: seconds for each stage of the programme, for portfolios of more than `proven_lines` lines.
    """

    cash: Decimal
    reserve: Decimal = Decimal(0)
    minimum_trade: Decimal = Decimal(0)
    fee_per_trade: Decimal = Decimal(0)
    cost_rate: Decimal = Decimal(0)
    mode: Mode = "full"
    raise_amount: Decimal = Decimal(0)
    turnover_cap: Decimal | None = None
    time_limit: float = 5.0
    improvement_share: Decimal | None = None
    groups: tuple[Group, ...] = ()
    gear: Gear = "exact"
    proven_lines: int = 20
    cost_limit: Decimal | None = None
    cost_per_drift: Decimal | None = None
    tax: Decimal = Decimal(0)


@dataclass(frozen=True)
class Trade:
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    amount: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Outcome:
    """What was decided for one line, and why. Weights are fractions of the value before trading.

    `residual`: what is left undone: the weight after trading less the nearest weight wanted, the target or,
    in mode "bands", the destination; 0 inside the band.
    """

    symbol: str
    target: Decimal
    weight_before: Decimal
    weight_after: Decimal
    trade: Trade | None
    reason: str
    residual: Decimal = Decimal(0)


@dataclass(frozen=True)
class Proposal:
    """Trades in order of execution, what they achieve, and what was decided for every line.

    Distances and turnover are fractions of `value`, the value before trading; drift is in percent and counts
    cash, None when nothing would be left. `bound`: no trades under these rules come closer to the targets (in
    mode "bands": to the destinations); `gap`: what the proposal exceeds it by, 0 when `proven` the best.
    `gear`: the one that found it.
    Where there is no proposal, the figures are those of the portfolio as it stands; NaN stands for unknown.
    """

    status: Status
    trades: tuple[Trade, ...]
    cash_before: Decimal
    cash_after: Decimal
    value: Decimal
    tracking_distance_before: Decimal
    tracking_distance_after: Decimal
    turnover: Decimal
    cost: Decimal
    drift_before: Decimal
    drift_after: Decimal | None
    bound: float
    gap: float
    proven: bool
    outcomes: tuple[Outcome, ...]
    reasons: tuple[str, ...] = ()
    gear: Gear = "exact"


def propose(lines: Sequence[Line], rules: Rules) -> Proposal:
    """The best trades for one portfolio, whatever the order of its lines; or why there are none.

    "ready": trades that `check_trades` finds no fault with. "in_balance": no trades beat none. "infeasible":
    no trades obey the rules, not even none; `reasons` is a smallest set of rules that contradict each other.
    "blocked": the input cannot be used, nothing was found in time, or what was found costs more than it may.
    ValueError for two lines of one symbol.

    Gear "exact": the programme, to a proven optimum for up to `proven_lines` lines, to a bound and a gap
    above that. Gear "fast": the search, and the programme only where the search finds nothing.
    """
    lines = sort_lines(lines)
    settled = settle_without_search(lines, rules)
    if settled:
        return settled
    choices, limits = pose(lines, rules)
    known = find_good_moves([(choices, limits)])[0] if needs_search(lines, rules) else None
    if known and rules.gear == "fast":
        return propose_found(lines, rules, known)
    try:
        solution = find_best_moves(choices, limits, known.moves if known else None)
    except TimeoutError:
        return _refuse(lines, rules, "blocked", [f"no answer within {rules.time_limit:g} seconds"])
    if solution is None:
        return _refuse(lines, rules, "infeasible", find_conflict(lines, rules))
    if known:
        solution = replace(solution, bound=max(solution.bound, known.bound))
    return _judge(lines, rules, solution, "exact")


def sort_lines(lines: Sequence[Line]) -> list[Line]:
    """In the order of their symbols; ValueError for two lines of one symbol."""
    if len({line.symbol for line in lines}) < len(lines):
        raise ValueError("every line needs a symbol of its own")
    return sorted(lines, key=lambda line: line.symbol)


def settle_without_search(lines: Sequence[Line], rules: Rules) -> Proposal | None:
    """The proposal for sorted lines where there is nothing to choose: bad input, no breach, mode "hold"."""
    defects = _find_defects(lines, rules)
    if defects:
        return _refuse(lines, rules, "blocked", defects)
    nothing_breached = rules.mode == "bands" and not any(line.breached for line in lines)
    if rules.mode == "hold" or (nothing_breached and rules.cash >= rules.reserve):
        return _describe(lines, rules, (), None, rules.gear)
    return None


def needs_search(lines: Sequence[Line], rules: Rules) -> bool:
    """Whether the search comes before the programme or in its place: where no proof is promised."""
    return rules.gear == "fast" or len(lines) > rules.proven_lines


def propose_found(lines: Sequence[Line], rules: Rules, found: Found) -> Proposal:
    """The proposal for sorted lines, settled by nothing else, that the search found moves for."""
    solution = Solution(found.moves, Fraction(found.distance), found.bound, proven=False)
    return _judge(lines, rules, solution, "fast")


def _judge(lines: Sequence[Line], rules: Rules, solution: Solution, gear: Gear) -> Proposal:
    """The proposal behind a solution, unless the check finds fault with it or it costs too much."""
    trades = _order_trades(lines, rules, solution.moves)
    violations = check_trades(lines, rules, trades)
    if violations:
        return _refuse(lines, rules, "blocked", violations)
    proposal = _describe(lines, rules, trades, solution, gear)
    refusals = benefit_reasons(proposal, rules, rules.tax)
    return _refuse(lines, rules, "blocked", refusals) if refusals else proposal


def _find_defects(lines: Sequence[Line], rules: Rules) -> list[str]:
    """Why no proposal can be made from this input."""
    defects = []
    for line in lines:
        if not line.price > 0:
            defects.append(f"{line.symbol}: price {line.price} is not positive")
        if not line.lot > 0:
            defects.append(f"{line.symbol}: lot {line.lot} is not positive")
        if line.quantity < 0:
            defects.append(f"{line.symbol}: a short position of {line.quantity} cannot be rebalanced")
        if line.impact < 0 or (line.cost_rate is not None and line.cost_rate < 0):
            defects.append(f"{line.symbol}: a cost rate is negative")
        if rules.mode == "liquidate" and line.unassigned and line.target:
            defects.append(f"{line.symbol}: has a target of {line.target} and is to be given up")
    known = {line.symbol for line in lines}
    defects += [
        f"group {group.name}: {symbol} is not a line of the portfolio"
        for group in rules.groups
        for symbol in sorted({*group.symbols} - known)
    ]
    if rules.improvement_share is not None and rules.improvement_share < 0:
        defects.append(f"the improvement share of {rules.improvement_share} is negative")
    if sum(line.target for line in lines) > 1 or any(line.target < 0 for line in lines):
        defects.append("the targets are negative or exceed 100 percent together")
    if total_value(lines, rules) <= 0:
        defects.append("the portfolio has no value")
    return defects


def _order_trades(lines: Sequence[Line], rules: Rules, moves: Sequence[Move]) -> tuple[Trade, ...]:
    """Sells before buys, lines outside their limits first, then the largest deviation."""
    value = to_decimal(total_value(lines, rules))
    ranked = []
    for line, move in zip(lines, moves, strict=True):
        if move == Move():
            continue
        side: Side = "buy" if move.lots > 0 else "sell"
        with localcontext(_EXACT):
            quantity = line.quantity if move.exit else abs(move.lots) * line.lot
            amount = quantity * line.price
            cost = exact_cost(line, rules, amount)
            held = line.quantity * line.price
            inside = (line.minimum or 0) * value <= held and (
                line.maximum is None or held <= line.maximum * value
            )
            rank = (side == "buy", inside, -abs(held - line.target * value), line.symbol)
        ranked.append((rank, Trade(line.symbol, side, quantity, line.price, amount, cost)))
    return tuple(trade for _, trade in sorted(ranked, key=lambda pair: pair[0]))


def _describe(
    lines: Sequence[Line], rules: Rules, trades: tuple[Trade, ...], solution: Solution | None, gear: Gear
) -> Proposal:
    """`solution` is None where nothing had to be searched."""
    figures = measure_trades(lines, rules, trades)
    trade_of = {trade.symbol: trade for trade in trades}
    outcomes = []
    for line in lines:
        trade, weight = trade_of.get(line.symbol), figures.weights_before[line.symbol]
        reason = (
            explain_trade(line, trade, weight, rules, figures)
            if trade
            else explain_hold(line, rules, figures)
        )
        outcomes.append(_outcome(line, rules, figures, trade, reason))
    distance = float(solution.distance if solution else figures.tracking_distance_after)
    bound = min(solution.bound, distance) if solution else distance
    proven = solution is None or solution.proven
    nothing = "the mode holds every line" if rules.mode == "hold" else _NOTHING_BETTER
    return Proposal(
        status="ready" if trades else "in_balance",
        trades=trades,
        cash_before=rules.cash,
        cash_after=figures.cash_after,
        value=figures.value,
        tracking_distance_before=figures.tracking_distance_before,
        tracking_distance_after=figures.tracking_distance_after,
        turnover=figures.turnover,
        cost=figures.cost,
        drift_before=figures.drift_before,
        drift_after=figures.drift_after,
        bound=bound,
        gap=0.0 if proven else distance - bound,
        proven=proven,
        outcomes=tuple(outcomes),
        reasons=() if trades else (nothing,),
        gear=gear,
    )


def _refuse(lines: Sequence[Line], rules: Rules, status: Status, reasons: Sequence[str]) -> Proposal:
    """Nothing is traded, for `reasons`."""
    figures = measure_trades(lines, rules, ())
    return Proposal(
        status=status,
        trades=(),
        cash_before=rules.cash,
        cash_after=rules.cash,
        value=figures.value,
        tracking_distance_before=figures.tracking_distance_before,
        tracking_distance_after=figures.tracking_distance_before,
        turnover=Decimal(0),
        cost=Decimal(0),
        drift_before=figures.drift_before,
        drift_after=figures.drift_before,
        bound=nan,
        gap=nan,
        proven=False,
        outcomes=tuple(_outcome(line, rules, figures, None, reasons[0]) for line in lines),
        reasons=tuple(reasons),
        gear=rules.gear,
    )


def _outcome(line: Line, rules: Rules, figures: Figures, trade: Trade | None, reason: str) -> Outcome:
    before, after = figures.weights_before[line.symbol], figures.weights_after[line.symbol]
    return Outcome(line.symbol, line.target, before, after, trade, reason, _residual(line, rules, after))


def _residual(line: Line, rules: Rules, weight: Decimal) -> Decimal:
    if weight.is_nan() or (rules.mode == "bands" and not line.breached):
        return weight * 0  # unknown stays unknown
    low, high = wanted_weights(line, rules)
    return max(weight - high, Decimal(0)) + min(weight - low, Decimal(0))
