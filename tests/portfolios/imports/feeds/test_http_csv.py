"""Prices by HTTP: what comes as CSV is passed on in our layout, what does not is named, symbol by symbol."""

import datetime as dt
from pathlib import Path

import pytest

from portfolios.imports.feeds.addresses import FeedAddress
from portfolios.imports.feeds.http_csv import HttpCsvFeed
from portfolios.imports.feeds.protocol import Delivery, Failure, FetchLimits, Wanted
from tests.support.market import HEADER, Answer, Market, csv_answer

LIMITS = FetchLimits(max_bytes=10_000, timeout=0.4, attempts=2, backoff=0)
START, TODAY = dt.date(2024, 1, 2), dt.date(2024, 1, 31)
OWN_HEADER = "symbol,date,open,high,low,close,volume"


def fetch(
    market: Market,
    folder: Path,
    *symbols: str,
    start: dt.date | None = START,
    names: dict[str, str] | None = None,
) -> dict[str, str]:
    """What came, by symbol: the text of the file, or the reason why there is none."""
    feed = HttpCsvFeed(FeedAddress("web", "http", market.template, names or {}), LIMITS)
    found = {}
    for item in feed.fetch([Wanted(symbol, start) for symbol in symbols], TODAY, folder):
        found[item.subject] = item.path.read_text() if isinstance(item, Delivery) else item.reason
    return found


def test_rows_come_in_our_layout(market: Market, tmp_path: Path) -> None:
    market.quote("AAA", "2024-01-02", "10.5")
    market.quote("AAA", "2024-01-03", "10.75")
    assert fetch(market, tmp_path, "AAA") == {
        "AAA": f"{OWN_HEADER}\nAAA,2024-01-02,1,2,0.5,10.5,1000\nAAA,2024-01-03,1,2,0.5,10.75,1000\n"
    }
    assert market.questions == [("AAA", "20240102", "20240131")]


def test_an_asset_without_bars_is_asked_for_from_the_beginning(market: Market, tmp_path: Path) -> None:
    market.quote("AAA", "1999-01-04", "1")
    assert "1999-01-04" in fetch(market, tmp_path, "AAA", start=None)["AAA"]
    assert market.questions == [("AAA", "19000101", "20240131")]


@pytest.mark.parametrize(
    ("lines", "row"),
    [
        (("close,date", "5,2024-01-02"), "AAA,2024-01-02,,,,5,"),
        (("DATE, Close ,Adj Close,Open", "2024-01-02,5,4.9,3"), "AAA,2024-01-02,3,,,5,"),
        (("\ufeffDate,Close", "2024-01-02,5"), "AAA,2024-01-02,,,,5,"),
        (("Date,Close,", "2024-01-02,5,"), "AAA,2024-01-02,,,,5,"),
        # What a value means is the import's business, which names the line.
        (("Date,Close", "yesterday,-5"), "AAA,yesterday,,,,-5,"),
    ],
)
def test_columns_are_found_by_name(market: Market, tmp_path: Path, lines: tuple[str, ...], row: str) -> None:
    market.script["AAA"] = [csv_answer(*lines)]
    assert fetch(market, tmp_path, "AAA") == {"AAA": f"{OWN_HEADER}\n{row}\n"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (csv_answer("<!DOCTYPE html><html>", "<p>Please log in</p>"), "a web page instead of CSV"),
        (csv_answer("  <html>"), "a web page instead of CSV"),
        (csv_answer("No data"), "the source has no data for these days"),
        (csv_answer(HEADER), "the source has no data for these days"),
        (Answer(), "the answer is empty"),
        (csv_answer("", ""), "the answer is empty"),
        (csv_answer("Date,Price", "2024-01-02,5"), "no columns date and close, but: date, price"),
        (csv_answer("Access denied"), "no columns date and close, but: access denied"),
        (csv_answer("Date,Close,Close", "2024-01-02,5,6"), "column close stands there twice"),
        (
            csv_answer(HEADER, "2024-01-02,1,2,0.5"),
            "line 2, column close: 4 cells, but the header has 6 columns",
        ),
        (Answer(body=b"Date,Close\n2024-01-02,\xff5\n"), r"line 2, column close: not UTF-8 (\xff5)"),
        (Answer(body=b"Date,Close\n2024-01-02,5" + b" " * 10_000), "the answer is larger than 10000 bytes"),
        (Answer(404), "HTTP 404"),
    ],
)
def test_one_bad_symbol_among_good_ones(market: Market, tmp_path: Path, answer: Answer, reason: str) -> None:
    market.quote("AAA", "2024-01-02", "1")
    market.quote("CCC", "2024-01-02", "3")
    market.script["BBB"] = [answer]
    found = fetch(market, tmp_path, "AAA", "BBB", "CCC")
    assert found["BBB"] == reason
    assert found["AAA"].endswith("AAA,2024-01-02,1,2,0.5,1,1000\n")
    assert found["CCC"].endswith("CCC,2024-01-02,1,2,0.5,3,1000\n")


