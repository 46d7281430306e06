"""Which lots a sale takes, by several methods, and what each of them realises."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, localcontext
from typing import Literal, get_args

from portfolios.calculations.lots import (
    CLOSE_TOLERANCE,
    EXACT,
    ZERO,
    InsufficientLotsError,
    Lot,
    NamedLot,
    match_lots,
    take_named_lots,
    total_cost,
    total_quantity,
)

SaleMethod = Literal["fifo", "lifo", "hifo", "lowest", "tax", "average", "specific"]
# Those that need nobody to name the lots.
CHOOSING_METHODS: tuple[SaleMethod, ...] = get_args(SaleMethod)[:-1]
Term = Literal["short", "long"]
_LAST = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class TaxRates:
    """Tax on gains, as fractions, by how long a lot was held.

    A lot is long-term when it was held for more than `long_term_days` days.
    """

    short: Decimal
    long: Decimal
    long_term_days: int = 365

    def term(self, opened: date, day: date) -> Term:
        return "long" if (day - opened).days > self.long_term_days else "short"

    def rate(self, term: Term) -> Decimal:
        return self.long if term == "long" else self.short


@dataclass(frozen=True, slots=True)
class SoldLot:
    """What a sale takes of one lot. Amounts in base currency, without fees.

    gain: proceeds - cost, None when the cost is unknown. disallowed: the part of a loss that a wash sale
    takes away, >= 0. tax: (gain + disallowed) x the rate of the lot's term; negative for a loss; None when
    the cost is unknown.
    """

    lot: int
    opened: date
    quantity: Decimal
    cost: Decimal | None
    proceeds: Decimal
    term: Term
    gain: Decimal | None
    tax: Decimal | None
    disallowed: Decimal = ZERO


def choose_lots(
    lots: Sequence[Lot],
    quantity: Decimal,
    method: SaleMethod,
    *,
    price: Decimal,
    day: date,
    rates: TaxRates,
    named: Sequence[NamedLot] = (),
) -> list[SoldLot]:
    """The lots that a sale of `quantity` units at `price` takes on `day`, in the order it takes them.

    lots: long, oldest first. fifo, lifo, hifo, lowest: by day of purchase, or by cost per unit. tax: by tax
    per unit, the smallest first; among equals short-term losses, long-term losses, no gain, long-term gains,
    short-term gains. average: oldest first, each unit at the mean cost of all. specific: those `named`.
    Lots of unknown cost come last by cost and by tax; their gain and tax are None. The units add up to
    `quantity`; a sale that would leave dust takes it with it.

    Raises InsufficientLotsError for a sale beyond the lots, NamedLotsError for named lots that are not there,
    ValueError for a quantity that is not above 0 and for named lots that do not add up to it.
    """
    if quantity <= 0:
        raise ValueError(f"quantity {quantity:f}: must be above 0")
    with localcontext(EXACT):
        if method == "specific":
            total = sum((part.quantity for part in named), ZERO)
            if abs(total - quantity) > CLOSE_TOLERANCE:
                raise ValueError(f"the named lots add up to {total:f}, not to {quantity:f}")
            closed, _ = take_named_lots(lots, named)
        else:
            closed, _ = match_lots(_in_order(lots, method, price, day, rates), quantity, "fifo")
        return [_sold(lot, price, day, rates) for lot in closed]


def compare_methods(
    lots: Sequence[Lot],
    quantity: Decimal,
    *,
    price: Decimal,
    day: date,
    rates: TaxRates,
    methods: Iterable[SaleMethod] = CHOOSING_METHODS,
) -> dict[SaleMethod, list[SoldLot]]:
    """One and the same sale by several methods. Raises as `choose_lots`."""
    return {
        method: choose_lots(lots, quantity, method, price=price, day=day, rates=rates) for method in methods
    }


def disallow_loss(sold: SoldLot, amount: Decimal, rates: TaxRates) -> SoldLot:
    """The same with so much more of its loss taken away by a wash sale."""
    if sold.gain is None:
        return sold
    with localcontext(EXACT):
        disallowed = sold.disallowed + amount
        tax = (sold.gain + disallowed) * rates.rate(sold.term)
    return replace(sold, disallowed=disallowed, tax=tax)


def _in_order(
    lots: Sequence[Lot], method: SaleMethod, price: Decimal, day: date, rates: TaxRates
) -> list[Lot]:
    """Sorts are stable: the oldest comes first among equals."""
    if method == "lifo":
        return list(reversed(lots))
    if method == "hifo":
        return sorted(lots, key=lambda lot: _LAST if lot.unit_cost is None else -lot.unit_cost)
    if method == "lowest":
        return sorted(lots, key=lambda lot: _LAST if lot.unit_cost is None else lot.unit_cost)
    if method == "tax":
        return sorted(lots, key=lambda lot: _tax_key(lot, price, day, rates))
    return _at_mean_cost(lots) if method == "average" else list(lots)


def _tax_key(lot: Lot, price: Decimal, day: date, rates: TaxRates) -> tuple[Decimal, int, Decimal]:
    if lot.unit_cost is None:
        return _LAST, 0, _LAST
    gain, term = price - lot.unit_cost, rates.term(lot.opened, day)
    if gain == 0:
        place = 2
    elif gain < 0:
        place = 0 if term == "short" else 1
    else:
        place = 3 if term == "long" else 4
    return gain * rates.rate(term), place, gain


def _at_mean_cost(lots: Sequence[Lot]) -> list[Lot]:
    cost, quantity = total_cost(lots), total_quantity(lots)
    if cost is None:
        return [replace(lot, cost=None) for lot in lots]
    return [replace(lot, cost=cost * lot.quantity / quantity) for lot in lots]


def _sold(lot: Lot, price: Decimal, day: date, rates: TaxRates) -> SoldLot:
    term, proceeds = rates.term(lot.opened, day), price * lot.quantity
    gain = None if lot.cost is None else proceeds - lot.cost
    return SoldLot(
        lot=lot.id,
        opened=lot.opened,
        quantity=lot.quantity,
        cost=lot.cost,
        proceeds=proceeds,
        term=term,
        gain=gain,
        tax=None if gain is None else gain * rates.rate(term),
    )


__all__ = [
    "CHOOSING_METHODS",
    "InsufficientLotsError",
    "SaleMethod",
    "SoldLot",
    "TaxRates",
    "Term",
    "choose_lots",
    "compare_methods",
    "disallow_loss",
]
