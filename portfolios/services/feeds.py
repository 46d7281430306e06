"""Prices and rates from where they are published: a feed fetches, the imports store.

What is stored is committed symbol by symbol, so that a source that fails takes nothing from the others.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings

from portfolio_site.kernel import clock
from portfolios.imports.feeds.addresses import FeedAddress
from portfolios.imports.feeds.ecb import BASE
from portfolios.imports.feeds.protocol import Delivery, FeedError, FetchLimits, PriceFeed, Wanted
from portfolios.imports.feeds.registry import feed_open
from portfolios.imports.report import ImportReport
from portfolios.imports.table import FileError
from portfolios.models import Asset, Currency
from portfolios.selectors.staleness_report import last_price_days, last_rate_days
from portfolios.services.audit import Actor
from portfolios.services.import_exchange_rates import exchange_rates_import
from portfolios.services.import_prices import prices_import


class UnknownFeed(ValueError):
    """PRICE_FEEDS names no such feed."""


@dataclass(frozen=True)
class FeedLine:
    """What became of one symbol, or of one file. Without a subject, `failed` is about the whole feed."""

    feed: str
    subject: str
    stored: ImportReport = field(default_factory=ImportReport)
    failed: str = ""

    @property
    def has_failed(self) -> bool:
        return bool(self.failed or self.stored.rejected)

    def as_json(self) -> dict[str, Any]:
        return {
            "feed": self.feed,
            "subject": self.subject,
            "fetched": self.stored.read,
            "created": self.stored.created,
            "updated": self.stored.updated,
            "unchanged": self.stored.unchanged,
            "rejected": [reject.as_json() for reject in self.stored.rejected],
            "failed": self.failed,
        }

    def __str__(self) -> str:
        return f"{self.feed} {self.subject}".rstrip() + f": {self.failed or self.stored.summary()}"


@dataclass
class FeedReport:
    lines: list[FeedLine] = field(default_factory=list)

    @property
    def failures(self) -> list[FeedLine]:
        return [line for line in self.lines if line.has_failed]

    def as_json(self) -> dict[str, Any]:
        return {"has_failed": bool(self.failures), "lines": [line.as_json() for line in self.lines]}


def feeds_refresh(names: Collection[str] | None = None, actor: Actor = None) -> FeedReport:
    """Fetch what is new from the named feeds, by default from all, and store it. Raises UnknownFeed."""
    addresses: dict[str, FeedAddress] = settings.PRICE_FEEDS
    for name in names or ():
        if name not in addresses:
            raise UnknownFeed(f"there is no feed {name}; PRICE_FEEDS names {', '.join(addresses) or 'none'}")
    report = FeedReport()
    for name, address in addresses.items():
        if not names or name in names:
            report.lines += _refresh(address, actor)
    return report


def _refresh(address: FeedAddress, actor: Actor) -> Iterator[FeedLine]:
    name, today = address.name, clock.today()
    try:
        feed = feed_open(address, _limits())
        wanted = _wanted_prices(address, today) if feed.target == "prices" else _wanted_rates()
        if feed.target == "prices":
            for symbol in _ambiguous_symbols(address):
                yield FeedLine(name, symbol, failed="ambiguous symbol")
        with TemporaryDirectory(prefix="feed-") as folder:
            for found in feed.fetch(wanted, today, Path(folder)):
                if isinstance(found, Delivery):
                    yield _store(feed, name, found, actor)
                    if found.path.is_relative_to(folder):
                        found.path.unlink()
                else:
                    yield FeedLine(name, found.subject, failed=found.reason)
    except FeedError as error:
        yield FeedLine(name, "", failed=str(error))


def _store(feed: PriceFeed, name: str, delivery: Delivery, actor: Actor) -> FeedLine:
    """By the import of any other file. A bad row is named and does not keep the good ones out."""
    try:
        if feed.target == "prices":
            report = prices_import(
                delivery.path,
                source=name,
                split_adjusted=feed.is_split_adjusted,
                actor=actor,
                on_error="skip",
            )
        else:
            report = exchange_rates_import(delivery.path, source=name, actor=actor, on_error="skip")
    except FileError as error:
        return FeedLine(name, delivery.subject, failed=str(error))
    return FeedLine(name, delivery.subject, report)


def _limits() -> FetchLimits:
    return FetchLimits(
        max_bytes=settings.IMPORT_MAX_BYTES,
        timeout=settings.PRICE_FEED_TIMEOUT,
        attempts=settings.PRICE_FEED_ATTEMPTS,
        backoff=settings.PRICE_FEED_BACKOFF,
    )


def _wanted_prices(address: FeedAddress, today: dt.date) -> list[Wanted]:
    ambiguous = _ambiguous_symbols(address)
    return [
        Wanted(symbol, _start(last)) for symbol, last in last_price_days(today) if symbol not in ambiguous
    ]


def _ambiguous_symbols(address: FeedAddress) -> list[str]:
    """Symbols of two assets, which no file of prices can tell apart. A blank in the mapping silences one."""
    counts = Counter(Asset.objects.values_list("symbol", flat=True))
    return sorted(symbol for symbol, count in counts.items() if count > 1 and address.symbol_of(symbol))


def _wanted_rates() -> list[Wanted]:
    last = last_rate_days(BASE)
    codes = Currency.objects.exclude(code=BASE).order_by("code").values_list("code", flat=True)
    return [Wanted(code, _start(last.get(code))) for code in codes]


def _start(last: dt.date | None) -> dt.date | None:
    """The day after the last one, less the days within which sources still correct themselves."""
    return last and last + dt.timedelta(1 - settings.PRICE_FEED_OVERLAP_DAYS)
