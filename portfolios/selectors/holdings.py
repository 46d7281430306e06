"""Whether a book holds together: no sale or cover of more than is held on its day."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q

from portfolios.calculations.entries import CorporateAction as BookedAction
from portfolios.calculations.entries import Entry, LedgerError
from portfolios.calculations.ledger import DayBook, book_walk
from portfolios.calculations.lots import InsufficientLotsError
from portfolios.models import CorporateAction, CorporateActionKind, Transaction
from portfolios.selectors.books import booked_action

POSITION_KINDS = {"buy", "sell", "short", "cover", "transfer_in", "transfer_out"}


@dataclass(frozen=True)
class AssetGroup:
    """Assets whose shares turn into one another, with the actions that do it; mostly one asset alone."""

    assets: frozenset[int]
    actions: list[BookedAction]


def asset_groups(asset_ids: Iterable[int]) -> list[AssetGroup]:
    """The groups that some assets belong to, in the order of their lowest ids."""
    followed = CorporateAction.objects.exclude(kind=CorporateActionKind.CASH_DIVIDEND)
    actions: dict[int, CorporateAction] = {}
    known: set[int] = set()
    wanted = set(asset_ids)
    while wanted:
        found = list(followed.filter(Q(asset__in=wanted) | Q(new_asset__in=wanted)))
        actions |= {row.pk: row for row in found}
        known |= wanted
        wanted = {pk for row in found for pk in (row.asset_id, row.new_asset_id) if pk is not None} - known
    booked = [booked_action(row) for row in actions.values()]
    groups: list[set[int]] = [{asset} for asset in sorted(known)]
    for action in booked:
        if action.new_asset is not None:
            joined = [group for group in groups if group & {action.asset, action.new_asset}]
            groups = [group for group in groups if group not in joined] + [set().union(*joined)]
    return [
        AssetGroup(frozenset(group), [action for action in booked if action.asset in group])
        for group in sorted(groups, key=min)
    ]


def position_entries(
    portfolio_id: int | None, assets: Iterable[int], *, without: Iterable[int] = ()
) -> list[Entry]:
    """The booked lines that change positions of some assets, less those that are about to go."""
    if portfolio_id is None:
        return []
    rows = (
        Transaction.objects.booked()
        .filter(portfolio=portfolio_id, asset__in=list(assets), kind__in=POSITION_KINDS)
        .exclude(pk__in=list(without))
    )
    names = ("id", "trade_date", "kind", "currency_id", "asset_id", "quantity")
    return [
        Entry(
            id=pk, date=day, kind=kind, currency=currency, asset=asset, quantity=quantity, amount=Decimal(1)
        )
        for pk, day, kind, currency, asset, quantity in rows.values_list(*names)
    ]


def shortage(entries: Iterable[Entry], actions: Iterable[BookedAction]) -> LedgerError | None:
    """The first entry that takes more than is held."""
    try:
        _walk_quantities(entries, actions)
    except LedgerError as error:
        return error
    return None


def held_quantities(
    portfolio_id: int, group: AssetGroup, through: dt.date
) -> dict[int, list[tuple[dt.date, Decimal]]]:
    """By asset of a group, how many units are held from each day of a change on. Raises LedgerError."""
    entries = [entry for entry in position_entries(portfolio_id, group.assets) if entry.date <= through]
    actions = [action for action in group.actions if action.date <= through]
    books = _walk_quantities(entries, actions)
    return {
        asset: [(book.date, book.quantities.get(asset, Decimal(0))) for book in books]
        for asset in {asset for book in books for asset in book.quantities}
    }


def _walk_quantities(entries: Iterable[Entry], actions: Iterable[BookedAction]) -> list[DayBook]:
    """Only quantities matter here, amounts may be anything."""
    return book_walk(
        entries,
        actions,
        base_currency="",
        cost_method="fifo",
        rate=lambda currency, day: None,
        market_price=lambda asset, day: None,
    )


def shortage_reason(error: LedgerError, culprit: Entry | None = None) -> str:
    """In words; `culprit`: the entry that is about to be booked, when it is itself the one that fails."""
    shortfall = error.__cause__
    if not isinstance(shortfall, InsufficientLotsError):
        return str(error)
    if error.entry is culprit:
        return f"only {shortfall.held.normalize():f} held on {culprit.date}"
    return (
        f"leaves only {shortfall.held.normalize():f} for the {error.entry.kind} of "
        f"{shortfall.asked.normalize():f} booked on {error.entry.date}"
    )
