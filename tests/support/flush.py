"""Transactional tests empty the test database at their end; this lets them, and puts back what belongs there.

The triggers of the tables that only grow refuse it as they should, so they are set aside within the
transaction that empties the tables, on PostgreSQL with those of the foreign keys. The currencies, which a
migration brings, are there again afterwards.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connections, transaction
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.utils import CursorWrapper

from analytics.models import Approval, ProposalVersion
from portfolios.models import AuditEvent, Currency

ONLY_GROWING = [model._meta.db_table for model in (AuditEvent, ProposalVersion, Approval)]
_CURRENCIES = import_module("portfolios.migrations.0002_currencies")
_put_back: list[Currency] = []


@pytest.fixture(scope="session", autouse=True)
def flushable_database() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", _flush)
        yield


def _flush(operations: BaseDatabaseOperations, statements: Sequence[str]) -> None:
    connection = connections[operations.connection.alias]
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _empty(cursor, connection.introspection.django_table_names(only_existing=True))
            _add_currencies()
            return
        before, after = _without_triggers(cursor)
        for statement in (*before, *statements, *after):
            cursor.execute(statement)
        _add_currencies()


def _add_currencies() -> None:
    """One by one, as the migration does it, the first time; then all at once."""
    if _put_back:
        Currency.objects.bulk_create(_put_back)
    else:
        _CURRENCIES.add_currencies(apps, None)
        _put_back.extend(Currency.objects.all())


def _empty(cursor: CursorWrapper, tables: Sequence[str]) -> None:
    """Truncating makes a new file for every table and index; deleting a few rows does not."""
    filled = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})"  # noqa: S608
        for table in tables
    )
    cursor.execute(filled)
    found = [table for (table,) in cursor.fetchall()]
    cursor.execute("SET LOCAL session_replication_role = replica")
    for table in found:
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608
    cursor.execute("SET LOCAL session_replication_role = origin")


def _without_triggers(cursor: CursorWrapper) -> tuple[list[str], list[str]]:
    """The statements that set the triggers of those tables aside, and those that bring them back."""
    cursor.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s, %s)",
        ONLY_GROWING,
    )
    triggers = cursor.fetchall()
    return [f"DROP TRIGGER {name}" for name, _ in triggers], [sql for _, sql in triggers]
