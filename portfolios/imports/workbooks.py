"""The first sheet of an Excel workbook as lines of text, read only after its zip directory was found sane."""

import datetime as dt
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any, ClassVar

from defusedxml.common import DefusedXmlException
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from portfolios.imports.cells import typed_text
from portfolios.imports.errors import TableError
from portfolios.imports.report import Reject

MAX_PARTS = 1_000
# Sheets of numbers pack five to twenty times; below this size no ratio does harm.
MAX_RATIO = 100
SMALL_PART_BYTES = 1_000_000
# These parts are held in memory whole.
MAX_STRINGS_BYTES = 50_000_000
MAX_ROWS = 1_048_576
MAX_COLUMNS = 256
# What Excel itself keeps of a number.
SIGNIFICANT_DIGITS = 15
_NESTED = re.compile(r"\.(zip|xlsx|xlsm|xlsb|gz|7z|rar)$", re.IGNORECASE)
_SHEET = re.compile(r"xl/worksheets/.*\.xml", re.IGNORECASE)
# What openpyxl and the parsers below it raise on parts that are missing, cut or no XML.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,  # of XML, by whichever parser openpyxl found
    DefusedXmlException,
    InvalidFileException,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
)

Line = tuple[int, list[str]]


class NoValue(str):
    """A cell without a value of its own; the row is refused for `reason`. Its text cannot stand in a file."""

    MARK: ClassVar[str] = "\ufdd0"
    shown: str
    reason: str

    def __new__(cls, shown: str, reason: str) -> "NoValue":
        cell = super().__new__(cls, cls.MARK)
        cell.shown, cell.reason = shown, reason
        return cell


def workbook_rows(stream: IO[bytes], max_bytes: int) -> tuple[Iterator[Line], list[str]]:
    """Lines that are not blank, by their number in the sheet, and what is to be said of the rest.

    `max_bytes`: what the workbook may unpack to. Raises TableError.
    """
    _check_directory(stream, max_bytes)
    try:
        with warnings.catch_warnings():
            # Of styles and extensions that do not matter to the values.
            warnings.simplefilter("ignore")
            book = load_workbook(stream, read_only=True, keep_links=False)
            sheets = book.worksheets
    except _DAMAGE as error:
        raise _damaged(error) from error
    if not sheets:
        raise TableError(Reject(1, "", "", "the workbook has no sheet"))
    sheet: Any = sheets[0]
    others = [other.title for other in sheets[1:]]
    remarks = [f"only the first sheet, {sheet.title}, is read; not {', '.join(others)}"] if others else []
    return _lines(sheet), remarks


def _check_directory(stream: IO[bytes], max_bytes: int) -> None:
    """Refuse what would unpack to more than it may. A part is never unpacked beyond its stated size."""
    try:
        with zipfile.ZipFile(stream) as packed:
            parts = packed.infolist()
    except _DAMAGE as error:
        raise _damaged(error) from error
    fault = _directory_fault(parts, max_bytes)
    if fault:
        raise TableError(Reject(1, "", "", fault))
    stream.seek(0)


def _directory_fault(parts: list[zipfile.ZipInfo], max_bytes: int) -> str:
    if len(parts) > MAX_PARTS:
        return f"the workbook has more than {MAX_PARTS} parts"
    if sum(part.file_size for part in parts) > max_bytes:
        return f"the file unpacks to more than {max_bytes} bytes"
    if "xl/workbook.xml" not in {part.filename for part in parts}:
        return "a zip file, but no Excel workbook"
    for part in parts:
        if part.flag_bits & 1:
            return "the workbook is encrypted"
        if _NESTED.search(part.filename):
            return f"the workbook holds another file, {part.filename}"
        if part.file_size > SMALL_PART_BYTES and part.file_size > MAX_RATIO * part.compress_size:
            return f"{part.filename} unpacks to more than {MAX_RATIO} times its size"
        if part.file_size > MAX_STRINGS_BYTES and not _SHEET.fullmatch(part.filename):
            return f"{part.filename} unpacks to more than {MAX_STRINGS_BYTES} bytes"
    return ""


def _lines(sheet: Any) -> Iterator[Line]:
    # What a sheet says of its own size may be wrong; its rows are not.
    sheet.reset_dimensions()
    line = 0
    try:
        for line, cells in enumerate(sheet.iter_rows(), start=1):
            if line > MAX_ROWS or len(cells) > MAX_COLUMNS:
                reason = f"more than {MAX_ROWS} rows or {MAX_COLUMNS} columns"
                raise TableError(Reject(line, "", "", reason))
            texts = [_text(cell) for cell in cells]
            while texts and not texts[-1]:
                texts.pop()
            if texts:
                yield line, texts
    except _DAMAGE as error:
        raise _damaged(error, line + 1) from error


def _text(cell: Any) -> str:
    value = cell.value
    if cell.data_type == "f":
        return NoValue(str(getattr(value, "text", value)), "a formula, not a value")
    if cell.data_type == "e":
        return NoValue(str(value), "an error of Excel, not a value")
    if isinstance(value, float):
        return format(Decimal(f"{value:.{SIGNIFICANT_DIGITS}g}"), "f") if _is_finite(value) else repr(value)
    if isinstance(value, dt.time):
        return value.isoformat()
    return typed_text(value)


def _is_finite(value: float) -> bool:
    return value - value == 0


def _damaged(error: Exception, line: int = 1) -> TableError:
    return TableError(Reject(line, "", "", f"the Excel file is damaged: {error}"))
