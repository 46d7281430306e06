"""Assets from a file."""

import re
from collections import defaultdict
from collections.abc import Hashable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import Min

from portfolios.imports.cells import QUANTITY, Row
from portfolios.models import Asset, AssetClass, ChangeCause, PriceBar
from portfolios.models.assets import DEFAULT_LOT_SIZES
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import CurrencyLookup
from portfolios.services.imports.reports import Cells, FileReport
from portfolios.services.staleness import mark_assets_stale

PATTERNS = {
    "symbol": (re.compile(r"\S+"), "must not hold a blank"),
    "exchange": (re.compile(r"[A-Z0-9]{4}"), "not a market identifier code of four letters"),
    "isin": (re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]"), "not an ISIN"),
    "country": (re.compile(r"[A-Z]{2}"), "not a country code of two letters"),
}
# A change of these changes every figure computed from the asset's prices.
FIGURE_FIELDS = {"currency_id", "is_total_return"}


class AssetRow(NamedTuple):
    """`values` holds the fields that the row fills; a blank optional cell leaves what is stored."""

    line: int
    symbol: str
    exchange: str
    values: dict[str, Any]
    stored: Asset | None


class AssetImport(FileImport[AssetRow]):
    target = "assets"
    required = ("symbol", "name", "asset_class", "currency")
    optional = ("exchange", "isin", "sector", "country", "lot_size", "is_total_return")
    identity = ("symbol", "exchange")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.currencies = CurrencyLookup()
        self.stored: defaultdict[str, dict[str, Asset]] = defaultdict(dict)
        for asset in Asset.objects.all():
            self.stored[asset.symbol][asset.exchange] = asset

    def parse(self, row: Row) -> AssetRow:
        symbol, exchange = _code(row, "symbol", needed=True), _code(row, "exchange")
        values: dict[str, Any] = {
            "name": row.text("name", 200, needed=True),
            "asset_class": row.choice("asset_class", AssetClass.values),
            "currency_id": self.currencies.find(row, "currency"),
            "isin": _code(row, "isin"),
            "sector": row.text("sector", 64),
            "country": _code(row, "country"),
            "lot_size": row.positive_number("lot_size", QUANTITY),
            "is_total_return": row.flag("is_total_return") if row.cell("is_total_return") else None,
        }
        given = {name: value for name, value in values.items() if value not in ("", None)}
        return AssetRow(row.line, symbol, exchange, given, self._find_stored(row, symbol, exchange))

    def _find_stored(self, row: Row, symbol: str, exchange: str) -> Asset | None:
        """The asset that the row means. Without an exchange it is the only one of that symbol."""
        listings = self.stored[symbol]
        if exchange in listings or exchange or not listings:
            return listings.get(exchange)
        if len(listings) > 1:
            raise row.error("exchange", f"must be one of {', '.join(sorted(listings))}")
        return next(iter(listings.values()))

    def identity_of(self, record: AssetRow) -> Hashable:
        return record.stored.pk if record.stored else (record.symbol, record.exchange)

    def compare(self, records: list[AssetRow]) -> Changes[AssetRow]:
        changes: Changes[AssetRow] = Changes()
        for row in records:
            stored = row.stored and {name: getattr(row.stored, name) for name in row.values}
            changes.sort_in(row, stored, row.values)
        return changes

    def write(self, changes: Changes[AssetRow]) -> None:
        Asset.objects.bulk_create(_new_asset(row) for row in changes.created)
        self.added = [row.symbol for row in changes.created]
        self.before: dict[str, dict[str, Any]] = {}
        self.after: dict[str, dict[str, Any]] = {}
        restated = []
        for row in changes.updated:
            asset = row.stored
            assert asset is not None  # noqa: S101 - only a stored asset can be updated
            changed = {name: value for name, value in row.values.items() if getattr(asset, name) != value}
            self.before[row.symbol] = {name: getattr(asset, name) for name in changed}
            self.after[row.symbol] = changed
            Asset.objects.filter(pk=asset.pk).update(**changed)
            if FIGURE_FIELDS & changed.keys():
                restated.append(asset.pk)
        bars = PriceBar.objects.filter(asset__in=restated).order_by()
        mark_assets_stale(dict(bars.values_list("asset").annotate(Min("date"))), ChangeCause.PARAMETER)

    def audit(self) -> None:
        self.append_audit(before=self.before, after={"created": self.added, "changed": self.after})

    def cells_of(self, record: AssetRow) -> Cells:
        cells = super().cells_of(record)
        del cells["stored"]
        return cells


def _code(row: Row, column: str, *, needed: bool = False) -> str:
    text = row.text(column, 32, needed=needed)
    pattern, reason = PATTERNS[column]
    if text and not pattern.fullmatch(text):
        raise row.error(column, reason)
    return text


def _new_asset(row: AssetRow) -> Asset:
    lot_size = DEFAULT_LOT_SIZES.get(row.values["asset_class"], Decimal(1))
    return Asset(symbol=row.symbol, exchange=row.exchange, **{"lot_size": lot_size, **row.values})


def assets_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> FileReport:
    """Add and change assets by (symbol, exchange)."""
    return AssetImport(path, actor=actor, on_error=on_error).run(preview=preview)
