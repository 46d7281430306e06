"""What goes into PostgreSQL by binary COPY comes out of it again."""

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_site.kernel import copy_binary
from portfolio_site.kernel.copy_binary import CopyColumn, copy_blocks

pytestmark = [pytest.mark.django_db, pytest.mark.servers]

DIGITS, PLACES = 24, 6
LETTERS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
DOCUMENTS = st.one_of(
    st.none(),
    st.recursive(
        st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | LETTERS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
        max_leaves=6,
    ),
)
NOTHING = [None, math.nan, math.inf, -math.inf]
MONEY = st.one_of(
    st.sampled_from([*NOTHING, Decimal("NaN"), -0.0, 1e17]),
    st.decimals(-(10**17), 10**17, allow_nan=False, allow_infinity=False),
    st.floats(-1e12, 1e12),
)
MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))
VALUES = {
    "bigint": st.none() | st.integers(-(2**63), 2**63 - 1),
    "integer": st.none() | st.integers(-(2**31), 2**31 - 1),
    "smallint": st.none() | st.integers(-(2**15), 2**15 - 1),
    "float8": st.sampled_from(NOTHING) | st.floats(),
    "boolean": st.none() | st.booleans(),
    "date": st.none() | st.dates(),
    "timestamptz": st.none() | MOMENTS,
    "numeric": MONEY,
    "text": st.none() | LETTERS,
    "jsonb": DOCUMENTS,
}


def copied(columns: list[CopyColumn], length: int) -> list[tuple[Any, ...]]:
    """The rows as the server gives them back, in the order they came in."""
    declared = ", ".join(f"c{number} {column.kind}" for number, column in enumerate(columns))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS copied")
        cursor.execute(f"CREATE TEMPORARY TABLE copied (id serial, {declared})")
        names = ", ".join(f"c{number}" for number in range(len(columns)))
        with cursor.copy(f"COPY copied ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            for block in copy_blocks(columns, length):
                copy.write(block)
        picked = ", ".join(
            f"c{number}::text" if column.kind == "jsonb" else f"c{number}"
            for number, column in enumerate(columns)
        )
        cursor.execute(f"SELECT {picked} FROM copied ORDER BY id")  # noqa: S608
        return list(cursor.fetchall())


def stored(kind: str, value: Any) -> Any:
    """What the column is to say."""
    if value is None or (kind in {"float8", "numeric"} and not math.isfinite(value)):
        return None
    if kind == "numeric":
        exact = value if isinstance(value, Decimal) else Decimal(repr(value))
        return exact.quantize(Decimal(1).scaleb(-PLACES))
    return value


def given_back(kind: str, value: Any) -> Any:
    return json.loads(value) if kind == "jsonb" and value is not None else value


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[CopyColumn], int]:
    length = draw(st.integers(1, 9))
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6))
    columns = []
    for kind in kinds:
        size = draw(st.sampled_from([None, length]))
        values = draw(VALUES[kind] if size is None else st.lists(VALUES[kind], min_size=size, max_size=size))
        if size is None and isinstance(values, list):
            values = {"of": values}
        columns.append(CopyColumn(kind, values, DIGITS, PLACES))
    return columns, length


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(table=tables(), block=st.integers(1, 5))
def test_every_kind_of_value_comes_back(table: tuple[list[CopyColumn], int], block: int) -> None:
    columns, length = table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy_binary, "BLOCK_ROWS", block)
        rows = copied(columns, length)
    assert len(rows) == length
    for number, column in enumerate(columns):
        values = column.values if isinstance(column.values, list) else [column.values] * length
        assert [given_back(column.kind, row[number]) for row in rows] == [
            stored(column.kind, value) for value in values
        ]


def test_arrays_come_back_and_what_is_no_number_is_null() -> None:
    days = np.array(["2024-03-28", "NaT", "1899-12-31"], dtype="datetime64[D]")
    floats = np.array([1.5, np.nan, -np.inf])
    columns = [
        CopyColumn("date", days),
        CopyColumn("float8", floats),
        CopyColumn("numeric", floats * 1e9, DIGITS, PLACES),
        CopyColumn("bigint", np.array([-1, 2**62, 0])),
        CopyColumn("boolean", np.array([True, False, True])),
        CopyColumn("boolean", np.array([True, None, False], dtype=object)),
        CopyColumn("text", np.array([b"0123", b"4567", b"89ab"])),
        CopyColumn("text", np.array([b"0123", b"", b"9"])),
        CopyColumn("text", np.array(["é", "", "€"])),
    ]
    assert copied(columns, 3) == [
        (dt.date(2024, 3, 28), 1.5, Decimal("1500000000"), -1, True, True, "0123", "0123", "é"),
        (None, None, None, 2**62, False, None, "4567", "", ""),
        (dt.date(1899, 12, 31), None, None, 0, True, False, "89ab", "9", "€"),
    ]


def test_many_rows_go_in_blocks_that_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_binary, "BLOCK_ROWS", 100)
    shared = [{"close": "no price"}, {}]
    numbers = np.arange(1050, dtype=np.float64)
    numbers[::7] = np.nan
    columns = [
        CopyColumn("jsonb", [shared[row % 2] for row in range(1050)]),
        CopyColumn("float8", numbers),
        CopyColumn("text", ["x" * (row % 5) for row in range(1050)]),
        CopyColumn("text", "2.0"),
    ]
    for row, (document, number, text, constant) in enumerate(copied(columns, 1050)):
        assert json.loads(document) == shared[row % 2]
        assert number == (None if row % 7 == 0 else row)
        assert (text, constant) == ("x" * (row % 5), "2.0")


@pytest.mark.parametrize(
    ("kind", "value"), [("smallint", 2**15), ("integer", -(2**31) - 1), ("bigint", 2**63)]
)
def test_a_number_too_large_is_refused_and_not_cut(kind: str, value: int) -> None:
    with pytest.raises(OverflowError):
        list(copy_blocks([CopyColumn(kind, [1, value])], 2))


def test_a_document_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        list(copy_blocks([CopyColumn("jsonb", [{"a": math.nan}])], 1))
