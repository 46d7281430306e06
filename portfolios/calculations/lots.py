"""Tax lots: which part of a holding a sale takes, and at what cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from typing import Literal, get_args

CostMethod = Literal["fifo", "lifo", "hifo", "average"]
COST_METHODS: tuple[CostMethod, ...] = get_args(CostMethod)

# Wide enough that sums and products of booked figures (18 digits) stay exact; only divisions round.
EXACT = Context(prec=50, rounding=ROUND_HALF_EVEN)

# A sale may exceed the holding by this much and still be the complete exit that it was meant to be.
CLOSE_TOLERANCE = Decimal("1e-9")
# Booked quantities have 12 decimals; less than that cannot be held, it is what a division left over.
DUST = Decimal("1e-12")

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Lot:
    """One purchase, or what is left of it.

    quantity: units, negative for a short lot. cost: what the whole lot cost in the base currency, without
    fees and taxes; negative for a short lot (the proceeds); None when no exchange rate was known.
    The total is kept, not the unit cost, so that a split leaves it untouched and no division rounds it.
    local_cost: the same in the asset's currency; with `cost` it says at which rate the lot was bought.
    """

    quantity: Decimal
    cost: Decimal | None
    opened: date
    id: int
    local_cost: Decimal | None = None

    @property
    def unit_cost(self) -> Decimal | None:
        return None if self.cost is None else EXACT.divide(self.cost, self.quantity)


class InsufficientLotsError(ValueError):
    """More was asked than the lots hold."""

    def __init__(self, held: Decimal, asked: Decimal) -> None:
        super().__init__(f"{asked} asked, {held} held")
        self.held = held
        self.asked = asked


class NamedLotsError(ValueError):
    """A sale names lots that it cannot take."""


@dataclass(frozen=True, slots=True)
class NamedLot:
    """Units of one lot that a sale takes, in the shares of the day of the sale; `lot` is Lot.id."""

    lot: int
    quantity: Decimal


def total_quantity(lots: Sequence[Lot]) -> Decimal:
    with localcontext(EXACT):
        return sum((lot.quantity for lot in lots), ZERO)


def total_cost(lots: Sequence[Lot]) -> Decimal | None:
    """Cost of all the lots in the base currency; None as soon as one of them is unknown."""
    return _sum_known([lot.cost for lot in lots])


def total_local_cost(lots: Sequence[Lot]) -> Decimal | None:
    """Cost of all the lots in the asset's currency; None as soon as one of them is unknown."""
    return _sum_known([lot.local_cost for lot in lots])


