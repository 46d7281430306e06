"""Versions of a proposal and voices about it only grow, whoever writes."""

from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, connection, models, transaction

from analytics.models import Approval, Decision, ProposalVersion
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db


def version() -> ProposalVersion:
    event = make.make_event(make.make_portfolio())
    return ProposalVersion.objects.create(
        event=event, version=1, inputs={"lines": []}, proposal={"actions": []}, proposal_hash="0" * 64
    )


def approval() -> Approval:
    event = make.make_event(make.make_portfolio())
    return Approval.objects.create(
        event=event, user=make.make_user(), decision=Decision.APPROVED, proposal_hash=event.proposal_hash
    )


KINDS = pytest.mark.parametrize("create", [version, approval], ids=["version", "approval"])


def assert_refused(sql: str) -> None:
    with nothing_written(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(sql)


@KINDS
def test_a_row_can_neither_change_nor_go(create: Callable[[], models.Model]) -> None:
    table = create()._meta.db_table
    assert_refused(f"UPDATE {table} SET proposal_hash = 'f'")  # noqa: S608
    assert_refused(f"UPDATE {table} SET id = id")  # noqa: S608
    assert_refused(f"DELETE FROM {table}")  # noqa: S608
    if connection.vendor == "postgresql":
        # Rows that a foreign key has yet to look at would stop the TRUNCATE before the trigger does.
        connection.cursor().execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert_refused(f"TRUNCATE {table}")


@KINDS
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_a_row_cannot_be_replaced(create: Callable[[], models.Model], recursive: str) -> None:
    row = create()
    if connection.vendor != "sqlite":
        return  # INSERT OR REPLACE is a word of SQLite; ON CONFLICT DO UPDATE is an update
    names = ", ".join(str(field.column) for field in row._meta.concrete_fields if not field.primary_key)
    table = row._meta.db_table
    connection.cursor().execute(f"PRAGMA recursive_triggers = {recursive}")
    try:
        assert_refused(f"INSERT OR REPLACE INTO {table} ({names}) SELECT {names} FROM {table}")  # noqa: S608
        columns = f"id, {names}"
        assert_refused(f"INSERT OR REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table}")  # noqa: S608
    finally:
        connection.cursor().execute("PRAGMA recursive_triggers = ON")


@KINDS
def test_a_second_row_is_refused_as_not_unique(create: Callable[[], models.Model]) -> None:
    row = create()
    row.pk = None
    with nothing_written(), pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
        row.save(force_insert=True)
