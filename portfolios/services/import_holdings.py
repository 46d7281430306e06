"""Whether a book can take the rows of a file: no sale or cover beyond what is held that day."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal

from portfolios.calculations.entries import Entry, day_key
from portfolios.imports.transactions import TransactionRow
from portfolios.models import TransactionStatus
from portfolios.selectors.holdings import (
    POSITION_KINDS,
    asset_groups,
    position_entries,
    shortage,
    shortage_reason,
)

# What takes from a long and from a short position.
CLOSING_KINDS = ({"sell", "transfer_out"}, {"cover"})


def oversold_rows(
    portfolio_id: int | None, rows: Iterable[TransactionRow]
) -> Iterator[tuple[TransactionRow, str]]:
    """The settled rows that the books cannot take beside what is booked, with the reason.

    Each asset is walked by itself, with those it came from and turns into, and again without the row it
    stumbled over: one bad row is one reject.
    """
    by_asset: defaultdict[int, list[TransactionRow]] = defaultdict(list)
    for row in rows:
        if row.asset is not None and row.status == TransactionStatus.SETTLED and row.kind in POSITION_KINDS:
            by_asset[row.asset.pk].append(row)
    groups = asset_groups(by_asset)
    booked: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in position_entries(portfolio_id, set().union(*(group.assets for group in groups))):
        booked[entry.asset or 0].append(entry)
    for group in groups:
        by_line = {row.line: row for asset in group.assets for row in by_asset.get(asset, ())}
        there = [entry for asset in group.assets for entry in booked[asset]]
        while by_line:
            new = [_entry(row) for row in by_line.values()]
            error = shortage(there + new, group.actions)
            if error is None:
                break
            culprit = _culprit(error.entry, new)
            if culprit is None:
                break
            # New entries carry their line as a negative id, apart from the ids of what is booked.
            yield by_line.pop(-culprit.id), shortage_reason(error, culprit)


def _entry(row: TransactionRow) -> Entry:
    return Entry(
        id=-row.line,
        date=row.trade_date,
        kind=row.kind,
        currency=row.currency,
        asset=row.asset.pk if row.asset else 0,
        quantity=row.quantity,
        amount=Decimal(1),
    )


def _culprit(failed: Entry, new: list[Entry]) -> Entry | None:
    """The row to blame: the failed entry, or the last new one before it that took from the same position."""
    if failed.id < 0:
        return failed
    kinds = next(kinds for kinds in CLOSING_KINDS if failed.kind in kinds)
    place = (failed.date, day_key(failed))
    earlier = [entry for entry in new if entry.kind in kinds and (entry.date, day_key(entry)) < place]
    return max(earlier, key=lambda entry: (entry.date, day_key(entry)), default=None)
