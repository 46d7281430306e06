"""Rebalancing of one portfolio: the best whole-lot trades its rules allow, or the rules that allow none.

The smallest tracking distance sum(|x * p / V - t|) over the lines comes first, then the smallest turnover
sum(|x - q| * p) / V at that distance; V is the value before trading. `rebalancing_choices` works out what
each line may do, `rebalancing_programme` decides between the lines, `rebalancing_check` judges the answer and
supplies the figures, `rebalancing_reasons` explains it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import nan
from typing import Literal

from analytics.calculations.rebalancing_check import check_trades, measure_trades
from analytics.calculations.rebalancing_choices import pose, total_value
from analytics.calculations.rebalancing_programme import Move, Solution, find_best_moves
from analytics.calculations.rebalancing_reasons import explain_hold, explain_trade, find_conflict

Mode = Literal["full", "bands", "invest_cash", "raise_cash"]
Side = Literal["buy", "sell"]
Status = Literal["ready", "in_balance", "infeasible", "blocked"]

_EXACT = Context(prec=100)
# How much more cash to keep, and less to trade, while an answer rounded to lots breaks a limit by a hair.
_MARGINS = (Fraction(0), Fraction(1, 10**9), Fraction(1, 10**8), Fraction(1, 10**7), Fraction(1, 10**6))


@dataclass(frozen=True)
class Line:
    """One asset: weights are fractions of the value before trading, money is in base currency.

    `breached` and `destination` (a weight; None: the target) matter in mode "bands" only.
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


@dataclass(frozen=True)
class Rules:
    """What holds for the whole portfolio. `cost_rate` and `turnover_cap` are fractions, the rest is money.

    `raise_amount` matters in mode "raise_cash" only; `time_limit` is in seconds for each stage of the search.
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
    """What was decided for one line, and why. Weights are fractions of the value before trading."""

    symbol: str
    target: Decimal
    weight_before: Decimal
    weight_after: Decimal
    trade: Trade | None
    reason: str


@dataclass(frozen=True)
class Proposal:
    """Trades in order of execution, what they achieve, and what was decided for every line.

    Distances and turnover are fractions of `value`, the value before trading; drift is in percent and counts
    cash, None when nothing would be left. `bound`: no trades under these rules come closer to the targets (in
    mode "bands": to the destinations); `gap`: what the proposal exceeds it by, 0 when `proven` the best.
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


def propose(lines: Sequence[Line], rules: Rules) -> Proposal:
    """The best trades for one portfolio, whatever the order of its lines; or why there are none.

    "ready": trades that `check_trades` finds no fault with. "in_balance": no trades beat none. "infeasible":
    no trades obey the rules, not even none; `reasons` is a smallest set of rules that contradict each other.
    "blocked": the input cannot be used or nothing was found in time. ValueError for two lines of one symbol.
    """
    lines = sorted(lines, key=lambda line: line.symbol)
    if len({line.symbol for line in lines}) < len(lines):
        raise ValueError("every line needs a symbol of its own")
    defects = _find_defects(lines, rules)
    if defects:
        return _refuse(lines, rules, "blocked", defects)
    if rules.mode == "bands" and not any(line.breached for line in lines):
        return _describe(lines, rules, (), None)
    violations: list[str] = []
    for margin in _MARGINS:
        try:
            solution = find_best_moves(*pose(lines, rules, margin))
        except TimeoutError:
            return _refuse(lines, rules, "blocked", [f"no answer within {rules.time_limit:g} seconds"])
        if solution is None:
            break
        trades = _order_trades(lines, rules, solution.moves)
        violations = check_trades(lines, rules, trades)
        if not violations:
            return _describe(lines, rules, trades, solution)
    if violations:
        return _refuse(lines, rules, "blocked", violations)
    return _refuse(lines, rules, "infeasible", find_conflict(lines, rules))


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
    if sum(line.target for line in lines) > 1 or any(line.target < 0 for line in lines):
        defects.append("the targets are negative or exceed 100 percent together")
    if total_value(lines, rules) <= 0:
        defects.append("the portfolio has no value")
    return defects


def _order_trades(lines: Sequence[Line], rules: Rules, moves: Sequence[Move]) -> tuple[Trade, ...]:
    """Sells before buys, lines outside their limits first, then the largest deviation."""
    value = total_value(lines, rules)
    ranked = []
    for line, move in zip(lines, moves, strict=True):
        if move == Move():
            continue
        with localcontext(_EXACT):
            quantity = line.quantity if move.exit else abs(move.lots) * line.lot
            amount = quantity * line.price
            cost = rules.fee_per_trade + rules.cost_rate * amount
        side: Side = "buy" if move.lots > 0 else "sell"
        weight = Fraction(line.quantity) * Fraction(line.price) / value
        inside = weight >= (line.minimum or 0) and (line.maximum is None or weight <= line.maximum)
        rank = (side == "buy", inside, -abs(weight - Fraction(line.target)), line.symbol)
        ranked.append((rank, Trade(line.symbol, side, quantity, line.price, amount, cost)))
    return tuple(trade for _, trade in sorted(ranked, key=lambda pair: pair[0]))


def _describe(
    lines: Sequence[Line], rules: Rules, trades: tuple[Trade, ...], solution: Solution | None
) -> Proposal:
    """`solution` is None where nothing had to be searched."""
    figures = measure_trades(lines, rules, trades)
    trade_of = {trade.symbol: trade for trade in trades}
    outcomes = []
    for line in lines:
        trade, weight = trade_of.get(line.symbol), figures.weights_before[line.symbol]
        reason = explain_trade(line, trade, weight) if trade else explain_hold(line, rules, figures)
        outcomes.append(
            Outcome(line.symbol, line.target, weight, figures.weights_after[line.symbol], trade, reason)
        )
    distance = float(solution.distance if solution else figures.tracking_distance_after)
    bound = min(solution.bound, distance) if solution else distance
    proven = solution is None or solution.proven
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
        reasons=() if trades else ("no trade improves the portfolio under its rules",),
    )


def _refuse(lines: Sequence[Line], rules: Rules, status: Status, reasons: Sequence[str]) -> Proposal:
    """Nothing is traded, for `reasons`."""
    figures = measure_trades(lines, rules, ())
    weights = figures.weights_before
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
        outcomes=tuple(
            Outcome(line.symbol, line.target, weights[line.symbol], weights[line.symbol], None, reasons[0])
            for line in lines
        ),
        reasons=tuple(reasons),
    )
