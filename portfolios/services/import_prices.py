"""Daily price bars from a file."""

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.imports.cells import PRICE, QUANTITY, Row
from portfolios.models import ChangeCause, CorporateAction, CorporateActionKind, PriceBar
from portfolios.selectors.derived_assets import derived_assets
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes, columns_of, note_earliest
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import AssetLookup
from portfolios.services.imports.reports import Cells, FileReport
from portfolios.services.staleness import mark_assets_stale

FIGURES = ("open", "high", "low", "close", "volume")
# Well below the number of parameters that a statement may have.
ASSETS_A_QUERY = 500


class Bar(NamedTuple):
    line: int
    asset: int
    date: dt.date
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal
    volume: Decimal | None


class StoredBar(NamedTuple):
    figures: tuple[Decimal | None, ...]
    through: dt.date | None


class PriceImport(FileImport[Bar]):
    target = "prices"
    is_streamed = True
    required = ("symbol", "date", *FIGURES)
    identity = ("symbol", "date")

    def __init__(
        self,
        path: str | Path,
        *,
        actor: Actor,
        on_error: OnError,
        source: str = "",
        split_adjusted: bool = False,
    ) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.source = source
        self.split_adjusted = split_adjusted
        self.assets = AssetLookup()
        self.derived = derived_assets()
        # The last day of each asset in the file, when its prices are adjusted: the source could know every
        # split up to that day, and no later one.
        self.adjusted_through: dict[int, dt.date] = {}
        self.stale_from: dict[int, dt.date] = {}

    def parse(self, row: Row) -> Bar:
        asset = self.assets.find(row)
        if asset.pk in self.derived:
            raise row.error("symbol", f"has no prices of its own: {self.derived[asset.pk]}")
        # Bars that contradict themselves (high below low) are kept: defects of a source are facts about it.
        return Bar(
            line=row.line,
            asset=asset.pk,
            date=row.past_date("date", self.today),
            open=row.positive_number("open", PRICE),
            high=row.positive_number("high", PRICE),
            low=row.positive_number("low", PRICE),
            close=row.given("close", row.positive_number("close", PRICE)),
            volume=row.number_from_zero("volume", QUANTITY),
        )

    def identity_of(self, record: Bar) -> tuple[int, dt.date]:
        return record.asset, record.date

    def survey(self, records: list[Bar]) -> None:
        if self.split_adjusted:
            for bar in records:
                last = self.adjusted_through.get(bar.asset, bar.date)
                self.adjusted_through[bar.asset] = max(last, bar.date)

    def compare(self, records: list[Bar]) -> Changes[Bar]:
        stored_bars = _stored_bars(records)
        changes: Changes[Bar] = Changes()
        stale_days = []
        for bar in records:
            stored = stored_bars.get((bar.asset, bar.date))
            figures = (bar.open, bar.high, bar.low, bar.close, bar.volume)
            through = self.adjusted_through.get(bar.asset)
            if stored is None:
                changes.created.append(bar)
            elif stored.figures == figures and _is_known(stored.through, through):
                changes.unchanged.append(bar)
                continue
            else:
                changes.updated.append(bar)
            splits = self.splits.get(bar.asset, [])
            if (
                stored is None
                or stored.figures != figures
                or _is_rescaled(bar.date, stored.through, through, splits)
            ):
                stale_days.append((bar.asset, bar.date))
        note_earliest(self.stale_from, stale_days)
        return changes

    @cached_property
    def splits(self) -> dict[int, list[dt.date]]:
        """The ex-dates of each asset's splits."""
        splits: defaultdict[int, list[dt.date]] = defaultdict(list)
        known = CorporateAction.objects.filter(kind=CorporateActionKind.SPLIT)
        for asset, ex_date in known.values_list("asset", "ex_date"):
            splits[asset].append(ex_date)
        return splits

    def write(self, changes: Changes[Bar]) -> None:
        columns = columns_of(changes.rows, ("asset", "date", *FIGURES))
        columns["adjusted_through"] = [self.adjusted_through.get(bar.asset) for bar in changes.rows]
        bulk_upsert(PriceBar, {**columns, "source": self.source}, key=("asset", "date"))

    def finish(self) -> None:
        mark_assets_stale(self.stale_from, ChangeCause.PRICE)

    def cells_of(self, record: Bar) -> Cells:
        cells = super().cells_of(record)
        return {"line": cells.pop("line"), "symbol": self.symbols[int(cells.pop("asset"))], **cells}


def _stored_bars(records: list[Bar]) -> dict[tuple[int, dt.date], StoredBar]:
    """The bars that stand where the records would go.

    Many assets to a query, because a file in order of its days has all of them in every block.
    """
    wanted = {(bar.asset, bar.date) for bar in records}
    assets = sorted({asset for asset, _ in wanted})
    days = [day for _, day in wanted]
    stored = {}
    for start in range(0, len(assets), ASSETS_A_QUERY):
        rows = PriceBar.objects.filter(
            asset__in=assets[start : start + ASSETS_A_QUERY], date__range=(min(days), max(days))
        ).order_by()
        names = ("asset", "date", "adjusted_through", *FIGURES)
        for asset, day, through, *figures in rows.values_list(*names).iterator():
            if (asset, day) in wanted:
                stored[asset, day] = StoredBar(tuple(figures), through)
    return stored


def _is_known(stored: dt.date | None, given: dt.date | None) -> bool:
    """Whether the stored bar already says up to which day it is adjusted, or more."""
    return stored == given if stored is None or given is None else stored >= given


def _is_rescaled(day: dt.date, stored: dt.date | None, given: dt.date | None, splits: list[dt.date]) -> bool:
    """Whether a split lies between the two days of adjustment: the same figure is another price then."""
    low, high = sorted((max(day, stored or day), max(day, given or day)))
    return any(low < ex_date <= high for ex_date in splits)


def prices_import(
    path: str | Path,
    *,
    actor: Actor = None,
    on_error: OnError = "abort",
    source: str = "",
    split_adjusted: bool = False,
    preview: bool = False,
) -> FileReport:
    """Add and correct bars by (asset, date). `split_adjusted`: the source has divided by later splits."""
    return PriceImport(
        path, actor=actor, on_error=on_error, source=source, split_adjusted=split_adjusted
    ).run(preview=preview)
