"""The books of one portfolio: what its transactions leave at the end of every day with an event."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from portfolios.calculations.corporate_actions import apply_action, in_order
from portfolios.calculations.entries import (
    CorporateAction,
    Entry,
    LedgerError,
    cash_moves,
    day_key,
    position_of,
    signed_amount,
)
from portfolios.calculations.lots import (
    EXACT,
    ZERO,
    CostMethod,
    InsufficientLotsError,
    Lot,
    NamedLotsError,
)
from portfolios.calculations.positions import Positions, Side, cost_of, currency_gain
from portfolios.calculations.values import Market, PriceOn, RateOn, TradedOn, Value, always_traded

DAY_FIGURES = (
    "inflow",
    "outflow",
    "realized",
    "realized_fx",
    "income",
    "fees",
    "trading_costs",
    "taxes",
    "cash_booked",
    "transferred_pnl",
)
# Figures of single assets on a day.
ASSET_FIGURES = ("net_purchases", "asset_income", "asset_costs")

# Where the amount of a transaction goes that is neither a trade nor a transfer.
_FIGURE_OF = {
    "deposit": "inflow",
    "withdrawal": "outflow",
    "dividend": "income",
    "interest": "income",
    "interest_charge": "income",
    "fee": "fees",
    "fee_refund": "fees",
    "tax": "taxes",
    "tax_refund": "taxes",
}
_TRADES = {"buy", "sell", "short", "cover"}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A part that is missing in the named field of a DayBook, and why.

    field: one of DAY_FIGURES, "cost_basis" (an asset that is missing in `costs`), or "positions" (a corporate
    action that the books could not follow, said on every day of its asset from then on).
    """

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Closing:
    """A sale or cover, and the lots it took.

    entry: its id. proceeds: gross, in base currency, negative for a cover; None when a rate is unknown.
    """

    entry: int
    asset: int
    lots: tuple[Lot, ...]
    proceeds: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBook:
    """The books at the end of `date`, and the figures of that day, all in base currency but for `cash`.

    quantities, costs, lots: by asset, only what is held; an asset of unknown cost has no entry in `costs`.
    cash: by currency, 0 once spent. inflow, outflow: external flows, both >= 0. realized: gains without fees
    and taxes; realized_fx: the part of them that exchange rates made. income: gross dividends and interest
    less interest charged. fees, taxes: net of refunds; trading_costs: the part of the fees that trades cost.
    cash_booked: all movements of cash at the rates they were booked at; the change of cash in base currency
    less this is the gain from exchange rates. transferred_pnl: the unrealised gain that came in with a
    transfer (market value less book cost), less what left with one.
    net_purchases, asset_income, asset_costs: by asset, what was put into it less what was taken out of it,
    what it paid, and the fees and taxes of its lines; None where that is unknown.
    closings: the sales and covers of the day, in their order.
    unknown: what is left out of these figures.
    """

    date: date
    quantities: dict[int, Decimal]
    costs: dict[int, Decimal]
    cash: dict[str, Decimal]
    lots: dict[int, tuple[Lot, ...]]
    inflow: Decimal
    outflow: Decimal
    realized: Decimal
    realized_fx: Decimal
    income: Decimal
    fees: Decimal
    trading_costs: Decimal
    taxes: Decimal
    cash_booked: Decimal
    transferred_pnl: Decimal
    net_purchases: dict[int, Decimal | None]
    asset_income: dict[int, Decimal | None]
    asset_costs: dict[int, Decimal | None]
    unknown: tuple[Unknown, ...]
    closings: tuple[Closing, ...] = ()


