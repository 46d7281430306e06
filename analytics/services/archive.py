"""History that is no longer read every day: out of the tables into Parquet, and back.

A year leaves its table only when its file was read back and every value in it equals the table's. Writing,
comparing, taking out and the audit row are one transaction, in which nobody else writes rows of that year:
killed at any point, either all of the rows are in the table or all of them are in the file that the audit
trail names.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, DecimalField, Max, Min, Model, QuerySet, Sum
from django.db.models.functions import Coalesce

from analytics.selectors.archive import (
    ARCHIVED,
    HISTORY,
    RESTORED,
    archive_names,
    first_day,
    rows_of_year,
)
from analytics.services.archive_files import (
    ArchiveError,
    Manifest,
    Totals,
    file_batches,
    file_columns,
    file_hash,
    file_schema,
    file_totals,
    file_write,
    manifest_read,
    manifest_write,
    table_batches,
    table_schema,
)
from analytics.services.partitions import partitions_ensure, table_reserve, year_drop, year_freeze
from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_insert
from portfolios.services.audit import Actor, audit_append


@dataclass(frozen=True)
class YearOutcome:
    """One year of one table. `changed`: rows were taken out or put back, not only looked at."""

    table: str
    year: int
    rows: int
    file: str = ""
    sha256: str = ""
    changed: bool = False


def archive_directory() -> Path:
    return Path(getattr(settings, "ARCHIVE_DIR", settings.VAR_DIR / "archive"))


def archive_retire(actor: Actor = None) -> list[YearOutcome]:
    """Archive what is older than ANALYTICS_RETENTION_YEARS whole years; 0 keeps everything."""
    years: int = getattr(settings, "ANALYTICS_RETENTION_YEARS", 0)
    return list(archive_before(first_day(clock.today().year - years), actor=actor)) if years else []


def archive_before(
    before: dt.date,
    directory: Path | None = None,
    *,
    dry_run: bool = False,
    force: bool = False,
    actor: Actor = None,
) -> Iterator[YearOutcome]:
    """Archive every table's whole years before the date, a transaction each; yield each when it is done."""
    limit = clock.today() - dt.timedelta(days=365)
    if before > limit and not force:
        raise ArchiveError(f"before: {before} is later than {limit}; the last year stays for ordinary work.")
    if not dry_run:
        partitions_ensure()
    for model in HISTORY:
        for year in _stored_years(model, before):
            if dry_run:
                yield YearOutcome(model._meta.db_table, year, rows_of_year(model, year).count())
            else:
                yield _year_archive(model, year, directory or archive_directory(), actor)


def _stored_years(model: type[Model], before: dt.date) -> list[int]:
    day = HISTORY[model]
    old = model._default_manager.filter(**{f"{day}__lt": first_day(before.year)})
    return [date.year for date in old.dates(day, "year")]


def _year_archive(model: type[Model], year: int, directory: Path, actor: Actor) -> YearOutcome:
    table = model._meta.db_table
    with transaction.atomic():
        table_reserve(model)
        year_freeze(model, year)
        rows = rows_of_year(model, year)
        path, totals = _year_file(rows, directory / table, year)
        _check_totals(path, totals, rows)
        manifest = Manifest(table, year, file_hash(path), totals)
        manifest_write(path, manifest)
        year_drop(model, year)
        audit_append(
            action=ARCHIVED,
            object_type=table,
            object_id=year,
            actor=actor,
            after={"rows": totals.rows, "file": f"{table}/{path.name}", "sha256": manifest.sha256},
        )
    return YearOutcome(table, year, totals.rows, str(path), manifest.sha256, changed=True)


def _year_file(rows: QuerySet[Any], folder: Path, year: int) -> tuple[Path, Totals]:
    """The file that holds these rows: what an interrupted attempt left if it is the same, or a new one.

    A file is never written over: a year that was archived, computed again and archived again has two.
    """
    schema = table_schema(rows.model)
    for number in count(1):
        path = folder / (f"{year}.parquet" if number == 1 else f"{year}-{number}.parquet")
        is_new = not path.exists()
        if is_new:
            file_write(path, schema, table_batches(rows, schema))
        totals = file_totals(path, rows)
        if totals is not None:
            return path, totals
        if is_new:
            raise ArchiveError(f"{path} does not read back as it was written; nothing was taken out.")
    raise AssertionError("counting has no end")


