"""The books of one portfolio: what its transactions leave at the end of every day with an event."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, localcontext

from portfolios.calculations.entries import (
    CorporateAction,
    Entry,
    LedgerError,
    counter_of,
    day_key,
    gross_amount,
    position_of,
)
from portfolios.calculations.lots import (
    EXACT,
    ZERO,
    CostMethod,
    InsufficientLotsError,
    Lot,
    match_lots,
    split_lots,
    total_cost,
    total_quantity,
)

DAY_FIGURES = ("inflow", "outflow", "realized", "income", "fees", "taxes", "cash_booked", "transferred_pnl")

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
_BRINGS_CASH = {"deposit", "sell", "short", "dividend", "interest", "fee_refund", "tax_refund"}

RateOn = Callable[[str, date], Decimal | None]
PriceOn = Callable[[int, date], Decimal | None]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A part that is missing in the named field of a DayBook, and why.

    field: one of DAY_FIGURES, "cost_basis" (an asset that is missing in `costs`), or "positions" (a corporate
    action that the books do not follow).
    """

    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBook:
    """The books at the end of `date`, and the figures of that day, all in base currency but for `cash`.

    quantities, costs, lots: by asset, only what is held; an asset of unknown cost has no entry in `costs`.
    cash: by currency, 0 once spent. inflow, outflow: external flows, both >= 0. realized: gains without fees
    and taxes. income: gross dividends and interest less interest charged. fees, taxes: net of refunds.
    cash_booked: all movements of cash at the rates they were booked at; the change of cash in base currency
    less this is the gain from exchange rates. transferred_pnl: the unrealised gain that came in with a
    transfer (market value less book cost), less what left with one.
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
    income: Decimal
    fees: Decimal
    taxes: Decimal
    cash_booked: Decimal
    transferred_pnl: Decimal
    unknown: tuple[Unknown, ...]


def book_walk(
    entries: Iterable[Entry],
    actions: Iterable[CorporateAction],
    *,
    base_currency: str,
    cost_method: CostMethod,
    rate: RateOn,
    market_price: PriceOn,
    asset_currencies: Mapping[int, str] | None = None,
    names: Mapping[int, str] | None = None,
) -> list[DayBook]:
    """Walk through settled transactions and corporate actions; one DayBook per day with an event, ascending.

    rate(currency, date): base currency per unit, carried as the caller decides, None when unknown. It is
    asked only where a transaction has no rate of its own. market_price(asset, date): in the asset's currency,
    for transfers in kind; an asset that never had a price is transferred at its book cost. asset_currencies:
    needed for transfers booked in another currency than the asset's. names: how assets are called in reasons
    and errors.

    The order within a day is fixed (see `day_key`), so the order of `entries` never matters. What needs a
    rate that is unknown is left out of its figure and named in `unknown`; no rate is ever taken as 1. Gains
    and cost exclude fees and taxes. Both legs of a currency exchange count as booked at one value.

    Raises LedgerError for a sale beyond the holding and for a transaction that lacks what its kind needs.
    """
    walk = _Walk(base_currency, cost_method, rate, market_price, asset_currencies or {}, names or {})
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
            for action in sorted(day_actions, key=lambda a: (a.asset, a.kind, a.ratio or 0)):
                walk.apply_action(action)
            for entry in sorted(day_entries, key=day_key):
                walk.apply_entry(entry)
            if day_entries or walk.touched or walk.unknown:
                books.append(walk.close_day(day))
    return books


@dataclass(frozen=True, slots=True)
class _Value:
    """An amount in base currency, or why it is unknown. What is made with an unknown is unknown."""

    amount: Decimal | None
    reason: str = ""

    def __neg__(self) -> "_Value":
        return self if self.amount is None else _Value(-self.amount)

    def __sub__(self, other: "_Value") -> "_Value":
        if self.amount is None:
            return self
        return other if other.amount is None else _Value(self.amount - other.amount)


@dataclass
class _Walk:
    """The state of the books on the way through the days."""

    base_currency: str
    cost_method: CostMethod
    rate: RateOn
    market_price: PriceOn
    asset_currencies: Mapping[int, str]
    names: Mapping[int, str]

    long_lots: dict[int, list[Lot]] = field(default_factory=dict)
    short_lots: dict[int, list[Lot]] = field(default_factory=dict)
    cash: dict[str, Decimal] = field(default_factory=dict)
    quantities: dict[int, Decimal] = field(default_factory=dict)
    costs: dict[int, Decimal] = field(default_factory=dict)
    lots: dict[int, tuple[Lot, ...]] = field(default_factory=dict)

    def start_day(self) -> None:
        self.figures = dict.fromkeys(DAY_FIGURES, ZERO)
        self.unknown: dict[Unknown, None] = {}
        self.touched: set[int] = set()

    def close_day(self, day: date) -> DayBook:
        for asset in self.touched:
            self._refresh_position(asset)
        return DayBook(
            date=day,
            quantities=dict(self.quantities),
            costs=dict(self.costs),
            cash=dict(self.cash),
            lots=dict(self.lots),
            unknown=tuple(self.unknown),
            **self.figures,
        )

    def apply_action(self, action: CorporateAction) -> None:
        held = [lots for lots in (self.long_lots, self.short_lots) if lots.get(action.asset)]
        if not held or action.kind == "cash_dividend":
            return
        if action.kind != "split" or action.ratio is None:
            name = self._name(action.asset)
            self._note(
                "positions", f"{name}: the books do not follow the {action.kind} of {action.date.isoformat()}"
            )
            return
        for lots in held:
            lots[action.asset] = split_lots(lots[action.asset], action.ratio)
        self.touched.add(action.asset)

    def apply_entry(self, entry: Entry) -> None:
        self._charge(entry, "fees", entry.fee)
        self._charge(entry, "taxes", entry.tax)
        match entry.kind:
            case "transfer_in":
                self._transfer_in(entry)
            case "transfer_out":
                self._transfer_out(entry)
            case "currency_exchange":
                paid, currency = counter_of(entry)
                self._move_cash(entry.currency, gross_amount(entry))
                self._move_cash(currency, -paid)
            case "buy":
                self._open(entry, self.long_lots, -self._pay(entry))
            case "short":
                self._open(entry, self.short_lots, -self._pay(entry))
            case "sell":
                self._record("realized", self._pay(entry) - self._close(entry, self.long_lots))
            case "cover":
                self._record("realized", self._pay(entry) - self._close(entry, self.short_lots))
            case kind:
                figure, received = _FIGURE_OF[kind], self._pay(entry)
                self._record(figure, received if figure in {"inflow", "income"} else -received)

    def _charge(self, entry: Entry, figure: str, amount: Decimal | None) -> None:
        """The fee or tax column that any transaction may have."""
        if amount:
            self._move_cash(entry.currency, -amount)
            value = self._booked_value(entry, amount)
            self._record(figure, value)
            self._record("cash_booked", -value)

    def _pay(self, entry: Entry) -> _Value:
        """Move the gross amount into or out of cash; returns it in base currency, negative when paid out."""
        amount = gross_amount(entry)
        if entry.kind not in _BRINGS_CASH:
            amount = -amount
        self._move_cash(entry.currency, amount)
        value = self._booked_value(entry, amount)
        self._record("cash_booked", value)
        return value

    def _open(self, entry: Entry, lots: dict[int, list[Lot]], cost: _Value) -> None:
        asset, quantity = position_of(entry)
        signed = quantity if lots is self.long_lots else -quantity
        lots.setdefault(asset, []).append(Lot(signed, cost.amount, entry.date, entry.id))
        self.touched.add(asset)
        if cost.amount is None:
            self._note("cost_basis", cost.reason)

    def _close(self, entry: Entry, lots: dict[int, list[Lot]]) -> _Value:
        """Take the lots out of the books; returns what they cost."""
        asset, quantity = position_of(entry)
        try:
            closed, lots[asset] = match_lots(lots.get(asset, []), quantity, self.cost_method)
        except InsufficientLotsError as error:
            reason = f"{entry.kind} of {error.asked:f} {self._name(asset)}, but only {error.held:f} held"
            raise LedgerError(entry, reason) from error
        self.touched.add(asset)
        return _Value(total_cost(closed), f"{self._name(asset)}: cost unknown")

    def _transfer_in(self, entry: Entry) -> None:
        asset, quantity = position_of(entry)
        price = self.market_price(asset, entry.date)
        if price is None:
            market = _Value(None, f"{self._name(asset)}: no price up to {entry.date.isoformat()}")
        else:
            market = self._market_value(entry, asset, quantity * price)
        cost = market if entry.price is None else self._booked_value(entry, quantity * entry.price)
        self._open(entry, self.long_lots, cost)
        worth = cost if price is None else market
        self._record("inflow", worth)
        self._record("transferred_pnl", worth - cost)

    def _transfer_out(self, entry: Entry) -> None:
        asset, quantity = position_of(entry)
        cost = self._close(entry, self.long_lots)
        price = self.market_price(asset, entry.date)
        worth = cost if price is None else self._market_value(entry, asset, quantity * price)
        self._record("outflow", worth)
        self._record("transferred_pnl", cost - worth)

    def _booked_value(self, entry: Entry, amount: Decimal) -> _Value:
        """An amount in the entry's currency, in base currency at the rate it was booked at."""
        if entry.currency == self.base_currency or not amount:
            return _Value(amount)
        if entry.fx_rate is not None:
            return _Value(amount * entry.fx_rate)
        if entry.counter_currency == self.base_currency and entry.counter_amount and entry.amount:
            return _Value(amount * entry.counter_amount / entry.amount)
        return self._converted(amount, entry.currency, entry.date)

    def _market_value(self, entry: Entry, asset: int, amount: Decimal) -> _Value:
        """An amount in the asset's currency, at the day's rate first: the position is valued at it too."""
        currency = self.asset_currencies.get(asset, entry.currency)
        value = self._converted(amount, currency, entry.date)
        return (
            self._booked_value(entry, amount)
            if value.amount is None and currency == entry.currency
            else value
        )

    def _converted(self, amount: Decimal, currency: str, day: date) -> _Value:
        if currency == self.base_currency:
            return _Value(amount)
        rate = self.rate(currency, day)
        if rate is None:
            return _Value(None, f"no {self.base_currency} rate for {currency} on {day.isoformat()}")
        return _Value(amount * rate)

    def _move_cash(self, currency: str, amount: Decimal) -> None:
        self.cash[currency] = self.cash.get(currency, ZERO) + amount

    def _record(self, figure: str, value: _Value) -> None:
        if value.amount is None:
            self._note(figure, value.reason)
        else:
            self.figures[figure] += value.amount

    def _note(self, figure: str, reason: str) -> None:
        self.unknown[Unknown(figure, reason)] = None

    def _refresh_position(self, asset: int) -> None:
        lots = (*self.long_lots.get(asset, ()), *self.short_lots.get(asset, ()))
        self.lots[asset] = lots
        self.quantities[asset] = total_quantity(lots)
        cost = total_cost(lots)
        if cost is None:
            self.costs.pop(asset, None)
        else:
            self.costs[asset] = cost
        if not lots:
            del self.lots[asset], self.quantities[asset], self.costs[asset]

    def _name(self, asset: int) -> str:
        return self.names.get(asset, f"asset {asset}")
