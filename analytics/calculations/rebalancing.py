"""Rebalancing of one portfolio: the best whole-lot trades its rules allow, or the rules that allow none.

The smallest tracking distance sum(|x * p / V - t|) over the lines comes first, then the smallest turnover
sum(|x - q| * p) / V at that distance; V is the value before trading. What a line may do by itself is worked out
here exactly, in lots; `rebalancing_programme` decides between the lines; `rebalancing_check` judges the answer and
supplies the figures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import ceil, floor
from typing import Literal

from analytics.calculations.rebalancing_check import check_trades, measure_trades
from analytics.calculations.rebalancing_programme import Choice, Limits, Move, Solution, find_best_moves, is_feasible

Mode = Literal["full", "bands", "invest_cash", "raise_cash"]
Side = Literal["buy", "sell"]
Status = Literal["ready", "in_balance", "infeasible", "blocked"]

_EXACT = Context(prec=100)
_NOTHING, _UNBOUNDED = Decimal(0), Decimal("Infinity")
# How much more cash to keep and less to trade when an answer, rounded to lots, breaks a limit by a hair.
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

    `time_limit` is in seconds and holds for each stage of the search.
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
    """What to trade, what it achieves, and what was decided for every line.

    Distances and turnover are fractions of the value before trading, drift is in percent. `gap` is the distance
    above the proven bound; `proven`: no trades under these rules do better.
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
    gap: Decimal
    proven: bool
    outcomes: tuple[Outcome, ...]
    reasons: tuple[str, ...] = ()


def propose(lines: Sequence[Line], rules: Rules) -> Proposal:
    """The best trades, or a status that says why there are none.

    "ready": trades that pass the exact check. "in_balance": nothing improves the portfolio. "infeasible": no
    trades obey the rules; `reasons` name those that bind. "blocked": the value is not positive, or no answer
    was found in time. The order of `lines` does not matter. Raises ValueError for two lines of one symbol.
    """
    lines = sorted(lines, key=lambda line: line.symbol)
    if len({line.symbol for line in lines}) < len(lines):
        raise ValueError("every line needs a symbol of its own")
    value = Fraction(rules.cash) + sum(Fraction(line.quantity) * Fraction(line.price) for line in lines)
    if value <= 0:
        return _nothing(lines, rules, "blocked", ("the portfolio has no value",))
    if rules.mode == "bands" and not any(line.breached for line in lines):
        return _proposal(lines, rules, (), None, value)
    margin = Fraction(0)
    for _ in range(_ATTEMPTS):
        try:
            solution = find_best_moves(_choices(lines, rules, value), _limits(rules, value, margin))
        except TimeoutError:
            return _nothing(lines, rules, "blocked", (f"no answer within {rules.time_limit:g} seconds",))
        if solution is None:
            return _nothing(lines, rules, "infeasible", tuple(_binding_rules(lines, rules, value)))
        trades = tuple(_trades(lines, rules, solution.moves))
        if not check_trades(lines, rules, trades):
            return _proposal(lines, rules, trades, solution, value)
        margin = 2 * margin + _HAIR
    return _nothing(lines, rules, "blocked", tuple(check_trades(lines, rules, trades)))


def _choices(lines: Sequence[Line], rules: Rules, value: Fraction) -> list[Choice]:
    return [_choice(line, rules, value) for line in lines]


def _choice(line: Line, rules: Rules, value: Fraction) -> Choice:
    """What the line's own rules leave open, in lots."""
    price, quantity = Fraction(line.price), Fraction(line.quantity)
    lot = Fraction(line.lot) * price / value
    held = quantity * price / value
    wanted = Fraction(line.target if rules.mode != "bands" or line.destination is None else line.destination)
    lowest, highest = Fraction(line.minimum or 0), Fraction(1 if line.maximum is None else line.maximum)
    smallest = max(1, ceil(Fraction(rules.minimum_trade) / value / lot))
    may_buy, may_sell = _may_trade(line, rules)
    most_bought = floor((highest - held) / lot) if line.maximum is not None else floor(_money(rules, value) / lot)
    buys = range(max(smallest, ceil((lowest - held) / lot)), most_bought + 1) if may_buy else range(0)
    most_sold = min(floor(quantity / Fraction(line.lot)), floor((held - lowest) / lot))
    sells = range(max(smallest, ceil((held - highest) / lot)), most_sold + 1) if may_sell else range(0)
    return Choice(
        held=held,
        lot=lot,
        low=wanted,
        high=wanted,
        hold=lowest <= held <= highest,
        buys=buys,
        sells=sells,
        exit=may_sell and quantity > 0 and lowest <= 0,
    )


def _may_trade(line: Line, rules: Rules) -> tuple[bool, bool]:
    if rules.mode == "bands" and not line.breached:
        return False, False
    return line.may_buy and rules.mode != "raise_cash", line.may_sell and rules.mode != "invest_cash"


