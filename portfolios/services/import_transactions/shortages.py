"""Whether a book can take the rows of a file: no sale or cover beyond what is held that day."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, islice

from portfolios.calculations.entries import Entry, day_key
from portfolios.models.transactions import TransactionQuerySet
from portfolios.selectors.holdings import (
    AssetGroup,
    asset_groups,
    position_lines,
    shortage_reason,
    shortages,
)

# What takes from a long and from a short position.
CLOSING_KINDS = ({"sell", "transfer_out"}, {"cover"})
# Well below the number of parameters that a statement may have.
GROUPS_A_QUERY = 500
ROWS_A_READ = 5_000


@dataclass(frozen=True)
class ImportedRows:
    """What an import wrote into one portfolio, among all that is booked there.

    lines_of: the lines of the file that some external ids stood on. refused: those that do not count.
    """

    portfolio_id: int
    batch_id: int
    lines_of: Callable[[list[str]], list[int]]
    refused: Container[int]

    def entries(self, rows: TransactionQuerySet) -> Iterator[Entry]:
        """Those of the import carry their line as a negative id, apart from the ids of what was booked."""
        names = ("id", "trade_date", "kind", "currency_id", "asset_id", "quantity", "batch_id", "external_id")
        found = rows.values_list(*names).iterator(chunk_size=ROWS_A_READ)
        while some := list(islice(found, ROWS_A_READ)):
            own = [external_id for *_, batch, external_id in some if batch == self.batch_id]
            lines = dict(zip(own, self.lines_of(own), strict=True))
            for pk, day, kind, currency, asset, quantity, batch, external_id in some:
                line = lines[external_id] if batch == self.batch_id else None
                if line is None or line not in self.refused:
                    yield Entry(
                        id=pk if line is None else -line,
                        date=day,
                        kind=kind,
                        currency=currency,
                        asset=asset,
                        quantity=quantity,
                        amount=Decimal(1),
                    )


def oversold_rows(imported: ImportedRows, assets: Iterable[int]) -> Iterator[tuple[Entry, str]]:
    """The imported rows of these assets that the books cannot take beside the others, with the reason.

    Each asset is walked with those it came from and turns into. The caller adds each row to the refused ones
    before it asks for the next: one bad row is one reject.
    """
    groups = asset_groups(assets)
    for start in range(0, len(groups), GROUPS_A_QUERY):
        open_groups = groups[start : start + GROUPS_A_QUERY]
        while open_groups:
            starved: list[AssetGroup] = []
            yield from _walk(imported, open_groups, starved)
            open_groups = starved


def _walk(
    imported: ImportedRows, groups: list[AssetGroup], starved: list[AssetGroup]
) -> Iterator[tuple[Entry, str]]:
    """All groups at once, and so all their lines by day. Those to be walked again are added to `starved`."""
    group_of = {asset: group for group in groups for asset in group.assets}
    actions = [action for group in groups for action in group.actions]
    rows = position_lines(imported.portfolio_id, group_of).order_by("trade_date")
    for error in shortages(imported.entries(rows), actions):
        group = group_of.get(error.entry.asset or 0)
        if group is None:
            continue
        if error.entry.id < 0:
            # It took nothing, so the walk goes on as if it had never been.
            yield error.entry, shortage_reason(error, error.entry)
            continue
        # What the group's book says from here on is no matter before another row is taken out.
        group_of = {asset: other for asset, other in group_of.items() if other is not group}
        culprit = _culprit(imported, error.entry, group)
        if culprit is not None:
            yield culprit, shortage_reason(error, culprit)
            starved.append(group)


def _culprit(imported: ImportedRows, failed: Entry, group: AssetGroup) -> Entry | None:
    """The last imported row before the failed entry that took from the same position."""
    kinds = next(kinds for kinds in CLOSING_KINDS if failed.kind in kinds)
    rows = position_lines(imported.portfolio_id, group.assets).filter(
        batch=imported.batch_id, kind__in=kinds, trade_date__lte=failed.date
    )
    place = (failed.date, day_key(failed))
    for day, entries in groupby(imported.entries(rows.order_by("-trade_date")), key=lambda entry: entry.date):
        earlier = [entry for entry in entries if (day, day_key(entry)) < place]
        if earlier:
            return max(earlier, key=day_key)
    return None
