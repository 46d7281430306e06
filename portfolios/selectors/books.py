"""The books of portfolios: their settled transactions and corporate actions, ready to be walked."""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import numpy as np
from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import Cast

from portfolios.calculations.entries import CorporateAction as BookedAction
from portfolios.calculations.entries import Entry, unsettled_cash
from portfolios.calculations.ledger import DayBook, book_walk
from portfolios.calculations.lots import CostMethod, Lot, NamedLot
from portfolios.models import Asset, CorporateAction, CorporateActionKind, Portfolio, Transaction
from portfolios.selectors.market_data import Bars, Series, bars_of, exchange_rates_to

# Fields of a booked entry, by the columns they come from.
ENTRY_FIELDS = {
    "id": "id",
    "trade_date": "date",
    "kind": "kind",
    "currency_id": "currency",
    "asset_id": "asset",
    "quantity": "quantity",
    "price": "price",
    "amount": "amount",
    "fee": "fee",
    "tax": "tax",
    "fx_rate": "fx_rate",
    "counter_amount": "counter_amount",
    "counter_currency_id": "counter_currency",
    "settle_date": "settle_date",
}
# As text, so that the many lines without lots pass no JSON reader.
LOTS_TEXT = Cast("lots", TextField())


@dataclass(frozen=True)
class BookInputs:
    """Everything that happened to one portfolio up to a day."""

    entries: list[Entry]
    actions: list[BookedAction]

    @property
    def asset_ids(self) -> list[int]:
        """What was traded, and what corporate actions made of it."""
        traded = {entry.asset for entry in self.entries if entry.asset is not None}
        return sorted(traded | {action.new_asset for action in self.actions if action.new_asset is not None})

    @property
    def currencies(self) -> set[str]:
        currencies = {entry.currency for entry in self.entries}
        return currencies | {entry.counter_currency for entry in self.entries if entry.counter_currency}


def book_inputs(
    portfolio_ids: Iterable[int], through: dt.date, *, assets: Iterable[int] | None = None
) -> dict[int, BookInputs]:
    """Booked transactions up to a day, by trade date, with the corporate actions of what was held.

    assets: only the transactions of these; None: all.
    """
    entries: dict[int, list[Entry]] = {portfolio_id: [] for portfolio_id in portfolio_ids}
    rows = (
        Transaction.objects.booked()
        .filter(portfolio__in=list(entries), trade_date__lte=through)
        .order_by("portfolio_id", "trade_date", "id")
    )
    if assets is not None:
        rows = rows.filter(asset__in=list(assets))
    names = ENTRY_FIELDS.values()
    columns = rows.values_list("portfolio_id", LOTS_TEXT, *ENTRY_FIELDS)
    for portfolio_id, lots, *values in columns.iterator(chunk_size=5000):
        content = dict(zip(names, values, strict=True))
        entries[portfolio_id].append(Entry(**content, lots=named_lots(json.loads(lots)) if lots else None))
    traded = {
        portfolio_id: {entry.asset for entry in group if entry.asset is not None}
        for portfolio_id, group in entries.items()
    }
    actions = actions_of(set().union(*traded.values()), through)
    return {
        portfolio_id: BookInputs(group, _followed_actions(traded[portfolio_id], actions))
        for portfolio_id, group in entries.items()
    }


def named_lots(lots: list[dict[str, Any]] | None) -> tuple[NamedLot, ...] | None:
    """The column `lots` of a transaction as the books take it; a blank list names none."""
    return tuple(NamedLot(part["lot"], Decimal(part["quantity"])) for part in lots) if lots else None


def actions_of(asset_ids: Iterable[int], through: dt.date | None = None) -> list[BookedAction]:
    """Corporate actions of some assets and of what these actions turned them into, by day."""
    rows = CorporateAction.objects.exclude(kind=CorporateActionKind.CASH_DIVIDEND)
    if through is not None:
        rows = rows.filter(ex_date__lte=through)
    found: list[CorporateAction] = []
    known: set[int] = set()
    wanted = set(asset_ids)
    while wanted:
        new = list(rows.filter(asset__in=wanted))
        found += new
        known |= wanted
        wanted = {row.new_asset_id for row in new if row.new_asset_id is not None} - known
    return [
        booked_action(row) for row in sorted(found, key=lambda row: (row.ex_date, row.asset_id, row.kind))
    ]


def became(asset_ids: Iterable[int]) -> dict[int, set[int]]:
    """By asset what spin-offs, mergers and symbol changes made of it, directly or through others."""
    direct: dict[int, set[int]] = {}
    for action in actions_of(asset_ids):
        if action.new_asset is not None:
            direct.setdefault(action.asset, set()).add(action.new_asset)
    reached: dict[int, set[int]] = {}
    for asset in direct:
        found: set[int] = set()
        wanted = direct[asset]
        while wanted - found:
            found |= wanted
            wanted = set().union(*(direct.get(child, set()) for child in wanted))
        reached[asset] = found
    return reached


