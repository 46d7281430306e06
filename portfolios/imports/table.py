"""Rows of a CSV, gzipped CSV, Parquet, Excel or JSON file, one at a time, with true line numbers."""

import csv
import gzip
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from portfolios.imports.cells import Reading, Row, typed_text
from portfolios.imports.documents import document_table
from portfolios.imports.errors import FileError, TableError
from portfolios.imports.report import Reject
from portfolios.imports.workbooks import NoValue, workbook_rows

logger = logging.getLogger(__name__)

# What a packed file may unpack to, in times the largest file. A year of bars packs about four times.
MAX_EXPANSION = 5
MAX_LINE_BYTES = 1_000_000
PARQUET_ROWS = 50_000
PROGRESS_ROWS = 100_000
# Enough to know what a file is.
HEAD_BYTES = 64

_GZIP_MAGIC, _PARQUET_MAGIC, _ZIP_MAGIC = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
# Workbooks of old Excel, and new ones behind a password.
_OLE_MAGIC = b"\xd0\xcf\x11\xe0"
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
# What `surrogateescape` makes of a byte that is not UTF-8.
_BAD_BYTE = re.compile("[\udc80-\udcff]")

Line = tuple[int, list[str]]


class Table:
    """The header and the rows below it.

    `is_typed`: the cells were numbers and dates, written here as our own layout writes them, whatever the
    language of the program that made the file.
    """

    def __init__(
        self,
        header: Sequence[str],
        lines: Iterator[Line],
        *,
        is_typed: bool = False,
        remarks: Sequence[str] = (),
    ) -> None:
        names = [name.strip().lower() for name in header]
        # The ECB ends every line with a comma.
        while names and not names[-1]:
            names.pop()
        self.header = names
        self.is_typed = is_typed
        self.remarks = list(remarks)
        self._lines = lines

    def check_header(self, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Raise TableError that names every missing, unknown and repeated column."""
        known = {*required, *optional}
        rejects = [
            Reject(1, name, "", "this column is missing") for name in required if name not in self.header
        ]
        for place, name in enumerate(self.header):
            if name not in known:
                rejects.append(Reject(1, name, name, "unknown column"))
            elif name in self.header[:place]:
                rejects.append(Reject(1, name, name, "this column stands there twice"))
        if rejects:
            raise TableError(*rejects)

    def lines(self) -> Iterator[Line]:
        """What stands below the header, as it stands there."""
        for count, line in enumerate(self._lines, start=1):
            if count % PROGRESS_ROWS == 0:
                logger.info("%d rows read", count)
            yield line

    def rows(self, reading: Reading) -> Iterator[Row | Reject]:
        """Rows in file order. One that does not fit the header, or holds bytes that are no text, a Reject"""
        for line, cells in self.lines():
            yield row_of(line, self.header, cells, reading)


def row_of(line: int, header: Sequence[str], cells: list[str], reading: Reading) -> Row | Reject:
    """The cells under their header, or why they do not fit it."""
    width = len(header)
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        cells = cells[:width]
    if len(cells) < width:
        reason = f"{len(cells)} cells, but the header has {width} columns"
        return Reject(line, header[len(cells)], "", reason)
    if len(cells) > width:
        return Reject(line, "", cells[width], f"{len(cells)} cells, but the header has {width} columns")
    damage = _damaged_cell(header, cells, line)
    return damage or Row(line, dict(zip(header, cells, strict=True)), reading)


def _damaged_cell(header: Sequence[str], cells: Sequence[str], line: int) -> Reject | None:
    whole = "".join(cells)
    if whole.isascii() and "\0" not in whole and NoValue.MARK not in whole:
        return None
    for name, cell in zip(header, cells, strict=True):
        if isinstance(cell, NoValue):
            return Reject(line, name, cell.shown, cell.reason)
        if "\0" in cell:
            return Reject(line, name, cell.replace("\0", "\\0"), "holds a NUL byte")
        if _BAD_BYTE.search(cell):
            shown = cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            return Reject(line, name, shown, "not UTF-8")
    return None


@contextmanager
def open_table(path: Path, max_bytes: int) -> Iterator[Table]:
    """Open a file by what it is, whatever it is called. Raises FileError, or TableError without a header."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise FileError(f"{path}: {size} bytes, more than the {max_bytes} that an import may have")
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            magic = head[:4]
            stream.seek(0)
            unpacked = max_bytes * MAX_EXPANSION
            if magic == _PARQUET_MAGIC:
                yield _parquet_table(stream, unpacked)
            elif magic.startswith(_GZIP_MAGIC):
                with gzip.open(stream) as unzipped:
                    yield _csv_table(cast(IO[bytes], unzipped), unpacked)
            elif magic == _ZIP_MAGIC:
                yield _workbook_table(stream, unpacked)
            elif magic == _OLE_MAGIC:
                reason = "an Excel file that is old or has a password; save it as .xlsx without one"
                raise TableError(Reject(1, "", "", reason))
            elif magic.startswith(_UTF16_BOMS):
                raise TableError(Reject(1, "", "", "the text is UTF-16; save it as UTF-8"))
            elif head.removeprefix(_BOM).lstrip()[:1] in (b"{", b"["):
                header, lines = document_table(stream, max_bytes)
                yield Table(header, lines, is_typed=True)
            else:
                yield _csv_table(stream, max_bytes)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error


def _csv_table(stream: IO[bytes], max_bytes: int) -> Table:
    lines = _csv_lines(stream, max_bytes)
    _, header = next(lines, (1, []))
    if not any(header):
        raise TableError(Reject(1, "", "", "the file is empty"))
    damage = _damaged_cell(header, header, 1)
    if damage:
        raise TableError(damage)
    return Table(header, lines)


def _csv_lines(stream: IO[bytes], max_bytes: int) -> Iterator[Line]:
    texts = _text_lines(stream, max_bytes)
    first = next(texts, "")
    # Where the comma stands before the decimals, the semicolon stands between the cells.
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(chain([first], texts), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise TableError(Reject(line, "", "", f"not CSV: {error}")) from error
        if cells is None:
            return
        if cells:
            yield line, cells


def _text_lines(stream: IO[bytes], max_bytes: int) -> Iterator[str]:
    """Decoded lines, bounded in length and in all. Bytes that are not UTF-8 are kept recognisable."""
    total, number = 0, 0
    while True:
        number += 1
        try:
            raw = stream.readline(MAX_LINE_BYTES + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TableError(Reject(number, "", "", f"the gzip file is damaged: {error}")) from error
        if not raw:
            return
        total += len(raw)
        if len(raw) > MAX_LINE_BYTES:
            raise TableError(Reject(number, "", "", f"longer than {MAX_LINE_BYTES} bytes"))
        if total > max_bytes:
            raise TableError(Reject(number, "", "", f"the file unpacks to more than {max_bytes} bytes"))
        yield raw.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")


def _workbook_table(stream: IO[bytes], max_bytes: int) -> Table:
    lines, remarks = workbook_rows(stream, max_bytes)
    line, header = next(lines, (1, []))
    if not any(header):
        raise TableError(Reject(1, "", "", "the first sheet is empty"))
    damage = _damaged_cell(header, header, line)
    if damage:
        raise TableError(damage)
    return Table(header, _padded(lines, len(header)), is_typed=True, remarks=remarks)


def _padded(lines: Iterator[Line], width: int) -> Iterator[Line]:
    """A sheet does not store the blank cells at the end of a row."""
    for line, cells in lines:
        yield line, cells + [""] * (width - len(cells))


def _parquet_table(stream: IO[bytes], max_bytes: int) -> Table:
    try:
        file = pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise TableError(Reject(1, "", "", f"the Parquet file is damaged: {error}")) from error
    groups = range(file.metadata.num_row_groups)
    encoded = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    # Repeated values hardly count in the encoded size; as CSV each would take a byte at least.
    if max(encoded, file.metadata.num_rows * file.metadata.num_columns) > max_bytes:
        raise TableError(Reject(1, "", "", f"the file unpacks to more than {max_bytes} bytes"))
    return Table(file.schema_arrow.names, _parquet_lines(file), is_typed=True)


def _parquet_lines(file: Any) -> Iterator[Line]:
    line = 1
    try:
        for batch in file.iter_batches(batch_size=PARQUET_ROWS):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                line += 1
                yield line, [typed_text(value) for value in values]
    except (pa.ArrowException, OSError) as error:
        raise TableError(Reject(line + 1, "", "", f"the Parquet file is damaged: {error}")) from error
