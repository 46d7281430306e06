"""The open lots of a book: what a sale may take, and which purchase each of them was."""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from portfolios.calculations.entries import LedgerError
from portfolios.calculations.ledger import DayBook
from portfolios.calculations.lots import Lot
from portfolios.models import Asset, Portfolio, Transaction
from portfolios.selectors.books import BookInputs, book_inputs, books_walk
from portfolios.selectors.holdings import asset_groups
from portfolios.selectors.market_data import Bars, Series, bars_of, exchange_rates_to

TRANSFERS = {"transfer_in", "transfer_out"}


@dataclass(frozen=True)
class WalkedBook:
    """The books of one portfolio; without days and with the error where they cannot be walked."""

    portfolio: Portfolio
    inputs: BookInputs
    days: list[DayBook]
    fault: LedgerError | None = None


def open_lots(portfolio: Portfolio, day: dt.date) -> dict[int, list[Lot]]:
    """By asset what is held at the end of a day, counted by trade date; oldest first, long lots before short.

    Lot.id is the transaction that opened the lot. Raises LedgerError for a book that cannot be walked.
    """
    (book,) = walked_books([portfolio], day)
    if book.fault is not None:
        raise book.fault
    return {asset: list(lots) for asset, lots in book.days[-1].lots.items()} if book.days else {}


def named_lots_fault(portfolio: Portfolio, assets: Collection[int | None] = ()) -> LedgerError | None:
    """The first sale that cannot take the lots it names, or takes what another one names.

    assets: only their books and those of what they came from and turned into; none given: the whole book.
    Books in which no sale names its lots are not walked.
    """
    if not Transaction.objects.booked().filter(portfolio=portfolio, lots__isnull=False).exists():
        return None
    known = {asset for asset in assets if asset is not None}
    related = {asset for group in asset_groups(known) for asset in group.assets} or None
    (book,) = walked_books([portfolio], dt.date.max, assets=related)
    return book.fault


def walked_books(
    portfolios: Sequence[Portfolio], through: dt.date, *, assets: Iterable[int] | None = None
) -> Iterator[WalkedBook]:
    """The books of several portfolios, one after the other, read at once and with no more prices than needed.

    assets: only the transactions of these; None: all.
    """
    inputs = book_inputs([portfolio.pk for portfolio in portfolios], through, assets=assets)
    known = Asset.objects.in_bulk({asset for book in inputs.values() for asset in book.asset_ids})
    bars = bars_for_costs(inputs.values(), through)
    rates: dict[str, Mapping[str, Series]] = {}
    for base in {portfolio.base_currency_id for portfolio in portfolios}:
        currencies = {asset.currency_id for asset in known.values()}.union(
            *(inputs[p.pk].currencies for p in portfolios if p.base_currency_id == base)
        )
        rates[base] = exchange_rates_to(base, currencies, through)
    for portfolio in portfolios:
        own_rates = rates[portfolio.base_currency_id]
        yield book_walked(portfolio, inputs[portfolio.pk], assets=known, bars=bars, rates=own_rates)


def book_walked(
    portfolio: Portfolio,
    inputs: BookInputs,
    *,
    assets: Mapping[int, Asset],
    bars: Mapping[int, Bars],
    rates: Mapping[str, Series],
) -> WalkedBook:
    try:
        days = books_walk(
            portfolio,
            inputs,
            assets=assets,
            bars=bars,
            rates=rates,
            fx_max_carry_days=settings.FX_MAX_CARRY_DAYS,
        )
    except LedgerError as error:
        return WalkedBook(portfolio, inputs, [], error)
    return WalkedBook(portfolio, inputs, days)


def bars_for_costs(inputs: Iterable[BookInputs], through: dt.date) -> Mapping[int, Bars]:
    """Only transfers in kind and corporate actions ask the market what something is worth."""
    wanted: set[int | None] = set()
    for book in inputs:
        wanted |= {entry.asset for entry in book.entries if entry.kind in TRANSFERS}
        for action in book.actions:
            wanted |= {action.asset, action.new_asset}
    known = [asset for asset in wanted if asset is not None]
    return bars_of(known, through) if known else {}
