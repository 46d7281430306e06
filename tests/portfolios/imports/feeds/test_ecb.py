"""The ECB's file: as CSV or zip, from a path or the web, cut to the days that were asked for."""

import datetime as dt
import io
import zipfile
from pathlib import Path

import pytest

from portfolios.imports.feeds.addresses import FeedAddress
from portfolios.imports.feeds.ecb import EcbFeed
from portfolios.imports.feeds.protocol import Delivery, FeedError, FetchLimits, Wanted
from tests.support.market import Answer, Market

LIMITS = FetchLimits(max_bytes=10_000, timeout=1, attempts=2, backoff=0)
TODAY = dt.date(2024, 1, 31)
FILE = b"""Date,USD,JPY,CYP,
2024-01-04,1.0953,158.2,N/A,
2024-01-03,1.0919,156.2,N/A,
2024-01-02,1.0956,155.9,0.58,
"""
USD, JPY = Wanted("USD", dt.date(2024, 1, 3)), Wanted("JPY", None)


def fetch(location: object, folder: Path, *wanted: Wanted) -> str:
    feed = EcbFeed(FeedAddress("ecb", "ecb", str(location)), LIMITS)
    [found] = feed.fetch(wanted or [USD, JPY], TODAY, folder)
    assert isinstance(found, Delivery)
    assert found.subject == "EUR"
    return found.path.read_text()


def write(folder: Path, content: bytes) -> Path:
    path = folder / "source"
    path.write_bytes(content)
    return path


def zipped(*contents: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.csv", content)
    return packed.getvalue()


def with_a_wrong_byte(content: bytes) -> bytes:
    return content[:60] + bytes([content[60] ^ 0xFF]) + content[61:]


@pytest.mark.parametrize("content", [FILE, zipped(FILE)])
@pytest.mark.parametrize("is_local", [True, False])
def test_each_currency_from_its_own_day(
    market: Market, tmp_path: Path, content: bytes, is_local: bool
) -> None:
    market.script["/hist"] = [Answer(body=content)]
    location = write(tmp_path, content) if is_local else f"{market.root}/hist"
    assert fetch(location, tmp_path) == (
        "Date,USD,JPY\n2024-01-04,1.0953,158.2\n2024-01-03,1.0919,156.2\n2024-01-02,,155.9\n"
    )
    assert len(market.paths) == (not is_local)


def test_days_on_which_nothing_is_wanted_are_left_out(tmp_path: Path) -> None:
    assert fetch(write(tmp_path, FILE), tmp_path, USD) == "Date,USD\n2024-01-04,1.0953\n2024-01-03,1.0919\n"
    nothing_new = Wanted("USD", dt.date(2024, 1, 5))
    assert fetch(write(tmp_path, FILE), tmp_path, nothing_new) == "Date,USD\n"


def test_the_file_of_the_latest_day_writes_its_date_out(tmp_path: Path) -> None:
    latest = b"Date, USD, JPY, \n04 January 2024, 1.0953, 158.2, \n"
    assert fetch(write(tmp_path, latest), tmp_path) == "Date,USD,JPY\n2024-01-04,1.0953,158.2\n"


@pytest.mark.parametrize("day", ["04 Janvier 2024", "1/4/2024", "2024-13-45"])
def test_what_is_no_date_is_left_for_the_import_to_name(tmp_path: Path, day: str) -> None:
    content = f"Date,USD\n{day},1.1\n".encode()
    assert fetch(write(tmp_path, content), tmp_path, USD) == f"Date,USD\n{day},1.1\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1: the file is empty"),
        (b"Date,USD\n", "the file holds no day"),
        (b"<html>\n", "not the file of the ECB: its first column is not the date"),
        (b"Date,CYP\n2007-01-02,0.58\n", "not the file of the ECB: no column, or two, for a currency"),
        (b"Date,USD,USD\n2024-01-02,1,2\n", "not the file of the ECB: no column, or two, for a currency"),
        (b"Date,USD,JPY\n2024-01-02,1\n", "line 2, column jpy: 2 cells, but the header has 3 columns"),
        (zipped(FILE, FILE), "the archive holds 2 files, not one"),
        (zipped(b"Date,USD\n" * 2_000), "the archive unpacks to more than 10000 bytes"),
        (with_a_wrong_byte(zipped(FILE)), "the archive is damaged: "),
    ],
)
def test_what_is_not_the_file(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(FeedError) as caught:
        fetch(write(tmp_path, content), tmp_path)
    assert str(caught.value).startswith(reason)


def test_no_file(market: Market, tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="No such file or directory"):
        fetch(tmp_path / "absent", tmp_path)
    market.script["/hist"] = [Answer(404)]
    with pytest.raises(FeedError, match="HTTP 404"):
        fetch(f"{market.root}/hist", tmp_path)
