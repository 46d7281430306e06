"""Feeds from the question to the stored row, against a real server on this machine."""

import datetime as dt
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from portfolio_site.kernel import clock
from portfolios.imports.feeds.addresses import addresses_read
from portfolios.imports.report import ImportReport
from portfolios.models import Asset, AuditEvent, ExchangeRate, ImportBatch, PriceBar, StaleMark
from portfolios.services import feeds
from portfolios.services.audit import audit_verify
from portfolios.services.feeds import FeedLine, UnknownFeed, feeds_refresh
from portfolios.tasks import fetch_prices
from tests.support.factories import make_asset, make_exchange_rate, make_user
from tests.support.imports import nothing_written, write_file
from tests.support.market import HEADER, Answer, Market, csv_answer, open_market
from tests.support.threads import together

pytestmark = pytest.mark.django_db

TODAY = dt.date(2024, 1, 31)
OWN_HEADER = "symbol,date,open,high,low,close,volume"


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Market]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(clock, "today", lambda: TODAY)
    settings.PRICE_FEED_TIMEOUT, settings.PRICE_FEED_ATTEMPTS, settings.PRICE_FEED_BACKOFF = 2, 3, 0
    settings.PRICE_FEED_OVERLAP_DAYS = 5
    with open_market() as found:
        configure(settings, f"web=http:{found.template}")
        yield found


@pytest.fixture
def assets() -> list[Asset]:
    return [make_asset("AAA"), make_asset("BBB"), make_asset("OLD", is_active=False)]


def configure(settings: Any, *entries: str, symbols: tuple[str, ...] = ()) -> None:
    settings.PRICE_FEEDS = addresses_read("PRICE_FEEDS", entries, "PRICE_FEED_SYMBOLS", symbols)


def counts(line: FeedLine) -> tuple[str, int, int, int, int, int, str]:
    """Subject; fetched, created, updated, unchanged, rejected; reason of the failure."""
    stored = line.stored
    return (
        line.subject,
        stored.read,
        stored.created,
        stored.updated,
        stored.unchanged,
        len(stored.rejected),
        line.failed,
    )


def refresh(*names: str) -> list[tuple[str, int, int, int, int, int, str]]:
    return [counts(line) for line in feeds_refresh(names or None).lines]


def closes(symbol: str) -> dict[str, Decimal]:
    bars = PriceBar.objects.filter(asset__symbol=symbol).order_by("date")
    return {day.isoformat(): close for day, close in bars.values_list("date", "close")}


def test_without_feeds_the_command_says_what_to_set(settings: Any) -> None:
    settings.PRICE_FEEDS = {}
    out = StringIO()
    with nothing_written():
        call_command("fetch_prices", stdout=out)
    assert out.getvalue().startswith(
        "PRICE_FEEDS names no feed, so nothing was fetched. Set it to name=kind:"
    )
    out = StringIO()
    call_command("fetch_prices", "--format", "json", stdout=out)
    assert json.loads(out.getvalue()) == {"has_failed": False, "lines": []}


def test_prices_are_stored_as_from_any_file(market: Market, assets: list[Asset]) -> None:
    market.quote("AAA", "2024-01-29", "10")
    market.quote("AAA", "2024-01-30", "11")
    market.quote("BBB", "2024-01-30", "20")
    ann = make_user("ann")
    report = feeds_refresh(actor=ann)
    assert [counts(line) for line in report.lines] == [
        ("AAA", 2, 2, 0, 0, 0, ""),
        ("BBB", 1, 1, 0, 0, 0, ""),
    ]
    assert not report.failures
    assert closes("AAA") == {"2024-01-29": 10, "2024-01-30": 11}
    bar = PriceBar.objects.get(asset__symbol="BBB")
    assert (bar.source, bar.adjusted_through, bar.volume) == ("web", None, 1000)
    assert list(StaleMark.objects.values_list("asset__symbol", "from_date", "cause")) == [
        ("AAA", dt.date(2024, 1, 29), "price"),
        ("BBB", dt.date(2024, 1, 30), "price"),
    ]
    assert list(ImportBatch.objects.order_by("id").values_list("file_name", "created")) == [
        ("AAA.csv", 2),
        ("BBB.csv", 1),
    ]
    assert set(AuditEvent.objects.values_list("action", "actor")) == {("prices.imported", "ann")}
    assert audit_verify().is_intact


def test_a_second_time_asks_for_the_last_days_and_adds_nothing(market: Market, assets: list[Asset]) -> None:
    market.quote("AAA", "2020-01-02", "9")
    market.quote("AAA", "2024-01-30", "11")
    market.quote("BBB", "2024-01-30", "20")
    refresh()
    assert market.questions == [("AAA", "19000101", "20240131"), ("BBB", "19000101", "20240131")]
    market.questions.clear()
    with nothing_written():
        assert refresh() == [("AAA", 1, 0, 0, 1, 0, ""), ("BBB", 1, 0, 0, 1, 0, "")]
    assert market.questions == [("AAA", "20240126", "20240131"), ("BBB", "20240126", "20240131")]


