"""The reference rates of the European Central Bank, from its own wide file: zip or CSV, local or not."""

import csv
import datetime as dt
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from portfolios.imports.cells import Reading, read_date
from portfolios.imports.feeds.addresses import FeedAddress, is_web_address
from portfolios.imports.feeds.protocol import Delivery, Failure, FeedError, FetchLimits, Target, Wanted
from portfolios.imports.feeds.web import Web
from portfolios.imports.report import Reject
from portfolios.imports.table import FileError, Table, TableError, open_table

BASE = "EUR"
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
# The file of the latest day alone says "20 November 2026".
_LONG_DATE = re.compile(r"(\d{1,2}) ([A-Za-z]+) (\d{4})", re.ASCII)


class EcbFeed:
    """One file for all currencies. Each from the day asked for; those not asked for are left out."""

    target: Target = "exchange_rates"
    is_split_adjusted = False

    def __init__(self, address: FeedAddress, limits: FetchLimits) -> None:
        self._location = address.location
        self._limits = limits

    def fetch(self, wanted: Sequence[Wanted], through: dt.date, folder: Path) -> Iterator[Delivery | Failure]:
        starts = {symbol.lower(): start for symbol, start in wanted if symbol != BASE}
        path = folder / "ecb.csv"
        try:
            with open_table(self._file(folder), self._limits.max_bytes) as table:
                _write_wanted(table, starts, path)
        except TableError as error:
            raise FeedError(str(error)) from error
        except FileError as error:
            raise FeedError(f"the file cannot be read: {error}") from error
        yield Delivery(BASE, path)

    def _file(self, folder: Path) -> Path:
        path = Path(self._location)
        if is_web_address(self._location):
            path, web = folder / "answer", Web(self._limits)
            try:
                web.download(self._location, path)
            finally:
                web.close()
        return _unzipped(path, folder, self._limits.max_bytes) if zipfile.is_zipfile(path) else path


def _unzipped(path: Path, folder: Path, max_bytes: int) -> Path:
    """The only file of the archive, bounded by what it really unpacks to."""
    target, size = folder / "unzipped", 0
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise FeedError(f"the archive holds {len(names)} files, not one")
            with archive.open(names[0]) as packed, target.open("wb") as file:
                while block := packed.read(65_536):
                    size += len(block)
                    if size > max_bytes:
                        raise FeedError(f"the archive unpacks to more than {max_bytes} bytes")
                    file.write(block)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise FeedError(f"the archive is damaged: {error}") from error
    return target


def _write_wanted(table: Table, starts: dict[str, dt.date | None], path: Path) -> None:
    if table.header[:1] != ["date"]:
        raise FeedError("not the file of the ECB: its first column is not the date")
    codes = [name for name in table.header if name in starts]
    if not codes or len(set(codes)) < len(codes):
        raise FeedError("not the file of the ECB: no column, or two, for a currency")
    is_empty = True
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("Date", *(code.upper() for code in codes)))
        for row in table.rows(Reading()):
            if isinstance(row, Reject):
                raise FeedError(str(row))
            is_empty = False
            day = _iso_date(row.cell("date"))
            cells = [row.cell(code) if _is_wanted(day, starts[code]) else "" for code in codes]
            if any(cells):
                writer.writerow((day, *cells))
    if is_empty:
        raise FeedError("the file holds no day")


def _is_wanted(day: str, start: dt.date | None) -> bool:
    try:
        return start is None or read_date(day) >= start
    except ValueError:
        return True  # the import will name it


def _iso_date(text: str) -> str:
    match = _LONG_DATE.fullmatch(text)
    if match is None or match[2].lower() not in MONTHS:
        return text
    return f"{match[3]}-{MONTHS.index(match[2].lower()) + 1:02}-{int(match[1]):02}"
