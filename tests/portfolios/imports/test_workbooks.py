import datetime as dt
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from portfolios.imports import workbooks
from portfolios.imports.cells import Reading, Row
from portfolios.imports.report import Reject
from portfolios.imports.table import TableError, open_table

LIMIT = 1_000_000


def write_workbook(folder: Path, *rows: list[Any], formats: dict[str, str] | None = None) -> Path:
    book = Workbook()
    sheet: Any = book.active
    for row in rows:
        sheet.append(row)
    for place, number_format in (formats or {}).items():
        sheet[place].number_format = number_format
    path = folder / "file.xlsx"
    book.save(path)
    return path


def read(path: Path, limit: int = LIMIT) -> list[Row | Reject]:
    with open_table(path, limit) as table:
        return list(table.rows(Reading()))


def cells(rows: list[Row | Reject]) -> list[tuple[int, list[str]]]:
    return [(row.line, list(row.cells.values())) for row in rows if isinstance(row, Row)]


def refusal(path: Path, limit: int = LIMIT) -> str:
    with pytest.raises(TableError) as caught:
        read(path, limit)
    return str(caught.value)


def repacked(path: Path, changes: dict[str, bytes]) -> Path:
    """The same workbook with parts replaced or added."""
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in {**parts, **changes}.items():
            packed.writestr(name, content)
    return path


def sheet_xml(rows: str) -> bytes:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'.encode()


def test_typed_cells_become_plain_text(tmp_path: Path) -> None:
    path = write_workbook(
        tmp_path,
        ["Day", "Number", "Share", "Text", "Flag"],
        [dt.date(2024, 1, 5), 100.0, 0.05, "00123", True],
        [dt.datetime(2024, 1, 5, 15, 30), 0.1 + 0.2, 1e-05, None, False],
        [None, 12345678.9, -3, " x ", None],
        formats={"C2": "0.00%"},
    )
    assert cells(read(path)) == [
        (2, ["2024-01-05", "100", "0.05", "00123", "1"]),
        (3, ["2024-01-05T15:30:00", "0.3", "0.00001", "", "0"]),
        (4, ["", "12345678.9", "-3", " x ", ""]),
    ]


def test_lines_are_the_rows_of_the_sheet_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    path = write_workbook(tmp_path, ["a", "b", None], [], ["x"], [None, None, None], [1, 2])
    assert cells(read(path)) == [(3, ["x", ""]), (5, ["1", "2"])]


def test_only_the_first_sheet_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    book = Workbook()
    first: Any = book.active
    first.title = "Trades"
    first.append(["a"])
    book.create_sheet("Notes").append(["b"])
    book.save(tmp_path / "file.xlsx")
    with open_table(tmp_path / "file.xlsx", LIMIT) as table:
        assert (table.header, table.is_typed) == (["a"], True)
        assert table.remarks == ["only the first sheet, Trades, is read; not Notes"]


def test_formula_or_error_refuses_its_row_and_names_the_cell(tmp_path: Path) -> None:
    path = write_workbook(tmp_path, ["a", "b"], [1, "=A2*2"], [2, 3], ["#DIV/0!", 4])
    rows = read(path)
    assert [row for row in rows if isinstance(row, Reject)] == [
        Reject(2, "b", "=A2*2", "a formula, not a value"),
        Reject(4, "a", "#DIV/0!", "an error of Excel, not a value"),
    ]
    assert cells(rows) == [(3, ["2", "3"])]


def test_formula_in_the_header_refuses_the_file(tmp_path: Path) -> None:
    assert "a formula, not a value" in refusal(write_workbook(tmp_path, ["a", "=1"], [1, 2]))


def test_text_that_looks_like_a_formula_stays_text(tmp_path: Path) -> None:
    book = Workbook()
    sheet: Any = book.active
    sheet.append(["a"])
    sheet["A2"].value = "=1+1"
    sheet["A2"].data_type = "s"
    book.save(tmp_path / "file.xlsx")
    assert cells(read(tmp_path / "file.xlsx")) == [(2, ["=1+1"])]


