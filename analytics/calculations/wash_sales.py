"""Wash sales: losses that do not count because the same was bought around the day of the sale.

26 U.S.C. 1091: a purchase of the same or a substantially identical security within 30 days before or after
a sale at a loss. The disallowed part of the loss is added to the basis of the replacement, and the days the
sold units were held to its holding period; both are lost where the replacement lies in a retirement account
(Rev. Rul. 2008-5).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal, localcontext

from portfolios.calculations.lots import DUST, EXACT, ZERO, Lot

WINDOW_DAYS = 30


@dataclass(frozen=True, slots=True)
class LotSale:
    """Units of one lot that were sold.

    sale: name of the sale, which may have taken several lots. lot: name of the purchase that opened it.
    identity: equal for what is substantially identical. quantity: units, > 0, in the shares of one common day
    for all sales and purchases, so that splits do not matter. loss: negative for a gain, which may still turn
    into a loss by what an earlier wash sale added to the lot. is_adjusted: loss and opened contain that.
    """

    sale: str
    lot: str
    identity: str
    day: date
    opened: date
    quantity: Decimal
    loss: Decimal
    is_adjusted: bool = False


@dataclass(frozen=True, slots=True)
class Purchase:
    """Units bought, dividends reinvested among them.

    sheltered: in a retirement account. sold: days and units, when these very units were sold again.
    """

    name: str
    identity: str
    day: date
    quantity: Decimal
    sheltered: bool = False
    sold: tuple[tuple[date, Decimal], ...] = ()

    def sold_by(self, day: date) -> Decimal:
        return sum((units for sold_on, units in self.sold if sold_on <= day), ZERO)


@dataclass(frozen=True, slots=True)
class WashSale:
    """quantity: of the sold units those that `purchase` replaces. disallowed: their part of the loss, > 0."""

    sale: LotSale
    purchase: Purchase
    quantity: Decimal
    disallowed: Decimal

    @property
    def basis_added(self) -> Decimal:
        return ZERO if self.purchase.sheltered else self.disallowed

    @property
    def days_added(self) -> int:
        """To the holding period of the replacement."""
        return 0 if self.purchase.sheltered else (self.sale.day - self.sale.opened).days


def wash_sales(sales: Iterable[LotSale], purchases: Iterable[Purchase]) -> list[WashSale]:
    """Which purchases replace which sales at a loss; disallowed = loss x replaced / sold units.

    The earliest sale is matched first, with what was bought first; each unit bought replaces one unit once
    (Treas. Reg. 1.1091-1(b)-(e)). The rest of the very lot that was sold from replaces nothing, nor do units
    that were sold by then themselves (Rev. Rul. 56-602). What a wash sale adds to a replacement counts when
    that is sold at a loss in turn, replaced units first. The order of the input does not matter.
    """
    offered: dict[str, list[Purchase]] = {}
    for purchase in sorted(purchases, key=lambda purchase: (purchase.day, purchase.name)):
        offered.setdefault(purchase.identity, []).append(purchase)
    days = {identity: [purchase.day for purchase in group] for identity, group in offered.items()}
    used: dict[str, Decimal] = {}
    added: dict[str, list[_Added]] = {}
    found = []
    with localcontext(EXACT):
        for sale in sorted(sales, key=_sale_key):
            first = bisect_left(days.get(sale.identity, []), sale.day - timedelta(days=WINDOW_DAYS))
            near = offered.get(sale.identity, [])[first:]
            for part in _parts(sale, added):
                for wash in _matches(part, near, used):
                    found.append(wash)
                    if not wash.purchase.sheltered:
                        addition = _Added(wash.quantity, wash.disallowed, wash.days_added)
                        added.setdefault(wash.purchase.name, []).append(addition)
    return found


@dataclass
class _Added:
    """Replacement units that are not sold yet, what was added to their cost, and to their holding period."""

    quantity: Decimal
    amount: Decimal
    days: int


def _parts(sale: LotSale, added: Mapping[str, list[_Added]]) -> list[LotSale]:
    """The sold units that replaced something, each with what was added to them, then the others."""
    if sale.is_adjusted:
        return [sale]
    parts, left = [], sale.quantity
    for addition in added.get(sale.lot, ()):
        units = min(left, addition.quantity)
        if units < DUST:
            continue
        amount = addition.amount * units / addition.quantity
        parts.append(
            replace(
                sale,
                quantity=units,
                loss=sale.loss * units / sale.quantity + amount,
                opened=sale.opened - timedelta(days=addition.days),
            )
        )
        addition.quantity -= units
        addition.amount -= amount
        left -= units
    if left >= DUST or not parts:
        parts.append(replace(sale, quantity=left, loss=sale.loss * left / sale.quantity))
    return parts


def _matches(sale: LotSale, near: Iterable[Purchase], used: dict[str, Decimal]) -> Iterator[WashSale]:
    """The purchases that replace one sale at a loss. near: by day, from the first of the window on."""
    wanted = sale.quantity
    for purchase in near:
        if sale.loss <= 0 or wanted < DUST or purchase.day > sale.day + timedelta(days=WINDOW_DAYS):
            return
        units = min(wanted, _unused(purchase, sale, used))
        if units >= DUST:
            used[purchase.name] = used.get(purchase.name, ZERO) + units
            wanted -= units
            yield WashSale(sale, purchase, units, sale.loss * units / sale.quantity)


def disallowed_of(found: Iterable[WashSale]) -> dict[tuple[str, str], Decimal]:
    """By sale and lot, how much of its loss does not count."""
    total: dict[tuple[str, str], Decimal] = {}
    for wash in found:
        key = (wash.sale.sale, wash.sale.lot)
        total[key] = EXACT.add(total.get(key, ZERO), wash.disallowed)
    return total


def replacement_lots(lots: Sequence[Lot], found: Mapping[int, Sequence[WashSale]]) -> list[Lot]:
    """Open lots with what wash sales added to them, in the order of their purchases.

    found: by Lot.id the wash sales that its purchase replaces. The replaced units become a lot of their own
    with the same id, dearer and older. Of a lot that was sold in part the replaced units went first.
    """
    adjusted: list[Lot] = []
    with localcontext(EXACT):
        for lot in lots:
            washes = found.get(lot.id, ())
            gone = washes[0].purchase.sold_by(date.max) if washes else ZERO
            rest = lot
            for wash in washes:
                units = min(max(wash.quantity - gone, ZERO), rest.quantity)
                gone = max(gone - wash.quantity, ZERO)
                if not wash.purchase.sheltered and units >= DUST:
                    part, rest = _part(rest, units), _part(rest, rest.quantity - units)
                    adjusted.append(_replaced(part, wash))
            if rest.quantity:
                adjusted.append(rest)
    return adjusted


def _replaced(part: Lot, wash: WashSale) -> Lot:
    added = wash.disallowed * part.quantity / wash.quantity
    return replace(
        part,
        cost=None if part.cost is None else part.cost + added,
        opened=part.opened - timedelta(days=wash.days_added),
    )


def _part(lot: Lot, units: Decimal) -> Lot:
    share = units / lot.quantity
    return replace(
        lot,
        quantity=units,
        cost=None if lot.cost is None else lot.cost * share,
        local_cost=None if lot.local_cost is None else lot.local_cost * share,
    )


def _sale_key(sale: LotSale) -> tuple[object, ...]:
    return sale.day, sale.opened, sale.sale, sale.lot, sale.loss


def _unused(purchase: Purchase, sale: LotSale, used: Mapping[str, Decimal]) -> Decimal:
    """Units that are sold again are taken to be those that replaced something already."""
    if purchase.name == sale.lot:
        return ZERO
    return purchase.quantity - max(used.get(purchase.name, ZERO), purchase.sold_by(sale.day))
