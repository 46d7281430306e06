"""How far lines stand from their targets, when that is too far, and how far a trade should bring them back.

All weights, targets, limits and thresholds are exact Decimals in percent of the portfolio's value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Destination = Literal["target", "edge", "inner"]
BandRule = Literal["absolute", "relative", "either", "both"]

HALF_BAND = Decimal("0.5")
HALF_DEVIATION = Decimal("0.5")


@dataclass(frozen=True)
class Band:
    """The target of one line, its hard limits, and the tolerance around the target.

    `absolute` is in percentage points, `relative` in percent of the target. `rule`: one of them alone, either
    (the tighter one: the 5/25 rule) or both (the looser one). Where both count but one is given, that one
    holds; a relative tolerance means nothing at a target of 0, where the absolute one takes its place.
    """

    target: Decimal
    minimum: Decimal = Decimal(0)
    maximum: Decimal = Decimal(100)
    absolute: Decimal | None = None
    relative: Decimal | None = None
    rule: BandRule = "either"

    @property
    def tolerance(self) -> Decimal | None:
        """Percentage points the weight may stray from the target; None when only the limits bind."""
        if self.absolute is None and self.relative is None:
            return None
        absolute = self.absolute if self.rule != "relative" or not self.target else None
        relative = self.relative if self.rule != "absolute" and self.target else None
        tolerances = [] if absolute is None else [absolute]
        tolerances += [] if relative is None else [relative * self.target / 100]
        return (max if self.rule == "both" else min)(tolerances, default=None)

    @property
    def lower(self) -> Decimal:
        """The smallest weight that is no breach."""
        return self.minimum if self.tolerance is None else max(self.minimum, self.target - self.tolerance)

    @property
    def upper(self) -> Decimal:
        """The largest weight that is no breach."""
        return self.maximum if self.tolerance is None else min(self.maximum, self.target + self.tolerance)


@dataclass(frozen=True)
class LineDrift:
    """`deviation`: weight - target in points; `relative`: that in percent of the target, None at target 0."""

    deviation: Decimal
    relative: Decimal | None
    breached: bool


def line_drift(weight: Decimal, band: Band) -> LineDrift:
    """Deviation of a line and whether it has left its band or limits; exactly on the edge is no breach."""
    deviation = weight - band.target
    return LineDrift(
        deviation=deviation,
        relative=deviation / band.target * 100 if band.target else None,
        breached=not band.lower <= weight <= band.upper,
    )


def portfolio_drift(weights: Mapping[str, Decimal], targets: Mapping[str, Decimal]) -> Decimal:
    """Half the sum of |weight - target| over all lines, in the unit of the weights (Betterment's drift).

    Both mappings include cash; a held line without a target counts with target 0, and a target that is
    not held with weight 0.
    """
    lines = weights.keys() | targets.keys()
    nothing = Decimal(0)
    return sum((abs(weights.get(k, nothing) - targets.get(k, nothing)) for k in sorted(lines)), nothing) / 2


def band_destination(
    weight: Decimal, band: Band, destination: Destination = "target", fraction: Decimal = HALF_BAND
) -> Decimal:
    """The weight a breached line is traded back to: its target, the edge it crossed, or an inner edge.

    The inner edge lies `fraction` of the way from the target to that edge: 0.5 in Daryanani 2008, 0.875 for
    Vanguard's 200/175 basis points.
    """
    if destination == "target":
        return band.target
    edge = band.upper if weight > band.target else band.lower
    return edge if destination == "edge" else band.target + fraction * (edge - band.target)


def improvement_range(
    weight: Decimal, target: Decimal, share: Decimal = HALF_DEVIATION
) -> tuple[Decimal, Decimal]:
    """The weights (low, high) a trade must reach to leave at most `share` of the deviation it starts from."""
    reach = share * abs(weight - target)
    return target - reach, target + reach
