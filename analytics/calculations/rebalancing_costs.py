"""What a trade costs: a fee, a rate of its amount and market impact; its parts, and when that is too much.

Amounts are in base currency, positive for buys and sells alike, rates are fractions of the amount. All of it
is exact: market impact, a square root, is rounded up to the last decimal that stored money has.
"""

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analytics.calculations.rebalancing import Line, Proposal, Rules

# Whole cents would leave the optimum of a portfolio of 100,000 open by several parts in a million.
LEAST_AMOUNT = Fraction(1, 10**6)
PERCENT = 100
_EXACT = Context(prec=100)


def cost_rate(line: "Line", rules: "Rules") -> Fraction:
    """What trading this line costs for each unit of money traded, impact aside."""
    return Fraction(rules.cost_rate if line.cost_rate is None else line.cost_rate)


def impact_cost(impact: Fraction, amount: Fraction, least: Fraction = LEAST_AMOUNT) -> Fraction:
    """impact * amount * sqrt(amount), rounded up to a multiple of `least`."""
    return root_up((impact / least) ** 2 * amount**3) * least if impact else Fraction(0)


def trade_cost(line: "Line", rules: "Rules", amount: Fraction) -> Fraction:
    """The cost of trading `amount` of the line, exactly."""
    return (
        Fraction(rules.fee_per_trade)
        + cost_rate(line, rules) * amount
        + impact_cost(Fraction(line.impact), amount)
    )


def exact_cost(line: "Line", rules: "Rules", amount: Decimal) -> Decimal:
    """`trade_cost` of a Decimal as a Decimal, exactly where the current context is."""
    rate = rules.cost_rate if line.cost_rate is None else line.cost_rate
    impact = to_decimal(impact_cost(Fraction(line.impact), Fraction(amount))) if line.impact else 0
    return rules.fee_per_trade + rate * amount + impact


def split_cost(
    amount: Decimal,
    *,
    commission: Decimal = Decimal(0),
    spread: Decimal = Decimal(0),
    fx: Decimal = Decimal(0),
    impact: Decimal = Decimal(0),
    fee: Decimal = Decimal(0),
) -> dict[str, Decimal]:
    """The cost of a trade by part; together exactly its cost where the three rates make up the line's."""
    with localcontext(_EXACT):
        return {
            "commission": amount * commission,
            "spread": amount * spread,
            "impact": to_decimal(impact_cost(Fraction(impact), Fraction(amount))) if impact else impact,
            "fx": amount * fx,
            "fee": fee,
        }


def root_up(square: Fraction) -> int:
    """The smallest whole number whose square is not below `square`."""
    root = isqrt(square.numerator // square.denominator)
    return root if root * root >= square else root + 1


def to_decimal(number: Fraction) -> Decimal:
    """The same number where it has at most 100 digits."""
    with localcontext(_EXACT):
        return Decimal(number.numerator) / Decimal(number.denominator)


def benefit_reasons(proposal: "Proposal", rules: "Rules", tax: Decimal = Decimal(0)) -> list[str]:
    """Why what a proposal achieves is not worth its cost and `tax`; empty where it is.

    `rules.cost_limit` is the most both may be as a fraction of the value; `rules.cost_per_drift` the most for
    each unit of drift removed, as fractions as well. Where cash is to be raised or a position to be given up,
    drift is not what the trades are for, and the second test does not hold.
    """
    if not proposal.trades:
        return []
    price = Fraction(proposal.cost) + Fraction(tax)
    share = price / Fraction(proposal.value)
    reasons = []
    if rules.cost_limit is not None and share > Fraction(rules.cost_limit):
        reasons.append(
            f"cost and tax of {float(price):.2f} are {float(share):.4%} of the value,"
            f" more than the limit of {float(rules.cost_limit):.4%}"
        )
    if rules.cost_per_drift is not None and rules.mode not in ("raise_cash", "liquidate"):
        drift_after = proposal.drift_before if proposal.drift_after is None else proposal.drift_after
        removed = (Fraction(proposal.drift_before) - Fraction(drift_after)) / PERCENT
        if share > Fraction(rules.cost_per_drift) * max(removed, Fraction(0)):
            reasons.append(
                f"cost and tax of {float(price):.2f} are too much for {float(removed * PERCENT):.4f} points"
                f" of drift at {float(rules.cost_per_drift):.4%} of the value for each unit of drift"
            )
    return reasons
