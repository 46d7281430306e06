"""What the hash of an audit row covers: its content and the hash of the row before, as canonical JSON.

The bytes are those of `canonical_json([previous_hash, content])`. They must never change: every hash that
was ever stored, and every evidence pack, is held against them.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from portfolio_site.kernel.canonical import canonical_json

GENESIS_HASH = "0" * 64
CONTENT = (
    "sequence",
    "occurred_at",
    "actor",
    "action",
    "object_type",
    "object_id",
    "portfolio",
    "before",
    "after",
    "reason",
    "request_id",
)
# From here on Python writes a float with an exponent, which PostgreSQL's jsonb gives back as a whole number.
_WHOLE_FROM = 1e16
# Made once: what a row holds is plain by the time it is encoded.
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


def row_hash(previous_hash: str, content: Mapping[str, Any]) -> str:
    """The hash of a row. `content` has the names of CONTENT, and its time as `moment_text` writes it."""
    return hashlib.sha256(_ENCODER.encode([previous_hash, content]).encode()).hexdigest()


def moment_text(moment: dt.datetime) -> str:
    text = moment.isoformat(timespec="microseconds")
    return text if text.endswith("+00:00") else moment.astimezone(dt.UTC).isoformat(timespec="microseconds")


def stored_value(value: Any) -> Any:
    """As the column will give it back on either engine, so that the hash can be checked from the row."""
    return None if value is None else json.loads(canonical_json(value), parse_float=_stored_float)


def _stored_float(text: str) -> float | int:
    number = float(text)
    if abs(number) >= _WHOLE_FROM:
        return int(Decimal(text))
    return number or 0.0  # jsonb knows no negative zero
