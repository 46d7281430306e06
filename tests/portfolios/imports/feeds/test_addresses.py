"""What PRICE_FEEDS may say, and how a mistake in it is named."""

import datetime as dt
import importlib.metadata
import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from portfolios.imports.feeds import addresses, registry
from portfolios.imports.feeds.addresses import addresses_read
from portfolios.imports.feeds.ecb import EcbFeed
from portfolios.imports.feeds.folder import FolderFeed
from portfolios.imports.feeds.http_csv import HttpCsvFeed
from portfolios.imports.feeds.protocol import FeedError, FetchLimits

ROOT = Path(__file__).parents[4]
WEB = "web=http:https://data.example/{symbol}.us?key=SECRET"
LIMITS = FetchLimits(max_bytes=1)


def read(*entries: str, symbols: tuple[str, ...] = ()) -> dict[str, addresses.FeedAddress]:
    return addresses_read("PRICE_FEEDS", entries, "PRICE_FEED_SYMBOLS", symbols)


def test_feeds_by_name_in_their_order() -> None:
    found = read(WEB, "rates=ecb:/data/rates.zip", "files=folder-adjusted:/data/prices")
    assert [(feed.name, feed.kind, feed.location) for feed in found.values()] == [
        ("web", "http", "https://data.example/{symbol}.us?key=SECRET"),
        ("rates", "ecb", "/data/rates.zip"),
        ("files", "folder-adjusted", "/data/prices"),
    ]
    assert [type(registry.feed_open(feed, LIMITS)) for feed in found.values()] == [
        HttpCsvFeed,
        EcbFeed,
        FolderFeed,
    ]
    assert [registry.feed_open(feed, LIMITS).is_split_adjusted for feed in found.values()] == [
        False,
        False,
        True,
    ]


def test_the_address_of_a_symbol() -> None:
    found = read("web=http:https://h/{symbol}.us?a={start}&b={end:%Y%m%d}")["web"]
    assert found.url("A/B ^", dt.date(2024, 1, 2), dt.date(2024, 2, 3)) == (
        "https://h/A%2FB%20%5E.us?a=2024-01-02&b=20240203"
    )


