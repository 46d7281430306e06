"""A year of a history table as one Parquet file, with a manifest beside it that says what must be in it.

Types are exact: money keeps its decimals, statistics their bits, JSON is text with sorted keys. Rows come in
the order of their ids, `BATCH_ROWS` a row group, so writing and reading need memory for one batch.
"""

import datetime as dt
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Context, Decimal
from functools import lru_cache
from itertools import islice, repeat, zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db.models import DecimalField, F, Field, ForeignKey, JSONField, Model, QuerySet, TextField
from django.db.models.functions import Cast

from portfolio_site.kernel.canonical import canonical_json

# Some 20 MB of Python objects; larger row groups were not faster.
BATCH_ROWS = 10_000
FORMAT = 1
# Sums of decimals are exact whatever the number of rows.
_EXACT = Context(prec=60)
_TYPES: dict[str, pa.DataType] = {
    "BigAutoField": pa.int64(),
    "BigIntegerField": pa.int64(),
    "IntegerField": pa.int32(),
    "PositiveSmallIntegerField": pa.int16(),
    "FloatField": pa.float64(),
    "DateField": pa.date32(),
    "BooleanField": pa.bool_(),
    "CharField": pa.string(),
    "JSONField": pa.string(),
}


class ArchiveError(ValueError):
    """Something that must not be archived or restored; the text says what and why. Nothing was changed."""


@dataclass(frozen=True)
class Totals:
    """What must be the same in the table and in the file. Sums are text: exact, floats by batch.

    `values` counts by column what is not NULL.
    """

    rows: int
    first: str
    last: str
    values: dict[str, int]
    sums: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """What the file beside it holds, and the hash that it had when it was written."""

    table: str
    year: int
    sha256: str
    totals: Totals
    format: int = FORMAT


def table_schema(model: type[Model]) -> pa.Schema:
    return pa.schema(
        pa.field(str(column.column), _arrow_type(column), nullable=column.null)
        for column in model._meta.concrete_fields
    )


def _arrow_type(column: Field) -> pa.DataType:
    if isinstance(column, DecimalField):
        return pa.decimal128(column.max_digits, column.decimal_places)
    kind = column.target_field if isinstance(column, ForeignKey) else column
    return _TYPES[kind.get_internal_type()]


