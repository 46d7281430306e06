"""The lots of a book while it is walked: long and short, by asset."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from portfolios.calculations.lots import (
    CLOSE_TOLERANCE,
    ZERO,
    CostMethod,
    Lot,
    NamedLot,
    NamedLotsError,
    match_lots,
    take_named_lots,
    total_cost,
    total_local_cost,
    total_quantity,
)
from portfolios.calculations.values import Market, Value

Side = dict[int, list[Lot]]


@dataclass
class Positions:
    """quantities, costs, lots: by asset, only what is held; an asset of unknown cost has no entry in costs.

    They follow `long` and `short` when `refresh` is called, at the end of a day.
    """

    method: CostMethod
    long: Side = field(default_factory=dict)
    short: Side = field(default_factory=dict)
    quantities: dict[int, Decimal] = field(default_factory=dict)
    costs: dict[int, Decimal] = field(default_factory=dict)
    lots: dict[int, tuple[Lot, ...]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)

    def sides_of(self, asset: int) -> list[Side]:
        """Where the asset is held."""
        return [side for side in (self.long, self.short) if side.get(asset)]

    def open(self, asset: int, side: Side, lots: Sequence[Lot]) -> None:
        """Add lots by their date of purchase, which shares from a corporate action bring with them."""
        held = side.setdefault(asset, [])
        held.extend(lots)
        held.sort(key=lambda lot: lot.opened)
        self.touched.add(asset)

    def close(
        self, asset: int, side: Side, quantity: Decimal, named: Sequence[NamedLot] | None = None
    ) -> list[Lot]:
        """Take lots out of the books: the named ones, else by the method.

        Raises InsufficientLotsError and NamedLotsError.
        """
        held = side.get(asset, [])
        if named is None:
            closed, side[asset] = match_lots(held, quantity, self.method)
        else:
            closed, side[asset] = self._take_named(held, quantity, named)
        self.touched.add(asset)
        return closed

    def _take_named(
        self, held: Sequence[Lot], quantity: Decimal, named: Sequence[NamedLot]
    ) -> tuple[list[Lot], list[Lot]]:
        if self.method == "average":
            raise NamedLotsError("at average cost a sale cannot name its lots")
        total = sum((part.quantity for part in named), ZERO)
        if abs(total - quantity) > CLOSE_TOLERANCE:
            raise NamedLotsError(f"the named lots add up to {total:f}")
        return take_named_lots(held, named)

    def take(self, asset: int, side: Side) -> list[Lot]:
        """All lots of the asset on one side, out of the books."""
        self.touched.add(asset)
        return side.pop(asset, [])

    def refresh(self) -> None:
        for asset in self.touched:
            lots = (*self.long.get(asset, ()), *self.short.get(asset, ()))
            for known in (self.quantities, self.costs, self.lots):
                known.pop(asset, None)
            if lots:
                self.lots[asset] = lots
                self.quantities[asset] = total_quantity(lots)
                cost = total_cost(lots)
                if cost is not None:
                    self.costs[asset] = cost
        self.touched = set()


def cost_of(lots: Sequence[Lot], name: str) -> Value:
    return Value(total_cost(lots), f"{name}: cost unknown")


def currency_gain(
    market: Market,
    asset: int,
    closed: Sequence[Lot],
    *,
    currency: str,
    rate: Decimal | None,
    name: str,
) -> Value:
    """The part of a realised gain that the exchange rate made: local cost x (rate now - rate then).

    What is left of the gain is the price's part, at the rate of the sale (Feibel 2003, decomposition of gains
    on foreign securities). rate: base currency for one unit of the asset's currency now.
    """
    if currency == market.base_currency:
        return Value(ZERO)
    local, cost = total_local_cost(closed), total_cost(closed)
    if local is None or cost is None or rate is None:
        return Value(None, f"{name}: a rate of its purchase or sale is unknown")
    return Value(local * rate - cost)
