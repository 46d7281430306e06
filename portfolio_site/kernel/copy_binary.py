"""Rows as the binary COPY of PostgreSQL takes them, encoded a column at a time.

A row is the number of its fields in two bytes, then for each field its length in four (-1 for NULL) and its
bytes, all big-endian. Columns whose values have one width stand side by side in a matrix of bytes, out of
which the bytes of NULLs are masked; of texts and documents each distinct one is encoded once, and the pieces
of a row are joined. A call per row would cost as much as the server needs to store them.
"""

import datetime as dt
import json
import struct
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio_site.kernel.canonical import WrittenDocument
from portfolio_site.kernel.decimals import (
    as_floats,
    decimals_as_last_digits,
    floats_as_last_digits,
    is_unknown,
)

# Rows encoded at once: some megabytes, whatever the number of rows.
BLOCK_ROWS = 20_000
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
EPOCH = np.datetime64("2000-01-01")
MOMENT_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
NUMERIC_BASE, BASE_DIGITS = 10_000, 4
NEGATIVE = 0x4000
INTEGERS: Mapping[str, str] = {"bigint": ">i8", "integer": ">i4", "smallint": ">i2"}
SEQUENCES = list | tuple | np.ndarray


@dataclass(frozen=True)
class CopyColumn:
    """The values of one column, or one value for all rows, with the type that the server is to read.

    None, NaN, NaT and infinity are NULL. `digits` and `places` are those of a numeric column.
    """

    kind: str
    values: Any
    digits: int = 0
    places: int = 0


@dataclass(frozen=True)
class _Fixed:
    """Values of one width, in the order of bytes of the wire; `null` marks those that are none."""

    values: NDArray[Any]
    null: NDArray[np.bool_] | None = None


# A field of one width; one field with its length for all rows; each row's field with its length.
_Encoded = _Fixed | bytes | list[bytes]


def copy_blocks(columns: Sequence[CopyColumn], length: int) -> Iterator[bytes]:
    """The stream for `COPY table (columns) FROM STDIN (FORMAT BINARY)`."""
    constants = [None if isinstance(column.values, SEQUENCES) else _constant(column) for column in columns]
    yield SIGNATURE
    for start in range(0, length, BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, length))
        fields: list[_Encoded] = [struct.pack(">h", len(columns))]
        for column, constant in zip(columns, constants, strict=True):
            fields.append(_encoded(column, column.values[rows]) if constant is None else constant)
        yield _joined(fields, rows.stop - start)
    yield TRAILER


def _constant(column: CopyColumn) -> bytes:
    (field,) = _rows_of(_encoded(column, [column.values]), 1)
    return field


def _encoded(column: CopyColumn, values: Any) -> _Fixed | list[bytes]:
    if column.kind == "numeric":
        return _numerics(values, column.digits, column.places)
    if column.kind in INTEGERS:
        return _integers(values, np.dtype(INTEGERS[column.kind]))
    return _ENCODERS[column.kind](values)


# --- rows from columns ------------------------------------------------------------------------------


def _joined(fields: list[_Encoded], count: int) -> bytes:
    """Neighbours of fixed width go into one matrix; with nothing else, that is the block."""
    pieces = [
        _side_by_side(list(group), count) if is_fixed else [_rows_of(field, count) for field in group]
        for is_fixed, group in groupby(fields, lambda field: not isinstance(field, list))
    ]
    if len(pieces) == 1 and not isinstance(pieces[0], list):
        return pieces[0].data
    rows = chain.from_iterable(piece if isinstance(piece, list) else [piece.rows()] for piece in pieces)
    return b"".join(chain.from_iterable(zip(*rows, strict=True)))


