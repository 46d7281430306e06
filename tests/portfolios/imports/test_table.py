import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portfolios.imports.cells import Reading, Row
from portfolios.imports.report import Reject
from portfolios.imports.table import FileError, TableError, open_table

LIMIT = 10_000


def read(path: Path, limit: int = LIMIT) -> list[Row | Reject]:
    with open_table(path, limit) as table:
        table.check_header(["symbol", "close"], ["note"])
        return list(table.rows(Reading()))


def read_bytes(folder: Path, content: bytes, limit: int = LIMIT) -> list[Row | Reject]:
    path = folder / "file.csv"
    path.write_bytes(content)
    return read(path, limit)


def cells(rows: list[Row | Reject]) -> list[tuple[int, list[str]]]:
    return [(row.line, list(row.cells.values())) for row in rows if isinstance(row, Row)]


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfSymbol , close,note\r\nA,1,"two\r\nlines"\r\n\r\nB,2,\r\n'
    assert cells(read_bytes(tmp_path, content)) == [(2, ["A", "1", "two\r\nlines"]), (5, ["B", "2", ""])]


def test_semicolons_separate_where_the_header_has_more_of_them_than_of_commas(tmp_path: Path) -> None:
    content = b'symbol;close;"note, if any"\nA;1,5;x\n'
    with pytest.raises(TableError, match="note, if any: unknown column"):
        read_bytes(tmp_path, content)
    assert cells(read_bytes(tmp_path, b"symbol;close;note;\nA;1,5;x;\nB;2; ; \n")) == [
        (2, ["A", "1,5", "x"]),
        (3, ["B", "2", " "]),
    ]


def test_gzip_and_parquet_read_like_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"symbol,close\nA,1.5\nB,\n"))
    frame = pa.table({"symbol": ["A", "B"], "close": [1.5, None]})
    pq.write_table(frame, tmp_path / "a.parquet")
    expected = [(2, ["A", "1.5"]), (3, ["B", ""])]
    assert cells(read(tmp_path / "a.csv.gz")) == cells(read(tmp_path / "a.parquet")) == expected


def test_parquet_types_become_plain_text(tmp_path: Path) -> None:
    values = {
        "symbol": [dt.date(2024, 1, 5), dt.datetime(2024, 1, 5)],
        "close": [1e-05, float("nan")],
        "note": [Decimal("1E+2"), None],
    }
    columns = [
        pa.array([dt.date(2024, 1, 5), None]),
        pa.array(values["close"]),
        pa.array(values["note"], pa.decimal128(10, 2)),
    ]
    pq.write_table(pa.table(dict(zip(values, columns, strict=True))), tmp_path / "a.parquet")
    assert cells(read(tmp_path / "a.parquet")) == [
        (2, ["2024-01-05", "0.00001", "100.00"]),
        (3, ["", "", ""]),
    ]


@pytest.mark.parametrize(
    ("content", "line", "column", "reason"),
    [
        (b"symbol,close\nA,1\nB\n", 3, "close", "1 cells, but the header has 2 columns"),
        (b"symbol,close\nA,1,x\n", 2, "", "3 cells, but the header has 2 columns"),
        (b"symbol,close\nA\xe9,1\n", 2, "symbol", "not UTF-8"),
        (b"symbol,close\nA,1\0\n", 2, "close", "holds a NUL byte"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, content: bytes, line: int, column: str, reason: str) -> None:
    rejects = [row for row in read_bytes(tmp_path, content) if isinstance(row, Reject)]
    assert [(r.line, r.column, r.reason) for r in rejects] == [(line, column, reason)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [(1, "", "the file is empty")]),
        (b"symbol\nA\n", [(1, "close", "this column is missing")]),
        (b"symbol,close,volume\n", [(1, "volume", "unknown column")]),
        (b"symbol,close,close\n", [(1, "close", "this column stands there twice")]),
        (b"symbol;close;volume\n", [(1, "volume", "unknown column")]),
        (
            b"symbol\tclose\n",
            [(1, "symbol", "missing"), (1, "close", "missing"), (1, "symbol\tclose", "unknown")],
        ),
        ("symbol,close\nA,1\n".encode("utf-16"), [(1, "", "the text is UTF-16; save it as UTF-8")]),
        (b"symbol,clo\xffse\n", [(1, "clo\udcffse", "not UTF-8")]),
        (b'symbol,close\nA,"1\nB,2\n', [(2, "", "not CSV: unexpected end of data")]),
        (b'symbol,close\nA,1\nB,"2"x\n', [(3, "", "not CSV")]),
        (b"symbol,close\n" + b"A" * 2_000_000 + b",1\n", [(2, "", "longer than 1000000 bytes")]),
    ],
)
def test_file_that_is_no_table_is_refused(
    tmp_path: Path, content: bytes, expected: list[tuple[int, str, str]]
) -> None:
    with pytest.raises(TableError) as caught:
        read_bytes(tmp_path, content, limit=3_000_000)
    assert [(r.line, r.column) for r in caught.value.rejects] == [
        (line, column) for line, column, _ in expected
    ]
    for reject, (_, _, reason) in zip(caught.value.rejects, expected, strict=True):
        assert reason in reject.reason


def test_trailing_comma_of_every_line_is_no_column(tmp_path: Path) -> None:
    assert cells(read_bytes(tmp_path, b"symbol,close,\nA,1,\nB,2\n")) == [(2, ["A", "1"]), (3, ["B", "2"])]


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="21 bytes, more than the 20"):
        read_bytes(tmp_path, b"symbol,close\nAAAAA,11", limit=20)


def test_packed_file_may_not_grow_without_bound(tmp_path: Path) -> None:
    content = gzip.compress(b"symbol,close\n" + b"A,1\n" * 20_000)
    assert len(content) < LIMIT
    with pytest.raises(TableError, match="line 12498: the file unpacks to more than 50000 bytes"):
        read_bytes(tmp_path, content)
    pq.write_table(pa.table({"symbol": ["A"] * 30_000, "close": [1] * 30_000}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < LIMIT
    with pytest.raises(TableError, match="unpacks to more than 50000"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    "content", [gzip.compress(b"symbol,close\nA,1\n" * 50, mtime=0)[:-20], b"\x1f\x8bnothing", b"PAR1nothing"]
)
def test_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(TableError, match="damaged"):
        read_bytes(tmp_path, content)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"absent\.csv: No such file or directory"):
        read(tmp_path / "absent.csv")


def test_reject_reads_as_a_sentence() -> None:
    assert str(Reject(3, "price", "abc", "not a number")) == "line 3, column price: not a number (abc)"
    assert str(Reject(3, "", "", "the file is empty")) == "line 3: the file is empty"
