"""Whether a book holds together: no sale or cover of more than is held on its day."""

import datetime as dt
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import groupby
from operator import attrgetter

from django.db.models import Q

from portfolios.calculations.corporate_actions import apply_action, in_order
from portfolios.calculations.entries import CorporateAction as BookedAction
from portfolios.calculations.entries import Entry, LedgerError, day_key, position_of
from portfolios.calculations.lots import EXACT, InsufficientLotsError, Lot, total_quantity
from portfolios.calculations.positions import Positions
from portfolios.calculations.values import Market
from portfolios.models import CorporateAction, CorporateActionKind, Transaction
from portfolios.models.transactions import TransactionQuerySet
from portfolios.selectors.books import booked_action

POSITION_KINDS = {"buy", "sell", "short", "cover", "transfer_in", "transfer_out"}
# Only quantities matter here, so nothing needs a rate or a price.
_NO_MARKET = Market("", lambda currency, day: None, lambda asset, day: None, {}, {})
_date_of = attrgetter("date")


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


def position_lines(portfolio_id: int, assets: Iterable[int]) -> TransactionQuerySet:
    """The booked lines that change positions of some assets."""
    lines = Transaction.objects.booked()
    return lines.filter(portfolio=portfolio_id, asset__in=list(assets), kind__in=POSITION_KINDS)


def position_entries(portfolio_id: int, assets: Iterable[int], *, without: Iterable[int] = ()) -> list[Entry]:
    """The same as entries, by day, less those that are about to go."""
    rows = position_lines(portfolio_id, assets).exclude(pk__in=list(without)).order_by("trade_date", "id")
    names = ("id", "trade_date", "kind", "currency_id", "asset_id", "quantity")
    return [
        Entry(
            id=pk, date=day, kind=kind, currency=currency, asset=asset, quantity=quantity, amount=Decimal(1)
        )
        for pk, day, kind, currency, asset, quantity in rows.values_list(*names)
    ]


def shortage(entries: Iterable[Entry], actions: Iterable[BookedAction]) -> LedgerError | None:
    """The first entry that takes more than is held."""
    return next(shortages(sorted(entries, key=_date_of), actions), None)


def shortages(entries: Iterable[Entry], actions: Iterable[BookedAction]) -> Iterator[LedgerError]:
    """The entries that take more than is held, in the order of the books, each walked past as if it were not.

    entries: by day; they may be many, only those of one day are kept.
    """
    positions = Positions("average")
    for _, events in _days(entries, actions):
        yield from _take_day(positions, events)


def held_quantities(
    portfolio_id: int, group: AssetGroup, through: dt.date
) -> dict[int, list[tuple[dt.date, Decimal]]]:
    """By asset of a group, how many units are held from each day of a change on. Raises LedgerError."""
    return quantities_held(position_entries(portfolio_id, group.assets), group, through)


def quantities_held(
    entries: Iterable[Entry], group: AssetGroup, through: dt.date
) -> dict[int, list[tuple[dt.date, Decimal]]]:
    """The same from entries that are read already. entries: of one portfolio, by day."""
    positions = Positions("average")
    days: list[tuple[dt.date, dict[int, Decimal]]] = []
    for day, events in _days(entries, group.actions):
        if day > through:
            break
        for error in _take_day(positions, events):
            raise error
        days.append((day, dict(positions.quantities)))
    return {
        asset: [(day, quantities.get(asset, Decimal(0))) for day, quantities in days]
        for asset in {asset for _, quantities in days for asset in quantities}
    }


def _days(
    entries: Iterable[Entry], actions: Iterable[BookedAction]
) -> Iterator[tuple[dt.date, list[Entry | BookedAction]]]:
    """What happened, day by day. entries: by day."""
    events: Iterator[Entry | BookedAction] = heapq.merge(sorted(actions, key=_date_of), entries, key=_date_of)
    for day, of_day in groupby(events, key=_date_of):
        yield day, list(of_day)


def _take_day(positions: Positions, events: list[Entry | BookedAction]) -> list[LedgerError]:
    """A day of the ledger, in quantities only. Entries that cannot be taken are left out and named."""
    errors = []
    with localcontext(EXACT):
        for action in in_order(item for item in events if isinstance(item, BookedAction)):
            apply_action(action, positions, _NO_MARKET)
        for entry in sorted((item for item in events if isinstance(item, Entry)), key=day_key):
            try:
                _take_entry(positions, entry)
            except InsufficientLotsError as error:
                failure = LedgerError(entry, str(error))
                failure.__cause__ = error
                errors.append(failure)
        positions.refresh()
    return errors


def _take_entry(positions: Positions, entry: Entry) -> None:
    asset, quantity = position_of(entry)
    side = positions.short if entry.kind in {"short", "cover"} else positions.long
    if entry.kind in {"sell", "cover", "transfer_out"}:
        positions.close(asset, side, quantity)
        return
    # One lot for all that is held: thousands of them would make every sale as slow as they are many.
    signed = -quantity if entry.kind == "short" else quantity
    held = total_quantity(positions.take(asset, side))
    positions.open(asset, side, [Lot(held + signed, None, entry.date, entry.id)])


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
