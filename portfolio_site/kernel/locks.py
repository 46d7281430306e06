"""Locks. On SQLite the transaction already holds the only write lock, so there they do nothing."""

from collections.abc import Iterable
from typing import Any

from django.db import connection, models


def lock_rows(model: type[models.Model], ids: Iterable[Any]) -> list[Any]:
    """Lock rows until the transaction ends, always in the order of their ids, and return the ids found.

    The lock leaves room for foreign keys to the rows: others may still insert lines that point at them.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("rows can only be locked inside a transaction")
    rows = model._default_manager.filter(pk__in=list(ids)).order_by("pk")
    if connection.features.has_select_for_update:
        rows = rows.select_for_update(no_key=connection.features.has_select_for_no_key_update)
    return list(rows.values_list("pk", flat=True))


def wait_for_writers(model: type[models.Model]) -> None:
    """Wait until all transactions that write to the table have ended; new ones wait for the end of this one.

    Ids are given out before their rows are committed. After this call no smaller id is still to come.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a table can only be locked inside a transaction")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {connection.ops.quote_name(model._meta.db_table)} IN SHARE MODE")
