"""From an address to its feed. Other packages add kinds by the entry point group of `addresses`."""

from collections.abc import Callable
from importlib.metadata import entry_points

from portfolios.imports.feeds.addresses import ADJUSTED, ECB, ENTRY_POINT_GROUP, FOLDER, HTTP, FeedAddress
from portfolios.imports.feeds.ecb import EcbFeed
from portfolios.imports.feeds.folder import FolderFeed
from portfolios.imports.feeds.http_csv import HttpCsvFeed
from portfolios.imports.feeds.protocol import FeedError, FetchLimits, PriceFeed

FeedFactory = Callable[[FeedAddress, FetchLimits], PriceFeed]

BUILT_IN: dict[str, FeedFactory] = {
    FOLDER: FolderFeed,
    FOLDER + ADJUSTED: FolderFeed,
    ECB: EcbFeed,
    HTTP: HttpCsvFeed,
    HTTP + ADJUSTED: HttpCsvFeed,
}


def feed_open(address: FeedAddress, limits: FetchLimits) -> PriceFeed:
    """Raises FeedError when the package that brings the kind is gone or cannot be loaded."""
    if address.kind in BUILT_IN:
        return BUILT_IN[address.kind](address, limits)
    found = entry_points(group=ENTRY_POINT_GROUP, name=address.kind)
    try:
        factory: FeedFactory = next(iter(found)).load()
    except (StopIteration, ImportError, AttributeError) as error:
        raise FeedError(f"the kind {address.kind} cannot be loaded: {error}") from error
    return factory(address, limits)
