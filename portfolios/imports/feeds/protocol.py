"""What a feed is: it only fetches. Comparing, refusing and storing are the business of the imports."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Target = Literal["prices", "exchange_rates"]


class FeedError(Exception):
    """Why something could not be had. Never holds an address: a key to the source may be part of it."""


class FeedClosed(FeedError):
    """The source cannot be reached or has had enough for now: it is not asked for anything else."""


class Wanted(NamedTuple):
    """An asset's symbol or a currency, and the first day to ask for; without one, all there is."""

    symbol: str
    start: dt.date | None


class Delivery(NamedTuple):
    """A file in the layout of our own imports. `subject` is a symbol, or what else the file is about."""

    subject: str
    path: Path


class Failure(NamedTuple):
    subject: str
    reason: str


class PriceFeed(Protocol):
    @property
    def target(self) -> Target:
        """Which import takes the files."""

    @property
    def is_split_adjusted(self) -> bool:
        """Whether the source has divided its prices by all splits up to its last day."""

    def fetch(self, wanted: Sequence[Wanted], through: dt.date, folder: Path) -> Iterator[Delivery | Failure]:
        """One file after the other, or why there is none. Only what it writes to `folder` may be removed.

        A symbol that fails is yielded as a Failure and the next one is tried. Raises FeedError when the
        source as a whole has nothing to give.
        """


@dataclass(frozen=True)
class FetchLimits:
    """How long and how often a feed tries. Times in seconds."""

    max_bytes: int
    timeout: float = 30
    attempts: int = 4
    backoff: float = 1
    longest_wait: int = 60
