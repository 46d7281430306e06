"""Daily price bars from a file."""

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.imports.cells import PRICE, QUANTITY, Row
from portfolios.imports.report import ImportReport
from portfolios.models import ChangeCause, CorporateAction, CorporateActionKind, PriceBar
from portfolios.services.audit import Actor
from portfolios.services.import_batches import Changes, FileImport, OnError, blocks_of, columns_of
from portfolios.services.import_lookups import AssetLookup
from portfolios.services.staleness import mark_assets_stale

FIGURES = ("open", "high", "low", "close", "volume")


class Bar(NamedTuple):
    line: int
    asset: int
    date: dt.date
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal
    volume: Decimal | None


class PriceImport(FileImport[Bar]):
    target = "prices"
    required = ("symbol", "date", *FIGURES)
    identity = ("symbol", "date")

    def __init__(
        self, path: str | Path, *, actor: Actor, on_error: OnError, source: str, split_adjusted: bool
    ) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.source = source
        self.split_adjusted = split_adjusted
        self.assets = AssetLookup()
        # The last day of each asset in the file, when its prices are adjusted: the source could know every
        # split up to that day, and no later one.
        self.adjusted_through: dict[int, dt.date] = {}
        self.stale_from: dict[int, dt.date] = {}

    def parse(self, row: Row) -> Bar:
        # Bars that contradict themselves (high below low) are kept: defects of a source are facts about it.
        return Bar(
            line=row.line,
            asset=self.assets.find(row).pk,
            date=row.past_date("date", self.today),
            open=row.positive_number("open", PRICE),
            high=row.positive_number("high", PRICE),
            low=row.positive_number("low", PRICE),
            close=row.given("close", row.positive_number("close", PRICE)),
            volume=row.number_from_zero("volume", QUANTITY),
        )

    def identity_of(self, record: Bar) -> tuple[int, dt.date]:
        return record.asset, record.date

    def compare(self, records: list[Bar]) -> Changes[Bar]:
        by_asset: defaultdict[int, list[Bar]] = defaultdict(list)
        for bar in records:
            by_asset[bar.asset].append(bar)
        splits: defaultdict[int, list[dt.date]] = defaultdict(list)
        known = CorporateAction.objects.filter(kind=CorporateActionKind.SPLIT)
        for asset, ex_date in known.values_list("asset", "ex_date"):
            splits[asset].append(ex_date)
        changes: Changes[Bar] = Changes()
        for asset, bars in by_asset.items():
            self._compare_asset(asset, bars, splits[asset], changes)
        return changes

    def _compare_asset(
        self, asset: int, bars: list[Bar], splits: list[dt.date], changes: Changes[Bar]
    ) -> None:
        first, last = min(bar.date for bar in bars), max(bar.date for bar in bars)
        through = last if self.split_adjusted else None
        if through is not None:
            self.adjusted_through[asset] = through
        rows = PriceBar.objects.filter(asset=asset, date__range=(first, last))
        stored_bars = {
            day: (figures, stored_through)
            for day, stored_through, *figures in rows.values_list("date", "adjusted_through", *FIGURES)
        }
        stale_days = []
        for bar in bars:
            stored = stored_bars.get(bar.date)
            figures = [bar.open, bar.high, bar.low, bar.close, bar.volume]
            if stored is None:
                changes.created.append(bar)
            elif stored[0] == figures and _is_known(stored[1], through):
                changes.unchanged += 1
                continue
            else:
                changes.updated.append(bar)
            if stored is None or stored[0] != figures or _is_rescaled(bar.date, stored[1], through, splits):
                stale_days.append(bar.date)
        if stale_days:
            self.stale_from[asset] = min(stale_days)

    def write(self, changes: Changes[Bar]) -> None:
        for bars in blocks_of(changes.rows):
            columns = columns_of(bars, ("asset", "date", *FIGURES))
            columns["adjusted_through"] = [self.adjusted_through.get(bar.asset) for bar in bars]
            bulk_upsert(PriceBar, {**columns, "source": self.source}, key=("asset", "date"))
        mark_assets_stale(self.stale_from, ChangeCause.PRICE)


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
) -> ImportReport:
    """Add and correct bars by (asset, date). `split_adjusted`: the source has divided by later splits."""
    return PriceImport(
        path, actor=actor, on_error=on_error, source=source, split_adjusted=split_adjusted
    ).run()