@dataclass(frozen=True)
class _Segment:
    """The same fields of all rows, row after row, and where each ends."""

    data: bytes
    ends: NDArray[np.int64]

    def rows(self) -> list[bytes]:
        ends = self.ends.tolist()
        return [self.data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _rows_of(field: _Encoded, count: int) -> list[bytes]:
    return field if isinstance(field, list) else _side_by_side([field], count).rows()


def _side_by_side(fields: Sequence[_Fixed | bytes | list[bytes]], count: int) -> _Segment:
    layout: list[tuple[str, Any]] = []
    for number, field in enumerate(fields):
        if isinstance(field, bytes):
            layout.append((f"v{number}", f"V{len(field)}"))
        elif isinstance(field, _Fixed):
            layout += [(f"l{number}", ">i4"), (f"v{number}", field.values.dtype)]
    table = np.empty(count, dtype=layout)
    widths = np.full(count, table.itemsize)
    kept = None
    for number, field in enumerate(fields):
        if isinstance(field, bytes):
            table[f"v{number}"] = np.void(field)
        elif isinstance(field, _Fixed):
            size = field.values.dtype.itemsize
            table[f"l{number}"] = size
            table[f"v{number}"] = field.values
            if field.null is not None and field.null.any():
                if kept is None:
                    kept = np.ones((count, table.itemsize), dtype=bool)
                table[f"l{number}"][field.null] = -1
                place = table.dtype.fields[f"v{number}"][1]  # type: ignore[index]
                kept[field.null, place : place + size] = False
                widths -= size * field.null
    matrix = table.view(np.uint8).reshape(count, -1)
    return _Segment((matrix if kept is None else matrix[kept]).tobytes(), np.cumsum(widths))


# --- fields of one width ----------------------------------------------------------------------------


def _floats(values: Any) -> _Fixed:
    numbers = np.asarray(values, dtype=np.float64)
    return _Fixed(numbers.astype(">f8"), ~np.isfinite(numbers))


def _integers(values: Any, kind: np.dtype[Any]) -> _Fixed:
    null = None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iub":
        null = np.array([is_unknown(value) for value in values], dtype=bool)
        values = [0 if unknown else int(value) for unknown, value in zip(null, values, strict=True)]
    numbers = np.asarray(values, dtype=np.int64)
    limits = np.iinfo(kind)
    if len(numbers) and (numbers.min() < limits.min or numbers.max() > limits.max):
        raise OverflowError(f"a number does not fit into {kind.itemsize} bytes")
    return _Fixed(numbers.astype(kind), null)


def _booleans(values: Any) -> _Fixed:
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        return _Fixed(values.astype(np.uint8))
    null = np.array([is_unknown(value) for value in values], dtype=bool)
    return _Fixed(np.array([bool(value) for value in values], dtype=np.uint8), null)


def _dates(values: Any) -> _Fixed:
    days = np.asarray(values, dtype="datetime64[D]")
    return _Fixed((days - EPOCH).astype(np.int64).astype(">i4"), np.isnat(days))


def _moments(values: Any) -> _Fixed:
    null = np.array([value is None for value in values], dtype=bool)
    since = [0 if value is None else (value - MOMENT_EPOCH) // MICROSECOND for value in values]
    return _Fixed(np.array(since, dtype=">i8"), null)


def _numerics(values: Any, digits: int, places: int) -> _Fixed | list[bytes]:
    floats = as_floats(values)
    if floats is None:
        null = np.array([is_unknown(value) for value in values], dtype=bool)
        numbers = decimals_as_last_digits(values, digits, places)
    else:
        null = ~np.isfinite(floats)
        numbers = floats_as_last_digits(np.where(null, 0.0, floats), digits, places)
    if numbers.dtype == object:
        return [
            NULL if unknown else _numeric(number, places)
            for unknown, number in zip(null, numbers, strict=True)
        ]
    return _Fixed(_numeric_matrix(numbers, places), null)


def _numeric_matrix(numbers: NDArray[np.int64], places: int) -> NDArray[Any]:
    """Count of base-10000 digits, weight of the first, sign, scale, digits; the server strips outer zeros."""
    size = np.abs(numbers)
    above, below = np.divmod(size, 10**places)
    fraction = -(-places // BASE_DIGITS)
    whole = _base_digits(int(above.max(initial=0)))
    table = np.empty((len(numbers), 4 + whole + fraction), dtype=">u2")
    table[:, 0], table[:, 1], table[:, 3] = whole + fraction, whole - 1, places
    table[:, 2] = np.where(numbers < 0, NEGATIVE, 0)
    below *= 10 ** (fraction * BASE_DIGITS - places)
    for part, last, count in ((below, 3 + whole + fraction, fraction), (above, 3 + whole, whole)):
        for place in range(last, last - count, -1):
            part, table[:, place] = np.divmod(part, NUMERIC_BASE)
    return table.view(f"V{table.shape[1] * 2}").reshape(len(numbers))


def _base_digits(number: int) -> int:
    return max(1, -(-len(str(number)) // BASE_DIGITS))


def _numeric(number: int, places: int) -> bytes:
    """One number of any size."""
    fraction = -(-places // BASE_DIGITS)
    aligned = abs(number) * 10 ** (fraction * BASE_DIGITS - places)
    count = max(_base_digits(aligned), fraction + 1)
    digits = [aligned // NUMERIC_BASE**place % NUMERIC_BASE for place in reversed(range(count))]
    sign = NEGATIVE if number < 0 else 0
    return _field(struct.pack(f">4H{count}H", count, count - fraction - 1, sign, places, *digits))


# --- fields of any width ----------------------------------------------------------------------------


def _field(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _texts(values: Any) -> _Fixed | list[bytes]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "S":
        if not len(values) or values.view(np.uint8).reshape(len(values), -1)[:, -1].all():
            return _Fixed(values)
        values = values.tolist()
    return _each_once(
        values,
        lambda value: value,
        lambda value: _field(value if isinstance(value, bytes) else value.encode()),
    )


def _documents(values: Any) -> list[bytes]:
    """Version 1 of the binary form is the text. Rows often share one object."""
    return _each_once(values, id, lambda value: _field(b"\x01" + document_text(value).encode()))


def document_text(value: Any) -> str:
    if isinstance(value, WrittenDocument):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _each_once(values: Any, name: Callable[[Any], Hashable], encode: Callable[[Any], bytes]) -> list[bytes]:
    keys = list(map(name, values))
    distinct = dict(zip(keys, values, strict=True))
    fields = {key: NULL if value is None else encode(value) for key, value in distinct.items()}
    return [fields[key] for key in keys]


_ENCODERS: Mapping[str, Callable[[Any], _Fixed | list[bytes]]] = {
    "float8": _floats,
    "boolean": _booleans,
    "date": _dates,
    "timestamptz": _moments,
    "text": _texts,
    "jsonb": _documents,
}