def test_a_correction_within_the_overlap_is_taken_and_marked(market: Market, assets: list[Asset]) -> None:
    for day in ("2024-01-20", "2024-01-29", "2024-01-30"):
        market.quote("AAA", day, "10")
        market.quote("BBB", day, "20")
    refresh()
    StaleMark.objects.all().delete()
    market.quote("AAA", "2024-01-29", "10.5")
    market.quote("AAA", "2024-01-31", "12")
    # Before the overlap; nobody asks for it.
    market.quote("BBB", "2024-01-20", "99")
    assert refresh() == [("AAA", 3, 1, 1, 1, 0, ""), ("BBB", 2, 0, 0, 2, 0, "")]
    assert closes("AAA") == {
        "2024-01-20": 10,
        "2024-01-29": Decimal("10.5"),
        "2024-01-30": 10,
        "2024-01-31": 12,
    }
    assert closes("BBB")["2024-01-20"] == 20
    assert [(mark.asset, mark.from_date) for mark in StaleMark.objects.all()] == [
        (assets[0], dt.date(2024, 1, 29))
    ]


def test_a_symbol_that_fails_is_named_and_the_others_are_stored(market: Market) -> None:
    for symbol in ("AAA", "BBB", "CCC", "DDD", "EEE"):
        make_asset(symbol)
        market.quote(symbol, "2024-01-30", "10")
    market.script["BBB"] = [Answer(404)]
    market.script["CCC"] = [Answer(503)] * 2
    market.script["DDD"] = [csv_answer(HEADER, "2024-01-29,1,1,1,0,1", "2024-01-30,1,1,1,7,1")]
    report = feeds_refresh()
    assert [counts(line) for line in report.lines] == [
        ("AAA", 1, 1, 0, 0, 0, ""),
        ("BBB", 0, 0, 0, 0, 0, "HTTP 404"),
        ("CCC", 1, 1, 0, 0, 0, ""),
        ("DDD", 2, 1, 0, 0, 1, ""),
        ("EEE", 1, 1, 0, 0, 0, ""),
    ]
    assert [line.subject for line in report.failures] == ["BBB", "DDD"]
    [reject] = report.failures[1].stored.rejected
    assert str(reject) == "line 2, column close: must be above 0 (0)"
    assert set(PriceBar.objects.values_list("asset__symbol", "close")) == {
        ("AAA", 10),
        ("CCC", 10),
        ("DDD", 7),
        ("EEE", 10),
    }


def test_a_failure_changes_nothing(market: Market, assets: list[Asset]) -> None:
    market.script["AAA"] = [Answer(503)] * 9
    market.script["BBB"] = [csv_answer("<html>")]
    with nothing_written():
        assert refresh() == [
            ("AAA", 0, 0, 0, 0, 0, "HTTP 503"),
            ("BBB", 0, 0, 0, 0, 0, "a web page instead of CSV"),
        ]


def test_adjusted_prices_say_so(market: Market, assets: list[Asset], settings: Any) -> None:
    configure(settings, f"web=http-adjusted:{market.template}", symbols=("web/BBB=",))
    market.quote("AAA", "2024-01-29", "10")
    market.quote("AAA", "2024-01-30", "10")
    refresh()
    assert set(PriceBar.objects.values_list("adjusted_through", flat=True)) == {dt.date(2024, 1, 30)}


def test_a_symbol_of_two_assets_is_not_asked_for(market: Market, settings: Any) -> None:
    for exchange in ("XNYS", "XLON"):
        make_asset("TWO", exchange=exchange)
    with nothing_written():
        assert refresh() == [("TWO", 0, 0, 0, 0, 0, "ambiguous symbol")]
        configure(settings, f"web=http:{market.template}", symbols=("web/TWO=",))
        assert refresh() == []
    assert market.questions == []


def test_a_folder_gives_all_its_files(
    market: Market, assets: list[Asset], settings: Any, tmp_path: Path
) -> None:
    configure(settings, f"files=folder:{tmp_path}")
    write_file(tmp_path, OWN_HEADER, "AAA,2024-01-29,,,,10,", "BBB,2024-01-29,,,,20,", name="all.csv")
    write_file(tmp_path, OWN_HEADER, "AAA,2024-01-30,,,,11,", "XXX,2024-01-30,,,,9,", name="aaa.CSV")
    write_file(tmp_path, "nothing", "at all", name="broken.csv")
    for ignored in (".being-written.csv", "notes.txt"):
        write_file(tmp_path, "nothing", name=ignored)
    report = feeds_refresh()
    assert [counts(line) for line in report.lines] == [
        ("aaa.CSV", 2, 1, 0, 0, 1, ""),
        ("all.csv", 2, 2, 0, 0, 0, ""),
        ("broken.csv", 0, 0, 0, 0, 8, ""),
    ]
    assert str(report.lines[0].stored.rejected[0]) == "line 3, column symbol: unknown symbol (XXX)"
    assert closes("AAA") == {"2024-01-29": 10, "2024-01-30": 11}
    assert closes("BBB") == {"2024-01-29": 20}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["aaa.CSV", "all.csv", "broken.csv", ".being-written.csv", "notes.txt"]
    )
    with nothing_written():
        assert [line.stored.unchanged for line in feeds_refresh().lines] == [1, 2, 0]