def _money(rules: Rules, value: Fraction) -> Fraction:
    """More than can ever be spent on one line, as a fraction of the value."""
    return Fraction(1) + max(Fraction(0), Fraction(rules.cash) / value)


def _limits(rules: Rules, value: Fraction, margin: Fraction = Fraction(0)) -> Limits:
    floor_of_cash = Fraction(rules.reserve)
    if rules.mode == "raise_cash":
        floor_of_cash = max(floor_of_cash, Fraction(rules.cash) + Fraction(rules.raise_amount))
    return Limits(
        free_cash=(Fraction(rules.cash) - floor_of_cash) / value - margin,
        fee=Fraction(rules.fee_per_trade) / value,
        cost_rate=Fraction(rules.cost_rate),
        turnover=None if rules.turnover_cap is None else Fraction(rules.turnover_cap) - margin,
        time_limit=rules.time_limit,
    )


def _trades(lines: Sequence[Line], rules: Rules, moves: Sequence[Move]) -> Iterator[Trade]:
    for line, move in zip(lines, moves, strict=True):
        quantity = line.quantity if move.exit else abs(move.lots) * line.lot
        if quantity:
            amount = Fraction(quantity) * Fraction(line.price)
            cost = Fraction(rules.fee_per_trade) + Fraction(rules.cost_rate) * amount
            side: Literal["buy", "sell"] = "buy" if move.lots > 0 else "sell"
            yield Trade(line.symbol, side, quantity, line.price, exact_decimal(amount), exact_decimal(cost))


def _binding_rules(lines: Sequence[Line], rules: Rules, value: Fraction) -> Iterator[str]:
    """The rules without which there would be an answer, each tried by itself."""
    freed: list[tuple[str, Callable[[], bool]]] = [
        ("the cash reserve", lambda: _solvable(lines, replace(rules, reserve=-_large(value)), value)),
        ("the cash to be raised", lambda: _solvable(lines, replace(rules, raise_amount=-_large(value)), value)),
        ("the minimum trade", lambda: _solvable(lines, replace(rules, minimum_trade=Decimal(0)), value)),
        ("the turnover cap", lambda: _solvable(lines, replace(rules, turnover_cap=None), value)),
        ("the mode", lambda: _solvable(lines, replace(rules, mode="full"), value)),
    ]
    for name in ("minimum", "maximum"):
        freed.append((f"the {name} weights", lambda name=name: _solvable(_without(lines, **{name: None}), rules, value)))  # type: ignore[misc]
    freed.append(
        ("what may not be traded", lambda: _solvable(_without(lines, may_buy=True, may_sell=True), rules, value))
    )
    binding = [name for name, is_solvable in freed if is_solvable()]
    yield from (f"no trades obey {name}" for name in binding)
    if not binding:
        yield "no trades obey the rules, whichever one of them is lifted"


def _solvable(lines: Sequence[Line], rules: Rules, value: Fraction) -> bool:
    return is_feasible(_choices(lines, rules, value), _limits(rules, value))


def _without(lines: Sequence[Line], **changes: object) -> list[Line]:
    return [replace(line, **changes) for line in lines]  # type: ignore[arg-type]


def _large(value: Fraction) -> Decimal:
    return Decimal(ceil(value)) * 1000


def _nothing(lines: Sequence[Line], rules: Rules, status: Status, reasons: tuple[str, ...]) -> Proposal:
    value = rules.cash + sum((line.quantity * line.price for line in lines), Decimal(0))
    outcomes = [Outcome(line.symbol, line.target, Decimal(0), Decimal(0), None, reasons[0]) for line in lines]
    if value > 0:
        proposal = _proposal(lines, rules, (), None, Fraction(value))
        outcomes = [replace(outcome, reason=reasons[0]) for outcome in proposal.outcomes]
        return replace(proposal, status=status, reasons=reasons, outcomes=tuple(outcomes), proven=False)
    zero = Decimal(0)
    return Proposal(
        status, (), rules.cash, rules.cash, value, zero, zero, zero, zero, zero, None, zero, False, tuple(outcomes), reasons
    )


def _proposal(
    lines: Sequence[Line], rules: Rules, trades: tuple[Trade, ...], solution: Solution | None, value: Fraction
) -> Proposal:
    figures = measure_trades(lines, rules, trades)
    by_symbol = {trade.symbol: trade for trade in trades}
    outcomes = [
        Outcome(
            line.symbol,
            line.target,
            figures.weights_before[line.symbol],
            figures.weights_after[line.symbol],
            by_symbol.get(line.symbol),
            _reason(line, rules, value, by_symbol.get(line.symbol)),
        )
        for line in lines
    ]
    gap = Decimal(0) if solution is None or solution.proven else max(
        Decimal(0), exact_decimal(solution.distance) - Decimal(repr(solution.bound))
    )
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
        gap=gap,
        proven=solution is None or solution.proven,
        outcomes=tuple(outcomes),
        reasons=() if trades else ("no trade improves the portfolio under its rules",),
    )