def book_walk(
    entries: Iterable[Entry],
    actions: Iterable[CorporateAction],
    *,
    base_currency: str,
    cost_method: CostMethod,
    rate: RateOn,
    market_price: PriceOn,
    traded: TradedOn = always_traded,
    asset_currencies: Mapping[int, str] | None = None,
    names: Mapping[int, str] | None = None,
) -> list[DayBook]:
    """Walk through settled transactions and corporate actions; one DayBook per day with an event, ascending.

    rate(currency, date): base currency per unit, carried as the caller decides, None when unknown. It is
    asked only where a transaction has no rate of its own. market_price(asset, date): in the asset's currency,
    for transfers in kind and the costs that corporate actions divide; an asset that never had a price is
    transferred at its book cost. traded(asset, date): whether that price is of the very day.
    asset_currencies: needed where an asset is booked in another currency than its own. names: how assets are
    called in reasons and errors.

    Counted by trade date. The order within a day is fixed (see `day_key`), so the order of `entries` never
    matters. What needs a rate that is unknown is left out of its figure and named in `unknown`; no rate is
    ever taken as 1. Gains and cost exclude fees and taxes. Both legs of a currency exchange count as booked
    at one value.

    Raises LedgerError for a sale beyond the holding, for one that names lots it cannot take, and for a
    transaction that lacks what its kind needs.
    """
    market = Market(base_currency, rate, market_price, asset_currencies or {}, names or {}, traded)
    walk = _Walk(market, Positions(cost_method))
    by_day: dict[date, tuple[list[CorporateAction], list[Entry]]] = {}
    for action in actions:
        by_day.setdefault(action.date, ([], []))[0].append(action)
    for entry in entries:
        by_day.setdefault(entry.date, ([], []))[1].append(entry)

    books = []
    with localcontext(EXACT):
        for day in sorted(by_day):
            day_actions, day_entries = by_day[day]
            walk.start_day()
            for action in in_order(day_actions):
                walk.apply_action(action)
            for entry in sorted(day_entries, key=day_key):
                walk.apply_entry(entry)
            if day_entries or walk.positions.touched:
                books.append(walk.close_day(day))
    return books


