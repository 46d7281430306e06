"""Partitions of the history tables, one a year. Only PostgreSQL has them; elsewhere nothing is done.

`<table>_<year>` holds a year; a row of a year without a partition goes into `<table>_default` until there is
one. A partition is filled before it is attached, so that reading and writing the other years goes on.
"""

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Min, Model

from analytics.selectors.archive import HISTORY, archived_years, first_day, rows_of_year
from portfolio_site.kernel import clock
from portfolios.models import PriceBar

MOST_YEARS_AHEAD = 50
# Whoever needs a table for himself gives up rather than let everyone queue behind him.
LOCK_TIMEOUT = "30s"


class PartitionError(ValueError):
    """Partitions that nobody can want; the text says why."""


def partitions_ensure(through_year: int | None = None) -> list[str]:
    """Make the partitions that are missing, from the first price's year on; return the names of new ones.

    Without a year: through the next one. Archived years get none, unless they have rows again.
    """
    this_year = clock.today().year
    through_year = this_year + 1 if through_year is None else through_year
    if not this_year <= through_year <= this_year + MOST_YEARS_AHEAD:
        raise PartitionError(
            f"through: {through_year} is not between {this_year} and {this_year + MOST_YEARS_AHEAD}."
        )
    if connection.vendor != "postgresql":
        return []
    first_price = PriceBar.objects.aggregate(first=Min("date"))["first"]
    wanted = set(range(min(first_price.year if first_price else this_year, this_year), through_year + 1))
    return [name for model in HISTORY for name in _table_ensure(model, wanted)]


def _table_ensure(model: type[Model], wanted: set[int]) -> list[str]:
    with transaction.atomic(), connection.cursor() as cursor:
        table_reserve(model)
        stray = _stray_years(cursor, model)
        missing = sorted(((wanted - archived_years(model)) | stray) - partition_years(model))
        for year in missing:
            _partition_make(cursor, model, year, has_strays=year in stray)
        if missing:  # autovacuum leaves the statistics of a partitioned table alone
            cursor.execute(f"ANALYZE {_quoted(model)}")
    return [partition_name(model, year) for year in missing]


def partition_ensure(model: type[Model], year: int) -> None:
    """The partition of one year, archived or not."""
    if connection.vendor == "postgresql" and year not in partition_years(model):
        with transaction.atomic(), connection.cursor() as cursor:
            _partition_make(cursor, model, year, has_strays=year in _stray_years(cursor, model))


def table_reserve(model: type[Model]) -> None:
    """Until the transaction ends nobody else makes or drops partitions; rows are read and written as ever."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute(f"LOCK TABLE ONLY {_quoted(model)} IN SHARE UPDATE EXCLUSIVE MODE")


def year_freeze(model: type[Model], year: int) -> None:
    """Until the transaction ends nobody writes rows of the year; SQLite's transaction has seen to that."""
    if connection.vendor == "postgresql":
        partition_ensure(model, year)
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {_quoted(model, year)} IN SHARE MODE")


def year_drop(model: type[Model], year: int) -> None:
    """Take the year's rows out of the table."""
    if connection.vendor != "postgresql":
        rows_of_year(model, year).delete()
        return
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {_quoted(model)} DETACH PARTITION {_quoted(model, year)}")
        cursor.execute(f"DROP TABLE {_quoted(model, year)}")


def partition_name(model: type[Model], year: int) -> str:
    return f"{model._meta.db_table}_{year}"


def partition_years(model: type[Model]) -> set[int]:
    """The years that have a partition of their own."""
    prefix = f"{model._meta.db_table}_"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
            "WHERE inhparent = %s::regclass",
            [_quoted(model)],
        )
        names = [name.removeprefix(prefix) for (name,) in cursor.fetchall()]
    return {int(name) for name in names if name.isdigit()}


def _stray_years(cursor: CursorWrapper, model: type[Model]) -> set[int]:
    """Years with rows in the default partition."""
    cursor.execute(
        f"SELECT DISTINCT extract(year FROM {HISTORY[model]})::int "  # noqa: S608
        f"FROM {_quoted(model, 'default')}"
    )
    return {year for (year,) in cursor.fetchall()}


def _partition_make(cursor: CursorWrapper, model: type[Model], year: int, *, has_strays: bool) -> None:
    """A table like the others, with what the default partition holds of the year, attached."""
    parent, default, partition = _quoted(model), _quoted(model, "default"), _quoted(model, year)
    first, last = f"'{first_day(year)}'", f"'{first_day(year + 1)}'"
    cursor.execute(f"CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL EXCLUDING INDEXES)")
    if has_strays:
        cursor.execute(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {default} "  # noqa: S608
            f"WHERE {HISTORY[model]} >= {first} AND {HISTORY[model]} < {last} RETURNING *) "
            f"INSERT INTO {partition} SELECT * FROM moved"
        )
    cursor.execute(f"ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES FROM ({first}) TO ({last})")


def _quoted(model: type[Model], part: int | str | None = None) -> str:
    table = model._meta.db_table
    return connection.ops.quote_name(table if part is None else f"{table}_{part}")
