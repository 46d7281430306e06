"""Blended benchmarks from a file. A file holds all components of each blend that it names."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Hashable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from analytics.models import (
    BlendComponent,
    BlendedBenchmark,
    ChangeKind,
    ChangeRequest,
    RebalanceFrequency,
)
from analytics.services.blends import (
    WHOLE,
    blend_json,
    blend_read,
    blend_refusal,
    blend_save,
    components_refusal,
)
from analytics.services.second_person import (
    NOBODY_ASKS,
    REASON_LENGTH,
    change_draft,
    change_request,
    change_waiting,
    needs_second_person,
)
from portfolio_site.kernel.locks import lock_rows
from portfolios.imports.cells import PERCENT, Row
from portfolios.imports.report import ImportReport
from portfolios.models import Asset
from portfolios.services.audit import Actor
from portfolios.services.import_assets import PATTERNS
from portfolios.services.imports.changes import Changes
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import AssetLookup, CurrencyLookup


class ComponentRow(NamedTuple):
    line: int
    blend: str
    asset: Asset
    weight: Decimal

    def cell(self, column: str) -> object:
        cells = {"blend": self.blend, "symbol": self.asset.symbol, "weight_percentage": self.weight}
        return cells.get(column, "")


class Refusal(NamedTuple):
    column: str
    reason: str


class BlendImport(FileImport[ComponentRow]):
    target = "blends"
    required = ("blend", "symbol", "weight_percentage", "rebalance_frequency")
    optional = ("name", "currency", "start_date")
    identity = ("blend", "symbol")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.assets = AssetLookup()
        self.currencies = CurrencyLookup()
        self.blend_ids = set(BlendedBenchmark.objects.values_list("asset", flat=True))
        self.rows_of_blend: Counter[str] = Counter()
        self.said: defaultdict[str, dict[str, tuple[Any, int]]] = defaultdict(dict)
        self.stored: dict[str, BlendedBenchmark] = {}
        self.accepted: dict[str, list[ComponentRow]] = {}
        self.dropped: list[BlendComponent] = []
        self.asked: list[ChangeRequest] = []

    def parse(self, row: Row) -> ComponentRow:
        blend = row.text("blend", 32, needed=True)
        pattern, reason = PATTERNS["symbol"]
        if not pattern.fullmatch(blend):
            raise row.error("blend", reason)
        self.rows_of_blend[blend] += 1
        asset = self.assets.find(row)
        if asset.pk in self.blend_ids:
            raise row.error("symbol", "is itself a blend")
        weight = row.given("weight_percentage", row.positive_number("weight_percentage", PERCENT))
        if weight > WHOLE:
            raise row.error("weight_percentage", "above 100")
        self._note_rule(row, blend)
        return ComponentRow(row.line, blend, asset, weight)

    def _note_rule(self, row: Row, blend: str) -> None:
        """The rows of a blend must not differ in what belongs to it; a blank optional cell says nothing."""
        currency = self.currencies.find(row, "currency") if row.cell("currency") else ""
        values: dict[str, str | dt.date | None] = {
            "rebalance_frequency": row.choice("rebalance_frequency", RebalanceFrequency.values),
            "start_date": row.date("start_date"),
            "name": row.text("name", 200),
            "currency": currency,
        }
        for column, value in values.items():
            if value:
                first, line = self.said[blend].setdefault(column, (value, row.line))
                if first != value:
                    raise row.error(column, f"line {line} says {first} for {blend}")

    def identity_of(self, record: ComponentRow) -> Hashable:
        return record.blend, record.asset.pk

    def compare(self, records: list[ComponentRow]) -> Changes[ComponentRow]:
        by_blend: defaultdict[str, list[ComponentRow]] = defaultdict(list)
        for row in records:
            by_blend[row.blend].append(row)
        own = {asset.symbol: asset for asset in Asset.objects.filter(symbol__in=by_blend, exchange="")}
        lock_rows(Asset, {asset.pk for asset in own.values()} | {row.asset.pk for row in records})
        blends = BlendedBenchmark.objects.filter(asset__symbol__in=by_blend).select_related("asset")
        self.stored = {blend.asset.symbol: blend for blend in blends.prefetch_related("components__asset")}
        changes: Changes[ComponentRow] = Changes()
        for blend, rows in by_blend.items():
            refusal = self._refusal(rows, own.get(blend) or Asset(symbol=blend), set(by_blend))
            if refusal:
                for row in rows:
                    self.reject(row.line, refusal.column, row.cell(refusal.column), refusal.reason)
                continue
            self._sort_in(blend, rows, changes)
        return changes

    def _refusal(self, rows: list[ComponentRow], own: Asset, in_file: set[str]) -> Refusal | None:
        """Why the rows of one blend cannot be the whole of it."""
        blend = rows[0].blend
        if len(rows) < self.rows_of_blend[blend]:
            return Refusal("weight_percentage", f"left out: another row of {blend} is rejected")
        reason = blend_refusal(own)
        if reason:
            return Refusal("blend", reason)
        for row in rows:
            if row.asset.symbol in in_file:
                return Refusal("symbol", f"{row.asset.symbol} is itself a blend")
        reason = components_refusal(own, self._components(rows))
        if reason:
            return Refusal("weight_percentage", reason)
        if not self._settings(rows)["currency"]:
            return Refusal("currency", f"the components of {blend} differ in it, so it must be given")
        return None

    def _sort_in(self, blend: str, rows: list[ComponentRow], changes: Changes[ComponentRow]) -> None:
        stored, given = self.stored.get(blend), self._settings(rows)
        parts = {part.asset_id: part for part in stored.components.all()} if stored else {}
        standing = stored and _settings_of(stored)
        counted: Changes[ComponentRow] = Changes()
        for row in rows:
            part = parts.pop(row.asset.pk, None)
            counted.sort_in(row, part and (part.weight_percentage, standing), (row.weight, given))
        changes.unchanged += counted.unchanged
        is_changed = bool(counted.rows or parts)
        if is_changed and stored and needs_second_person(ChangeKind.BENCHMARKS, None, stored.asset):
            self._note_asked(rows)
            return
        self.accepted[blend] = rows
        changes.created += counted.created
        changes.updated += counted.updated
        self.dropped += parts.values()

    def _note_asked(self, rows: list[ComponentRow]) -> None:
        """The portfolios that are measured against the blend want a second person to agree."""
        blend = rows[0].blend
        if self.actor is None:
            for row in rows:
                self.reject(row.line, "blend", blend, NOBODY_ASKS)
            return
        payload = blend_json(blend, self._components(rows), **self._settings(rows))
        draft = change_draft(
            ChangeKind.BENCHMARKS,
            portfolio=None,
            payload=payload,
            before=blend_read(payload),
            actor=self.actor,
            reason=f"{self.target} of {self.file_name}"[:REASON_LENGTH],
        )
        if change_waiting(draft):
            self.report.notes.append(f"{blend}: this blend waits for a second person already")
        else:
            self.asked.append(draft)

    def _settings(self, rows: list[ComponentRow]) -> dict[str, Any]:
        """What the file says of the blend, else what is stored, else what goes without saying."""
        blend = rows[0].blend
        currencies = {row.asset.currency_id for row in rows}
        defaults = {
            "rebalance_frequency": "",
            "start_date": None,
            "name": blend,
            "currency": currencies.pop() if len(currencies) == 1 else "",
        }
        stored = self.stored.get(blend)
        said = {column: value for column, (value, _) in self.said[blend].items()}
        return {**defaults, **(_settings_of(stored) if stored else {}), **said}

    def _components(self, rows: list[ComponentRow]) -> dict[Asset, Decimal]:
        return {row.asset: row.weight for row in rows}

    def has_other_changes(self) -> bool:
        return bool(self.dropped or self.asked)

    def write(self, changes: Changes[ComponentRow]) -> None:
        for draft in self.asked:
            change_request(draft, actor=self.actor)
            self.report.notes.append(f"{draft.payload['blend']}: the blend waits for a second person")
        for part in self.dropped:
            self.report.notes.append(f"{part.blend}: {part.asset.symbol} is no component any more")
        for blend, rows in self.accepted.items():
            blend_save(
                symbol=blend,
                components=self._components(rows),
                **self._settings(rows),
                actor=self.actor,
            )


def _settings_of(blend: BlendedBenchmark) -> dict[str, Any]:
    return {
        "rebalance_frequency": blend.rebalance_frequency,
        "start_date": blend.start_date,
        "name": blend.asset.name,
        "currency": blend.asset.currency_id,
    }


def blends_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> ImportReport:
    """Make and change blends; each replaces its components by those in the file, which must make 100."""
    return BlendImport(path, actor=actor, on_error=on_error).run(preview=preview)