def _check_totals(path: Path, totals: Totals, rows: QuerySet[Any]) -> None:
    """What was counted and added up in the file, against what the database itself counts and adds up."""
    day = HISTORY[rows.model]
    asked: dict[str, Any] = {"rows": Count("*"), "first": Min(day), "last": Max(day)}
    expected: dict[str, Any] = {
        "rows": totals.rows,
        "first": dt.date.fromisoformat(totals.first),
        "last": dt.date.fromisoformat(totals.last),
    }
    for column in rows.model._meta.concrete_fields:
        name = str(column.column)
        asked[f"count_{name}"] = Count(column.attname)
        expected[f"count_{name}"] = totals.values[name]
        # SQLite adds up decimals as floats.
        if isinstance(column, DecimalField) and connection.vendor == "postgresql":
            asked[f"sum_{name}"] = Coalesce(Sum(column.attname), Decimal(0))
            expected[f"sum_{name}"] = Decimal(totals.sums[name])
    found = rows.aggregate(**asked)
    different = [name for name, value in expected.items() if found[name] != value]
    if different:
        raise ArchiveError(f"{path} and the table differ in {', '.join(different)}; nothing was taken out.")


def archive_restore(target: Path, actor: Actor = None) -> Iterator[YearOutcome]:
    """Put back one file, or all files below a folder, a transaction each; yield each when it is done."""
    paths = sorted(target.rglob("*.parquet"), key=lambda path: (path.parent, path.stem))
    if target.suffix == ".parquet":
        paths = [target]
    if not paths:
        raise ArchiveError(f"{target}: there is no archived file.")
    for path in paths:
        yield _file_restore(path, actor)


def _file_restore(path: Path, actor: Actor) -> YearOutcome:
    manifest = manifest_read(path)
    model = _archived_model(path, manifest)
    table, year, count_rows = manifest.table, manifest.year, manifest.totals.rows
    outcome = YearOutcome(table, year, count_rows, str(path), manifest.sha256)
    with transaction.atomic():
        table_reserve(model)
        year_freeze(model, year)
        rows = rows_of_year(model, year)
        if rows.exists():
            if file_totals(path, rows) is None:
                raise ArchiveError(
                    f"{path}: {table} has other rows of {year}; archive these first. Nothing was restored."
                )
            return outcome
        _rows_insert(path, model)
        if file_totals(path, rows) != manifest.totals:
            raise ArchiveError(f"{path} is not what its manifest says; nothing was restored.")
        audit_append(
            action=RESTORED,
            object_type=table,
            object_id=year,
            actor=actor,
            after={"rows": count_rows, "file": f"{table}/{path.name}", "sha256": manifest.sha256},
        )
    return replace(outcome, changed=True)


def _archived_model(path: Path, manifest: Manifest) -> type[Model]:
    """The model of a file that this database has archived and can take back as it is."""
    model = next((model for model in HISTORY if model._meta.db_table == manifest.table), None)
    if model is None:
        raise ArchiveError(f"{path}: {manifest.table!r} is not a history table.")
    if not archive_names(model, manifest.year, manifest.sha256):
        raise ArchiveError(
            f"{path}: the audit trail knows of no such file of {manifest.table} {manifest.year}."
        )
    known = {column.name: column.type for column in table_schema(model)}
    other = [column.name for column in file_schema(path) if known.get(column.name) != column.type]
    if other:
        raise ArchiveError(f"{path}: {manifest.table} has no such columns any more: {', '.join(other)}.")
    return model


def _rows_insert(path: Path, model: type[Model]) -> None:
    """Foreign keys are checked batch by batch; checks put off to the end would pile up in the server."""
    try:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for batch in file_batches(path):
            bulk_insert(model, file_columns(batch, model))
        connection.check_constraints([model._meta.db_table])
    except IntegrityError as error:
        raise ArchiveError(f"{path}: {str(error).strip()}. Nothing was restored.") from error
