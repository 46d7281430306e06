"""One file from the web, from a real server on this machine."""

import gzip
import socket
import time
from pathlib import Path

import pytest

from portfolios.imports.feeds.protocol import FeedClosed, FeedError, FetchLimits
from portfolios.imports.feeds.web import Unreachable, Web, redirected
from tests.support.market import Answer, Market, seconds_since

LIMITS = FetchLimits(max_bytes=200_000, timeout=0.4, attempts=3, backoff=0, longest_wait=2)
BODY = b"date,close\n2024-01-02,5\n"


def download(
    market: Market, folder: Path, limits: FetchLimits = LIMITS, path: str = "/file?key=SECRET"
) -> bytes:
    target, web = folder / "answer", Web(limits)
    try:
        web.download(market.root + path, target)
    finally:
        web.close()
    return target.read_bytes()


def refusal(market: Market, folder: Path, limits: FetchLimits = LIMITS) -> tuple[type[FeedError], str]:
    with pytest.raises(FeedError) as caught:
        download(market, folder, limits)
    assert "SECRET" not in str(caught.value)
    assert str(market.port) not in str(caught.value)
    return type(caught.value), str(caught.value)


def test_the_body_becomes_the_file(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(body=BODY)]
    assert download(market, tmp_path) == BODY
    assert market.paths == ["/file?key=SECRET"]


def test_packed_for_the_way_it_arrives_unpacked(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})]
    assert download(market, tmp_path) == BODY


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_trouble_is_tried_again(market: Market, tmp_path: Path, status: int) -> None:
    market.script["/file"] = [Answer(status), Answer(status), Answer(body=BODY)]
    assert download(market, tmp_path) == BODY
    assert len(market.paths) == 3


def test_attempts_end(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(503)] * 9
    assert refusal(market, tmp_path) == (FeedError, "HTTP 503")
    assert len(market.paths) == LIMITS.attempts


def test_a_hurried_caller_waits_as_long_as_it_is_told(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(429, headers={"Retry-After": "1"}), Answer(body=BODY)]
    start = time.monotonic()
    assert download(market, tmp_path) == BODY
    assert 1 <= seconds_since(start) < 2


def test_no_source_makes_us_wait_for_a_day(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(429, headers={"Retry-After": "86400"}), Answer(body=BODY)]
    start = time.monotonic()
    limits = FetchLimits(max_bytes=1000, timeout=1, attempts=2, backoff=0, longest_wait=0)
    assert download(market, tmp_path, limits) == BODY
    assert seconds_since(start) < 5


def test_too_many_questions_close_the_source(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(429)] * 9
    assert refusal(market, tmp_path) == (FeedClosed, "HTTP 429: the source wants fewer questions")


@pytest.mark.parametrize("status", [204, 301, 304, 400, 401, 403, 404, 410])
def test_what_will_not_pass_is_asked_once(market: Market, tmp_path: Path, status: int) -> None:
    market.script["/file"] = [Answer(status)]
    assert refusal(market, tmp_path) == (FeedError, f"HTTP {status}")
    assert len(market.paths) == 1


def test_silence_ends_with_the_timeout(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(body=BODY, delay=20)] * 9
    limits = FetchLimits(max_bytes=1000, timeout=0.1, attempts=2, backoff=0)
    start = time.monotonic()
    assert refusal(market, tmp_path, limits) == (Unreachable, "no answer within 0.1 s")
    assert seconds_since(start) < 5
    assert len(market.paths) == 2


def test_a_byte_now_and_then_is_no_answer(market: Market, tmp_path: Path) -> None:
    """Never silent for long, and never done."""
    market.script["/file"] = [Answer(body=b"1\n" * 10_000, drip=0.02)]
    limits = FetchLimits(max_bytes=100_000, timeout=0.1, attempts=1, backoff=0)
    start = time.monotonic()
    assert refusal(market, tmp_path, limits) == (FeedError, "the answer took longer than 1 s")
    assert seconds_since(start) < 5


