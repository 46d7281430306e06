"""The judge of a rebalancing: measures a set of trades exactly and names every rule it breaks.

Knows nothing of how the trades were found, and counts exactly, without rounding or tolerance: sums and
products of decimals have as many digits as it takes. (Fractions say the same, and take much longer.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, localcontext
from typing import TYPE_CHECKING

from analytics.calculations.drift import portfolio_drift
from analytics.calculations.rebalancing_costs import exact_cost

if TYPE_CHECKING:
    from analytics.calculations.rebalancing import Line, Rules, Trade

CASH = ""
NOTHING = Decimal(0)
# A result that would have to be rounded is an error.
_EXACT = Context(prec=400, traps=[Inexact])
_DIVIDING = Context(prec=100)
_RATIO = Decimal("1e-15")


@dataclass(frozen=True)
class Figures:
    """What a set of trades costs and achieves. Money is exact; ratios have 15 places, NaN without value.

    `value`, the weights, the tracking distances and the turnover are fractions of the value before trading;
    drift is in percent and taken from the portfolio as it stands, cash included: after trading, of the value
    that is left when costs are paid.
    """

    value: Decimal
    cash_after: Decimal
    cost: Decimal
    turnover: Decimal
    tracking_distance_before: Decimal
    tracking_distance_after: Decimal
    drift_before: Decimal
    drift_after: Decimal | None  # None when costs ate all there was
    weights_before: dict[str, Decimal]
    weights_after: dict[str, Decimal]


def measure_trades(lines: Sequence["Line"], rules: "Rules", trades: Sequence["Trade"]) -> Figures:
    """Figures of `trades` that name only lines of the portfolio."""
    with localcontext(_EXACT):
        return _measure(lines, rules, trades)


def _measure(lines: Sequence["Line"], rules: "Rules", trades: Sequence["Trade"]) -> Figures:
    held, after = _values_before_and_after(lines, trades)
    targets = {line.symbol: line.target for line in lines}
    cash_before = rules.cash
    value = cash_before + sum(held.values())
    cost = _total_cost(lines, rules, trades)
    cash_after = value - sum(after.values()) - cost

    def distance(values: dict[str, Decimal]) -> Decimal:
        return _share(sum(abs(values[symbol] - target * value) for symbol, target in targets.items()), value)

    def drift(values: dict[str, Decimal], cash: Decimal, total: Decimal) -> Decimal:
        weights = _shares(values | {CASH: cash}, total)
        wanted = _shares(targets | {CASH: 1 - sum(targets.values())}, Decimal(1))
        return portfolio_drift(weights, wanted) * 100

    return Figures(
        value=value.normalize(),
        cash_after=cash_after.normalize(),
        cost=cost.normalize(),
        turnover=_share(sum(_amount(trade) for trade in trades), value),
        tracking_distance_before=distance(held),
        tracking_distance_after=distance(after),
        drift_before=drift(held, cash_before, value),
        drift_after=drift(after, cash_after, value - cost) if cost < value else None,
        weights_before=_shares(held, value),
        weights_after=_shares(after, value),
    )


def check_trades(lines: Sequence["Line"], rules: "Rules", trades: Sequence["Trade"]) -> list[str]:
    """Every rule the trades break, in words; empty when they may be proposed.

    In mode "liquidate" limits of weights do not count: nothing is traded there to keep them.
    """
    with localcontext(_EXACT):
        return _violations(lines, rules, trades)


def _violations(lines: Sequence["Line"], rules: "Rules", trades: Sequence["Trade"]) -> list[str]:
    known = {line.symbol: line for line in lines}
    violations = []
    for trade in trades:
        if trade.symbol in known:
            line = known[trade.symbol]
            faults = [*_trade_faults(line, rules, trade), *_improvement_faults(line, rules, trade, lines)]
            violations += [f"{trade.symbol}: {fault}" for fault in faults]
        else:
            violations.append(f"{trade.symbol}: is not a line of the portfolio")
    traded = [trade.symbol for trade in trades]
    violations += [
        f"{symbol}: is traded more than once" for symbol in sorted({*traded}) if traded.count(symbol) > 1
    ]
    if violations or (rules.mode == "hold" and not trades):
        return violations

    held, after = _values_before_and_after(lines, trades)
    value = rules.cash + sum(held.values())
    if rules.mode != "liquidate":
        violations += _limit_faults(lines, rules, after, value)
    cash_after = value - sum(after.values()) - _total_cost(lines, rules, trades)
    if cash_after < rules.reserve:
        violations.append(f"cash of {cash_after.normalize():f} falls short of the reserve of {rules.reserve}")
    if rules.mode == "raise_cash" and cash_after - rules.cash < rules.raise_amount:
        violations.append(f"less than {rules.raise_amount} of cash is raised")
    turnover = sum(_amount(trade) for trade in trades)
    if rules.turnover_cap is not None and turnover > rules.turnover_cap * value:
        violations.append(f"turnover exceeds its cap of {rules.turnover_cap}")
    return violations


def _limit_faults(
    lines: Sequence["Line"], rules: "Rules", after: Mapping[str, Decimal], value: Decimal
) -> list[str]:
    limited: list[tuple[str, tuple[str, ...], Decimal | None, Decimal | None]] = [
        (f"{line.symbol}: weight", (line.symbol,), line.minimum, line.maximum) for line in lines
    ]
    limited += [
        (f"group {group.name}: weight", group.symbols, group.minimum, group.maximum) for group in rules.groups
    ]
    faults = []
    for name, symbols, minimum, maximum in limited:
        weight = sum(after[symbol] for symbol in {*symbols})
        if minimum is not None and weight < minimum * value:
            faults.append(f"{name} falls short of its minimum of {minimum}")
        if maximum is not None and weight > maximum * value:
            faults.append(f"{name} exceeds its maximum of {maximum}")
    return faults


def _trade_faults(line: "Line", rules: "Rules", trade: "Trade") -> list[str]:
    selling = trade.side == "sell"
    leaves_nothing = selling and trade.quantity == line.quantity
    faults = []
    if trade.quantity <= 0:
        faults.append(f"quantity {trade.quantity} is not positive")
    if selling and trade.quantity > line.quantity:
        faults.append(f"sells {trade.quantity} but holds {line.quantity}")
    if trade.quantity % line.lot and not leaves_nothing:
        faults.append(f"{trade.quantity} is not a multiple of the lot of {line.lot}")
    minimum = rules.minimum_trade if line.minimum_trade is None else line.minimum_trade
    if _amount(trade) < minimum and not leaves_nothing:
        faults.append(f"trade is below the minimum of {minimum}")
    if not (line.may_sell if selling else line.may_buy):
        faults.append(f"may not {trade.side}")
    if rules.mode == "hold" or rules.mode in (("invest_cash",) if selling else ("raise_cash", "liquidate")):
        faults.append(f"mode {rules.mode} does not {trade.side}")
    if rules.mode == "liquidate" and not (line.unassigned and leaves_nothing):
        faults.append("mode liquidate sells what has no target, and all of it")
    if rules.mode == "bands" and not line.breached:
        faults.append("is inside its band")
    if trade.price != line.price:
        faults.append(f"price {trade.price} is not the line's {line.price}")
    if trade.amount != _amount(trade) or trade.cost != exact_cost(line, rules, _amount(trade)):
        faults.append("amount or cost does not follow from quantity and price")
    return faults


def _improvement_faults(line: "Line", rules: "Rules", trade: "Trade", lines: Sequence["Line"]) -> list[str]:
    if rules.improvement_share is None or rules.mode == "raise_cash":
        return []
    value = rules.cash + sum(each.quantity * each.price for each in lines)
    before = line.quantity * line.price
    after = before + (_amount(trade) if trade.side == "buy" else -_amount(trade))
    wanted, share = line.target * value, rules.improvement_share
    if abs(after - wanted) > share * abs(before - wanted):
        return [f"trade leaves more than {rules.improvement_share} of the deviation"]
    return []


def _values_before_and_after(
    lines: Sequence["Line"], trades: Sequence["Trade"]
) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    held = {line.symbol: line.quantity * line.price for line in lines}
    after = dict(held)
    for trade in trades:
        after[trade.symbol] += _amount(trade) if trade.side == "buy" else -_amount(trade)
    return held, after


def _total_cost(lines: Sequence["Line"], rules: "Rules", trades: Sequence["Trade"]) -> Decimal:
    line_of = {line.symbol: line for line in lines}
    return sum((exact_cost(line_of[trade.symbol], rules, _amount(trade)) for trade in trades), NOTHING)


def _amount(trade: "Trade") -> Decimal:
    return trade.quantity * trade.price


def _share(part: Decimal | int, whole: Decimal) -> Decimal:
    if whole <= 0:
        return Decimal("NaN")
    return _DIVIDING.divide(part, whole).quantize(_RATIO, ROUND_HALF_EVEN, _DIVIDING).normalize()


def _shares(parts: Mapping[str, Decimal | int], whole: Decimal) -> dict[str, Decimal]:
    return {key: _share(part, whole) for key, part in parts.items()}
