"""Backfills whose workers are killed, and what they leave."""

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import redis
from django.conf import settings
from django.db import connection, transaction
from django.test import override_settings

from analytics.models import AnalyticsRun, ChunkStatus, RunChunk
from analytics.services import planning, runs
from analytics.tasks import run_dispatch
from portfolios.models import AuditEvent
from tests.support import factories as make
from tests.support.house import (
    COMPUTED,
    OF_LAST_DAYS,
    RATE_SERIES,
    computed_tables,
    make_house,
    make_prices,
    run,
)

ROOT = Path(__file__).parents[2]
# Seconds; much longer than the rest of a backfill takes when nothing is killed any more.
PATIENCE = 600
# Longer than it takes a message to come back and a worker to start.
SILENCE = dt.timedelta(seconds=15)
# The part of the kills that ends a worker with all its processes. It takes seconds to start another one.
WHOLE_WORKERS = 0.3

State = dict[str, Any]


@dataclass
class Kills:
    """How many are wanted, what was killed how often, and how often while a chunk was at work."""

    wanted: int
    made: Counter[str] = field(default_factory=Counter)
    at_work: int = 0

    @property
    def left(self) -> int:
        return self.wanted - self.made.total()


class Worker:
    """A worker of this database in a process group of its own, started again whenever it has ended."""

    def __init__(self, seconds: float) -> None:
        database = connection.settings_dict
        url = f"postgresql://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
        own = {"DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL, "SOAK_SECONDS": str(seconds)}
        self._environment = {**os.environ, **own}
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.soak.worker"],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,  # its banner
            start_new_session=True,
        )

    def tend(self) -> None:
        """What a supervisor does. Celery gives up when its processes are killed while they start."""
        if self._process.poll() is not None:
            self._start()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill_child(self, chance: random.Random) -> bool:
        """Whether there was one: it may have been killed just before."""
        children = self._children()
        with suppress(ProcessLookupError):
            if children:
                os.kill(chance.choice(children), signal.SIGKILL)
                return True
        return False

    def _children(self) -> list[int]:
        command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        processes = (line.split() for line in listed.splitlines())
        own = str(self._process.pid)
        return [int(pid) for pid, parent, state in processes if parent == own and not state.startswith("Z")]


@contextmanager
def small_chunks(days: int) -> Iterator[None]:
    """Many chunks, and runs that count as silent soon."""
    with (
        mock.patch.multiple(planning, ASSETS_PER_CHUNK=2, DAYS_PER_CHUNK=days, PORTFOLIOS_PER_CHUNK=1),
        mock.patch.object(runs, "SILENCE", SILENCE),
        override_settings(CHUNK_TIME_LIMIT=0),
    ):
        yield


def disturbed_backfill(kills: Kills, chance: random.Random, seconds: float) -> str:
    """Backfill with workers that are killed, while there are kills left; what is wrong then, or nothing.

    `seconds` is how long a worker rests at most at each of the places where it may be killed.
    """
    expected = undisturbed_state()
    planned = runs.run_create()
    assert planned is not None
    run_dispatch.delay(planned.pk)
    _work_and_kill(planned.pk, kills, chance, seconds)
    planned.refresh_from_db()
    if planned.chunks.exclude(status=ChunkStatus.DONE).exists():
        return f"{planned.status}: {planned.error} {planned.issues}"
    return difference(expected, state_of(planned))


def _work_and_kill(run_id: int, kills: Kills, chance: random.Random, seconds: float) -> None:
    workers = [Worker(seconds), Worker(seconds)]

    def is_closed() -> bool:
        for worker in workers:
            worker.tend()
        runs.runs_resume()  # beat asks for it every few minutes
        return AnalyticsRun.objects.filter(pk=run_id, finished_at__isnull=False).exists()

    try:
        while kills.left > 0:
            wait_until(lambda: is_closed() or chunks_at_work(run_id) > 0)
            time.sleep(chance.uniform(0, 3 * seconds))
            if is_closed():
                break
            at_work = chunks_at_work(run_id)
            worker = chance.choice(workers)
            if chance.random() < WHOLE_WORKERS:
                kills.made["workers"] += 1
                worker.kill()
            elif worker.kill_child(chance):
                kills.made["processes"] += 1
            else:
                continue
            kills.at_work += min(at_work, 1)
        wait_until(is_closed)
        wait_until(has_no_messages)
    finally:
        for worker in workers:
            worker.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited for {PATIENCE} seconds")
        time.sleep(0.1)


def chunks_at_work(run_id: int) -> int:
    """How many waiting chunks are locked by somebody who computes them."""
    with transaction.atomic():
        waiting = RunChunk.objects.filter(run=run_id, status=ChunkStatus.WAITING)
        count = waiting.count()
        free = waiting.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
        return count - len(free)


def has_no_messages() -> bool:
    """None that waits, and none that was taken and is not acknowledged."""
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        waiting = [server.llen(name) for name in (settings.COMPUTE_QUEUE, settings.INTERACTIVE_QUEUE)]
        return not any([*waiting, server.hlen("unacked")])


def undisturbed_state() -> State:
    """The state after a run of this process alone; nothing is kept of it."""
    with transaction.atomic():
        state = state_of(run())
        transaction.set_rollback(True)
    return state


def state_of(done: AnalyticsRun) -> State:
    """What a run has left: the rows of all tables, its own words, the kinds of rows in the audit trail."""
    return {
        **computed_tables((*COMPUTED, *OF_LAST_DAYS)),
        "the run": {name: getattr(done, name) for name in ("status", "done", "total", "rows", "issues")},
        "the audit trail": Counter(AuditEvent.objects.values_list("action", "object_type")),
    }


def difference(expected: State, found: State) -> str:
    """The first thing that is not as expected, in words."""
    for name, wanted in expected.items():
        if found[name] == wanted:
            continue
        if not isinstance(wanted, list) or len(wanted) != len(found[name]):
            return f"{name}: {_in_short(found[name])} instead of {_in_short(wanted)}"
        pairs = zip(found[name], wanted, strict=True)
        return f"{name}: {next(f'{one} instead of {other}' for one, other in pairs if one != other)}"
    return ""


def _in_short(value: Any) -> str:
    return f"{len(value)} rows" if isinstance(value, list) else str(value)


def make_large_house() -> None:
    """Twelve assets, 300 days, six portfolios."""
    weekdays = np.arange(np.datetime64("2022-01-03"), np.datetime64("2023-12-31")).tolist()
    days = [day for day in weekdays if day.isoweekday() <= 5][:300]
    house = make_house(days)
    more = [make.make_asset(f"MORE{number}") for number in range(9)]
    for seed, asset in enumerate(more, start=10):
        make_prices(asset, 20.0 + seed, seed, days)
    for number in range(4):
        portfolio = make.make_portfolio(f"BOOK{number}", risk_free=RATE_SERIES)
        make.make_transaction(portfolio, amount=100_000, trade_date=days[number])
        make.make_benchmark(portfolio, house.market, is_primary=True)
        for asset in more[number : number + 5]:
            make.make_transaction(
                portfolio, kind="buy", asset=asset, quantity=100, price=90, amount=None, trade_date=days[9]
            )
            make.make_allocation(portfolio, asset, 20, rebalance_threshold=5)