def test_a_slow_first_answer_is_asked_for_again(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(body=BODY, delay=20), Answer(body=BODY)]
    assert download(market, tmp_path) == BODY


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Market(taken.getsockname()[1])
        kind, reason = refusal(nobody, tmp_path)
    assert kind is Unreachable
    assert reason.startswith("the connection failed (")


@pytest.mark.parametrize("fields", [{}, {"has_length": False}])
def test_a_large_answer_is_left_where_it_is(market: Market, tmp_path: Path, fields: dict[str, bool]) -> None:
    market.script["/file"] = [Answer(body=b"1\n" * 2_000_000, **fields)]  # type: ignore[arg-type]
    assert refusal(market, tmp_path) == (FeedError, "the answer is larger than 200000 bytes")
    assert (tmp_path / "answer").stat().st_size <= LIMITS.max_bytes


def test_a_small_answer_that_unpacks_to_a_large_one(market: Market, tmp_path: Path) -> None:
    packed = gzip.compress(b"1\n" * 20_000_000)
    assert len(packed) < LIMITS.max_bytes
    market.script["/file"] = [Answer(body=packed, headers={"Content-Encoding": "gzip"})]
    assert refusal(market, tmp_path) == (FeedError, "the answer is larger than 200000 bytes")


def test_less_than_was_promised(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(body=BODY, cut=10)]
    kind, reason = refusal(market, tmp_path)
    assert (kind, reason[:21]) == (FeedError, "the answer broke off:")


def test_a_connection_that_ends_within_a_line(market: Market, tmp_path: Path) -> None:
    """Nobody says how long the answer is; 10.5 may have been 10.57."""
    market.script["/file"] = [Answer(body=BODY + b"2024-01-03,10.5", has_length=False)]
    assert refusal(market, tmp_path) == (FeedError, "the answer broke off within a line")
    market.script["/file"] = [Answer(body=BODY, has_length=False)]
    assert download(market, tmp_path) == BODY


def test_a_connection_closed_without_a_word_is_tried_again(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [Answer(hangs_up=True), Answer(body=BODY)]
    assert download(market, tmp_path) == BODY
    market.script["/file"] = [Answer(hangs_up=True)] * 9
    kind, reason = refusal(market, tmp_path)
    assert (kind, reason[:22]) == (Unreachable, "the connection failed ")


def redirect(location: str) -> Answer:
    return Answer(302, headers={"Location": location})


def test_a_redirect_is_followed(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [redirect("/moved?key=SECRET")]
    market.script["/moved"] = [Answer(body=BODY)]
    assert download(market, tmp_path) == BODY
    assert market.paths == ["/file?key=SECRET", "/moved?key=SECRET"]


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher"])
def test_a_redirect_to_another_scheme_is_not(market: Market, tmp_path: Path, scheme: str) -> None:
    market.script["/file"] = [redirect(f"{scheme}:///etc/passwd")]
    assert refusal(market, tmp_path) == (FeedError, f"a redirect to {scheme} is not followed")
    assert len(market.paths) == 1


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://a.example/x", "https://b.example/y", "https://b.example/y"),
        ("https://a.example/x", "/y?z", "https://a.example/y?z"),
        ("https://a.example/x", "//b.example/y", "https://b.example/y"),
        ("https://a.example/x", "http://a.example/x", None),
        ("https://a.example/x", "data:text/csv,Date", None),
        ("https://a.example/x", "https://[::1/y", None),
    ],
)
def test_no_redirect_leads_out_of_tls(url: str, location: str, target: str | None) -> None:
    if target is None:
        with pytest.raises(FeedError, match="is not followed"):
            redirected(url, location)
    else:
        assert redirected(url, location) == target


def test_redirects_in_a_circle_end(market: Market, tmp_path: Path) -> None:
    market.script["/file"] = [redirect("/file?key=SECRET")] * 99
    assert refusal(market, tmp_path) == (FeedError, "more than 5 redirects")
    assert len(market.paths) == 6
