"""The audit chain: every change of record leaves one row here, in the same transaction.

Each row's hash covers its content and the hash before it. The database refuses updates and deletes by
trigger; what a trigger cannot stop, the chain shows.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, transaction

from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import canonical_json, sha256_of
from portfolio_site.kernel.requests import request_id
from portfolios.models import AuditEvent, Portfolio

GENESIS_HASH = "0" * 64
SYSTEM_ACTOR = "system"
# Any constant will do; it only has to be the same for everyone who appends.
_CHAIN_LOCK = 7_215_001

Actor = User | AnonymousUser | None


class AnchorFileError(ValueError):
    """The file of anchors cannot be read; the text names its line."""


@dataclass(frozen=True)
class ChainReport:
    """What a walk over the chain found; `broken_at` is the sequence of the first broken link."""

    count: int
    last_hash: str
    broken_at: int | None = None
    reason: str = ""

    @property
    def is_intact(self) -> bool:
        return self.broken_at is None


def actor_name(actor: Actor) -> str:
    return actor.get_username() if actor is not None and actor.is_authenticated else SYSTEM_ACTOR


def audit_append(
    *,
    action: str,
    object_type: str,
    object_id: object,
    actor: Actor = None,
    portfolio: Portfolio | None = None,
    before: Any = None,
    after: Any = None,
    reason: str = "",
) -> AuditEvent:
    """Add one link. Must run inside the transaction of the change that it tells of."""
    if not connection.in_atomic_block:
        raise RuntimeError("an audit row belongs in the transaction of its change")
    _lock_chain()
    last = AuditEvent.objects.order_by("-sequence").values("sequence", "hash").first()
    event = AuditEvent(
        sequence=last["sequence"] + 1 if last else 1,
        occurred_at=clock.now(),
        actor=actor_name(actor),
        action=action,
        object_type=object_type,
        object_id=str(object_id),
        portfolio=portfolio,
        before=_json_value(before),
        after=_json_value(after),
        reason=reason,
        request_id=request_id(),
        previous_hash=last["hash"] if last else GENESIS_HASH,
    )
    event.hash = _event_hash(event)
    event.save(force_insert=True)
    return event


def _lock_chain() -> None:
    """Appenders queue; on SQLite they already do, at BEGIN."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])


def _json_value(value: Any) -> Any:
    """As the column will give it back, so that the hash can be checked from the stored row."""
    return None if value is None else json.loads(canonical_json(value))


def _event_hash(event: AuditEvent) -> str:
    content = {
        "sequence": event.sequence,
        "occurred_at": event.occurred_at,
        "actor": event.actor,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "portfolio": event.portfolio_id,
        "before": event.before,
        "after": event.after,
        "reason": event.reason,
        "request_id": event.request_id,
    }
    return sha256_of([event.previous_hash, content])


def audit_verify(anchor_file: Path | None = None) -> ChainReport:
    """Walk the whole chain, then hold it against the anchors kept outside the database."""
    expected, previous, last_hash = 1, GENESIS_HASH, GENESIS_HASH
    anchors = {anchor["sequence"]: anchor["hash"] for anchor in _anchors(anchor_file)}
    for event in AuditEvent.objects.order_by("sequence").iterator(chunk_size=2000):
        reason = _fault(event, expected, previous, anchors)
        if reason:
            broken_at = expected if event.sequence != expected else event.sequence
            return ChainReport(expected - 1, last_hash, broken_at, reason)
        previous = last_hash = event.hash
        expected += 1
    missing = min((sequence for sequence in anchors if sequence >= expected), default=None)
    if missing is not None:
        return ChainReport(
            expected - 1, last_hash, expected, f"the chain ends before row {missing}, which was anchored"
        )
    return ChainReport(expected - 1, last_hash)


def _fault(event: AuditEvent, expected: int, previous: str, anchors: dict[int, str]) -> str:
    if event.sequence != expected:
        return f"row {expected} is missing"
    if event.previous_hash != previous:
        return "the link to the row before does not hold"
    if event.hash != _event_hash(event):
        return "the content does not match its hash"
    if anchors.get(event.sequence, event.hash) != event.hash:
        return "the hash differs from the anchored one"
    return ""


def _anchors(anchor_file: Path | None) -> Iterator[dict[str, Any]]:
    if anchor_file is None or not anchor_file.exists():
        return
    with anchor_file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                anchor = json.loads(line)
                yield {"sequence": anchor["sequence"], "hash": anchor["hash"]}
            except (ValueError, TypeError, KeyError) as error:
                raise AnchorFileError(f"{anchor_file}, line {number}: not an anchor") from error


def audit_anchor(anchor_file: Path) -> dict[str, Any] | None:
    """Write the last link's hash outside the database; None when the chain is empty or already anchored."""
    with transaction.atomic():
        last = AuditEvent.objects.order_by("-sequence").first()
    if last is None or any(anchor["sequence"] == last.sequence for anchor in _anchors(anchor_file)):
        return None
    anchor = {
        "sequence": last.sequence,
        "hash": last.hash,
        "anchored_at": clock.now().astimezone(dt.UTC).isoformat(),
    }
    anchor_file.parent.mkdir(parents=True, exist_ok=True)
    with anchor_file.open("a", encoding="utf-8") as lines:
        lines.write(canonical_json(anchor) + "\n")
    return anchor