def booked_action(row: CorporateAction) -> BookedAction:
    return BookedAction(
        asset=row.asset_id,
        date=row.ex_date,
        kind=row.kind,
        ratio=Fraction(row.ratio_new, row.ratio_old) if row.ratio_new and row.ratio_old else None,
        amount=row.amount,
        new_asset=row.new_asset_id,
        cost_allocation=row.cost_allocation,
    )


def _followed_actions(assets: set[int], actions: Sequence[BookedAction]) -> list[BookedAction]:
    """Those of the assets and of what they became."""
    reached: set[int] = set()
    wanted = set(assets)
    while wanted - reached:
        reached |= wanted
        wanted = {a.new_asset for a in actions if a.asset in reached and a.new_asset is not None}
    return [action for action in actions if action.asset in reached]


def books_walk(
    portfolio: Portfolio,
    inputs: BookInputs,
    *,
    assets: Mapping[int, Asset],
    bars: Mapping[int, Bars],
    rates: Mapping[str, Series],
    fx_max_carry_days: int,
) -> list[DayBook]:
    """The books of every day on which something happened. `rates`: base currency per unit, by currency."""
    return book_walk(
        inputs.entries,
        inputs.actions,
        base_currency=portfolio.base_currency_id,
        cost_method=cast(CostMethod, portfolio.cost_method),
        rate=_rate_lookup(rates, portfolio.base_currency_id, fx_max_carry_days),
        market_price=_price_lookup(bars),
        traded=_bar_lookup(bars),
        asset_currencies={asset_id: assets[asset_id].currency_id for asset_id in inputs.asset_ids},
        names={asset_id: assets[asset_id].symbol for asset_id in inputs.asset_ids},
    )


@dataclass(frozen=True)
class Book:
    """What a portfolio held at the end of a day, counted by trade date.

    cash: by currency. unsettled: the part of it that settles later (negative: still to be paid).
    """

    date: dt.date
    quantities: Mapping[int, Decimal]
    costs: Mapping[int, Decimal]
    lots: Mapping[int, tuple[Lot, ...]]
    cash: Mapping[str, Decimal]
    unsettled: Mapping[str, Decimal]

    @property
    def settled_cash(self) -> dict[str, Decimal]:
        """Counted by settle date: what can be paid out."""
        currencies = {*self.cash, *self.unsettled}
        nothing = Decimal(0)
        return {
            currency: self.cash.get(currency, nothing) - self.unsettled.get(currency, nothing)
            for currency in sorted(currencies)
        }


def book_on(portfolio: Portfolio, day: dt.date) -> Book:
    """The book as of any date. Raises LedgerError for a book that cannot be walked."""
    inputs = book_inputs([portfolio.pk], day)[portfolio.pk]
    assets = Asset.objects.in_bulk(inputs.asset_ids)
    currencies = inputs.currencies | {asset.currency_id for asset in assets.values()}
    days = books_walk(
        portfolio,
        inputs,
        assets=assets,
        bars=bars_of(inputs.asset_ids, day),
        rates=exchange_rates_to(portfolio.base_currency_id, currencies, day),
        fx_max_carry_days=settings.FX_MAX_CARRY_DAYS,
    )
    unsettled = unsettled_cash(inputs.entries, day)
    if not days:
        return Book(day, {}, {}, {}, {}, unsettled)
    last = days[-1]
    return Book(day, last.quantities, last.costs, last.lots, last.cash, unsettled)


def _rate_lookup(
    rates: Mapping[str, Series], base_currency: str, max_carry_days: int
) -> Callable[[str, dt.date], Decimal | None]:
    def rate(currency: str, day: dt.date) -> Decimal | None:
        if currency == base_currency:
            return Decimal(1)
        if currency not in rates:
            return None
        dates, values = rates[currency]
        place = int(np.searchsorted(dates, np.datetime64(day), side="right")) - 1
        if place < 0 or (np.datetime64(day) - dates[place]).astype(int) > max_carry_days:
            return None
        return Decimal(repr(float(values[place])))

    return rate


def _price_lookup(bars: Mapping[int, Bars]) -> Callable[[int, dt.date], Decimal | None]:
    def market_price(asset_id: int, day: dt.date) -> Decimal | None:
        if asset_id not in bars:
            return None
        carried = bars[asset_id].carried_close(np.datetime64(day))
        return None if carried is None else Decimal(repr(carried[0]))

    return market_price


def _bar_lookup(bars: Mapping[int, Bars]) -> Callable[[int, dt.date], bool]:
    def traded(asset_id: int, day: dt.date) -> bool:
        if asset_id not in bars:
            return False
        carried = bars[asset_id].carried_close(np.datetime64(day))
        return carried is not None and carried[1] == 0

    return traded