def _sum_known(amounts: Sequence[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(amounts):
        return None
    with localcontext(EXACT):
        return sum(known, ZERO)


def match_lots(lots: Sequence[Lot], quantity: Decimal, method: CostMethod) -> tuple[list[Lot], list[Lot]]:
    """Split `lots` (oldest first) into what a sale of `quantity` takes and what stays, as (closed, left).

    lots: all long or all short. quantity: units, positive in both cases.
    fifo takes the oldest first, lifo the newest, hifo the dearest per unit (the oldest among equals, lots of
    unknown cost last); average first pools them into one lot, dated as the oldest.
    Costs are divided in proportion to the units and add up to what they were. A quantity within
    CLOSE_TOLERANCE above the holding, or one that would leave DUST, closes it completely.

    Raises InsufficientLotsError when more is asked than is held, or nothing is held.
    """
    with localcontext(EXACT):
        held = abs(total_quantity(lots))
        if not lots or quantity - held > CLOSE_TOLERANCE:
            raise InsufficientLotsError(held, quantity)
        if method == "average":
            lots = [_pool(lots)]
        if held - quantity < DUST:
            return list(lots), []

        closed: list[Lot] = []
        left: list[Lot | None] = list(lots)
        wanted = quantity
        for position in _matching_order(lots, method):
            lot = lots[position]
            if wanted >= abs(lot.quantity):
                closed.append(lot)
                left[position] = None
                wanted -= abs(lot.quantity)
            else:
                if wanted:
                    part, left[position] = _divide(lot, wanted)
                    closed.append(part)
                break
        return closed, [lot for lot in left if lot is not None]


def take_named_lots(lots: Sequence[Lot], named: Sequence[NamedLot]) -> tuple[list[Lot], list[Lot]]:
    """Split `lots` into exactly the units that a sale names and what stays, as (closed, left).

    lots: all long or all short. Costs are divided and small rests closed as in `match_lots`. Lots with one id
    (shares of one purchase that came back by a merger) count as one, the first of them is taken first.

    Raises NamedLotsError for a lot that is named twice, is not open, or holds less.
    """
    ids = [part.lot for part in named]
    if len(set(ids)) < len(ids):
        raise NamedLotsError("a lot is named twice")
    closed: list[Lot] = []
    left = list(lots)
    for part in named:
        same = [lot for lot in left if lot.id == part.lot]
        if not same:
            raise NamedLotsError(f"lot {part.lot} is not open")
        if part.quantity <= 0:
            raise NamedLotsError(f"{part.quantity:f} of lot {part.lot}: must be above 0")
        try:
            taken, rest = match_lots(same, part.quantity, "fifo")
        except InsufficientLotsError as error:
            raise NamedLotsError(
                f"{error.asked:f} of lot {part.lot}, which holds only {error.held:f}"
            ) from error
        closed += taken
        left = [lot for lot in left if lot.id != part.lot] + rest
    places: dict[int, int] = {}
    for place, lot in enumerate(lots):
        places.setdefault(lot.id, place)
    return closed, sorted(left, key=lambda lot: places[lot.id])


def split_lots(lots: Sequence[Lot], ratio: Fraction) -> list[Lot]:
    """The lots after a split of `ratio` new units for one old: other quantities, the same cost."""
    with localcontext(EXACT):
        return [replace(lot, quantity=lot.quantity * ratio.numerator / ratio.denominator) for lot in lots]


def allocate_costs(lots: Sequence[Lot], share: Decimal | None) -> tuple[list[Lot], list[Lot]]:
    """The lots with their cost divided as (kept, moved): `share` of each cost moves, the units stay in both.

    An unknown share leaves both costs unknown. What moved and what was kept add up to what there was.
    """
    with localcontext(EXACT):
        moved = [
            replace(lot, cost=_part(lot.cost, share), local_cost=_part(lot.local_cost, share)) for lot in lots
        ]
        kept = [
            replace(
                lot,
                cost=_rest(lot.cost, part.cost),
                local_cost=_rest(lot.local_cost, part.local_cost),
            )
            for lot, part in zip(lots, moved, strict=True)
        ]
    return kept, moved


def _part(cost: Decimal | None, share: Decimal | None) -> Decimal | None:
    return None if cost is None or share is None else cost * share


def _rest(cost: Decimal | None, part: Decimal | None) -> Decimal | None:
    return None if cost is None or part is None else cost - part


def _matching_order(lots: Sequence[Lot], method: CostMethod) -> list[int]:
    positions = list(range(len(lots)))
    if method == "lifo":
        positions.reverse()
    elif method == "hifo":
        unit_costs = [lot.unit_cost for lot in lots]
        positions.sort(key=lambda i: -c if (c := unit_costs[i]) is not None else Decimal("Infinity"))
    return positions


def _pool(lots: Sequence[Lot]) -> Lot:
    return replace(
        lots[0], quantity=total_quantity(lots), cost=total_cost(lots), local_cost=total_local_cost(lots)
    )


def _divide(lot: Lot, wanted: Decimal) -> tuple[Lot, Lot]:
    taken = wanted.copy_sign(lot.quantity)
    # Multiplied before divided: a third of a cost is rounded once, at the end.
    cost = None if lot.cost is None else lot.cost * taken / lot.quantity
    local = None if lot.local_cost is None else lot.local_cost * taken / lot.quantity
    return (
        replace(lot, quantity=taken, cost=cost, local_cost=local),
        replace(
            lot,
            quantity=lot.quantity - taken,
            cost=_rest(lot.cost, cost),
            local_cost=_rest(lot.local_cost, local),
        ),
    )
