"""Walking the chain: every row hashed again, every link held against the one before, then the anchors.

Rows are read as the driver gives them, a page at a time, without models and without a transaction: stored
rows never change, so nobody has to wait for the walk and the walk waits for nobody.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from django.db import connection
from django.db.models import Field

from portfolios.models import AuditEvent
from portfolios.services.audit.anchors import anchors_read
from portfolios.services.audit.hashing import CONTENT, GENESIS_HASH, moment_text, row_hash

# Some megabytes, whatever the number of rows.
PAGE_ROWS = 5_000
_COLUMNS = (*CONTENT, "previous_hash", "hash")
# As `moment_text` writes it; the server does that in a fraction of the time that Python takes.
_MOMENT_SQL = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
_DECODER = json.JSONDecoder()

Row = tuple[Any, ...]


@dataclass(frozen=True)
class ChainReport:
    """What a walk over the chain found; `broken_at` is the sequence of the first broken link."""

    count: int
    last_hash: str
    broken_at: int | None = None
    reason: str = ""
    anchors: int = 0

    @property
    def is_intact(self) -> bool:
        return self.broken_at is None


def audit_verify(anchor_file: Path | None = None) -> ChainReport:
    """Walk the whole chain and hold it against the anchors kept outside the database."""
    anchors = {anchor.sequence: anchor.hash for anchor in anchors_read(anchor_file)}
    count, previous = 0, GENESIS_HASH
    for row in _stored_rows():
        reason = _fault(row, count + 1, previous, anchors)
        if reason:
            return ChainReport(count, previous, count + 1, reason, len(anchors))
        count, previous = count + 1, row[-1]
    missing = min((sequence for sequence in anchors if sequence > count), default=None)
    if missing is not None:
        reason = f"the chain ends before row {missing}, which was anchored"
        return ChainReport(count, previous, count + 1, reason, len(anchors))
    return ChainReport(count, previous, anchors=len(anchors))


def _stored_rows() -> Iterator[Row]:
    quote = connection.ops.quote_name
    fields = {name: cast("Field[Any, Any]", AuditEvent._meta.get_field(name)) for name in _COLUMNS}
    columns = {name: quote(str(field.column)) for name, field in fields.items()}
    if connection.vendor == "postgresql":
        columns["occurred_at"] = _MOMENT_SQL.format(columns["occurred_at"])
    rows = f"SELECT {', '.join(columns.values())} FROM {quote(AuditEvent._meta.db_table)}"  # noqa: S608
    where = ""
    last: list[int] = []
    while True:
        with connection.cursor() as cursor:
            cursor.execute(f"{rows} {where} ORDER BY sequence LIMIT {PAGE_ROWS}", last)
            page = cursor.fetchall()
        yield from page
        if len(page) < PAGE_ROWS:
            return
        where, last = "WHERE sequence > %s", [page[-1][0]]


def _fault(row: Row, expected: int, previous: str, anchors: Mapping[int, str]) -> str:
    *_, previous_hash, stored_hash = row
    if row[0] != expected:
        is_gap = isinstance(row[0], int) and row[0] > expected
        return f"row {expected} is missing" if is_gap else f"row {row[0]} was put before it"
    if previous_hash != previous:
        return "the link to the row before does not hold"
    if stored_hash != _hash_again(row):
        return "the content does not match its hash"
    if anchors.get(expected, stored_hash) != stored_hash:
        return "the hash differs from the anchored one"
    return ""


def _hash_again(row: Row) -> str | None:
    """The hash that the stored row should have; None when it holds what can never have been hashed."""
    sequence, occurred_at, actor, action, object_type, object_id, portfolio, before, after, *rest = row
    reason, request_id, previous_hash, _ = rest
    try:
        return row_hash(
            previous_hash,
            {
                "sequence": sequence,
                "occurred_at": _moment(occurred_at),
                "actor": actor,
                "action": action,
                "object_type": object_type,
                "object_id": object_id,
                "portfolio": portfolio,
                "before": _document(before),
                "after": _document(after),
                "reason": reason,
                "request_id": request_id,
            },
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _moment(stored: dt.datetime | str) -> str:
    """PostgreSQL gives it as it was hashed; SQLite's driver gives UTC without saying so, text or not."""
    if isinstance(stored, str) and stored.endswith("+00:00"):
        return stored
    moment = dt.datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    return moment_text(moment) if moment.tzinfo else moment.isoformat(timespec="microseconds") + "+00:00"


def _document(stored: str | None) -> Any:
    if stored is None:
        return None
    value, end = _DECODER.raw_decode(stored)
    return value if end == len(stored) else json.loads(stored)
