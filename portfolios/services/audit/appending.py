"""Adding links to the chain, in the transaction of the change that they tell of."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import connection

from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_insert_objects
from portfolio_site.kernel.requests import request_id
from portfolios.models import AuditEvent, Portfolio
from portfolios.services.audit.hashing import CONTENT, GENESIS_HASH, moment_text, row_hash, stored_value

SYSTEM_ACTOR = "system"
# Any constant will do; it only has to be the same for everyone who appends.
_CHAIN_LOCK = 7_215_001

Actor = User | AnonymousUser | None


@dataclass(frozen=True)
class AuditRow:
    """One change to tell of: who did what to which object, and what it was before and after."""

    action: str
    object_type: str
    object_id: object
    actor: Actor = None
    portfolio: Portfolio | None = None
    before: Any = None
    after: Any = None
    reason: str = ""


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
    row = AuditRow(action, object_type, object_id, actor, portfolio, before, after, reason)
    (event,) = _next_links([row])
    event.save(force_insert=True)
    return event


def audit_append_many(rows: Sequence[AuditRow]) -> None:
    """Add a link for each row, in their order: the same links as one by one, for one lock and one write."""
    if not rows:
        return
    bulk_insert_objects(AuditEvent, _next_links(rows))


def _next_links(rows: Sequence[AuditRow]) -> list[AuditEvent]:
    """The rows as links after the last one stored; nobody else can add one before this transaction ends."""
    if not connection.in_atomic_block:
        raise RuntimeError("an audit row belongs in the transaction of its change")
    lock_chain()
    last = AuditEvent.objects.order_by("-sequence").values("sequence", "hash").first()
    stored, previous = (last["sequence"], last["hash"]) if last else (0, GENESIS_HASH)
    now, request = clock.now(), request_id()
    events = []
    for sequence, row in enumerate(rows, start=stored + 1):
        event = _link(row, sequence, now, request, previous)
        previous = event.hash
        events.append(event)
    return events


def _link(row: AuditRow, sequence: int, now: dt.datetime, request: str, previous: str) -> AuditEvent:
    event = AuditEvent(
        sequence=sequence,
        occurred_at=now,
        actor=actor_name(row.actor),
        action=row.action,
        object_type=row.object_type,
        object_id=str(row.object_id),
        portfolio=row.portfolio,
        before=stored_value(row.before),
        after=stored_value(row.after),
        reason=row.reason,
        request_id=request,
        previous_hash=previous,
    )
    event.hash = row_hash(previous, event_content(event))
    return event


def event_content(event: AuditEvent) -> dict[str, Any]:
    """What the hash of a stored row covers besides the hash before it."""
    content = {name: getattr(event, name) for name in CONTENT if name != "portfolio"}
    return content | {"occurred_at": moment_text(event.occurred_at), "portfolio": event.portfolio_id}


def lock_chain() -> None:
    """Appenders queue; on SQLite they already do, at BEGIN."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
