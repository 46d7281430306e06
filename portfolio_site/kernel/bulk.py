"""The one way many rows reach a table.

`bulk_insert` writes rows known to be new; `bulk_upsert` inserts rows and, where the key exists, updates those
that differ; `bulk_replace`, next door, makes a range of rows equal to what is given. PostgreSQL takes rows by
binary COPY, into the table or into a temporary one beside it that is then merged; SQLite by `executemany`.
Both were measured 10 to 20 times faster than the ORM's `bulk_create`. A row equal to what is stored is left
alone, so running twice writes nothing the second time.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from django.db import connection, models, transaction

from portfolio_site.kernel.copy_binary import CopyColumn, copy_blocks
from portfolio_site.kernel.sqlite_rows import sqlite_rows

Columns = Mapping[str, Any]
Fields = Mapping[str, models.Field]
STAGED = "bulk_staged"


def bulk_insert(model: type[models.Model], columns: Columns) -> int:
    """Write rows that are known to be new, given as for `bulk_upsert`; return how many."""
    length = column_length(columns)
    if length:
        with transaction.atomic():
            _load(table_of(model), fields_of(model, columns), columns, length)
    return length


def bulk_insert_objects(model: type[models.Model], objects: Sequence[models.Model]) -> int:
    """The same for instances that are not stored yet; they are not told their keys."""
    key = model._meta.auto_field
    return bulk_insert(
        model,
        {
            field.name: [getattr(instance, field.attname) for instance in objects]
            for field in model._meta.concrete_fields
            if field is not key
        },
    )


def bulk_upsert(
    model: type[models.Model],
    columns: Columns,
    *,
    key: Sequence[str],
    provenance: Sequence[str] = (),
    insert: bool = True,
) -> int:
    """Write rows given as columns; return how many were inserted or changed.

    `columns` maps field names to sequences of equal length, or to one value for all rows. None, NaN, NaT and
    infinity become NULL. `key` names the fields of a unique constraint. Fields in `provenance` (who wrote
    the row, when) are written with a change but are no change by themselves. With `insert=False` only rows
    that exist are updated.
    """
    length = column_length(columns)
    if length == 0:
        return 0
    fields = fields_of(model, columns)
    with transaction.atomic():
        if connection.vendor == "postgresql":
            return _merge_by_copy(model, fields, columns, length, key, provenance, insert=insert)
        return _merge_by_executemany(model, fields, columns, length, key, provenance, insert=insert)


def column_length(columns: Columns) -> int:
    lengths = {
        name: len(values) for name, values in columns.items() if isinstance(values, list | tuple | np.ndarray)
    }
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}")
    if not lengths:
        raise ValueError("at least one column must be a sequence")
    return next(iter(lengths.values()))


def fields_of(model: type[models.Model], names: Iterable[str]) -> dict[str, models.Field]:
    return {name: cast("models.Field", model._meta.get_field(name)) for name in names}


def table_of(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def column_names(fields: Fields, names: Iterable[str], prefix: str = "") -> list[str]:
    return [f"{prefix}{connection.ops.quote_name(str(fields[name].column))}" for name in names]


# --- loading ----------------------------------------------------------------------------------------


def _load(table: str, fields: Fields, columns: Columns, length: int) -> None:
    if connection.vendor == "postgresql":
        _copy(table, fields, columns, length)
    else:
        marks = ", ".join("?" * len(fields))
        _executemany(
            f"INSERT INTO {table} ({', '.join(column_names(fields, fields))}) VALUES ({marks})",  # noqa: S608
            fields,
            columns,
            length,
        )


def _copy(table: str, fields: Fields, columns: Columns, length: int) -> None:
    """What varies in width comes last, so that all else stands side by side."""
    names = sorted(fields, key=lambda name: _copy_kind(fields[name]) in {"text", "jsonb"})
    copied = [_copy_column(fields[name], columns[name]) for name in names]
    statement = f"COPY {table} ({', '.join(column_names(fields, names))}) FROM STDIN (FORMAT BINARY)"
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for block in copy_blocks(copied, length):
            copy.write(block)


def _copy_column(field: models.Field, values: Any) -> CopyColumn:
    if isinstance(field, models.DecimalField):
        return CopyColumn("numeric", values, field.max_digits, field.decimal_places)
    return CopyColumn(_copy_kind(field), values)


_COPY_KINDS = {
    "AutoField": "integer",
    "BigAutoField": "bigint",
    "BigIntegerField": "bigint",
    "PositiveBigIntegerField": "bigint",
    "IntegerField": "integer",
    "PositiveIntegerField": "integer",
    "SmallIntegerField": "smallint",
    "PositiveSmallIntegerField": "smallint",
    "FloatField": "float8",
    "DecimalField": "numeric",
    "DateField": "date",
    "DateTimeField": "timestamptz",
    "BooleanField": "boolean",
    "JSONField": "jsonb",
    "CharField": "text",
    "TextField": "text",
}


def _copy_kind(field: models.Field) -> str:
    kind = field.target_field if isinstance(field, models.ForeignKey) else field
    return _COPY_KINDS[kind.get_internal_type()]


def _executemany(sql: str, fields: Fields, columns: Columns, length: int) -> int:
    with connection.cursor() as cursor, connection.wrap_database_errors:
        # The raw cursor: Django's rewrites placeholders row by row and counts nothing.
        raw = cursor.cursor
        before = raw.connection.total_changes
        raw.executemany(sql, sqlite_rows(fields, columns, length))
        return int(raw.connection.total_changes - before)


def stage(staged: str, model: type[models.Model], columns: Columns, length: int) -> Fields:
    """Put the rows into a new temporary table that has the columns of the model's."""
    fields = fields_of(model, columns)
    names = ", ".join(column_names(fields, fields))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {staged}")
        empty = f"SELECT {names} FROM {table_of(model)} WHERE 1 = 0"  # noqa: S608
        cursor.execute(f"CREATE TEMPORARY TABLE {staged} AS {empty}")
    _load(staged, fields, columns, length)
    return fields


