"""What the limits and restrictions of a portfolio leave each of its lines to do.

A restriction goes before the limits of a target. Where a line is outside its range and may not be traded back
into it, it may stay where it is, but not go further.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from fractions import Fraction

from analytics.calculations.rebalancing import Group, Trade
from analytics.models import RebalanceMode, RestrictionKind, RestrictionUnit, TradingRestriction
from analytics.services.allocation_analysis import AllocationLine, AllocationState
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import Asset, TaxTreatment

PERCENT = Decimal(100)
NOTHING, WHOLE = Decimal(0), Decimal(1)
# Limits in money or units become fractions of the value; rounded outwards, which moves no lot across them.
_DOWN, _UP = Context(prec=40, rounding=ROUND_FLOOR), Context(prec=40, rounding=ROUND_CEILING)
_EXACT = Context(prec=100)
NO_BUYING = {RestrictionKind.DO_NOT_BUY, RestrictionKind.DO_NOT_TRADE}
NO_SELLING = {RestrictionKind.DO_NOT_SELL, RestrictionKind.DO_NOT_TRADE}
MODES_THAT_SELL = {
    RebalanceMode.FULL,
    RebalanceMode.BANDS,
    RebalanceMode.RAISE_CASH,
    RebalanceMode.LIQUIDATE,
}
MODES_THAT_BUY = {RebalanceMode.FULL, RebalanceMode.BANDS, RebalanceMode.INVEST_CASH}

Barriers = Mapping[tuple[int, str], str]


@dataclass(frozen=True)
class Range:
    """What the weight of a line or group may be after trading, in fractions; None: no such limit."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def within(self, other: "Range") -> "Range":
        """Both together; where they contradict each other, `other` goes before."""
        low, high = self.minimum, self.maximum
        if other.minimum is not None:
            low = other.minimum if low is None else max(low, other.minimum)
            high = None if high is None else max(high, other.minimum)
        if other.maximum is not None:
            low = None if low is None else min(low, other.maximum)
            high = other.maximum if high is None else min(high, other.maximum)
        return Range(low, high)

    def clamp(self, weight: Decimal) -> Decimal:
        raised = weight if self.minimum is None else max(weight, self.minimum)
        return raised if self.maximum is None else min(raised, self.maximum)

    def is_below(self, weight: Decimal) -> bool:
        return self.maximum is not None and weight > self.maximum

    def is_above(self, weight: Decimal) -> bool:
        return self.minimum is not None and weight < self.minimum


@dataclass(frozen=True)
class LineLimits:
    """What one line may do. `barriers`: why it may not be bought or sold; `applied`: restrictions, in words.

    `restricted`: the range that restrictions alone set.
    """

    may_buy: bool
    may_sell: bool
    range: Range
    restricted: Range
    is_outside: bool
    barriers: dict[str, str]
    applied: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def describe(restriction: TradingRestriction) -> str:
    """What it says and why."""
    kind = RestrictionKind(restriction.kind)
    what = kind.label.lower()
    if kind == RestrictionKind.RANGE:
        unit = {RestrictionUnit.PERCENT: " %", RestrictionUnit.UNITS: " units"}.get(
            RestrictionUnit(restriction.unit), ""
        )
        limits = (("at least", restriction.minimum), ("at most", restriction.maximum))
        what = " and ".join(f"{word} {decimal_text(x)}{unit}" for word, x in limits if x is not None)
    group = restriction.issuer or restriction.sector
    return f"{what}{f' of {group}' if group and not restriction.asset_id else ''} ({restriction.reason})"


def concerns(restriction: TradingRestriction, asset: Asset) -> bool:
    """Whether the asset is what the restriction names, or belongs to the group it names."""
    if restriction.asset_id is not None:
        return restriction.asset_id == asset.pk
    return (not restriction.issuer or restriction.issuer == asset.issuer) and (
        not restriction.sector or restriction.sector == asset.sector
    )


def is_group_range(restriction: TradingRestriction) -> bool:
    """A range whose members count together."""
    named = restriction.asset_id is None and bool(restriction.issuer or restriction.sector)
    return named and restriction.kind == RestrictionKind.RANGE


def limits_of(state: AllocationState, mode: str, barred: Barriers) -> dict[int, LineLimits]:
    """The limits of each line by the asset's id. `barred`: further reasons against an asset and a side."""
    return {line.asset.pk: _line_limits(state, line, mode, barred) for line in state.lines}


