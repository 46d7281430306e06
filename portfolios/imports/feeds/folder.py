"""A folder that someone else puts price files into, in our own layout."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

from portfolios.imports.feeds.addresses import FeedAddress
from portfolios.imports.feeds.protocol import Delivery, Failure, FeedError, FetchLimits, Target, Wanted

SUFFIXES = (".csv", ".csv.gz")


class FolderFeed:
    """Every file, whatever was asked for: an older day in it may be a correction.

    The files are handed on as they are, so that lines in rejects and the hash in the audit trail are theirs.
    """

    target: Target = "prices"

    def __init__(self, address: FeedAddress, limits: FetchLimits) -> None:
        self.is_split_adjusted = address.is_adjusted
        self._source = Path(address.location)

    def fetch(self, wanted: Sequence[Wanted], through: dt.date, folder: Path) -> Iterator[Delivery | Failure]:
        try:
            names = sorted(path.name for path in self._source.iterdir() if path.is_file())
        except OSError as error:
            raise FeedError(f"the folder cannot be read: {error.strerror or error}") from error
        # Hidden files are those that are still being written.
        files = [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        if not files:
            raise FeedError("the folder holds no CSV file")
        for name in files:
            yield Delivery(name, self._source / name)