@dataclass
class _Walk:
    """The state of the books on the way through the days."""

    market: Market
    positions: Positions
    cash: dict[str, Decimal] = field(default_factory=dict)
    # By asset the corporate actions that the books could not follow.
    unfollowed: dict[int, list[str]] = field(default_factory=dict)

    def start_day(self) -> None:
        self.figures: dict[str, Decimal] = dict.fromkeys(DAY_FIGURES, ZERO)
        self.of_assets: dict[str, dict[int, Decimal | None]] = {name: {} for name in ASSET_FIGURES}
        self.unknown: dict[Unknown, None] = {}
        self.closings: list[Closing] = []

    def close_day(self, day: date) -> DayBook:
        self.positions.refresh()
        self._note_unfollowed()
        figures: dict[str, Any] = {**self.figures, **self.of_assets}
        return DayBook(
            date=day,
            quantities=dict(self.positions.quantities),
            costs=dict(self.positions.costs),
            cash=dict(self.cash),
            lots=dict(self.positions.lots),
            unknown=tuple(self.unknown),
            closings=tuple(self.closings),
            **figures,
        )

    def apply_action(self, action: CorporateAction) -> None:
        effect = apply_action(action, self.positions, self.market)
        if effect is None:
            return
        if effect.problem:
            self.unfollowed.setdefault(action.asset, []).append(effect.problem)
            self.positions.touched.add(action.asset)
        if effect.currency:
            self._move_cash(effect.currency, effect.cash)
            self._record("cash_booked", effect.proceeds)
            self._record("realized", effect.realized)
            self._record("realized_fx", effect.currency_gain)
        for asset, value in effect.exchanged.items():
            self._record_asset("net_purchases", asset, value)

    def apply_entry(self, entry: Entry) -> None:
        for currency, amount in cash_moves(entry):
            self._move_cash(currency, amount)
        self._charge(entry)
        match entry.kind:
            case "transfer_in":
                self._transfer_in(entry)
            case "transfer_out":
                self._transfer_out(entry)
            case "currency_exchange":
                pass  # both legs count as booked at one value
            case "buy":
                self._open(entry, self.positions.long)
            case "short":
                self._open(entry, self.positions.short)
            case "sell":
                self._close(entry, self.positions.long)
            case "cover":
                self._close(entry, self.positions.short)
            case kind:
                figure, received = _FIGURE_OF[kind], self._receive(entry)
                self._record(figure, received if figure in {"inflow", "income"} else -received)
                if entry.asset is not None:
                    by_asset = "asset_income" if figure == "income" else "asset_costs"
                    self._record_asset(by_asset, entry.asset, received if figure == "income" else -received)

    def _charge(self, entry: Entry) -> None:
        """The fee and tax columns that any transaction may have."""
        for figure, amount in (("fees", entry.fee), ("taxes", entry.tax)):
            if not amount:
                continue
            value = self.market.booked(entry, amount)
            self._record(figure, value)
            self._record("cash_booked", -value)
            if figure == "fees" and entry.kind in _TRADES:
                self._record("trading_costs", value)
            if entry.asset is not None:
                self._record_asset("asset_costs", entry.asset, value)

    def _receive(self, entry: Entry) -> Value:
        """The gross amount in base currency, negative when paid out."""
        value = self.market.booked(entry, signed_amount(entry))
        self._record("cash_booked", value)
        return value

    def _open(self, entry: Entry, side: Side) -> None:
        cost = -self._receive(entry)
        asset = self._add_lot(entry, side, cost, -signed_amount(entry))
        self._record_asset("net_purchases", asset, cost)

    def _add_lot(self, entry: Entry, side: Side, cost: Value, local: Decimal | None) -> int:
        """local: the cost in the entry's currency, None when it is only known in base currency."""
        asset, quantity = position_of(entry)
        if local is None or self.market.currency_of(asset, entry.currency) != entry.currency:
            local = self.market.local(asset, cost.amount, entry.date, entry.currency)
        signed = quantity if side is self.positions.long else -quantity
        self.positions.open(asset, side, [Lot(signed, cost.amount, entry.date, entry.id, local)])
        if cost.amount is None:
            self._note("cost_basis", cost.reason)
        return asset

    def _close(self, entry: Entry, side: Side) -> None:
        closed = self._take_lots(entry, side)
        received, asset = self._receive(entry), position_of(entry)[0]
        self.closings.append(Closing(entry.id, asset, tuple(closed), received.amount))
        name, currency = self.market.name(asset), self.market.currency_of(asset, entry.currency)
        gain = currency_gain(
            self.market, asset, closed, currency=currency, rate=self._rate_of_sale(entry, currency), name=name
        )
        self._record("realized", received - cost_of(closed, name))
        self._record("realized_fx", gain)
        self._record_asset("net_purchases", asset, -received)

    def _rate_of_sale(self, entry: Entry, currency: str) -> Decimal | None:
        if currency == entry.currency:
            return self.market.booked(entry, Decimal(1)).amount
        return self.market.rate(currency, entry.date)

    def _take_lots(self, entry: Entry, side: Side) -> list[Lot]:
        asset, quantity = position_of(entry)
        try:
            return self.positions.close(asset, side, quantity, entry.lots)
        except InsufficientLotsError as error:
            name = self.market.name(asset)
            reason = f"{entry.kind} of {error.asked:f} {name}, but only {error.held:f} held"
            raise LedgerError(entry, reason) from error
        except NamedLotsError as error:
            reason = f"{entry.kind} of {quantity:f} {self.market.name(asset)}: {error}"
            raise LedgerError(entry, reason) from error

    def _transfer_in(self, entry: Entry) -> None:
        asset, quantity = position_of(entry)
        market = self._worth(entry, asset, quantity)
        if entry.price is None:
            cost, local = market, None
        else:
            cost, local = self.market.booked(entry, quantity * entry.price), quantity * entry.price
        self._add_lot(entry, self.positions.long, cost, local)
        worth = cost if self._is_unpriced(asset, entry.date) else market
        self._record("inflow", worth)
        self._record("transferred_pnl", worth - cost)
        self._record_asset("net_purchases", asset, worth)

    def _transfer_out(self, entry: Entry) -> None:
        asset, quantity = position_of(entry)
        cost = cost_of(self._take_lots(entry, self.positions.long), self.market.name(asset))
        worth = cost if self._is_unpriced(asset, entry.date) else self._worth(entry, asset, quantity)
        self._record("outflow", worth)
        self._record("transferred_pnl", cost - worth)
        self._record_asset("net_purchases", asset, -worth)

    def _worth(self, entry: Entry, asset: int, quantity: Decimal) -> Value:
        """Units at the market, at the day's rate first: the position is valued at it too."""
        worth = self.market.worth(asset, quantity, entry.date, entry.currency)
        price = self.market.price(asset, entry.date)
        is_booked_alike = self.market.currency_of(asset, entry.currency) == entry.currency
        if worth.amount is None and price is not None and is_booked_alike:
            return self.market.booked(entry, quantity * price)
        return worth

    def _is_unpriced(self, asset: int, day: date) -> bool:
        return self.market.price(asset, day) is None

    def _move_cash(self, currency: str, amount: Decimal) -> None:
        self.cash[currency] = self.cash.get(currency, ZERO) + amount

    def _record(self, figure: str, value: Value) -> None:
        if value.amount is None:
            self._note(figure, value.reason)
        else:
            self.figures[figure] += value.amount

    def _record_asset(self, figure: str, asset: int, value: Value) -> None:
        known = self.of_assets[figure].get(asset, ZERO)
        self.of_assets[figure][asset] = (
            None if known is None or value.amount is None else known + value.amount
        )

    def _note_unfollowed(self) -> None:
        """The shares stay wrong until nothing of the asset is held any more."""
        self.unfollowed = {a: problems for a, problems in self.unfollowed.items() if a in self.positions.lots}
        for problems in self.unfollowed.values():
            for problem in problems:
                self._note("positions", problem)

    def _note(self, figure: str, reason: str) -> None:
        self.unknown[Unknown(figure, reason)] = None
