"""Transactional tests empty the test database at their end; this lets them, and puts back what belongs there.

The triggers of the tables that only grow refuse it as they should, so they are set aside within the
transaction that empties the tables. The currencies, which a migration brings, are there again afterwards.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connections, transaction
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.utils import CursorWrapper

from analytics.models import Approval, ProposalVersion
from portfolios.models import AuditEvent

ONLY_GROWING = [model._meta.db_table for model in (AuditEvent, ProposalVersion, Approval)]
_CURRENCIES = import_module("portfolios.migrations.0002_currencies")


@pytest.fixture(scope="session", autouse=True)
def flushable_database() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", _flush)
        yield


def _flush(operations: BaseDatabaseOperations, statements: Sequence[str]) -> None:
    connection = connections[operations.connection.alias]
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        before, after = _without_triggers(cursor, connection.vendor)
        for statement in (*before, *statements, *after):
            cursor.execute(statement)
        _CURRENCIES.add_currencies(apps, None)


def _without_triggers(cursor: CursorWrapper, vendor: str) -> tuple[list[str], list[str]]:
    """The statements that set the triggers of those tables aside, and those that bring them back."""
    if vendor == "postgresql":
        return (
            [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in ONLY_GROWING],
            [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in ONLY_GROWING],
        )
    cursor.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s, %s)",
        ONLY_GROWING,
    )
    triggers = cursor.fetchall()
    return [f"DROP TRIGGER {name}" for name, _ in triggers], [sql for _, sql in triggers]
