"""Reading many rows as arrays, without an object a row."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import F, FloatField, TextField
from django.db.models.functions import Cast

DATE = "datetime64[D]"
# Rows that are objects at a time. All of them at once took three times as long.
ROWS_PER_BLOCK = 1_000
# What SQLite is asked to write for NULL; no stored figure is infinite.
INFINITY = "9e999"
# Day 0 of a date of PostgreSQL on the wire, and its "-infinity".
POSTGRES_DAY_0 = np.datetime64("2000-01-01")
NO_DAY = np.iinfo(np.int32).min


class Packing(NamedTuple):
    """How PostgreSQL writes a value as bytes, what it writes for NULL, and how numpy reads them."""

    sql: str
    wire: str


PACKINGS = {
    "float64": Packing("float8send(coalesce({}, 'NaN'))", ">f8"),
    "int64": Packing("int8send({})", ">i8"),
    DATE: Packing("date_send(coalesce({}, '-infinity'))", ">i4"),
}


def read_columns(rows: models.QuerySet[Any], *names: str) -> dict[str, np.ndarray]:
    """The named fields of a query as one array each, in the query's order.

    Decimals and floats come as float64 with NaN for NULL, dates as datetime64[D] with NaT, integers and
    foreign keys as int64 (they must not be NULL), everything else as objects.

    PostgreSQL packs each column of numbers or dates into one value, which takes half the time of rows.
    SQLite gives rows of plain numbers, which need no look at each value.
    """
    kinds = {name: _kind(rows.model._meta.get_field(name)) for name in names}
    vendor = connections[rows.db].vendor
    picked = {
        f"column_{place}": _expression(vendor, rows.model._meta.get_field(name), name)
        for place, name in enumerate(names)
    }
    query = rows.annotate(**picked).values_list(*picked)
    try:
        sql, parameters = query.query.sql_with_params()
    except EmptyResultSet:  # such as a filter by an empty list
        return {name: np.array([], dtype=kind) for name, kind in kinds.items()}
    are_numbers = all(kind in PACKINGS for kind in kinds.values())
    if are_numbers:
        as_numbers = _packing_sql if vendor == "postgresql" else _numbers_sql
        sql = as_numbers(sql, dict(zip(picked, kinds.values(), strict=True)))
    with connections[rows.db].cursor() as cursor:
        cursor.execute(sql, parameters)
        if are_numbers:
            if vendor == "postgresql":
                return _unpacked_columns(kinds, cursor.fetchone())
            return _number_columns(kinds, cursor.cursor)
        blocks = [[np.array([], dtype=kind) for kind in kinds.values()]]
        while found := cursor.fetchmany(ROWS_PER_BLOCK):
            columns = zip(kinds.values(), zip(*found, strict=True), strict=True)
            blocks.append([np.array(values, dtype=kind) for kind, values in columns])
    return {name: np.concatenate(parts) for name, *parts in zip(kinds, *blocks, strict=True)}


def _kind(field: Any) -> str:
    if isinstance(field, models.ForeignKey):
        field = field.target_field
    if isinstance(field, models.DecimalField | models.FloatField):
        return "float64"
    if isinstance(field, models.DateField) and not isinstance(field, models.DateTimeField):
        return DATE
    if isinstance(field, models.IntegerField | models.AutoField):
        return "int64"
    return "object"


def _expression(vendor: str, field: Any, name: str) -> Any:
    if isinstance(field, models.DecimalField):
        return Cast(F(name), FloatField())
    if _kind(field) == DATE and vendor == "sqlite":
        # As text, which numpy reads at once; a declared date would be parsed value by value.
        return Cast(F(name), TextField())
    return F(name)


def _packing_sql(sql: str, kinds: Mapping[str, str]) -> str:
    """One row with all values of each column, put together in the order in which the inner query has them."""
    packed = (f"string_agg({PACKINGS[kind].sql.format(name)}, '')" for name, kind in kinds.items())
    return f"SELECT {', '.join(packed)} FROM ({sql}) AS picked"  # noqa: S608


def _numbers_sql(sql: str, kinds: Mapping[str, str]) -> str:
    """The same rows with days since 1970 for dates."""
    days = "CAST(julianday({}) - julianday('1970-01-01') AS INTEGER)"
    numbers = [
        name if kind == "int64" else f"coalesce({days.format(name) if kind == DATE else name}, {INFINITY})"
        for name, kind in kinds.items()
    ]
    return f"SELECT {', '.join(numbers)} FROM ({sql}) AS picked"  # noqa: S608


def _number_columns(kinds: Mapping[str, str], rows: Iterable[Sequence[float]]) -> dict[str, np.ndarray]:
    table = np.fromiter(chain.from_iterable(rows), dtype=np.float64).reshape(-1, len(kinds))
    return {name: _numbers(kind, values) for (name, kind), values in zip(kinds.items(), table.T, strict=True)}


def _numbers(kind: str, values: np.ndarray) -> np.ndarray:
    if kind == "int64":
        return values.astype(kind)
    unknown = np.isinf(values)
    if kind == DATE:
        days = np.where(unknown, 0, values).astype(np.int64).astype(kind)
        days[unknown] = np.datetime64("NaT")
        return days
    return np.where(unknown, np.nan, values)


def _unpacked_columns(kinds: Mapping[str, str], packed: Sequence[bytes | None]) -> dict[str, np.ndarray]:
    columns = {
        name: _unpacked(kind, values or b"")
        for (name, kind), values in zip(kinds.items(), packed, strict=True)
    }
    if len({len(values) for values in columns.values()}) > 1:
        raise TypeError("an integer or a foreign key is NULL")
    return columns


def _unpacked(kind: str, packed: bytes) -> np.ndarray:
    values = np.frombuffer(packed, dtype=PACKINGS[kind].wire)
    if kind != DATE:
        return values.astype(kind)
    days: np.ndarray = POSTGRES_DAY_0 + values.astype(np.int64)
    days[values == NO_DAY] = np.datetime64("NaT")
    return days
