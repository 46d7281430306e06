"""The one way many rows reach a table.

`bulk_upsert` inserts rows and, where the key exists, updates those that differ. PostgreSQL takes them by
binary COPY into a staging table and merges; SQLite by plain `executemany` with ON CONFLICT. Both were
measured 10 to 20 times faster than the ORM's `bulk_create`. A row equal to what is stored is left alone, so
running twice writes nothing the second time.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, cast

import numpy as np
from django.db import connection, models, transaction

Columns = Mapping[str, Any]


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
    length = _length(columns)
    if length == 0:
        return 0
    fields = {name: cast("models.Field", model._meta.get_field(name)) for name in columns}
    with transaction.atomic():
        if connection.vendor == "postgresql":
            return _merge_by_copy(model, fields, columns, length, key, provenance, insert=insert)
        return _merge_by_executemany(model, fields, columns, length, key, provenance, insert=insert)


def _length(columns: Columns) -> int:
    lengths = {name: len(values) for name, values in columns.items() if _is_column(values)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}")
    if not lengths:
        raise ValueError("at least one column must be a sequence")
    return next(iter(lengths.values()))


def _is_column(values: Any) -> bool:
    return isinstance(values, list | tuple | np.ndarray)


def _plain_values(field: models.Field, values: Any, length: int) -> list[Any]:
    """One column as the driver takes it, with NaN as None."""
    if not _is_column(values):
        return [_plain_value(field, values)] * length
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return _plain_dates(values)
    if isinstance(values, np.ndarray):
        kind = values.dtype.kind
        values = _without_nan(values) if kind == "f" else values.tolist()
        if isinstance(field, models.FloatField) and kind == "f":
            return values
        if kind in "iu" and not isinstance(field, models.DecimalField):
            return values
    if isinstance(field, models.BooleanField | models.CharField | models.TextField):
        return list(values)
    if isinstance(field, models.JSONField):
        return _plain_documents(field, values)
    return [_plain_value(field, value) for value in values]


def _plain_documents(field: models.Field, values: Any) -> list[Any]:
    """Rows often share one object, and each object is written out once."""
    documents: dict[int, Any] = {}
    for value in values:
        if id(value) not in documents:
            documents[id(value)] = _plain_value(field, value)
    return [documents[id(value)] for value in values]


def _plain_dates(values: np.ndarray) -> list[Any]:
    if connection.vendor == "postgresql":
        return values.astype("datetime64[D]").tolist()
    days = np.datetime_as_string(values, unit="D").astype(object)
    days[np.isnat(values)] = None
    return days.tolist()


def _without_nan(values: np.ndarray) -> list[Any]:
    finite = np.isfinite(values)
    if finite.all():
        return values.tolist()
    plain = values.astype(object)
    plain[~finite] = None
    return plain.tolist()


def _plain_value(field: models.Field, value: Any) -> Any:
    if isinstance(field, models.JSONField):
        # psycopg writes the text itself, and a text given to it would become a JSON string.
        return value if connection.vendor == "postgresql" else _json(value)
    if value is None or (isinstance(value, float | Decimal) and not math.isfinite(value)):
        return None
    if isinstance(field, models.DecimalField):
        return _decimal(field, value)
    if isinstance(field, models.IntegerField):
        return int(value)
    if isinstance(field, models.DateField) and connection.vendor == "sqlite":
        if isinstance(field, models.DateTimeField):
            return connection.ops.adapt_datetimefield_value(value)
        return value.isoformat()
    return value


def _decimal(field: models.DecimalField, value: Any) -> Any:
    """At the column's own digits, so that what is compared is what is stored."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    context = Context(prec=field.max_digits)
    # Plus makes zero of minus zero.
    rounded = context.plus(exact.quantize(Decimal(1).scaleb(-field.decimal_places), context=context))
    return str(rounded) if connection.vendor == "sqlite" else rounded


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _rows(fields: Mapping[str, models.Field], columns: Columns, length: int) -> Iterator[tuple[Any, ...]]:
    return zip(*(_plain_values(field, columns[name], length) for name, field in fields.items()), strict=True)


def _quoted(names: Iterable[str], prefix: str = "") -> list[str]:
    return [f"{prefix}{connection.ops.quote_name(name)}" for name in names]


def _merge_by_executemany(
    model: type[models.Model],
    fields: Mapping[str, models.Field],
    columns: Columns,
    length: int,
    key: Sequence[str],
    provenance: Sequence[str],
    *,
    insert: bool,
) -> int:
    rows = _rows(fields, columns, length)
    with connection.cursor() as cursor, connection.wrap_database_errors:
        # The raw cursor: Django's rewrites placeholders row by row and counts nothing.
        raw = cursor.cursor
        before = raw.connection.total_changes
        if insert:
            raw.executemany(_insert_sql(model, fields, key, provenance, values=_placeholders(fields)), rows)
        else:
            raw.executemany(_update_sql(model, fields, key, provenance), rows)
        return int(raw.connection.total_changes - before)


