"""Feeds as the settings name them: `name=kind:location`, read and checked before anything starts.

This module is read with the settings, so it imports nothing heavy. Its errors name the variable and the
feed, never the location.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from string import Formatter
from urllib.parse import quote, urlsplit

from django.core.exceptions import ImproperlyConfigured

ENTRY_POINT_GROUP = "portfolio_site.price_feeds"
FOLDER, ECB, HTTP = "folder", "ecb", "http"
# The source has divided by splits.
ADJUSTED = "-adjusted"
BUILT_IN_KINDS = (FOLDER, FOLDER + ADJUSTED, ECB, HTTP, HTTP + ADJUSTED)
ANY_SYMBOL = "*"

_ADDRESS = re.compile(
    r"(?P<name>[A-Za-z0-9][\w-]{0,63})=(?P<kind>[a-z][a-z0-9_-]*):(?P<location>.+)", re.ASCII
)
_SYMBOL = re.compile(r"(?P<feed>[\w-]+)/(?P<symbol>[^=]+)=(?P<theirs>.*)", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLACEHOLDERS = {"symbol", "start", "end"}


@dataclass(frozen=True)
class FeedAddress:
    """`symbols` maps our symbols to the source's; `*` stands for all others, a blank for none."""

    name: str
    kind: str
    location: str
    symbols: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_adjusted(self) -> bool:
        return self.kind.endswith(ADJUSTED)

    def symbol_of(self, symbol: str) -> str:
        """What the source calls the asset; blank when it is not to be asked for it."""
        theirs = self.symbols.get(symbol, self.symbols.get(ANY_SYMBOL, "{symbol}"))
        return theirs.replace("{symbol}", symbol)

    def url(self, symbol: str, start: dt.date, end: dt.date) -> str:
        return self.location.format(symbol=quote(symbol, safe=""), start=start, end=end)


def is_web_address(location: str) -> bool:
    try:
        parts = urlsplit(location)
    except ValueError:  # such as half of an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def addresses_read(
    variable: str, entries: Iterable[str], symbols_variable: str = "", symbols: Iterable[str] = ()
) -> dict[str, FeedAddress]:
    """Feeds by name, in their order. Raises ImproperlyConfigured."""
    names = _symbols_read(symbols_variable, symbols)
    addresses: dict[str, FeedAddress] = {}
    for place, entry in enumerate(entries, start=1):
        match = _ADDRESS.fullmatch(entry)
        if match is None:
            raise ImproperlyConfigured(f"{variable}: entry {place} is not name=kind:location.")
        name = match["name"]
        if name in addresses:
            raise ImproperlyConfigured(f"{variable}: {name} stands there twice.")
        address = FeedAddress(name, match["kind"], match["location"], names.pop(name, {}))
        reason = _reason_against(address)
        if reason:
            raise ImproperlyConfigured(f"{variable}: {name} {reason}.")
        addresses[name] = address
    if names:
        raise ImproperlyConfigured(f"{symbols_variable}: there is no feed {', '.join(sorted(names))}.")
    return addresses


def _symbols_read(variable: str, entries: Iterable[str]) -> dict[str, dict[str, str]]:
    symbols: dict[str, dict[str, str]] = {}
    for place, entry in enumerate(entries, start=1):
        match = _SYMBOL.fullmatch(entry)
        if match is None:
            raise ImproperlyConfigured(f"{variable}: entry {place} is not feed/SYMBOL=THEIRS.")
        of_feed = symbols.setdefault(match["feed"], {})
        if match["symbol"] in of_feed:
            raise ImproperlyConfigured(f"{variable}: {match['feed']}/{match['symbol']} stands there twice.")
        of_feed[match["symbol"]] = match["theirs"]
    return symbols


def _reason_against(address: FeedAddress) -> str:
    kind, location = address.kind, address.location
    if kind not in BUILT_IN_KINDS:
        others = entry_points(group=ENTRY_POINT_GROUP).names
        known = ", ".join((*BUILT_IN_KINDS, *sorted(others)))
        return "" if kind in others else f"is of the unknown kind {kind}; known are {known}"
    if kind.removesuffix(ADJUSTED) == HTTP:
        return _reason_against_template(address)
    is_address = bool(_SCHEME.match(location))
    if is_address and not (kind == ECB and is_web_address(location)):
        return "needs a path" + (" or an address with http or https" if kind == ECB else "")
    return ""


def _reason_against_template(address: FeedAddress) -> str:
    if not is_web_address(address.location):
        return "needs an address with http or https"
    try:
        names = {name for _, name, _, _ in Formatter().parse(address.location) if name is not None}
        if "symbol" not in names or not names <= _PLACEHOLDERS:
            return "needs {symbol} in its address, and may have {start} and {end}"
        address.url("A", dt.date.min, dt.date.max)
    except (ValueError, LookupError, AttributeError):
        return "has a placeholder in its address that cannot be filled in"
    return ""
