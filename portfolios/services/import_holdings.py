"""Whether a book can take the rows of a file: no sale or cover beyond what is held that day."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction

from portfolios.calculations.entries import CorporateAction as BookedAction
from portfolios.calculations.entries import Entry, LedgerError, day_key
from portfolios.calculations.ledger import book_walk
from portfolios.calculations.lots import InsufficientLotsError
from portfolios.imports.transactions import TRADES, TRANSFERS, TransactionRow
from portfolios.models import CorporateAction, CorporateActionKind, Transaction, TransactionStatus

# What takes from a long and from a short position.
CLOSING_KINDS = ({"sell", "transfer_out"}, {"cover"})


def oversold_rows(
    portfolio_id: int | None, rows: Iterable[TransactionRow]
) -> Iterator[tuple[TransactionRow, str]]:
    """The settled rows that the books cannot take beside what is booked, with the reason.

    Each asset is walked by itself, and again without the row it stumbled over: one bad row is one reject.
    """
    by_asset: defaultdict[int, list[TransactionRow]] = defaultdict(list)
    for row in rows:
        if (
            row.asset is not None
            and row.status == TransactionStatus.SETTLED
            and row.kind in TRADES | TRANSFERS
        ):
            by_asset[row.asset.pk].append(row)
    booked = _booked_entries(portfolio_id, by_asset)
    splits = _splits(by_asset)
    for asset, asset_rows in sorted(by_asset.items()):
        by_line = {row.line: row for row in asset_rows}
        while by_line:
            new = [_entry(row) for row in by_line.values()]
            error = _walk(booked[asset] + new, splits[asset])
            if error is None:
                break
            culprit = _culprit(error.entry, new)
            if culprit is None:
                break
            # New entries carry their line as a negative id, apart from the ids of what is booked.
            yield by_line.pop(-culprit.id), _reason(error, culprit)


def _booked_entries(portfolio_id: int | None, assets: Iterable[int]) -> defaultdict[int, list[Entry]]:
    entries: defaultdict[int, list[Entry]] = defaultdict(list)
    if portfolio_id is not None:
        rows = Transaction.objects.filter(
            portfolio=portfolio_id,
            asset__in=list(assets),
            status=TransactionStatus.SETTLED,
            kind__in=TRADES | TRANSFERS,
        )
        names = ("asset_id", "id", "trade_date", "kind", "currency_id", "quantity")
        for asset, number, day, kind, currency, quantity in rows.values_list(*names):
            entries[asset].append(_position_entry(number, day, kind, currency, asset, quantity))
    return entries


def _splits(assets: Iterable[int]) -> defaultdict[int, list[BookedAction]]:
    splits: defaultdict[int, list[BookedAction]] = defaultdict(list)
    rows = CorporateAction.objects.filter(asset__in=list(assets), kind=CorporateActionKind.SPLIT)
    for asset, ex_date, new, old in rows.values_list("asset", "ex_date", "ratio_new", "ratio_old"):
        splits[asset].append(
            BookedAction(asset=asset, date=ex_date, kind="split", ratio=Fraction(new or 1, old or 1))
        )
    return splits


def _entry(row: TransactionRow) -> Entry:
    asset = row.asset.pk if row.asset else 0
    return _position_entry(-row.line, row.trade_date, row.kind, row.currency, asset, row.quantity)


def _position_entry(
    number: int, day: dt.date, kind: str, currency: str, asset: int, quantity: Decimal | None
) -> Entry:
    """Only quantities matter here, so every amount is 1."""
    return Entry(
        id=number,
        date=day,
        kind=kind,
        currency=currency,
        asset=asset,
        quantity=quantity,
        amount=Decimal(1),
    )


def _walk(entries: list[Entry], splits: list[BookedAction]) -> LedgerError | None:
    try:
        book_walk(
            entries,
            splits,
            base_currency="",
            cost_method="fifo",
            rate=lambda currency, day: None,
            market_price=lambda asset, day: None,
        )
    except LedgerError as error:
        return error
    return None


def _culprit(failed: Entry, new: list[Entry]) -> Entry | None:
    """The row to blame: the failed entry, or the last new one before it that took from the same position."""
    if failed.id < 0:
        return failed
    kinds = next(kinds for kinds in CLOSING_KINDS if failed.kind in kinds)
    place = (failed.date, day_key(failed))
    earlier = [entry for entry in new if entry.kind in kinds and (entry.date, day_key(entry)) < place]
    return max(earlier, key=lambda entry: (entry.date, day_key(entry)), default=None)


def _reason(error: LedgerError, culprit: Entry) -> str:
    shortage = error.__cause__
    if not isinstance(shortage, InsufficientLotsError):
        return str(error)
    if error.entry is culprit:
        return f"only {shortage.held.normalize():f} held on {culprit.date}"
    return (
        f"leaves only {shortage.held.normalize():f} for the {error.entry.kind} of "
        f"{shortage.asked.normalize():f} booked on {error.entry.date}"
    )
