from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolios.imports import documents
from portfolios.imports.cells import Reading, Row
from portfolios.imports.table import TableError, open_table

LIMIT = 100_000


def read(folder: Path, content: bytes) -> list[tuple[int, dict[str, str]]]:
    path = folder / "file.json"
    path.write_bytes(content)
    with open_table(path, LIMIT) as table:
        assert table.is_typed
        return [(row.line, row.cells) for row in table.rows(Reading()) if isinstance(row, Row)]


def refusal(folder: Path, content: bytes) -> tuple[int, str, str]:
    with pytest.raises(TableError) as caught:
        read(folder, content)
    reject = caught.value.rejects[0]
    return reject.line, reject.column, reject.reason


def test_objects_are_rows_on_the_line_where_they_begin(tmp_path: Path) -> None:
    content = b"""\xef\xbb\xbf
{
  "meta": {"activities": [1]},
  "activities": [
    {"a": 1.10, "b": null},

    {
      "a": "x", "C": [1, "\xc3\xa9"], "d": true
    }, {"a": 1e-7}
  ],
  "user": {}
}
"""
    assert read(tmp_path, content) == [
        (5, {"a": "1.10", "b": "", "c": "", "d": ""}),
        (7, {"a": "x", "b": "", "c": '["1", "é"]', "d": "1"}),
        (9, {"a": "1e-7", "b": "", "c": "", "d": ""}),
    ]


def test_a_list_alone_will_do(tmp_path: Path) -> None:
    assert read(tmp_path, b'[{"a": 12345678901234567890.123456789}]') == [
        (1, {"a": "12345678901234567890.123456789"})
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"activities": [\n{"a": 1},\n{"a": 2', (3, "", "not JSON")),
        (b'{"activities": [\n{"a": 1}\n', (3, "", "not JSON: , or ] expected")),
        (b'{"activities": [\n{"a": 1},\n]}', (3, "", "not JSON: a comma too many")),
        (b'{"activities": [{"a": 1}]} x', (1, "", "not JSON: more text after the end")),
        (b'{"activities": [{"a": 1, "a": 2}]}', (1, "a", "this key stands there twice")),
        (b'{"activities": [], "activities": []}', (1, "", "not JSON: a key that stands there twice")),
        (b'{"activities": {}}', (1, "", "not JSON: activities is no list")),
        (b'{"activities": [1]}', (1, "activities", "not an object")),
        (b'{"activities": []}', (1, "activities", "the file is empty")),
        (b'{"other": []}', (1, "activities", "the document has no such list")),
        (b'{"activities": [\n{"a": "\xe9"}]}', (2, "", "not UTF-8")),
        (b'{"activities": [\n{"a": ' + b"[" * 50_000, (2, "", "not JSON: nested too deeply")),
    ],
)
def test_damaged_document_is_refused(tmp_path: Path, content: bytes, expected: tuple[int, str, str]) -> None:
    line, column, reason = refusal(tmp_path, content)
    assert (line, column) == expected[:2]
    assert reason.startswith(expected[2])


def test_large_document_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 10)
    assert refusal(tmp_path, b'[{"a": 1, "b": 2}]') == (1, "", "a JSON file may have 10 bytes")


@given(content=st.binary(max_size=60))
def test_any_bytes_are_rows_or_a_table_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("json")
    path = folder / "file.json"
    path.write_bytes(b'{"activities": [{"a": ' + content)
    with suppress(TableError), open_table(path, LIMIT) as table:
        assert "a" in table.header
