"""Whether a book can take the rows of a file and still give each sale the lots that it names."""

import datetime as dt
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from django.db.models import Max

from portfolios.calculations.entries import Entry, LedgerError, day_key
from portfolios.calculations.lots import InsufficientLotsError
from portfolios.models import Asset, Portfolio, Transaction
from portfolios.selectors.books import BookInputs, book_inputs
from portfolios.selectors.holdings import AssetGroup, asset_groups, position_lines
from portfolios.selectors.market_data import Bars, Series, exchange_rates_to
from portfolios.selectors.open_lots import bars_for_costs, book_walked
from portfolios.services.import_transactions.shortages import CLOSING_KINDS, ImportedRows

TAKING_KINDS = frozenset().union(*CLOSING_KINDS)


def lot_taking_rows(
    imported: ImportedRows, portfolio: Portfolio, assets: Collection[int]
) -> Iterator[tuple[Entry, str]]:
    """The imported rows of these assets that take a lot which a sale names, with the reason.

    No row may take more than is held. Only assets are looked at of which some sale names its lots, up to the
    last such sale. The caller adds each row to the refused ones before it asks for the next.
    """
    named = Transaction.objects.booked().filter(portfolio=portfolio, lots__isnull=False)
    last_days = dict(named.order_by().values_list("asset").annotate(last=Max("trade_date")))
    for group in asset_groups(last_days) if last_days else []:
        if group.assets.intersection(assets):
            through = max(last_days[asset] for asset in group.assets & last_days.keys())
            yield from _GroupBook(imported, portfolio, group, through).lot_taking_rows()


@dataclass(frozen=True)
class _GroupBook:
    """The book of assets that turn into one another, up to a day."""

    imported: ImportedRows
    portfolio: Portfolio
    group: AssetGroup
    through: dt.date

    def lot_taking_rows(self) -> Iterator[tuple[Entry, str]]:
        """Each of them breaks, as one of the first in the order of the books, what was sound without it."""
        lines = self._lines()
        taking: list[Entry] = []
        others: list[Entry] = []
        for entry in self.inputs.entries:
            line = lines.get(entry.id)
            if line is None or line not in self.imported.refused:
                (taking if line is not None and entry.kind in TAKING_KINDS else others).append(entry)
        taking.sort(key=lambda entry: (entry.date, day_key(entry)))
        is_sound = self._fault([*others, *taking]) is None
        # What opens a position takes nothing from a sale: a book at fault without these was so before.
        if is_sound or self._fault(others) is not None:
            return
        while self._fault([*others, *taking]) is not None:
            count = bisect_left(
                range(len(taking)), True, key=lambda n: self._fault([*others, *taking[:n]]) is not None
            )
            fault = self._fault([*others, *taking[:count]])
            culprit = taking.pop(count - 1)
            if fault is not None:
                yield replace(culprit, id=-lines[culprit.id]), _reason(fault, culprit)

    @cached_property
    def inputs(self) -> BookInputs:
        pk = self.portfolio.pk
        return book_inputs([pk], self.through, assets=self.group.assets)[pk]

    @cached_property
    def assets(self) -> Mapping[int, Asset]:
        return Asset.objects.in_bulk(self.inputs.asset_ids)

    @cached_property
    def bars(self) -> Mapping[int, Bars]:
        return bars_for_costs([self.inputs], self.through)

    @cached_property
    def rates(self) -> Mapping[str, Series]:
        currencies = self.inputs.currencies | {asset.currency_id for asset in self.assets.values()}
        return exchange_rates_to(self.portfolio.base_currency_id, currencies, self.through)

    def _lines(self) -> dict[int, int]:
        """The line of the file that each imported row stood on, by its id."""
        rows = position_lines(self.imported.portfolio_id, self.group.assets)
        ids = dict(rows.filter(batch=self.imported.batch_id).values_list("pk", "external_id"))
        return dict(zip(ids, self.imported.lines_of(list(ids.values())), strict=True))

    def _fault(self, entries: list[Entry]) -> LedgerError | None:
        inputs = replace(self.inputs, entries=entries)
        return book_walked(self.portfolio, inputs, assets=self.assets, bars=self.bars, rates=self.rates).fault


def _reason(fault: LedgerError, culprit: Entry) -> str:
    """In words. A sale that is settled by the file may itself be the one that fails."""
    sale = fault.entry
    who = "it" if sale.id == culprit.id else f"the {sale.kind} booked on {sale.date}"
    cause = fault.__cause__
    shortfall = cause.__cause__ if cause else None
    if isinstance(shortfall, InsufficientLotsError):
        held, asked = shortfall.held.normalize(), shortfall.asked.normalize()
        return f"leaves only {held:f} of a lot of which {who} names {asked:f}"
    return f"leaves nothing of a lot that {who} names: {cause or fault}"