def test_symbols_of_the_source() -> None:
    found = read(WEB, symbols=("web/*={symbol}.de", "web/SPX=^spx", "web/OWN="))["web"]
    assert [found.symbol_of(symbol) for symbol in ("AAA", "SPX", "OWN")] == ["AAA.de", "^spx", ""]
    assert read(WEB)["web"].symbol_of("AAA") == "AAA"


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (("web",), "PRICE_FEEDS: entry 1 is not name=kind:location."),
        ((WEB, "web:http=x"), "PRICE_FEEDS: entry 2 is not name=kind:location."),
        (("=http:https://h/{symbol}",), "PRICE_FEEDS: entry 1 is not name=kind:location."),
        (("web=http:",), "PRICE_FEEDS: entry 1 is not name=kind:location."),
        ((f"{'x' * 65}=folder:/data",), "PRICE_FEEDS: entry 1 is not name=kind:location."),
        ((WEB, WEB), "PRICE_FEEDS: web stands there twice."),
        (
            ("web=smoke:signals",),
            "PRICE_FEEDS: web is of the unknown kind smoke; "
            "known are folder, folder-adjusted, ecb, http, http-adjusted.",
        ),
        (("web=http:ftp://h/{symbol}",), "PRICE_FEEDS: web needs an address with http or https."),
        (("web=http:https://[::1/{symbol}",), "PRICE_FEEDS: web needs an address with http or https."),
        (("web=http:/data/{symbol}",), "PRICE_FEEDS: web needs an address with http or https."),
        (
            ("rates=ecb:file:///etc/passwd",),
            "PRICE_FEEDS: rates needs a path or an address with http or https.",
        ),
        (("files=folder:https://h/",), "PRICE_FEEDS: files needs a path."),
        *(
            (
                (f"web=http:https://h/SECRET{rest}",),
                f"PRICE_FEEDS: web needs {{symbol}} in its address{also}.",
            )
            for rest, also in [
                ("", ", and may have {start} and {end}"),
                ("{start}", ", and may have {start} and {end}"),
                ("{symbol}{day}", ", and may have {start} and {end}"),
                ("{symbol.__class__}", ", and may have {start} and {end}"),
                ("{symbol}{}", ", and may have {start} and {end}"),
            ]
        ),
        *(
            (
                (f"web=http:https://h/SECRET{rest}",),
                "PRICE_FEEDS: web has a placeholder in its address that cannot be filled in.",
            )
            for rest in ("{symbol", "{symbol:d}", "{symbol}{start:{depth}}", "{symbol!z}")
        ),
    ],
)
def test_a_mistake_is_named_without_the_address(entries: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        read(*entries)
    assert str(caught.value) == reason
    assert "SECRET" not in reason


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [
        (("web",), "PRICE_FEED_SYMBOLS: entry 1 is not feed/SYMBOL=THEIRS."),
        (("web/=x",), "PRICE_FEED_SYMBOLS: entry 1 is not feed/SYMBOL=THEIRS."),
        (("web/A=x", "web/A=y"), "PRICE_FEED_SYMBOLS: web/A stands there twice."),
        (("net/A=x",), "PRICE_FEED_SYMBOLS: there is no feed net."),
    ],
)
def test_a_mistake_in_the_symbols_is_named(symbols: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        read(WEB, symbols=symbols)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PRICE_FEEDS", "web"),
        ("PRICE_FEEDS", "web=smoke:signals"),
        ("PRICE_FEED_SYMBOLS", "web/A=B"),
        ("PRICE_FEED_OVERLAP_DAYS", "0"),
        ("PRICE_FEED_TIMEOUT", "0"),
        ("PRICE_FEED_ATTEMPTS", "0"),
        ("PRICE_FEED_BACKOFF", "-1"),
    ],
)
def test_the_start_stops_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment = {"SECRET_KEY": "x" * 60, "DATABASE_URL": "sqlite://:memory:"}
    monkeypatch.setattr(os, "environ", environment)
    path = str(ROOT / "portfolio_site" / "settings.py")
    assert runpy.run_path(path)["PRICE_FEEDS"] == {}
    environment[name] = value
    with pytest.raises(ImproperlyConfigured, match=name):
        runpy.run_path(path)


class TestOtherPackages:
    """Kinds that come with an installed package, by its entry points."""

    @pytest.fixture
    def offered(self, monkeypatch: pytest.MonkeyPatch) -> list[importlib.metadata.EntryPoint]:
        points: list[importlib.metadata.EntryPoint] = []

        def entry_points(**wanted: Any) -> importlib.metadata.EntryPoints:
            return importlib.metadata.EntryPoints(points).select(**wanted)

        monkeypatch.setattr(addresses, "entry_points", entry_points)
        monkeypatch.setattr(registry, "entry_points", entry_points)
        return points

    def offer(self, offered: list[importlib.metadata.EntryPoint], value: str) -> None:
        offered.append(
            importlib.metadata.EntryPoint(name="vendor", value=value, group="portfolio_site.price_feeds")
        )

    def test_a_kind_of_theirs_is_known_and_opened(self, offered: list[importlib.metadata.EntryPoint]) -> None:
        entry = "mine=vendor:whatever it understands"
        with pytest.raises(ImproperlyConfigured, match="unknown kind vendor"):
            read(entry)
        self.offer(offered, "portfolios.imports.feeds.folder:FolderFeed")
        assert isinstance(registry.feed_open(read(entry)["mine"], LIMITS), FolderFeed)

    @pytest.mark.parametrize("value", ["nowhere.at.all:Feed", "portfolios.imports.feeds.folder:Feed"])
    def test_what_cannot_be_loaded_is_said(
        self, offered: list[importlib.metadata.EntryPoint], value: str
    ) -> None:
        self.offer(offered, value)
        with pytest.raises(FeedError, match="the kind vendor cannot be loaded"):
            registry.feed_open(read("mine=vendor:x")["mine"], LIMITS)

    def test_a_package_that_is_gone_is_said(self, offered: list[importlib.metadata.EntryPoint]) -> None:
        with pytest.raises(FeedError, match="the kind vendor cannot be loaded"):
            registry.feed_open(addresses.FeedAddress("mine", "vendor", "x"), LIMITS)