def contradictions(state: AllocationState) -> list[str]:
    """Lines whose restrictions leave no weight at all."""
    faults = []
    for line in state.lines:
        found = _ranges(state, line)
        lows = [(r.minimum, text) for r, text in found if r.minimum is not None]
        highs = [(r.maximum, text) for r, text in found if r.maximum is not None]
        low, high = (
            max(lows, key=lambda pair: pair[0], default=None),
            min(highs, key=lambda pair: pair[0], default=None),
        )
        if low and high and low[0] > high[0]:
            faults.append(f"{line.asset.symbol}: {low[1]} contradicts {high[1]}")
    return faults


def groups_of(
    state: AllocationState, limits: Mapping[int, LineLimits], names: Mapping[int, str], mode: str
) -> tuple[list[Group], list[str]]:
    """The ranges of issuers and sectors, and warnings where one cannot be kept."""
    groups, warnings = [], []
    for restriction in state.restrictions:
        if not is_group_range(restriction) or mode == RebalanceMode.HOLD:
            continue
        members = [line for line in state.lines if line.asset.pk in names]
        members = [line for line in members if concerns(restriction, line.asset)]
        if not members:
            continue
        limit, weight = _range(state, restriction, None), _weight(members)
        name = f"{restriction.issuer or restriction.sector}: {describe(restriction)}"
        own = [limits[line.asset.pk] for line in members]
        if limit.is_below(weight) and not any(x.may_sell and mode in MODES_THAT_SELL for x in own):
            limit = replace(limit, maximum=_UP.plus(weight))
            warnings.append(f"{name}: stays above it, as nothing of it may be sold")
        if limit.is_above(weight) and not any(x.may_buy and mode in MODES_THAT_BUY for x in own):
            limit = replace(limit, minimum=_DOWN.plus(weight))
            warnings.append(f"{name}: stays below it, as nothing of it may be bought")
        symbols = tuple(sorted(names[line.asset.pk] for line in members))
        groups.append(Group(name, symbols, limit.minimum, limit.maximum))
    return groups, warnings


def freed_by_groups(state: AllocationState) -> set[int]:
    """Assets of groups outside their range: they may be traded even inside their own bands."""
    freed: set[int] = set()
    for restriction in state.restrictions:
        if is_group_range(restriction):
            members = [line for line in state.lines if concerns(restriction, line.asset)]
            limit, weight = _range(state, restriction, None), _weight(members)
            if members and (limit.is_below(weight) or limit.is_above(weight)):
                freed |= {line.asset.pk for line in members}
    return freed


def range_breaches(state: AllocationState) -> list[tuple[AllocationLine, str]]:
    """Lines outside the range of a restriction of their own, with what it says."""
    return [
        (line, text)
        for line in state.lines
        if line.weight is not None
        for limit, text in _ranges(state, line)
        if limit.is_below(_weight([line])) or limit.is_above(_weight([line]))
    ]


def restriction_faults(state: AllocationState, trades: Iterable[tuple[int, Trade]]) -> list[str]:
    """The trades that a restriction forbids, found from the restrictions themselves, in fractions.

    Trades come with the id of their asset. A range is broken by trades that end outside of it, unless they
    lead nearer to it.
    """
    by_asset, lines = dict(trades), {line.asset.pk: line for line in state.lines}
    faults = []
    for restriction in state.restrictions:
        touched = [lines[i] for i in by_asset if concerns(restriction, lines[i].asset)]
        kind = RestrictionKind(restriction.kind)
        for line in touched:
            side = by_asset[line.asset.pk].side
            forbids_buying = kind in NO_BUYING or _is_misplaced(state, restriction)
            if (side == "buy" and forbids_buying) or (side == "sell" and kind in NO_SELLING):
                faults.append(f"{line.asset.symbol}: {side} against {describe(restriction)}")
        if kind == RestrictionKind.RANGE and touched:
            members = [line for line in state.lines if concerns(restriction, line.asset)]
            for counted in [members] if is_group_range(restriction) else [[line] for line in touched]:
                if _leads_out(state, restriction, counted, by_asset):
                    faults.append(f"{counted[0].asset.symbol}: leads out of {describe(restriction)}")
    return faults


def _leads_out(
    state: AllocationState,
    restriction: TradingRestriction,
    lines: Sequence[AllocationLine],
    trades: Mapping[int, Trade],
) -> bool:
    """Whether the lines together end outside the range and further from it than they began."""
    unit = {
        RestrictionUnit.PERCENT: Fraction(state.value or 0) / 100,
        RestrictionUnit.MONEY: Fraction(1),
        RestrictionUnit.UNITS: Fraction(lines[0].price or 0),
    }[RestrictionUnit(restriction.unit)]
    change = sum(
        (Fraction(t.quantity) * Fraction(t.price) * (1 if t.side == "buy" else -1))
        for line in lines
        if (t := trades.get(line.asset.pk))
    )
    after = sum(Fraction(line.value or 0) for line in lines) + change
    too_much = restriction.maximum is not None and after > Fraction(restriction.maximum) * unit
    too_little = restriction.minimum is not None and after < Fraction(restriction.minimum) * unit
    return (too_much and change > 0) or (too_little and change < 0)


