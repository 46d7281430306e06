"""Rows as the driver of SQLite takes them: plain Python values, as Django would store them."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from django.db import connection, models

from portfolio_site.kernel.copy_binary import document_text
from portfolio_site.kernel.decimals import as_floats, floats_as_last_digits, is_unknown, rounded_decimal

# Whole numbers up to here are floats without loss, and one division rounds as reading their digits would.
EXACT_FLOATS = 2**53


def sqlite_rows(
    fields: Mapping[str, models.Field], columns: Mapping[str, Any], length: int
) -> Iterator[tuple[Any, ...]]:
    return zip(*(_column(field, columns[name], length) for name, field in fields.items()), strict=True)


def _column(field: models.Field, values: Any, length: int) -> list[Any]:
    if not isinstance(values, list | tuple | np.ndarray):
        return _column(field, [values], 1) * length
    if isinstance(field, models.ForeignKey):
        field = field.target_field
    if isinstance(field, models.JSONField):
        return _documents(values)
    if isinstance(field, models.DateTimeField):
        return [connection.ops.adapt_datetimefield_value(value) for value in values]
    if isinstance(field, models.DateField):
        return _dates(values)
    if isinstance(field, models.DecimalField):
        return _decimals(field, values)
    if isinstance(field, models.FloatField):
        return _floats(values)
    if isinstance(field, models.IntegerField) and not _is_whole(values):
        return _whole_numbers(values)
    if isinstance(values, np.ndarray):
        return values.astype(str).tolist() if values.dtype.kind == "S" else values.tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def _whole_numbers(values: Any) -> list[Any]:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return [None if is_unknown(value) else int(value) for value in values]
    finite = np.isfinite(values)
    numbers = np.where(finite, values, 0.0).astype(np.int64).astype(object)
    numbers[~finite] = None
    return numbers.tolist()


def _is_whole(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "iu"


def _documents(values: Any) -> list[Any]:
    """Rows often share one object, and each object is written out once."""
    keys = list(map(id, values))
    distinct = dict(zip(keys, values, strict=True))
    texts = {key: None if value is None else document_text(value) for key, value in distinct.items()}
    return [texts[key] for key in keys]


def _dates(values: Any) -> list[Any]:
    if not isinstance(values, np.ndarray):
        days = [value.astype(object) if isinstance(value, np.datetime64) else value for value in values]
        return [day.isoformat() if isinstance(day, dt.date) else day for day in days]
    distinct, places = np.unique(values.astype("datetime64[D]"), return_inverse=True)
    texts = np.datetime_as_string(distinct, unit="D").astype(object)
    texts[np.isnat(distinct)] = None
    return texts[places].tolist()


def _floats(values: Any) -> list[Any]:
    """SQLite itself makes NULL of NaN."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isinf(numbers), np.nan, numbers).tolist()


def _decimals(field: models.DecimalField, values: Any) -> list[Any]:
    """As floats where these are exact; a column of Django's decimals turns its texts into the same."""
    digits, places = field.max_digits, field.decimal_places
    floats = as_floats(values)
    if floats is not None:
        finite = np.isfinite(floats)
        numbers = floats_as_last_digits(np.where(finite, floats, 0.0), digits, places)
        if np.abs(numbers).max(initial=0) < EXACT_FLOATS:
            return _floats(np.where(finite, numbers / 10.0**places, np.nan))
    rounded = (rounded_decimal(value, digits, places) for value in values)
    return [None if value is None else str(value) for value in rounded]
