import json
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction

from portfolios.models import AuditEvent
from portfolios.services.audit import audit_anchor, audit_append, audit_verify
from tests.support.factories import make_audit_event, make_portfolio
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db


@pytest.fixture
def chain() -> list[AuditEvent]:
    portfolio = make_portfolio()
    return [make_audit_event(portfolio, after={"number": number}) for number in range(4)]


def unguarded(sql: str) -> None:
    """Run a statement as someone who can switch the triggers off."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
        else:
            for name in ("no_update", "no_delete", "no_replace"):
                cursor.execute(f"DROP TRIGGER audit_events_{name}")
        cursor.execute(sql)


def test_chain_links_each_row_to_the_one_before(chain: list[AuditEvent]) -> None:
    assert [event.previous_hash for event in chain] == ["0" * 64, *(event.hash for event in chain[:-1])]
    report = audit_verify()
    assert (report.is_intact, report.count, report.last_hash) == (True, 4, chain[-1].hash)


COLUMNS = "occurred_at, actor, action, object_type, object_id, before, after, reason, request_id"
REPLACE = (
    f"INSERT OR REPLACE INTO audit_events (sequence, {COLUMNS}, previous_hash, hash) "  # noqa: S608
    f"SELECT %s, {COLUMNS}, %s, hash FROM audit_events WHERE sequence = 1"
)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_events SET actor = 'someone else'",
        "UPDATE audit_events SET reason = reason WHERE sequence = 2",
        "DELETE FROM audit_events WHERE sequence = 4",
        "DELETE FROM audit_events",
    ],
)
def test_database_refuses_to_change_or_remove_rows(chain: list[AuditEvent], sql: str) -> None:
    with nothing_written(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(sql)


def test_database_refuses_to_replace_or_empty(chain: list[AuditEvent]) -> None:
    if connection.vendor == "postgresql":
        # Rows that a foreign key has yet to look at would stop the TRUNCATE before the trigger does.
        connection.cursor().execute("SET CONSTRAINTS ALL IMMEDIATE")
        statements: list[tuple[str, list[int | str]]] = [("TRUNCATE audit_events", [])]
    else:
        statements = [
            (REPLACE, [2, "f" * 64]),
            (REPLACE, [9, chain[-1].previous_hash]),
            ("UPDATE OR REPLACE audit_events SET sequence = 3 WHERE sequence = 2", []),
        ]
    for sql, parameters in statements:
        with nothing_written(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            connection.cursor().execute(sql, parameters)


def test_two_rows_cannot_follow_the_same_one(chain: list[AuditEvent]) -> None:
    fork = AuditEvent(
        **{field.attname: getattr(chain[1], field.attname) for field in AuditEvent._meta.fields}
    )
    fork.sequence = 9
    with nothing_written(), pytest.raises(DatabaseError), transaction.atomic():
        fork.save(force_insert=True)


@pytest.mark.parametrize(
    ("sql", "broken_at", "reason"),
    [
        (
            "UPDATE audit_events SET actor = 'mallory' WHERE sequence = 2",
            2,
            "the content does not match its hash",
        ),
        (
            "UPDATE audit_events SET after = '{\"number\": 7}' WHERE sequence = 3",
            3,
            "the content does not match its hash",
        ),
        (
            "UPDATE audit_events SET portfolio_id = NULL WHERE sequence = 1",
            1,
            "the content does not match its hash",
        ),
        ("DELETE FROM audit_events WHERE sequence = 2", 2, "row 2 is missing"),
        ("DELETE FROM audit_events WHERE sequence = 1", 1, "row 1 is missing"),
    ],
)
def test_tampering_shows_at_its_row(chain: list[AuditEvent], sql: str, broken_at: int, reason: str) -> None:
    unguarded(sql)
    report = audit_verify()
    assert (report.is_intact, report.broken_at, report.reason) == (False, broken_at, reason)


def test_only_the_anchor_shows_a_chain_cut_short_or_written_anew(
    chain: list[AuditEvent], tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    anchor = audit_anchor(anchors)
    assert anchor is not None
    assert (anchor["sequence"], anchor["hash"]) == (4, chain[-1].hash)
    assert audit_anchor(anchors) is None
    assert len(anchors.read_text().splitlines()) == 1
    assert audit_verify(anchors).is_intact
    unguarded("DELETE FROM audit_events WHERE sequence = 4")
    assert audit_verify().is_intact
    report = audit_verify(anchors)
    assert (report.broken_at, report.reason) == (4, "the chain ends before row 4, which was anchored")
    make_audit_event(after={"number": "another"})
    assert audit_verify().is_intact
    report = audit_verify(anchors)
    assert (report.broken_at, report.reason) == (4, "the hash differs from the anchored one")


def test_row_needs_the_transaction_of_its_change(
    transactional_db: None,
) -> None:
    with pytest.raises(RuntimeError, match="in the transaction of its change"):
        audit_append(action="test", object_type="test", object_id=1)


def test_anchor_is_one_json_line(chain: list[AuditEvent], tmp_path: Path) -> None:
    audit_anchor(tmp_path / "deep" / "anchors.jsonl")
    assert set(json.loads((tmp_path / "deep" / "anchors.jsonl").read_text())) == {
        "sequence",
        "hash",
        "anchored_at",
    }
