"""The judge of a rebalancing: measures a set of trades exactly and names every rule it breaks.

Knows nothing of how the trades were found, and works in fractions, without rounding or tolerance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING

from analytics.calculations.drift import portfolio_drift

if TYPE_CHECKING:
    from analytics.calculations.rebalancing import Line, Rules, Trade

CASH = ""
_RATIO_PLACES = 15
_EXACT = Context(prec=100)


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
    held, after = _values_before_and_after(lines, trades)
    targets = {line.symbol: Fraction(line.target) for line in lines}
    cash_before = Fraction(rules.cash)
    value = cash_before + sum(held.values())
    cost = sum((_cost(trade, rules) for trade in trades), Fraction(0))
    cash_after = value - sum(after.values()) - cost

    def distance(values: dict[str, Fraction]) -> Decimal:
        return _share(sum(abs(values[symbol] - target * value) for symbol, target in targets.items()), value)

    def drift(values: dict[str, Fraction], cash: Fraction, total: Fraction) -> Decimal:
        weights = _shares(values | {CASH: cash}, total)
        wanted = _shares(targets | {CASH: 1 - sum(targets.values())}, Fraction(1))
        return portfolio_drift(weights, wanted) * 100

    return Figures(
        value=_decimal(value),
        cash_after=_decimal(cash_after),
        cost=_decimal(cost),
        turnover=_share(sum(_amount(trade) for trade in trades), value),
        tracking_distance_before=distance(held),
        tracking_distance_after=distance(after),
        drift_before=drift(held, cash_before, value),
        drift_after=drift(after, cash_after, value - cost) if cost < value else None,
        weights_before=_shares(held, value),
        weights_after=_shares(after, value),
    )


def check_trades(lines: Sequence["Line"], rules: "Rules", trades: Sequence["Trade"]) -> list[str]:
    """Every rule the trades break, in words; empty when they may be proposed."""
    known = {line.symbol: line for line in lines}
    violations = []
    for trade in trades:
        if trade.symbol in known:
            violations += [
                f"{trade.symbol}: {fault}" for fault in _trade_faults(known[trade.symbol], rules, trade)
            ]
        else:
            violations.append(f"{trade.symbol}: is not a line of the portfolio")
    traded = [trade.symbol for trade in trades]
    violations += [
        f"{symbol}: is traded more than once" for symbol in sorted({*traded}) if traded.count(symbol) > 1
    ]
    if violations:
        return violations

    held, after = _values_before_and_after(lines, trades)
    value = Fraction(rules.cash) + sum(held.values())
    for line in lines:
        weight = after[line.symbol]
        if line.minimum is not None and weight < Fraction(line.minimum) * value:
            violations.append(f"{line.symbol}: weight falls short of its minimum of {line.minimum}")
        if line.maximum is not None and weight > Fraction(line.maximum) * value:
            violations.append(f"{line.symbol}: weight exceeds its maximum of {line.maximum}")
    cash_after = value - sum(after.values()) - sum(_cost(trade, rules) for trade in trades)
    if cash_after < Fraction(rules.reserve):
        violations.append(f"cash of {_decimal(cash_after):f} falls short of the reserve of {rules.reserve}")
    if rules.mode == "raise_cash" and cash_after - Fraction(rules.cash) < Fraction(rules.raise_amount):
        violations.append(f"less than {rules.raise_amount} of cash is raised")
    turnover = sum(_amount(trade) for trade in trades)
    if rules.turnover_cap is not None and turnover > Fraction(rules.turnover_cap) * value:
        violations.append(f"turnover exceeds its cap of {rules.turnover_cap}")
    return violations


def _trade_faults(line: "Line", rules: "Rules", trade: "Trade") -> list[str]:
    selling = trade.side == "sell"
    leaves_nothing = selling and trade.quantity == line.quantity
    faults = []
    if trade.quantity <= 0:
        faults.append(f"quantity {trade.quantity} is not positive")
    if selling and trade.quantity > line.quantity:
        faults.append(f"sells {trade.quantity} but holds {line.quantity}")
    if Fraction(trade.quantity) % Fraction(line.lot) and not leaves_nothing:
        faults.append(f"{trade.quantity} is not a multiple of the lot of {line.lot}")
    if _amount(trade) < Fraction(rules.minimum_trade) and not leaves_nothing:
        faults.append(f"trade is below the minimum of {rules.minimum_trade}")
    if not (line.may_sell if selling else line.may_buy):
        faults.append(f"may not {trade.side}")
    if rules.mode == ("invest_cash" if selling else "raise_cash"):
        faults.append(f"mode {rules.mode} does not {trade.side}")
    if rules.mode == "bands" and not line.breached:
        faults.append("is inside its band")
    if trade.price != line.price:
        faults.append(f"price {trade.price} is not the line's {line.price}")
    if Fraction(trade.amount) != _amount(trade) or Fraction(trade.cost) != _cost(trade, rules):
        faults.append("amount or cost does not follow from quantity and price")
    return faults


def _values_before_and_after(
    lines: Sequence["Line"], trades: Sequence["Trade"]
) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    held = {line.symbol: Fraction(line.quantity) * Fraction(line.price) for line in lines}
    after = dict(held)
    for trade in trades:
        after[trade.symbol] += _amount(trade) if trade.side == "buy" else -_amount(trade)
    return held, after


def _amount(trade: "Trade") -> Fraction:
    return Fraction(trade.quantity) * Fraction(trade.price)


def _cost(trade: "Trade", rules: "Rules") -> Fraction:
    return Fraction(rules.fee_per_trade) + Fraction(rules.cost_rate) * _amount(trade)


def _decimal(number: Fraction) -> Decimal:
    with localcontext(_EXACT):
        return Decimal(number.numerator) / Decimal(number.denominator)


def _share(part: Fraction | int, whole: Fraction) -> Decimal:
    return _decimal(round(part / whole, _RATIO_PLACES)) if whole > 0 else Decimal("NaN")


def _shares(parts: Mapping[str, Fraction | int], whole: Fraction) -> dict[str, Decimal]:
    return {key: _share(part, whole) for key, part in parts.items()}