def test_a_large_file_of_a_folder_is_left_there(
    market: Market, assets: list[Asset], settings: Any, tmp_path: Path
) -> None:
    configure(settings, f"files=folder:{tmp_path}")
    write_file(tmp_path, OWN_HEADER, *["AAA,2024-01-29,,,,10,"] * 9, name="a.csv")
    write_file(tmp_path, OWN_HEADER, "AAA,2024-01-30,,,,11,", name="b.csv")
    settings.IMPORT_MAX_BYTES = 100
    first, second = feeds_refresh().lines
    assert first.failed.endswith("more than the 100 that an import may have")
    assert second.stored.created == 1


def test_a_folder_without_files_is_a_failure_of_the_whole_feed(
    market: Market, assets: list[Asset], settings: Any, tmp_path: Path
) -> None:
    configure(settings, f"none=folder:{tmp_path / 'absent'}", f"empty=folder:{tmp_path}")
    with nothing_written():
        assert refresh() == [
            ("", 0, 0, 0, 0, 0, "the folder cannot be read: No such file or directory"),
            ("", 0, 0, 0, 0, 0, "the folder holds no CSV file"),
        ]


def test_rates_of_the_ecb(market: Market, settings: Any) -> None:
    configure(settings, f"ecb=ecb:{market.root}/hist")
    make_exchange_rate("EUR", "USD", dt.date(2024, 1, 29), Decimal("1.1"))
    StaleMark.objects.all().delete()
    file = csv_answer(
        "Date,USD,JPY,XXX,",
        "2024-01-30,1.2,158,1,",
        "2024-01-29,1.1,157,1,",
        "2024-01-26,1.09,156,1,",
        "2024-01-02,1.05,155,1,",
    )
    market.script["/hist"] = [file, file]
    # Of the dollar the last five days, of the yen all; a currency that is not in the tables stays out.
    assert refresh() == [("EUR", 7, 6, 0, 1, 0, "")]
    rates = ExchangeRate.objects.filter(source="ecb").values_list("quote", "date")
    assert sorted((quote, day.day) for quote, day in rates) == [
        *[("JPY", day) for day in (2, 26, 29, 30)],
        *[("USD", day) for day in (26, 30)],
    ]
    assert set(StaleMark.objects.values_list("currency", flat=True)) == {"EUR", "JPY", "USD"}
    with nothing_written():
        [again] = refresh()
        assert again[2:4] == (0, 0)
        assert again[-1] == ""


def test_one_feed_that_fails_leaves_the_others_alone(
    market: Market, assets: list[Asset], settings: Any, tmp_path: Path
) -> None:
    configure(settings, f"ecb=ecb:{tmp_path / 'absent'}", f"web=http:{market.template}")
    market.quote("AAA", "2024-01-30", "10")
    market.quote("BBB", "2024-01-30", "10")
    first, *others = feeds_refresh().lines
    assert (first.feed, first.subject, first.has_failed) == ("ecb", "", True)
    assert [counts(line)[:3] for line in others] == [("AAA", 1, 1), ("BBB", 1, 1)]


def test_only_the_named_feeds(market: Market, assets: list[Asset], settings: Any, tmp_path: Path) -> None:
    configure(settings, f"web=http:{market.template}", f"files=folder:{tmp_path}")
    assert {line.feed for line in feeds_refresh(["files"]).lines} == {"files"}
    assert market.questions == []
    with (
        nothing_written(),
        pytest.raises(UnknownFeed, match="there is no feed x; PRICE_FEEDS names web, files"),
    ):
        feeds_refresh(["files", "x"])


def test_without_feeds_there_is_nothing_to_do(market: Market, assets: list[Asset], settings: Any) -> None:
    settings.PRICE_FEEDS = {}
    with nothing_written():
        assert feeds_refresh().lines == []
        assert fetch_prices() is True


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_several_at_once_do_no_harm(market: Market) -> None:
    for symbol in ("AAA", "BBB", "CCC"):
        make_asset(symbol)
        for day in range(1, 29):
            market.quote(symbol, f"2024-01-{day:02}", str(day))
    reports = together(*[feeds_refresh] * 4)
    assert not [line for report in reports for line in report.failures]
    assert {symbol: len(closes(symbol)) for symbol in ("AAA", "BBB", "CCC")} == dict.fromkeys(
        ("AAA", "BBB", "CCC"), 28
    )
    assert audit_verify().is_intact
    with nothing_written():
        assert [line.stored.unchanged for line in feeds_refresh().lines] == [5, 5, 5]


