import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from portfolio_site.kernel.canonical import sha256_of
from portfolios.models import AuditEvent
from portfolios.services.audit import (
    GENESIS_HASH,
    AnchorFileError,
    AuditRow,
    audit_anchor,
    audit_append,
    audit_append_many,
    audit_verify,
    event_content,
    row_hash,
)
from tests.support.factories import make_audit_event, make_portfolio, make_user
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 3, 28, 22, 15, 0, 5, dt.UTC)
FIXED_HASH = "8d09df7dad545e921085108371161208d7b29f16b5e1b63b70a7aaa26b2d2efb"


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


@pytest.mark.skipif(connection.vendor != "sqlite", reason="INSERT OR REPLACE is a word of SQLite")
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_no_key_of_a_row_lets_another_take_its_place(chain: list[AuditEvent], recursive: str) -> None:
    by_number = REPLACE.replace("(sequence", "(rowid, sequence").replace("SELECT %s", "SELECT 2, %s")
    connection.cursor().execute(f"PRAGMA recursive_triggers = {recursive}")
    try:
        for sql, sequence, previous in (
            (REPLACE, 2, "f" * 64),
            (REPLACE, 9, chain[-1].previous_hash),
            (by_number, 9, "f" * 64),
        ):
            with nothing_written(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                connection.cursor().execute(sql, [sequence, previous])
    finally:
        connection.cursor().execute("PRAGMA recursive_triggers = ON")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a setting of SQLite")
def test_every_connection_fires_the_triggers_of_a_replaced_row() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers")
        assert cursor.fetchone() == (1,)


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
        "previous_line",
        "sequence",
        "hash",
        "anchored_at",
    }


# --- many at once ---------------------------------------------------------------------------------------

ROWS = [
    AuditRow("policy.changed", "policy", 1, before=None, after={"rate": Decimal("0.10")}, reason="größer"),
    AuditRow("policy.changed", "policy", "two", before={"b": 1, "a": [None, True]}, after=[]),
    AuditRow("policy.changed", "policy", 3, after={"day": dt.date(2024, 3, 28), "share": 0.25}),
]


def stored_chain() -> list[Any]:
    return list(AuditEvent.objects.order_by("sequence").values())


def test_many_rows_make_the_links_that_one_by_one_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portfolio_site.kernel.clock.now", lambda: NOW)
    user, portfolio = make_user(), make_portfolio()
    rows = [replace(row, actor=user, portfolio=portfolio) for row in ROWS]
    with transaction.atomic():
        for row in rows:
            audit_append(**vars(row))
        one_by_one = stored_chain()
        transaction.set_rollback(True)
    with transaction.atomic():
        audit_append(**vars(rows[0]))
        audit_append_many(rows[1:])
        audit_append_many([])
    assert stored_chain() == one_by_one
    assert (audit_verify().is_intact, audit_verify().count) == (True, 3)


def test_many_rows_need_the_transaction_of_their_change(transactional_db: None) -> None:
    with nothing_written(), pytest.raises(RuntimeError, match="in the transaction of its change"):
        audit_append_many(ROWS)


def test_a_bad_row_among_many_leaves_none() -> None:
    bad = AuditRow("policy.changed", "policy", 4, after={"rate": float("nan")})
    with nothing_written(), pytest.raises(ValueError, match="Out of range"), transaction.atomic():
        audit_append_many([*ROWS, bad])


