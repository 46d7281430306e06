"""The books of portfolios: their settled transactions and corporate actions, ready to be walked."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import cast

import numpy as np

from portfolios.calculations.entries import CorporateAction as BookedAction
from portfolios.calculations.entries import Entry
from portfolios.calculations.ledger import DayBook, book_walk
from portfolios.calculations.lots import CostMethod
from portfolios.models import Asset, CorporateAction, Portfolio, Transaction, TransactionStatus
from portfolios.selectors.market_data import Bars, Series

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
}


@dataclass(frozen=True)
class BookInputs:
    """Everything that happened to one portfolio up to a day."""

    entries: list[Entry]
    actions: list[BookedAction]

    @property
    def asset_ids(self) -> list[int]:
        return sorted({entry.asset for entry in self.entries if entry.asset is not None})

    @property
    def currencies(self) -> set[str]:
        currencies = {entry.currency for entry in self.entries}
        return currencies | {entry.counter_currency for entry in self.entries if entry.counter_currency}


def book_inputs(portfolio_ids: Iterable[int], through: dt.date) -> dict[int, BookInputs]:
    """Settled transactions up to a day, by trade date, with the corporate actions of what was traded."""
    entries: dict[int, list[Entry]] = {portfolio_id: [] for portfolio_id in portfolio_ids}
    rows = Transaction.objects.filter(
        portfolio__in=list(entries), status=TransactionStatus.SETTLED, trade_date__lte=through
    ).order_by("portfolio_id", "trade_date", "id")
    names = ENTRY_FIELDS.values()
    for portfolio_id, *values in rows.values_list("portfolio_id", *ENTRY_FIELDS).iterator(chunk_size=5000):
        entries[portfolio_id].append(Entry(**dict(zip(names, values, strict=True))))
    actions = _actions({entry.asset for group in entries.values() for entry in group if entry.asset}, through)
    inputs = {}
    for portfolio_id, group in entries.items():
        assets = {entry.asset for entry in group}
        inputs[portfolio_id] = BookInputs(group, [action for action in actions if action.asset in assets])
    return inputs


def _actions(asset_ids: Iterable[int], through: dt.date) -> list[BookedAction]:
    rows = CorporateAction.objects.filter(asset__in=list(asset_ids), ex_date__lte=through)
    return [
        BookedAction(
            asset=row.asset_id,
            date=row.ex_date,
            kind=row.kind,
            ratio=Fraction(row.ratio_new, row.ratio_old) if row.ratio_new and row.ratio_old else None,
            amount=row.amount,
        )
        for row in rows.order_by("ex_date", "asset_id", "kind")
    ]


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
        asset_currencies={asset_id: assets[asset_id].currency_id for asset_id in inputs.asset_ids},
        names={asset_id: assets[asset_id].symbol for asset_id in inputs.asset_ids},
    )


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
