"""The audit chain: every change of record leaves one row here, in the same transaction.

Each row's hash covers its content and the hash before it. The database refuses updates and deletes by
trigger; what a trigger cannot stop, the chain shows; what a chain cannot show, the anchors do.
"""

from portfolios.services.audit.anchors import Anchor, AnchorFileError, anchors_read, audit_anchor
from portfolios.services.audit.appending import (
    SYSTEM_ACTOR,
    Actor,
    AuditRow,
    actor_name,
    audit_append,
    audit_append_many,
    event_content,
)
from portfolios.services.audit.hashing import CONTENT, GENESIS_HASH, moment_text, row_hash, stored_value
from portfolios.services.audit.verification import ChainReport, audit_verify

__all__ = [
    "CONTENT",
    "GENESIS_HASH",
    "SYSTEM_ACTOR",
    "Actor",
    "Anchor",
    "AnchorFileError",
    "AuditRow",
    "ChainReport",
    "actor_name",
    "anchors_read",
    "audit_anchor",
    "audit_append",
    "audit_append_many",
    "audit_verify",
    "event_content",
    "moment_text",
    "row_hash",
    "stored_value",
]
