"""Rows of a CSV, gzipped CSV or Parquet file, one at a time, with true line numbers."""

import csv
import datetime as dt
import gzip
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from portfolios.imports.cells import Reading, Row
from portfolios.imports.report import Reject

logger = logging.getLogger(__name__)

# What a packed file may unpack to, in times the largest file. A year of bars packs about four times.
MAX_EXPANSION = 5
MAX_LINE_BYTES = 1_000_000
PARQUET_ROWS = 50_000
PROGRESS_ROWS = 100_000

_GZIP_MAGIC, _PARQUET_MAGIC = b"\x1f\x8b", b"PAR1"
# What `surrogateescape` makes of a byte that is not UTF-8.
_BAD_BYTE = re.compile("[\udc80-\udcff]")

Line = tuple[int, list[str]]


class FileError(Exception):
    """The file cannot be opened at all, or may not."""


class TableError(Exception):
    """The file cannot be read as a table; `rejects` say where and why."""

    def __init__(self, *rejects: Reject) -> None:
        super().__init__("; ".join(str(reject) for reject in rejects))
        self.rejects = list(rejects)


class Table:
    """The header and the rows below it."""

    def __init__(self, header: Sequence[str], lines: Iterator[Line]) -> None:
        names = [name.strip().lower() for name in header]
        # The ECB ends every line with a comma.
        while names and not names[-1]:
            names.pop()
        self.header = names
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

    def rows(self, reading: Reading) -> Iterator[Row | Reject]:
        """Rows in file order. One that does not fit the header, or holds bytes that are no text, a Reject"""
        width = len(self.header)
        for count, (line, cells) in enumerate(self._lines, start=1):
            if count % PROGRESS_ROWS == 0:
                logger.info("%d rows read", count)
            if len(cells) > width and not any(cells[width:]):
                cells = cells[:width]
            if len(cells) < width:
                missing = self.header[len(cells)]
                yield Reject(line, missing, "", f"{len(cells)} cells, but the header has {width} columns")
            elif len(cells) > width:
                yield Reject(
                    line, "", cells[width], f"{len(cells)} cells, but the header has {width} columns"
                )
            else:
                damage = _damaged_cell(self.header, cells, line)
                yield damage or Row(line, dict(zip(self.header, cells, strict=True)), reading)


def _damaged_cell(header: Sequence[str], cells: Sequence[str], line: int) -> Reject | None:
    whole = "".join(cells)
    if whole.isascii() and "\0" not in whole:
        return None
    for name, cell in zip(header, cells, strict=True):
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
            magic = stream.read(4)
            stream.seek(0)
            unpacked = max_bytes * MAX_EXPANSION
            if magic == _PARQUET_MAGIC:
                yield _parquet_table(stream, unpacked)
            elif magic.startswith(_GZIP_MAGIC):
                with gzip.open(stream) as unzipped:
                    yield _csv_table(cast(IO[bytes], unzipped), unpacked)
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
    reader = csv.reader(_text_lines(stream, max_bytes), strict=True)
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
    return Table(file.schema_arrow.names, _parquet_lines(file))


def _parquet_lines(file: Any) -> Iterator[Line]:
    line = 1
    try:
        for batch in file.iter_batches(batch_size=PARQUET_ROWS):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                line += 1
                yield line, [_cell_text(value) for value in values]
    except (pa.ArrowException, OSError) as error:
        raise TableError(Reject(line + 1, "", "", f"the Parquet file is damaged: {error}")) from error


def _cell_text(value: Any) -> str:
    """A typed value as it would stand in a CSV file; null and NaN are blank."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        number = Decimal(repr(value))
        return format(number, "f") if number.is_finite() else repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat()
    return value.isoformat() if isinstance(value, dt.date) else str(value)