# --- merging ----------------------------------------------------------------------------------------


def differs(fields: Fields, left: str, right: str, names: Iterable[str]) -> str:
    """Whether any of the columns of two tables differ; false where there are none."""
    distinct = "IS DISTINCT FROM" if connection.vendor == "postgresql" else "IS NOT"
    return " OR ".join(f"{left}.{name} {distinct} {right}.{name}" for name in column_names(fields, names))


def same_key(fields: Fields, left: str, right: str, key: Iterable[str]) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in column_names(fields, key))


def insert_sql(
    model: type[models.Model], fields: Fields, key: Sequence[str], values: str, compare: Sequence[str]
) -> str:
    """INSERT of `values`, where the key exists UPDATE of the rows that differ in one of `compare`."""
    names = ", ".join(column_names(fields, fields))
    conflict = f"ON CONFLICT ({', '.join(column_names(fields, key))})"
    sql = f"INSERT INTO {table_of(model)} ({names}) {values} {conflict}"
    if not compare:
        return f"{sql} DO NOTHING"
    update = [name for name in fields if name not in key]
    assignments = ", ".join(f"{name} = excluded.{name}" for name in column_names(fields, update))
    return f"{sql} DO UPDATE SET {assignments} WHERE {differs(fields, table_of(model), 'excluded', compare)}"


def _merge_by_executemany(
    model: type[models.Model],
    fields: Fields,
    columns: Columns,
    length: int,
    key: Sequence[str],
    provenance: Sequence[str],
    *,
    insert: bool,
) -> int:
    if insert:
        values = f"VALUES ({', '.join('?' * len(fields))})"
        compare = [name for name in fields if name not in {*key, *provenance}]
        sql = insert_sql(model, fields, key, values, compare)
    else:
        sql = _update_sql(model, fields, key, provenance)
    return _executemany(sql, fields, columns, length)


def _update_sql(
    model: type[models.Model], fields: Fields, key: Sequence[str], provenance: Sequence[str]
) -> str:
    """SQLite's UPDATE with numbered parameters, in the order of `fields`."""
    number = {name: f"?{position}" for position, name in enumerate(fields, start=1)}
    column = dict(zip(fields, column_names(fields, fields), strict=True))
    changed = [name for name in fields if name not in key]
    assignments = ", ".join(f"{column[name]} = {number[name]}" for name in changed)
    matches = " AND ".join(f"{column[name]} = {number[name]}" for name in key)
    different = " OR ".join(
        f"{column[name]} IS NOT {number[name]}" for name in changed if name not in provenance
    )
    return f"UPDATE {table_of(model)} SET {assignments} WHERE {matches} AND ({different})"  # noqa: S608


def _merge_by_copy(
    model: type[models.Model],
    fields: Fields,
    columns: Columns,
    length: int,
    key: Sequence[str],
    provenance: Sequence[str],
    *,
    insert: bool,
) -> int:
    stage(STAGED, model, columns, length)
    changed = [name for name in fields if name not in key]
    compare = [name for name in changed if name not in provenance]
    if insert:
        source = f"SELECT {', '.join(column_names(fields, fields))} FROM {STAGED}"  # noqa: S608
        sql = insert_sql(model, fields, key, source, compare)
    else:
        table = table_of(model)
        assignments = ", ".join(f"{name} = {STAGED}.{name}" for name in column_names(fields, changed))
        matches = same_key(fields, table, STAGED, key)
        different = differs(fields, table, STAGED, compare)
        sql = f"UPDATE {table} SET {assignments} FROM {STAGED} WHERE {matches} AND ({different})"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql)
        merged = int(cursor.rowcount)
        cursor.execute(f"DROP TABLE {STAGED}")
    return merged