def test_empty_workbook_is_refused(tmp_path: Path) -> None:
    assert refusal(write_workbook(tmp_path)) == "line 1: the first sheet is empty"


def test_cut_or_damaged_workbook_is_refused(tmp_path: Path) -> None:
    path = write_workbook(tmp_path, ["a"], [1])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "the Excel file is damaged" in refusal(path)
    path.write_bytes(whole)
    repacked(path, {"xl/worksheets/sheet1.xml": b"<worksheet><sheetData><row"})
    assert "the Excel file is damaged" in refusal(path)
    path.write_bytes(whole)
    repacked(path, {"xl/workbook.xml": b"no xml"})
    assert "the Excel file is damaged" in refusal(path)


def test_zip_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as packed:
        packed.writestr("file.csv", "a\n1\n")
    assert refusal(tmp_path / "a.xlsx") == "line 1: a zip file, but no Excel workbook"


def test_entities_are_refused(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet>&b;</worksheet>'
    path = repacked(write_workbook(tmp_path, ["a"]), {"xl/worksheets/sheet1.xml": bomb})
    assert "the Excel file is damaged" in refusal(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"xl/worksheets/sheet1.xml": b" " * 6_000_000}, "the file unpacks to more than 5000000 bytes"),
        (
            {"xl/worksheets/sheet1.xml": b" " * 4_000_000},
            "sheet1.xml unpacks to more than 100 times its size",
        ),
        ({"xl/embeddings/more.xlsx": b"PK"}, "the workbook holds another file, xl/embeddings/more.xlsx"),
        ({f"xl/{number}.xml": b"" for number in range(1_001)}, "the workbook has more than 1000 parts"),
    ],
)
def test_absurd_directory_is_refused_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, bytes], reason: str
) -> None:
    path = repacked(write_workbook(tmp_path, ["a"]), changes)
    monkeypatch.setattr(workbooks, "load_workbook", lambda *args, **options: pytest.fail("was unpacked"))
    assert reason in refusal(path)


def test_large_strings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "MAX_STRINGS_BYTES", 10)
    assert "unpacks to more than 10 bytes" in refusal(write_workbook(tmp_path, ["a"]))


def test_encrypted_parts_are_refused(tmp_path: Path) -> None:
    path = write_workbook(tmp_path, ["a"])
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\x01\x02")
    while place >= 0:
        content[place + 8] |= 1
        place = content.find(b"PK\x01\x02", place + 1)
    path.write_bytes(bytes(content))
    assert refusal(path) == "line 1: the workbook is encrypted"


def test_workbook_with_a_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert "save it as .xlsx without one" in refusal(path)


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="999999999"><c r="A999999999"><v>1</v></c></row>',
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c r="XFD2"><v>1</v></c></row>',
    ],
)
def test_absurd_sheet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str) -> None:
    monkeypatch.setattr(workbooks, "MAX_ROWS", 1_000)
    path = repacked(write_workbook(tmp_path, ["a"]), {"xl/worksheets/sheet1.xml": sheet_xml(rows)})
    assert "more than 1000 rows or 256 columns" in refusal(path)


def test_stated_size_of_a_sheet_is_not_believed(tmp_path: Path) -> None:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = (
        f'<worksheet xmlns="{space}"><dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1"><v>1</v>'
        "</c></row></sheetData></worksheet>"
    ).encode()
    path = repacked(write_workbook(tmp_path, ["a"]), {"xl/worksheets/sheet1.xml": sheet})
    with open_table(path, LIMIT) as table:
        assert (table.header, list(table.lines())) == (["1"], [])


def test_workbook_is_known_by_its_content(tmp_path: Path) -> None:
    path = write_workbook(tmp_path, ["a"], [1])
    renamed = path.rename(tmp_path / "file.csv")
    assert cells(read(renamed)) == [(2, ["1"])]
    assert io.BytesIO(renamed.read_bytes()).read(2) == b"PK"
