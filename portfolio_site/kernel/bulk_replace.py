"""Making a range of stored rows equal to what is given, at the cost of what differs.

The rows are staged in a temporary table and compared with the stored ones by the database; only those that
change or go are of further interest. Where nothing is stored, they go in directly and nothing is compared.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, models, transaction
from django.db.models.expressions import RawSQL

from portfolio_site.kernel.bulk import (
    Columns,
    Fields,
    bulk_insert,
    column_length,
    column_names,
    differs,
    insert_sql,
    same_key,
    stage,
    table_of,
)

# Not that of `bulk_upsert`, which may be called in between.
STAGED = "bulk_replacing"
REPLACED = "bulk_replaced"


@dataclass(frozen=True)
class Range:
    """The rows of many subjects, of each from its first day on, all through the same last day."""

    subject: str
    day: str
    first: Mapping[int, dt.date]
    through: dt.date


def bulk_replace(
    model: type[models.Model],
    columns: Columns,
    within: Range,
    *,
    provenance: Sequence[str] = (),
    watched: Sequence[str] = (),
    before: Callable[[models.QuerySet[Any]], object] | None = None,
) -> int:
    """Make the rows of the range those of `columns`; return how many were inserted, changed or removed.

    `columns` and `provenance` are as for `bulk_upsert`, and no row lies outside the range. Before anything
    changes, `before` is given the stored rows that go, or in which one of the `watched` fields becomes
    another.
    """
    length = column_length(columns)
    with transaction.atomic():
        stored = _count_stored(model, within) if within.first else 0
        if not stored:
            return bulk_insert(model, columns)
        fields = stage(STAGED, model, columns, length)
        replaced, gone = _compare(model, fields, within, provenance, watched)
        if replaced and before is not None:
            before(_picked(model, "is_watched"))
        if gone:
            _picked(model, "goes").delete()
        merged = 0
        if replaced > gone or length > stored - gone:
            merged = _merge(model, fields, within)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {REPLACED}")
            cursor.execute(f"DROP TABLE {STAGED}")
        return gone + merged


def _count_stored(model: type[models.Model], within: Range) -> int:
    source, parameters = _in_range(model, within)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {source}", parameters)  # noqa: S608
        return int(cursor.fetchone()[0])


def _in_range(model: type[models.Model], within: Range) -> tuple[str, list[Any]]:
    """The stored rows of the range. The constants let the server leave out whole partitions."""
    fields = {name: model._meta.get_field(name) for name in (within.subject, within.day)}
    subject, day = column_names(fields, fields, "stored.")  # type: ignore[arg-type]
    marks = ", ".join(["(%s, %s)"] * len(within.first))
    source = (
        f"(VALUES {marks}) AS since JOIN {table_of(model)} stored "
        f"ON {subject} = since.column1 AND {day} >= since.column2 AND {day} BETWEEN %s AND %s"
    )
    firsts = [value for pair in within.first.items() for value in pair]
    return source, [*firsts, min(within.first.values()), within.through]


def _compare(
    model: type[models.Model],
    fields: Fields,
    within: Range,
    provenance: Sequence[str],
    watched: Sequence[str],
) -> tuple[int, int]:
    """Note which stored rows change or go; return how many, and how many of them go."""
    key = (within.subject, within.day)
    compared = [name for name in fields if name not in {*key, *provenance}]
    source, parameters = _in_range(model, within)
    goes = f"staged.{column_names(fields, key)[0]} IS NULL"
    different = (
        f"SELECT stored.{_pk(model)} AS id, {goes} AS goes, "  # noqa: S608
        f"({goes} OR {differs(fields, 'stored', 'staged', watched) or '1 = 0'}) AS is_watched "
        f"FROM {source} LEFT JOIN {STAGED} staged ON {same_key(fields, 'stored', 'staged', key)} "
        f"WHERE {goes} OR {differs(fields, 'stored', 'staged', compared)}"
    )
    with connection.cursor() as cursor:
        # Without both, a planner that knows nothing of the table may compare every row with every other.
        cursor.execute(f"CREATE INDEX {STAGED}_key ON {STAGED} ({', '.join(column_names(fields, key))})")
        cursor.execute(f"ANALYZE {STAGED}")
        cursor.execute(f"DROP TABLE IF EXISTS {REPLACED}")
        cursor.execute(f"CREATE TEMPORARY TABLE {REPLACED} AS {different}", parameters)
        cursor.execute(f"ANALYZE {REPLACED}")
        cursor.execute(f"SELECT count(*), coalesce(sum(CASE WHEN goes THEN 1 ELSE 0 END), 0) FROM {REPLACED}")  # noqa: S608
        replaced, gone = cursor.fetchone()
    return int(replaced), int(gone)


def _pk(model: type[models.Model]) -> str:
    return connection.ops.quote_name(str(model._meta.pk.column))


def _picked(model: type[models.Model], mark: str) -> models.QuerySet[Any]:
    picked = RawSQL(f"SELECT id FROM {REPLACED} WHERE {mark}", [])  # noqa: S608, S611
    return model._default_manager.filter(pk__in=picked)


def _merge(model: type[models.Model], fields: Fields, within: Range) -> int:
    """Insert what is new and update what was found to differ, without looking at the rest again."""
    key = (within.subject, within.day)
    source = (
        f"SELECT {', '.join(column_names(fields, fields, 'staged.'))} FROM {STAGED} staged "  # noqa: S608
        f"LEFT JOIN {table_of(model)} stored ON {same_key(fields, 'staged', 'stored', key)} "
        f"LEFT JOIN {REPLACED} replaced ON replaced.id = stored.{_pk(model)} "
        f"WHERE stored.{_pk(model)} IS NULL OR replaced.id IS NOT NULL"
    )
    with connection.cursor() as cursor:
        cursor.execute(insert_sql(model, fields, key, source, [name for name in fields if name not in key]))
        return int(cursor.rowcount)