def table_batches(
    rows: QuerySet[Any], schema: pa.Schema, sizes: Iterable[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """The columns of the schema, read in the order of the ids, in batches of these sizes."""
    fields = {str(column.column): column for column in rows.model._meta.concrete_fields}
    columns = [fields[name] for name in schema.names]
    picked = [Cast(F(c.attname), TextField()) if isinstance(c, JSONField) else F(c.attname) for c in columns]
    found = rows.order_by("pk").values_list(*picked).iterator(chunk_size=BATCH_ROWS)
    for size in sizes or repeat(BATCH_ROWS):
        batch = list(islice(found, size))
        if not batch:
            return
        yield pa.record_batch(
            [
                pa.array(map(_canonical, values) if isinstance(c, JSONField) else values, type=kind)
                for c, values, kind in zip(columns, zip(*batch, strict=True), schema.types, strict=True)
            ],
            schema=schema,
        )


@lru_cache(maxsize=4096)
def _canonical(text: str | None) -> str | None:
    """Rows often share one text. Engines differ in how they write the same JSON."""
    return None if text is None else canonical_json(json.loads(text))


def file_write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """The whole file or none: it gets its name when all of it is on the disk."""

    def write(part: Path) -> None:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)

    _write_whole(path, write)


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    write(part)
    _flush(part)
    part.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield from file.read_row_group(number).combine_chunks().to_batches()


def _group_sizes(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def file_schema(path: Path) -> pa.Schema:
    return pq.read_schema(path)


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_totals(path: Path, rows: QuerySet[Any]) -> Totals | None:
    """Totals of the file; None if it cannot be read, or as soon as one value differs from the table's."""
    try:
        schema = file_schema(path)
        totals = _RunningTotals(schema)
        # Room for one row more: the table must not have it.
        stored = table_batches(rows, schema, [*_group_sizes(path), 1])
        for ours, theirs in zip_longest(stored, file_batches(path)):
            if ours is None or theirs is None or not ours.equals(theirs):
                return None
            totals.add(theirs)
    except (pa.ArrowException, OSError, KeyError):
        return None
    return totals.result()


class _RunningTotals:
    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self.days: list[dt.date] = []
        (self.day,) = (column.name for column in schema if pa.types.is_date(column.type))
        self.values = dict.fromkeys(schema.names, 0)
        self.parts: dict[str, list[Any]] = {
            column.name: []
            for column in schema
            if pa.types.is_integer(column.type)
            or pa.types.is_floating(column.type)
            or pa.types.is_decimal(column.type)
        }

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self.days = sorted({*self.days, *pc.min_max(batch.column(self.day)).as_py().values()})
        for name in batch.schema.names:
            self.values[name] += batch.num_rows - batch.column(name).null_count
        for name, parts in self.parts.items():
            known = batch.column(name).drop_null()
            parts.append(_float_sum(known.to_pylist()) if _is_float(known) else pc.sum(known).as_py() or 0)

    def result(self) -> Totals:
        return Totals(
            rows=self.rows,
            first=self.days[0].isoformat(),
            last=self.days[-1].isoformat(),
            values=self.values,
            sums={name: _sum_text(parts) for name, parts in self.parts.items()},
        )


def _is_float(values: pa.Array) -> bool:
    return bool(pa.types.is_floating(values.type))


def _float_sum(values: Sequence[float]) -> float:
    """Correctly rounded, so the same on every machine; infinite where it is no number any more."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def _sum_text(parts: Sequence[Any]) -> str:
    if any(isinstance(part, float) for part in parts):
        return repr(_float_sum(parts))
    total = Decimal(0)
    for part in parts:
        total = _EXACT.add(total, Decimal(part))
    return format(total, "f")


def file_columns(batch: pa.RecordBatch, model: type[Model]) -> dict[str, Any]:
    """A batch as `bulk_insert` takes it. A column that is newer than the file gets its default."""
    columns: dict[str, Any] = {}
    for column in model._meta.concrete_fields:
        if column.column not in batch.schema.names:
            columns[column.name] = [column.get_default()] * batch.num_rows
            continue
        values = batch.column(str(column.column))
        if isinstance(column, JSONField):
            columns[column.name] = _documents(values.to_pylist())
        elif _is_float(values):
            columns[column.name] = values.to_numpy(zero_copy_only=False)
        else:
            columns[column.name] = values.to_pylist()
    return columns


def _documents(texts: Sequence[str | None]) -> list[Any]:
    parsed = {text: None if text is None else json.loads(text) for text in set(texts)}
    return [parsed[text] for text in texts]


def manifest_path(path: Path) -> Path:
    return path.with_suffix(".json")


def manifest_write(path: Path, manifest: Manifest) -> None:
    text = json.dumps(asdict(manifest), indent=1)
    _write_whole(manifest_path(path), lambda part: part.write_text(text, encoding="utf-8"))


def manifest_read(path: Path) -> Manifest:
    """The manifest of the file, which must be unchanged since it was written."""
    try:
        found = json.loads(manifest_path(path).read_text(encoding="utf-8"))
        manifest = Manifest(**found | {"totals": Totals(**found["totals"])})
    except FileNotFoundError as error:
        raise ArchiveError(f"{path}: its manifest {manifest_path(path).name} is missing.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ArchiveError(f"{manifest_path(path)} is not a manifest: {error}.") from error
    if manifest.format != FORMAT:
        raise ArchiveError(f"{path}: format {manifest.format} is not known here, only {FORMAT}.")
    if not path.exists():
        raise ArchiveError(f"{path}: there is no such file.")
    if file_hash(path) != manifest.sha256:
        raise ArchiveError(f"{path}: it was changed since it was written; its SHA-256 is another one.")
    return manifest