def _line_limits(state: AllocationState, line: AllocationLine, mode: str, barred: Barriers) -> LineLimits:
    weight = _weight([line])
    barriers: dict[str, str] = {}
    applied, warnings = [], []
    for restriction in state.restrictions:
        if not concerns(restriction, line.asset):
            continue
        kind, text = RestrictionKind(restriction.kind), describe(restriction)
        misplaced = _is_misplaced(state, restriction)
        if kind in NO_BUYING or misplaced:
            barriers.setdefault("buy", text)
        if kind in NO_SELLING:
            barriers.setdefault("sell", text)
        if misplaced and line.quantity:
            warnings.append(f"is held: {text}")
        if kind in NO_BUYING | NO_SELLING or misplaced or kind == RestrictionKind.RANGE:
            applied.append(text)
    for side in ("buy", "sell"):
        if (line.asset.pk, side) in barred:
            barriers.setdefault(side, barred[line.asset.pk, side])
    restricted = Range()
    for limit, _ in _ranges(state, line):
        restricted = restricted.within(limit)
    own = Range(line.band.minimum / PERCENT, line.band.maximum / PERCENT) if line.allocation else Range()
    allowed = own.within(restricted)
    trades = mode != RebalanceMode.HOLD and (mode != RebalanceMode.LIQUIDATE or line.allocation is None)
    can_buy = trades and mode in MODES_THAT_BUY and "buy" not in barriers
    can_sell = trades and mode in MODES_THAT_SELL and "sell" not in barriers
    may_buy, may_sell = "buy" not in barriers, "sell" not in barriers
    limits = allowed
    if allowed.is_below(weight) and not can_sell:
        limits, may_buy = replace(limits, maximum=None), False
        if "sell" in barriers:
            warnings.append(f"stays above its maximum: {barriers['sell']}")
    if allowed.is_above(weight) and not can_buy:
        limits, may_sell = replace(limits, minimum=None), False
        if "buy" in barriers:
            warnings.append(f"stays below its minimum: {barriers['buy']}")
    return LineLimits(
        may_buy=may_buy,
        may_sell=may_sell,
        range=limits,
        restricted=restricted,
        is_outside=allowed.is_below(weight) or allowed.is_above(weight),
        barriers=barriers,
        applied=tuple(applied),
        warnings=tuple(warnings),
    )


def _is_misplaced(state: AllocationState, restriction: TradingRestriction) -> bool:
    """Whether the portfolio is of the kind in which the assets do not belong."""
    place = {
        RestrictionKind.NOT_IN_TAXABLE: TaxTreatment.TAXABLE,
        RestrictionKind.NOT_IN_DEFERRED: TaxTreatment.DEFERRED,
    }.get(RestrictionKind(restriction.kind))
    return place is not None and state.portfolio.tax_treatment == place


def _ranges(state: AllocationState, line: AllocationLine) -> list[tuple[Range, str]]:
    """The ranges of a line's own, not those it shares with others."""
    return [
        (_range(state, restriction, line), describe(restriction))
        for restriction in state.restrictions
        if restriction.kind == RestrictionKind.RANGE
        and not is_group_range(restriction)
        and concerns(restriction, line.asset)
    ]


def _range(state: AllocationState, restriction: TradingRestriction, line: AllocationLine | None) -> Range:
    """In fractions of the value; units are those of `line`."""
    unit = RestrictionUnit(restriction.unit)
    one = {
        RestrictionUnit.PERCENT: (WHOLE, PERCENT),
        RestrictionUnit.MONEY: (WHOLE, state.value or WHOLE),
        RestrictionUnit.UNITS: (line.price if line and line.price else WHOLE, state.value or WHOLE),
    }[unit]

    def fraction(limit: Decimal | None, context: Context) -> Decimal | None:
        return None if limit is None else context.divide(_EXACT.multiply(limit, one[0]), one[1])

    return Range(fraction(restriction.minimum, _DOWN), fraction(restriction.maximum, _UP))


def _weight(lines: Sequence[AllocationLine]) -> Decimal:
    """What lines weigh together, as a fraction."""
    with localcontext(_EXACT):
        return sum((line.weight or NOTHING for line in lines), NOTHING) / PERCENT