def _placeholders(fields: Mapping[str, models.Field]) -> str:
    return f"VALUES ({', '.join('?' * len(fields))})"


def _insert_sql(
    model: type[models.Model],
    fields: Mapping[str, models.Field],
    key: Sequence[str],
    provenance: Sequence[str],
    *,
    values: str,
) -> str:
    table = connection.ops.quote_name(model._meta.db_table)
    names = [str(field.column) for field in fields.values()]
    key_names = [str(fields[name].column) for name in key]
    update = [str(fields[name].column) for name in fields if name not in key]
    compare = [str(fields[name].column) for name in fields if name not in key and name not in provenance]
    conflict = f"ON CONFLICT ({', '.join(_quoted(key_names))})"
    sql = f"INSERT INTO {table} ({', '.join(_quoted(names))}) {values} {conflict}"
    if not compare:
        return f"{sql} DO NOTHING"
    assignments = ", ".join(f"{name} = excluded.{name}" for name in _quoted(update))
    return f"{sql} DO UPDATE SET {assignments} WHERE {_differs(table, 'excluded', compare)}"


def _differs(table: str, other: str, names: Sequence[str]) -> str:
    distinct = "IS DISTINCT FROM" if connection.vendor == "postgresql" else "IS NOT"
    return " OR ".join(f"{table}.{name} {distinct} {other}.{name}" for name in _quoted(names))


def _update_sql(
    model: type[models.Model],
    fields: Mapping[str, models.Field],
    key: Sequence[str],
    provenance: Sequence[str],
) -> str:
    """SQLite's UPDATE with numbered parameters, in the order of `fields`."""
    number = {name: f"?{position}" for position, name in enumerate(fields, start=1)}
    table = connection.ops.quote_name(model._meta.db_table)
    column = {name: connection.ops.quote_name(str(field.column)) for name, field in fields.items()}
    changed = [name for name in fields if name not in key]
    assignments = ", ".join(f"{column[name]} = {number[name]}" for name in changed)
    matches = " AND ".join(f"{column[name]} = {number[name]}" for name in key)
    differs = " OR ".join(
        f"{column[name]} IS NOT {number[name]}" for name in changed if name not in provenance
    )
    return f"UPDATE {table} SET {assignments} WHERE {matches} AND ({differs})"  # noqa: S608


def _merge_by_copy(
    model: type[models.Model],
    fields: Mapping[str, models.Field],
    columns: Columns,
    length: int,
    key: Sequence[str],
    provenance: Sequence[str],
    *,
    insert: bool,
) -> int:
    table = connection.ops.quote_name(model._meta.db_table)
    names = [str(field.column) for field in fields.values()]
    types = [_postgres_type(field) for field in fields.values()]
    declared = ", ".join(f"{name} {kind}" for name, kind in zip(_quoted(names), types, strict=True))
    with connection.cursor() as cursor, connection.wrap_database_errors:
        cursor.execute("DROP TABLE IF EXISTS bulk_staging")
        cursor.execute(f"CREATE TEMPORARY TABLE bulk_staging ({declared}) ON COMMIT DROP")
        with cursor.copy(
            f"COPY bulk_staging ({', '.join(_quoted(names))}) FROM STDIN (FORMAT BINARY)"
        ) as copy:
            copy.set_types(types)
            for row in _rows(fields, columns, length):
                copy.write_row(row)
        if insert:
            source = f"SELECT {', '.join(_quoted(names))} FROM bulk_staging"  # noqa: S608
            cursor.execute(_insert_sql(model, fields, key, provenance, values=source))
        else:
            changed = [str(fields[name].column) for name in fields if name not in key]
            compare = [
                str(fields[name].column) for name in fields if name not in key and name not in provenance
            ]
            assignments = ", ".join(f"{name} = bulk_staging.{name}" for name in _quoted(changed))
            matches = " AND ".join(
                f"{table}.{name} = bulk_staging.{name}"
                for name in _quoted(str(fields[name].column) for name in key)
            )
            cursor.execute(
                f"UPDATE {table} SET {assignments} FROM bulk_staging "  # noqa: S608
                f"WHERE {matches} AND ({_differs(table, 'bulk_staging', compare)})"
            )
        return int(cursor.rowcount)


_POSTGRES_TYPES = {
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


def _postgres_type(field: models.Field) -> str:
    kind = field.target_field if isinstance(field, models.ForeignKey) else field
    return _POSTGRES_TYPES[kind.get_internal_type()]
