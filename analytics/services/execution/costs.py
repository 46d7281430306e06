"""What a trade costs by the model its proposal was made with, at another price or for a part of it."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

# Fees are booked to so many decimals.
MONEY_PLACES = Decimal("0.000001")
FIXED, WITH_IMPACT = "fee", "impact"
WORKING_DIGITS = 50


def cost_of(action: Mapping[str, Any], amount: Decimal) -> Decimal:
    """Cost in base currency of trading `amount` (base currency) of the line of a proposal.

    Its fee stays, what follows a rate grows with the amount, market impact with its power of 3/2.
    """
    with localcontext(prec=WORKING_DIGITS):
        ratio = amount / (Decimal(action["quantity"]) * Decimal(action["price"]))
        parts = {name: Decimal(part) for name, part in (action.get("costs") or {}).items()}
        if not parts:
            parts = {"cost": Decimal(action.get("cost") or 0)}
        scales = {FIXED: Decimal(1), WITH_IMPACT: ratio * ratio.sqrt()}
        cost = sum((part * scales.get(name, ratio) for name, part in parts.items()), Decimal(0))
        return cost.quantize(MONEY_PLACES, rounding=ROUND_HALF_EVEN)
