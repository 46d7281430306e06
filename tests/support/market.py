"""A source of prices on this machine: an HTTP server that follows a script and remembers the questions."""

import datetime as dt
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

HEADER = "Date,Open,High,Low,Close,Volume"


@dataclass(frozen=True)
class Answer:
    """`cut` bytes are promised and not sent; `has_length` off: the end of the connection is the end.

    `drip`: seconds from one byte to the next.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    cut: int = 0
    has_length: bool = True
    hangs_up: bool = False
    drip: float = 0


def csv_answer(*lines: str, **fields: Any) -> Answer:
    return Answer(body="\n".join((*lines, "")).encode(), **fields)


@dataclass
class Market:
    """`bars` are given for the days asked for, unless `script` has an answer for the symbol or path."""

    port: int
    bars: dict[str, dict[str, str]] = field(default_factory=dict)
    script: defaultdict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    questions: list[tuple[str, str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def template(self) -> str:
        return self.root + "/q?s={symbol}&from={start:%Y%m%d}&to={end:%Y%m%d}"

    def quote(self, symbol: str, day: str, close: str, rest: str = "1,2,0.5,{},1000") -> None:
        self.bars.setdefault(symbol, {})[day] = f"{day},{rest.format(close)}"

    def answer(self, path: str) -> Answer:
        parts = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        symbol = asked.get("s", parts.path)
        self.paths.append(path)
        if "s" in asked:
            self.questions.append((symbol, asked["from"], asked["to"]))
        if self.script[symbol]:
            return self.script[symbol].pop(0)
        if symbol not in self.bars:
            return Answer(404)
        start, end = (dt.date.fromisoformat(asked[name]).isoformat() for name in ("from", "to"))
        lines = [line for day, line in sorted(self.bars[symbol].items()) if start <= day <= end]
        return csv_answer(HEADER, *lines) if lines else csv_answer("No data")


@contextmanager
def open_market() -> Iterator[Market]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = market.answer(self.path)
            if answer.delay:
                market.done.wait(answer.delay)
            if answer.hangs_up:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.has_length:
                self.send_header("Content-Length", str(len(answer.body) + answer.cut))
            self.end_headers()
            if not answer.drip:
                self.wfile.write(answer.body)
                return
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                market.done.wait(answer.drip)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # callers hang up, that is what is tested

    with Server(("127.0.0.1", 0), Handler) as server:
        market = Market(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield market
        finally:
            market.done.set()
            server.shutdown()
            thread.join()


def seconds_since(start: float) -> float:
    return time.monotonic() - start
