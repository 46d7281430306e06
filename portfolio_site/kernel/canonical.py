"""One byte string for one value, so that a hash means the same thing everywhere."""

import datetime as dt
import hashlib
import json
from decimal import Decimal
from typing import Any


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no canonical form")


def decimal_text(value: Decimal) -> str:
    """Plain digits without an exponent or trailing zeros: 1.50 and 1.5 are one number."""
    if not value.is_finite():
        raise ValueError(f"{value} has no canonical form")
    if not value:
        return "0"
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, decimals and dates as text; NaN and infinity are refused."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )


def sha256_of(value: Any) -> str:
    return sha256_of_text(canonical_json(value))


def sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class WrittenDocument(str):
    """JSON that is written out already: a column of documents takes it as it is."""

    __slots__ = ()