def test_many_rows_are_one_write(django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(8), transaction.atomic():
        audit_append_many(ROWS * 100)
    assert audit_verify().count == 300


# --- hashes ---------------------------------------------------------------------------------------------


def test_hash_is_that_of_the_canonical_form() -> None:
    """The bytes of 2026: a chain that was stored then must still hold."""
    content = {"sequence": 1, "actor": "ann", "before": {"b": [1, 0.5], "a": "ü"}, "portfolio": None}
    assert row_hash(GENESIS_HASH, content) == sha256_of([GENESIS_HASH, content])
    assert row_hash(GENESIS_HASH, content) == FIXED_HASH


@pytest.mark.parametrize("number", [1e16, 1.5e30, -1e300, 1e22, -0.0, 0.0, 5e-324, 1e-7, 100.0, 2**70, 1 / 3])
def test_any_number_can_be_checked_again(number: float) -> None:
    make_audit_event(after={"number": number, "list": [number]})
    with transaction.atomic():
        audit_append_many([AuditRow("test", "test", 1, after={"number": number})])
    assert audit_verify().is_intact
    event = AuditEvent.objects.get(sequence=1)
    assert (event.after or {})["number"] == pytest.approx(number, rel=1e-15)


# --- more ways to tamper --------------------------------------------------------------------------------


def hash_anew(first: int) -> None:
    """Give a row and all after it the hashes that they would have had, once the triggers are gone."""
    previous = AuditEvent.objects.get(sequence=first - 1).hash
    with connection.cursor() as cursor:
        for event in AuditEvent.objects.filter(sequence__gte=first).order_by("sequence"):
            digest = row_hash(previous, event_content(event))
            cursor.execute(
                "UPDATE audit_events SET previous_hash = %s, hash = %s WHERE sequence = %s",
                [previous, digest, event.sequence],
            )
            previous = digest


def test_rows_hashed_anew_show_at_the_first_anchor_after_them(
    chain: list[AuditEvent], tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    audit_anchor(anchors)
    make_audit_event(after={"number": 4})
    audit_anchor(anchors)
    unguarded("UPDATE audit_events SET actor = 'mallory' WHERE sequence = 2")
    hash_anew(2)
    assert audit_verify().is_intact
    report = audit_verify(anchors)
    assert (report.count, report.broken_at, report.reason) == (3, 4, "the hash differs from the anchored one")


def test_a_row_put_in_between_shows_at_the_first_anchor_after_it(
    chain: list[AuditEvent], tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    audit_anchor(anchors)
    unguarded(
        "UPDATE audit_events SET sequence = -sequence - 1, previous_hash = CAST(sequence AS varchar(20)) "
        "WHERE sequence >= 3"
    )
    connection.cursor().execute("UPDATE audit_events SET sequence = -sequence WHERE sequence < 0")
    connection.cursor().execute(
        f"INSERT INTO audit_events (sequence, {COLUMNS}, previous_hash, hash) "  # noqa: S608
        f"SELECT 3, {COLUMNS}, 'x', 'x' FROM audit_events WHERE sequence = 1"
    )
    hash_anew(3)
    assert (audit_verify().is_intact, audit_verify().count) == (True, 5)
    report = audit_verify(anchors)
    assert (report.broken_at, report.reason) == (4, "the hash differs from the anchored one")


@pytest.mark.parametrize("sequence", [0, -3])
def test_a_row_put_before_the_first_is_named(chain: list[AuditEvent], sequence: int) -> None:
    unguarded(f"UPDATE audit_events SET sequence = {sequence} WHERE sequence = 4")  # noqa: S608
    report = audit_verify()
    assert (report.broken_at, report.reason) == (1, f"row {sequence} was put before it")


def test_a_changed_link_is_named(chain: list[AuditEvent]) -> None:
    unguarded("UPDATE audit_events SET previous_hash = 'f' WHERE sequence = 3")
    report = audit_verify()
    assert (report.broken_at, report.reason) == (3, "the link to the row before does not hold")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's types refuse such values")
@pytest.mark.parametrize(
    "change",
    ["occurred_at = 'yesterday'", "actor = x'00ff'", "occurred_at = 7", "object_id = x'31'", "hash = 5"],
)
def test_a_value_that_can_never_have_been_hashed_is_a_fault(chain: list[AuditEvent], change: str) -> None:
    unguarded(f"UPDATE audit_events SET {change} WHERE sequence = 2")  # noqa: S608
    assert audit_verify().broken_at == 2


def test_pages_follow_each_other(monkeypatch: pytest.MonkeyPatch, chain: list[AuditEvent]) -> None:
    monkeypatch.setattr("portfolios.services.audit.verification.PAGE_ROWS", 2)
    assert (audit_verify().count, audit_verify().last_hash) == (4, chain[-1].hash)
    unguarded("DELETE FROM audit_events WHERE sequence = 3")
    assert audit_verify().broken_at == 3


def test_a_forged_line_of_anchors_is_named(chain: list[AuditEvent], tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.jsonl"
    for number in range(3):
        audit_anchor(anchors)
        make_audit_event(after={"number": number})
    lines = anchors.read_text().splitlines()
    assert audit_verify(anchors).anchors == 3
    for forged, line, reason in (
        ([lines[0].replace('"sequence":4', '"sequence":3'), *lines[1:]], 2, "it does not follow from"),
        ([lines[0], lines[2]], 2, "it does not follow from"),
        ([lines[1], lines[2]], 1, "it does not follow from"),
        ([*lines, lines[2]], 4, "it does not follow from"),
        ([lines[0], '{"sequence": 4, "hash": "f"}'], 2, "row 4 comes after row 4"),
        (['{"sequence": "4", "hash": "f"}'], 1, "not an anchor"),
        (["[1]"], 1, "not an anchor"),
    ):
        anchors.write_text("\n".join(forged))
        with pytest.raises(AnchorFileError, match=f"line {line}: {reason}"):
            audit_verify(anchors)
        with pytest.raises(AnchorFileError):
            audit_anchor(anchors)
    last = json.loads(lines[2])
    anchors.write_text("\n".join([*lines[:2], json.dumps({**last, "hash": "f" * 64})]))
    assert (audit_verify(anchors).broken_at, audit_verify(anchors).count) == (last["sequence"], 5)


def test_anchors_of_earlier_versions_still_hold(chain: list[AuditEvent], tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(json.dumps({"sequence": 2, "hash": chain[1].hash, "anchored_at": "2024-03-28"}))
    audit_anchor(anchors)
    assert len(anchors.read_text().splitlines()) == 2
    assert (audit_verify(anchors).is_intact, audit_verify(anchors).anchors) == (True, 2)
