"""Tables as files: what a spreadsheet must not take for a formula, and what stays a number."""

import csv
import datetime as dt
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Column, Link, Table, Unknown, csv_bytes, xlsx_bytes

COLUMNS = [
    Column("Name"),
    Column("Return", "percent"),
    Column("Value", "number", unit="USD"),
    Column("Day", "date"),
]
ROWS: list[list[Any]] = [
    [Link("AAPL", "/somewhere/"), 0.125, Decimal("-1234.50"), dt.date(2024, 3, 28)],
    ["=HYPERLINK(1)", Unknown("no price"), None, None],
]
TABLE = Table("lines", "Lines", COLUMNS, ROWS)


def read_csv(table: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(csv_bytes(table).decode("utf-8-sig"))))


def read_xlsx(table: Table) -> list[tuple[Any, ...]]:
    return list(load_workbook(io.BytesIO(xlsx_bytes(table))).active.iter_rows(values_only=True))  # type: ignore[union-attr]


def test_numbers_stay_numbers_and_formulas_become_texts() -> None:
    assert read_csv(TABLE) == [
        ["Name", "Return (%)", "Value (USD)", "Day"],
        ["AAPL", "12.5", "-1234.50", "2024-03-28"],
        ["'=HYPERLINK(1)", "", "", ""],
    ]
    head, first, second = read_xlsx(TABLE)
    assert head == ("Name", "Return (%)", "Value (USD)", "Day")
    assert first == ("AAPL", 12.5, -1234.5, dt.datetime(2024, 3, 28))
    assert second == ("'=HYPERLINK(1)", None, None, None)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_no_cell_begins_as_a_formula(text: str) -> None:
    (_, row) = read_csv(Table("t", "T", [Column("Name"), Column("Other")], [[text, "x"]]))
    assert not row[0].startswith(("=", "+", "-", "@"))
    assert row[0].removeprefix("'") == text.removeprefix("'")


@pytest.mark.parametrize("sign", ["\t", "\r", "\n"])
def test_a_hidden_sign_before_a_formula_does_not_help(sign: str) -> None:
    assert b"'" + sign.encode() in csv_bytes(Table("t", "T", [Column("Name")], [[f"{sign}=1+1"]]))


def test_a_moment_is_written_in_utc() -> None:
    moment = dt.datetime(2024, 3, 28, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert read_xlsx(Table("t", "T", [Column("At", "date")], [[moment]]))[1] == (
        dt.datetime(2024, 3, 28, 10),
    )


def test_what_a_chart_does_not_know_is_a_gap() -> None:
    values = np.array([1.0, np.nan, np.inf])
    chart = Chart(
        "c", "C", "words", [{"y": values, "x": ["a", "b", "c"]}], TABLE, {"xaxis": {"n": np.int64(3)}}
    )
    assert chart.figure["traces"] == [{"y": [1.0, None, None], "x": ["a", "b", "c"]}]
    assert chart.figure["layout"] == {"xaxis": {"n": 3}, "height": 320}
