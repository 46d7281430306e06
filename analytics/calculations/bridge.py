"""The profit bridge: how a portfolio came from its opening to its closing value, to the cent."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

# In the order in which they are read, each with the sign it has in the sum.
BRIDGE_LINES: dict[str, int] = {
    "net_flow": 1,
    "realized_pnl": 1,
    "unrealized_pnl": 1,
    "income": 1,
    "fx_on_cash": 1,
    "fees": -1,
    "taxes": -1,
}
# Amounts are stored with six decimals: this much of a day's line may be rounding,
DAY_TOLERANCE = Decimal("0.00001")
# and of a large amount, which was computed in float64, this share of it.
FLOAT_TOLERANCE = Decimal("2e-15")


class BridgeError(ValueError):
    """The lines do not make the closing value: a defect, never a rounding."""


@dataclass(frozen=True)
class Bridge:
    """From the opening to the closing value.

    opening + net_flow + realized_pnl + unrealized_pnl + income + fx_on_cash - fees - taxes + rounding
    = closing, all in base currency, each rounded to its smallest unit; `rounding` is what these roundings
    add up to. A line that is unknown is None, and so is `rounding` then.
    """

    opening: Decimal | None
    closing: Decimal | None
    lines: dict[str, Decimal | None]
    rounding: Decimal | None

    @property
    def profit(self) -> Decimal | None:
        """What was gained or lost: closing less opening less net flows."""
        flow = self.lines["net_flow"]
        if self.opening is None or self.closing is None or flow is None:
            return None
        return self.closing - self.opening - flow


def profit_bridge(
    opening: Decimal | None,
    closing: Decimal | None,
    lines: Mapping[str, Decimal | None],
    *,
    days: int,
    minor_units: int = 2,
) -> Bridge:
    """Round the lines of a period of so many days and say what the roundings add up to.

    lines: by the names of BRIDGE_LINES, exact, fees and taxes positive; the unrealised line is the change of
    the unrealised gain less what came in with transfers. Unknown is None. Raises BridgeError when all is
    known and the exact lines miss the closing value by more than what six decimals and float64 can lose in
    these days.
    """
    unit = Decimal(1).scaleb(-minor_units)
    rounded = {name: _rounded(lines[name], unit) for name in BRIDGE_LINES}
    first, last = _rounded(opening, unit), _rounded(closing, unit)
    exact = _sum(opening, lines)
    shown = _sum(first, rounded)
    if exact is None or shown is None or closing is None or last is None:
        return Bridge(first, last, rounded, None)
    if abs(closing - exact) > _tolerance(opening, closing, lines=lines) * max(days, 1):
        raise BridgeError(f"the lines make {exact:f}, the closing value is {closing:f}")
    return Bridge(first, last, rounded, last - shown)


def _tolerance(*ends: Decimal | None, lines: Mapping[str, Decimal | None]) -> Decimal:
    amounts = [abs(amount) for amount in (*ends, *lines.values()) if amount is not None]
    return DAY_TOLERANCE + FLOAT_TOLERANCE * sum(amounts, Decimal(0))


def _rounded(amount: Decimal | None, unit: Decimal) -> Decimal | None:
    return None if amount is None else amount.quantize(unit, rounding=ROUND_HALF_EVEN) + Decimal(0)


def _sum(opening: Decimal | None, lines: Mapping[str, Decimal | None]) -> Decimal | None:
    total = opening
    for name, sign in BRIDGE_LINES.items():
        amount = lines[name]
        if total is None or amount is None:
            return None
        total += sign * amount
    return total
