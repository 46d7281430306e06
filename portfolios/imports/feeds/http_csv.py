"""Prices by HTTP, one CSV file an asset, in the layout `Date,Open,High,Low,Close,Volume`."""

import csv
import datetime as dt
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from portfolios.imports.cells import FIRST_YEAR, Reading
from portfolios.imports.feeds.addresses import FeedAddress
from portfolios.imports.feeds.protocol import (
    Delivery,
    Failure,
    FeedClosed,
    FeedError,
    FetchLimits,
    Target,
    Wanted,
)
from portfolios.imports.feeds.web import Unreachable, Web
from portfolios.imports.report import Reject
from portfolios.imports.table import FileError, Table, TableError, open_table

FIGURES = ("open", "high", "low", "close", "volume")
OWN_HEADER = ("symbol", "date", *FIGURES)
# Symbols in a row without any answer: the source is down, and each of the others would wait as long.
MAX_UNREACHABLE = 3
SHOWN = 80

_NOT_A_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


class HttpCsvFeed:
    target: Target = "prices"

    def __init__(self, address: FeedAddress, limits: FetchLimits) -> None:
        self.is_split_adjusted = address.is_adjusted
        self._address = address
        self._limits = limits

    def fetch(self, wanted: Sequence[Wanted], through: dt.date, folder: Path) -> Iterator[Delivery | Failure]:
        web, closed, unreachable = Web(self._limits), "", 0
        try:
            for symbol, start in wanted:
                theirs = self._address.symbol_of(symbol)
                if not theirs:
                    continue
                if closed:
                    yield Failure(symbol, f"not asked for: {closed}")
                    continue
                url = self._address.url(theirs, start or dt.date(FIRST_YEAR, 1, 1), through)
                try:
                    yield Delivery(symbol, self._fetch_one(web, url, symbol, folder))
                    unreachable = 0
                except FeedError as error:
                    unreachable = unreachable + 1 if isinstance(error, Unreachable) else 0
                    if isinstance(error, FeedClosed) or unreachable == MAX_UNREACHABLE:
                        closed = str(error)
                    yield Failure(symbol, str(error))
        finally:
            web.close()

    def _fetch_one(self, web: Web, url: str, symbol: str, folder: Path) -> Path:
        answer, path = folder / "answer", folder / f"{_NOT_A_FILE_NAME.sub('_', symbol)}.csv"
        web.download(url, answer)
        _check_words(answer)
        try:
            with open_table(answer, self._limits.max_bytes) as table:
                _write_own_layout(table, symbol, path)
        except TableError as error:
            raise FeedError(str(error)) from error
        except FileError as error:
            raise FeedError("the answer cannot be read") from error
        return path


def _check_words(answer: Path) -> None:
    """Sources say in words what they do not give, under the same HTTP 200."""
    with answer.open("rb") as file:
        first = file.readline(1000).decode("utf-8-sig", "replace").strip()
    words = first.lower()
    if not words:
        raise FeedError("the answer is empty")
    if words.startswith("<"):
        raise FeedError("a web page instead of CSV")
    if "limit" in words and "exceeded" in words:
        raise FeedClosed(f"the source says: {first[:SHOWN]}")
    if words.startswith("no data"):
        raise FeedError("the source has no data for these days")


def _write_own_layout(table: Table, symbol: str, path: Path) -> None:
    """Line by line, so that a reject names the line of the source's own file."""
    if not {"date", "close"} <= set(table.header):
        raise FeedError(f"no columns date and close, but: {', '.join(table.header)[:SHOWN]}")
    repeated = {name for name in table.header if table.header.count(name) > 1}
    if repeated:
        raise FeedError(f"column {', '.join(sorted(repeated))} stands there twice")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(OWN_HEADER)
        is_empty = True
        for row in table.rows(Reading()):
            if isinstance(row, Reject):
                raise FeedError(str(row))
            writer.writerow((symbol, row.cell("date"), *(row.cell(name) for name in FIGURES)))
            is_empty = False
    if is_empty:
        raise FeedError("the source has no data for these days")