def test_a_used_up_quota_ends_the_questions(market: Market, tmp_path: Path) -> None:
    market.quote("AAA", "2024-01-02", "1")
    market.quote("CCC", "2024-01-02", "3")
    market.script["BBB"] = [csv_answer("Exceeded the daily hits limit")]
    found = fetch(market, tmp_path, "AAA", "BBB", "CCC")
    assert found["AAA"].startswith(OWN_HEADER)
    assert found["BBB"] == "the source says: Exceeded the daily hits limit"
    assert found["CCC"] == "not asked for: the source says: Exceeded the daily hits limit"
    assert [symbol for symbol, _, _ in market.questions] == ["AAA", "BBB"]


def test_a_source_that_is_down_is_given_up(market: Market, tmp_path: Path) -> None:
    """One symbol without an answer may be bad luck, three in a row are not."""
    for symbol in ("BBB", "CCC", "DDD"):
        market.script[symbol] = [Answer(hangs_up=True)] * 9
    found = fetch(market, tmp_path, "BBB", "CCC", "DDD", "EEE", "FFF")
    assert [reason.split(" (")[0] for reason in found.values()] == [
        *["the connection failed"] * 3,
        *["not asked for: the connection failed"] * 2,
    ]
    assert {symbol for symbol, _, _ in market.questions} == {"BBB", "CCC", "DDD"}


def test_an_answer_in_between_is_a_sign_of_life(market: Market, tmp_path: Path) -> None:
    for symbol in ("AAA", "BBB", "DDD", "EEE"):
        market.script[symbol] = [Answer(hangs_up=True)] * 9
    fetch(market, tmp_path, "AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
    assert [symbol for symbol, _, _ in market.questions][-1] == "FFF"


def test_symbols_as_the_source_calls_them(market: Market, tmp_path: Path) -> None:
    for symbol in ("AAA.us", "^spx"):
        market.quote(symbol, "2024-01-02", "1")
    names = {"*": "{symbol}.us", "SPX": "^spx", "OWN": ""}
    found = fetch(market, tmp_path, "AAA", "SPX", "OWN", names=names)
    assert [text.splitlines()[1].split(",")[0] for text in found.values()] == ["AAA", "SPX"]
    assert [symbol for symbol, _, _ in market.questions] == ["AAA.us", "^spx"]


def test_a_symbol_cannot_leave_its_place(market: Market, tmp_path: Path) -> None:
    """Neither in the address nor in the folder."""
    market.quote("../A&to=1", "2024-01-02", "1")
    feed = HttpCsvFeed(FeedAddress("web", "http", market.template), LIMITS)
    [found] = feed.fetch([Wanted("../A&to=1", START)], TODAY, tmp_path)
    assert isinstance(found, Delivery)
    assert found.path.parent == tmp_path
    assert market.questions == [("../A&to=1", "20240102", "20240131")]


def test_whether_prices_are_adjusted_is_said_by_the_kind(market: Market) -> None:
    assert HttpCsvFeed(FeedAddress("web", "http-adjusted", market.template), LIMITS).is_split_adjusted
    assert not HttpCsvFeed(FeedAddress("web", "http", market.template), LIMITS).is_split_adjusted


def test_reasons_hold_no_address(market: Market, tmp_path: Path) -> None:
    feed = HttpCsvFeed(FeedAddress("web", "http", market.template + "&key=SECRET"), LIMITS)
    market.script["AAA"] = [Answer(hangs_up=True)] * 9
    [found] = feed.fetch([Wanted("AAA", START)], TODAY, tmp_path)
    assert isinstance(found, Failure)
    assert "SECRET" not in found.reason
