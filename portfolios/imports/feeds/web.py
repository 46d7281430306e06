"""One file from the web: tried again where that can help, and bounded in time and size."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from portfolios.imports.feeds.addresses import is_web_address
from portfolios.imports.feeds.protocol import FeedClosed, FeedError, FetchLimits

PASSING_TROUBLES = (429, 500, 502, 503, 504)
MAX_REDIRECTS = 5
BLOCK_BYTES = 65_536
# A whole answer may take this many times the longest silence within it.
SLOWEST_ANSWER = 10


class Unreachable(FeedError):
    """There was no answer at all, after all attempts."""


class Web:
    """A session that asks one source. Every error is a FeedError without the address."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        retry = Retry(
            total=limits.attempts - 1,
            redirect=False,
            backoff_factor=limits.backoff,
            backoff_max=limits.longest_wait,
            status_forcelist=PASSING_TROUBLES,
            raise_on_status=False,
            respect_retry_after_header=True,
            retry_after_max=limits.longest_wait,
        )
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "portfolio-site"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def close(self) -> None:
        self._session.close()

    def download(self, url: str, path: Path) -> None:
        """The body of the answer as a file. Raises FeedError; Unreachable when there was no answer."""
        limits = self._limits
        deadline = time.monotonic() + limits.timeout * SLOWEST_ANSWER
        try:
            with self._answer(url) as response:
                if response.status_code == requests.codes.too_many_requests:
                    raise FeedClosed("HTTP 429: the source wants fewer questions")
                if response.status_code != requests.codes.ok:
                    raise FeedError(f"HTTP {response.status_code}")
                self._save(response, path, deadline)
        except requests.RequestException as error:
            raise Unreachable(self._reason(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise FeedError(f"the answer broke off: {self._reason(error)}") from error

    @contextlib.contextmanager
    def _answer(self, url: str) -> Iterator[requests.Response]:
        """What stands at the end of all redirects; followed here, as `requests` would read their bodies."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self._session.get(
                url, stream=True, allow_redirects=False, timeout=self._limits.timeout
            )
            with response:
                if not response.is_redirect:
                    yield response
                    return
                url = redirected(url, response.headers["Location"])
        raise FeedError(f"more than {MAX_REDIRECTS} redirects")

    def _save(self, response: requests.Response, path: Path, deadline: float) -> None:
        max_bytes, size, block = self._limits.max_bytes, 0, b""
        with path.open("wb") as file:
            # read1 returns what has arrived; read would wait for a full block, however slowly it comes.
            while arrived := response.raw.read1(BLOCK_BYTES, decode_content=True):
                block = arrived
                size += len(block)
                if size > max_bytes:
                    raise FeedError(f"the answer is larger than {max_bytes} bytes")
                if time.monotonic() > deadline:
                    raise FeedError(
                        f"the answer took longer than {self._limits.timeout * SLOWEST_ANSWER:g} s"
                    )
                file.write(block)
        # Such an answer ends where the connection ends, and nobody says whether that was its end.
        has_length = {"Content-Length", "Transfer-Encoding"} & {name.title() for name in response.headers}
        if size and not has_length and not block.endswith(b"\n"):
            raise FeedError("the answer broke off within a line")

    def _reason(self, error: Exception) -> str:
        cause: object = error
        while True:
            # A refused connection is, for old times' sake, a kind of timeout there.
            is_refused = isinstance(cause, urllib3.exceptions.NewConnectionError)
            if isinstance(cause, requests.Timeout | urllib3.exceptions.TimeoutError) and not is_refused:
                return f"no answer within {self._limits.timeout:g} s"
            inner = getattr(cause, "reason", None) or next(iter(getattr(cause, "args", ())), None)
            if not isinstance(inner, Exception):
                return f"the connection failed ({type(cause).__name__})"
            cause = inner


def redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises FeedError for what is not the web, and for a way out of TLS."""
    try:
        target = urljoin(url, location)
        was, becomes = urlsplit(url).scheme, urlsplit(target).scheme
    except ValueError as error:
        raise FeedError("a redirect to no address is not followed") from error
    if not is_web_address(target) or (was == "https" and becomes != "https"):
        raise FeedError(f"a redirect to {becomes} is not followed")
    return target