def test_a_refresh_that_is_overtaken_changes_nothing(
    market: Market, assets: list[Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two have asked for the same days; the one that comes second finds the rows of the first."""
    market.quote("AAA", "2024-01-30", "10")
    market.quote("BBB", "2024-01-30", "20")
    store = feeds.prices_import

    def store_second(path: Path, **options: Any) -> ImportReport:
        store(path, **options)
        with nothing_written():
            return store(path, **options)

    monkeypatch.setattr(feeds, "prices_import", store_second)
    assert refresh() == [("AAA", 1, 0, 0, 1, 0, ""), ("BBB", 1, 0, 0, 1, 0, "")]


class TestCommand:
    def run(self, *arguments: str) -> tuple[str, str, str]:
        out, err, failure = StringIO(), StringIO(), ""
        try:
            call_command("fetch_prices", *arguments, stdout=out, stderr=err)
        except CommandError as error:
            failure = str(error)
        return out.getvalue(), err.getvalue(), failure

    def test_what_came(self, market: Market, assets: list[Asset]) -> None:
        market.quote("AAA", "2024-01-30", "10")
        market.quote("BBB", "2024-01-30", "20")
        make_user("ann")
        out, err, failure = self.run("--feed", "web", "--user", "ann")
        assert out.splitlines() == [
            "web AAA: 1 read, 1 created, 0 updated, 0 unchanged, 0 rejected",
            "web BBB: 1 read, 1 created, 0 updated, 0 unchanged, 0 rejected",
        ]
        assert (err, failure) == ("", "")
        assert {event.actor for event in AuditEvent.objects.all()} == {"ann"}

    def test_a_failure_is_one_of_the_command_and_the_rest_is_stored(
        self, market: Market, assets: list[Asset]
    ) -> None:
        market.quote("AAA", "2024-01-30", "10")
        out, err, failure = self.run("--format", "json")
        assert json.loads(out) == {
            "has_failed": True,
            "lines": [
                {
                    "feed": "web",
                    "subject": "AAA",
                    "fetched": 1,
                    "created": 1,
                    "updated": 0,
                    "unchanged": 0,
                    "rejected": [],
                    "failed": "",
                },
                {
                    "feed": "web",
                    "subject": "BBB",
                    "fetched": 0,
                    "created": 0,
                    "updated": 0,
                    "unchanged": 0,
                    "rejected": [],
                    "failed": "HTTP 404",
                },
            ],
        }
        assert failure == "1 of 2 failed; what came is stored"
        assert closes("AAA") == {"2024-01-30": 10}
        out, err, failure = self.run()
        assert out == "web AAA: 1 read, 0 created, 0 updated, 1 unchanged, 0 rejected\n"
        assert err == "web BBB: HTTP 404\n"

    def test_rejected_rows_are_listed(self, market: Market) -> None:
        make_asset("AAA")
        market.script["AAA"] = [csv_answer(HEADER, "2024-01-29,1,1,1,-1,1")]
        _, err, failure = self.run()
        assert err.splitlines() == [
            "web AAA: 1 read, 0 created, 0 updated, 0 unchanged, 1 rejected",
            "  line 2, column close: must be above 0 (-1)",
        ]
        assert failure

    def test_an_unknown_feed(self, market: Market) -> None:
        assert self.run("--feed", "x")[2] == "there is no feed x; PRICE_FEEDS names web"


def test_the_task_says_what_failed(
    market: Market, assets: list[Asset], caplog: pytest.LogCaptureFixture
) -> None:
    market.quote("AAA", "2024-01-30", "10")
    with caplog.at_level(logging.ERROR, "portfolios.tasks"):
        assert fetch_prices() is False
    assert caplog.messages == ["feed web BBB: HTTP 404"]
    assert closes("AAA") == {"2024-01-30": 10}
    market.quote("BBB", "2024-01-30", "20")
    assert fetch_prices() is True
    with nothing_written():
        assert fetch_prices() is True  # a message delivered twice


def test_logs_hold_no_address(
    market: Market, assets: list[Asset], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(settings, f"web=http:{market.template}&key=SECRET")
    for symbol in ("AAA", "BBB"):
        market.script[symbol] = [Answer(hangs_up=True)] * 9
    with caplog.at_level(logging.INFO, ""):
        assert fetch_prices() is False
    assert len(market.questions) == 6
    assert "the connection failed" in caplog.text
    assert "SECRET" not in caplog.text