def _reason(line: Line, rules: Rules, value: Fraction, trade: Trade | None) -> str:
    choice = _choice(line, rules, value)
    points = float((choice.held - Fraction(line.target)) * 100)
    where = f"{abs(points):.2f} points {'over' if points > 0 else 'under'} target" if points else "on target"
    if trade is not None:
        if trade.side == "sell" and trade.quantity == line.quantity:
            return f"{where}: sell all {trade.quantity.normalize():f}"
        return f"{where}: {trade.side} {trade.quantity.normalize():f}"
    may_buy, may_sell = _may_trade(line, rules)
    if rules.mode == "bands" and not line.breached:
        return "inside its band"
    distance = abs(choice.held - choice.low)
    if distance < choice.lot:
        return f"{where}, within one lot"
    if choice.held < choice.low and not may_buy:
        return f"{where}, but may not be bought"
    if choice.held > choice.low and not may_sell:
        return f"{where}, but may not be sold"
    if distance * value < Fraction(rules.minimum_trade):
        return f"{where}: a trade of {float(distance * value):.2f} is below the minimum of {rules.minimum_trade:.2f}"
    if choice.held < choice.low:
        return f"{where}: not enough cash above the reserve"
    return f"{where}: no trade improves the whole"


def exact_decimal(number: Fraction) -> Decimal:
    with localcontext(_EXACT):
        return Decimal(number.numerator) / Decimal(number.denominator)


@dataclass(frozen=True)
class Proposal:
    """Trades in order of execution, what they achieve, and an outcome for every line.

    `tracking_distance_*` and `turnover` are fractions of `value`, the value before trading; `drift_*` is in percent
    and counts cash. `bound` is a proven lower bound of what the search minimised (the distance to the destinations
    of the bands, where these are not the targets), `gap` what it exceeds that by. Figures are None where unknown:
    without a value, or without trades that may be proposed.
    """

    status: Status
    reasons: tuple[str, ...] = ()
    trades: tuple[Trade, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    value: Decimal | None = None
    cash_before: Decimal | None = None
    cash_after: Decimal | None = None
    cost: Decimal | None = None
    turnover: Decimal | None = None
    tracking_distance_before: Decimal | None = None
    tracking_distance_after: Decimal | None = None
    drift_before: Decimal | None = None
    drift_after: Decimal | None = None
    bound: float | None = None
    gap: float | None = None
    proven: bool = False


def propose(lines: Sequence[Line], rules: Rules) -> Proposal:
    """The best trades for one portfolio, in any order of its lines.

    "ready": trades that obey every rule, as judged by `check_trades`. "in_balance": no trade is better than any.
    "infeasible": no trades obey the rules, not even none; `reasons` names a smallest set of rules that contradict
    each other. "blocked": the input cannot be used, or nothing was found in time.
    """
    lines = sorted(lines, key=lambda line: line.symbol)
    defects = _find_defects(lines, rules)
    if defects:
        return Proposal("blocked", reasons=tuple(defects), cash_before=rules.cash)
    unchanged = measure_trades(lines, rules, ())
    refused = Proposal(
        "blocked",
        value=unchanged.value,
        cash_before=rules.cash,
        tracking_distance_before=unchanged.tracking_distance_before,
        drift_before=unchanged.drift_before,
    )
    violations: list[str] = []
    for margin in _MARGINS:
        try:
            solution = find_best_moves(*_pose(lines, rules, margin))
        except TimeoutError:
            return replace(refused, reasons=("no feasible proposal was found within the time limit",))
        if solution is None:
            break
        trades = _order_trades(lines, rules, solution.moves)
        violations = check_trades(lines, rules, trades)
        if not violations:
            return _describe(lines, rules, trades, solution)
    if violations:
        return replace(refused, reasons=tuple(violations))
    return replace(refused, status="infeasible", reasons=tuple(_find_conflict(lines, rules)))


def _find_defects(lines: Sequence[Line], rules: Rules) -> list[str]:
    """Input no proposal can be made from."""
    defects = []
    for line in lines:
        for name, number, sound in (
            ("price", line.price, line.price.is_finite() and line.price > 0),
            ("lot", line.lot, line.lot.is_finite() and line.lot > 0),
            ("quantity", line.quantity, line.quantity.is_finite() and line.quantity >= 0),
            ("target", line.target, line.target.is_finite() and line.target >= 0),
        ):
            if not sound:
                defects.append(f"{line.symbol}: {name} {number} cannot be used")
    symbols = [line.symbol for line in lines]
    defects += [f"{symbol}: stands in more than one line" for symbol in sorted({*symbols}) if symbols.count(symbol) > 1]
    for name in ("reserve", "minimum_trade", "fee_per_trade", "cost_rate", "raise_amount", "turnover_cap"):
        if (getattr(rules, name) or 0) < 0:
            defects.append(f"{name} is negative")
    if not defects and sum(line.target for line in lines) > 1:
        defects.append("the targets exceed 100 percent")
    if not defects and _value(lines, rules) <= 0:
        defects.append("the portfolio has no positive value")
    return defects
