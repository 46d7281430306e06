"""Corporate actions from a file."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.imports.cells import PRICE, CellError, Digits, Row, read_number, round_number
from portfolios.models import ChangeCause, CorporateAction, CorporateActionKind
from portfolios.services.audit import Actor
from portfolios.services.imports.changes import Changes, columns_of, first_days
from portfolios.services.imports.flow import FileImport
from portfolios.services.imports.importer import OnError
from portfolios.services.imports.lookups import AssetLookup
from portfolios.services.imports.reports import Cells, FileReport
from portfolios.services.staleness import mark_assets_stale

KEY = ("asset", "ex_date", "kind")
VALUES = ("ratio_new", "ratio_old", "ratio", "amount", "new_asset", "cost_allocation")
# What each kind must have, and what it may have besides.
NEEDS = {
    "split": {"ratio"},
    "cash_dividend": {"amount"},
    "spin_off": {"ratio", "new_symbol"},
    "merger": set(),
    "symbol_change": {"new_symbol"},
}
MAY_HAVE = {
    "spin_off": {"amount", "cost_allocation"},
    "merger": {"ratio", "amount", "new_symbol", "cost_allocation"},
}
MAX_RATIO_PART = 2**63 - 1
# Nothing is rounded in what a file says; the decimal beside the fraction is.
RATIO_PART = Digits(18, 18)
RATIO = Digits(12, 12)
SHARE = Digits(6, 12)


class Action(NamedTuple):
    line: int
    asset: int
    ex_date: dt.date
    kind: str
    ratio_new: int | None
    ratio_old: int | None
    ratio: Decimal | None
    amount: Decimal | None
    new_asset: int | None
    cost_allocation: Decimal | None


class CorporateActionImport(FileImport[Action]):
    target = "corporate_actions"
    required = ("symbol", "ex_date", "kind", "ratio", "amount")
    optional = ("new_symbol", "cost_allocation")
    identity = ("symbol", "ex_date", "kind")

    def __init__(self, path: str | Path, *, actor: Actor, on_error: OnError) -> None:
        super().__init__(path, actor=actor, on_error=on_error)
        self.assets = AssetLookup()

    def parse(self, row: Row) -> Action:
        asset = self.assets.find(row)
        # An action may be announced, so its day may lie in the future.
        ex_date = row.given("ex_date", row.date("ex_date"))
        kind = row.choice("kind", CorporateActionKind.values)
        for column in ("ratio", "amount", "new_symbol", "cost_allocation"):
            if column in NEEDS[kind] and not row.cell(column):
                raise row.error(column, f"must not be blank for a {kind}")
            if row.cell(column) and column not in NEEDS[kind] | MAY_HAVE.get(kind, set()):
                raise row.error(column, f"must be blank for a {kind}")
        if kind == CorporateActionKind.MERGER and not (row.cell("ratio") or row.cell("amount")):
            raise row.error("ratio", "a merger needs a ratio or an amount")
        if row.cell("ratio") and kind == CorporateActionKind.MERGER and not row.cell("new_symbol"):
            raise row.error("new_symbol", "must not be blank for a merger into shares")
        ratio = _ratio(row)
        new_asset = self.assets.find(row, "new_symbol").pk if row.cell("new_symbol") else None
        if new_asset == asset.pk:
            raise row.error("new_symbol", "the same as symbol")
        return Action(
            line=row.line,
            asset=asset.pk,
            ex_date=ex_date,
            kind=kind,
            ratio_new=ratio.numerator if ratio else None,
            ratio_old=ratio.denominator if ratio else None,
            ratio=_rounded(row, ratio) if ratio else None,
            amount=row.positive_number("amount", PRICE),
            new_asset=new_asset,
            cost_allocation=_share(row),
        )

    def identity_of(self, record: Action) -> tuple[int, dt.date, str]:
        return record.asset, record.ex_date, record.kind

    def compare(self, records: list[Action]) -> Changes[Action]:
        rows = CorporateAction.objects.filter(asset__in={action.asset for action in records})
        stored = {tuple(row[:3]): row[3:] for row in rows.values_list(*KEY, *VALUES)}
        changes: Changes[Action] = Changes()
        for action in records:
            given = tuple(getattr(action, name) for name in VALUES)
            changes.sort_in(action, stored.get(self.identity_of(action)), given)
        return changes

    def write(self, changes: Changes[Action]) -> None:
        bulk_upsert(CorporateAction, columns_of(changes.rows, (*KEY, *VALUES)), key=KEY)
        days = first_days((action.asset, action.ex_date) for action in changes.rows)
        mark_assets_stale(days, ChangeCause.CORPORATE_ACTION)

    def cells_of(self, record: Action) -> Cells:
        cells = super().cells_of(record)
        for name in ("asset", "new_asset"):
            cells[name] = self.symbols[int(cells[name])] if cells[name] else ""
        return cells


def _ratio(row: Row) -> Fraction | None:
    """New shares for one old, exactly: `7:1`, `1:3`, or a decimal as it is written."""
    text = row.cell("ratio")
    if not text:
        return None
    parts = [part.strip() for part in text.split(":")]
    if len(parts) > 2:
        raise row.error("ratio", "must be new:old, such as 7:1, or a decimal")
    try:
        numbers = [read_number(part, RATIO_PART, None)[0] for part in parts]
    except ValueError as error:
        raise row.error("ratio", str(error)) from error
    if min(numbers) <= 0:
        raise row.error("ratio", "must be above 0")
    ratio = Fraction(numbers[0]) / Fraction(numbers[1] if len(numbers) > 1 else 1)
    if max(ratio.numerator, ratio.denominator) > MAX_RATIO_PART:
        raise row.error("ratio", "too many digits for a ratio")
    return ratio


def _share(row: Row) -> Decimal | None:
    share = row.number_from_zero("cost_allocation", SHARE)
    if share is not None and share > 1:
        raise row.error("cost_allocation", "must be a share from 0 to 1")
    return share


def _rounded(row: Row, ratio: Fraction) -> Decimal:
    try:
        decimal = Decimal(ratio.numerator) / Decimal(ratio.denominator)
        rounded = round_number(decimal, RATIO, row.reading.significant)
    except ValueError as error:
        raise row.error("ratio", str(error)) from error
    if not rounded:
        raise CellError("ratio", row.cell("ratio"), "would round to 0")
    return rounded


def corporate_actions_import(
    path: str | Path, *, actor: Actor = None, on_error: OnError = "abort", preview: bool = False
) -> FileReport:
    """Add and correct corporate actions by (asset, ex-date, kind)."""
    return CorporateActionImport(path, actor=actor, on_error=on_error).run(preview=preview)
