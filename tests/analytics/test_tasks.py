"""Celery's face, with a broker and a worker that are real."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun
from django.conf import settings
from django.db import connection

from analytics import tasks
from analytics.models import AnalyticsRun, ChunkKind, ChunkStatus, RunStatus
from analytics.services.runs import run_create, run_request
from portfolios.models import ChangeCause, StaleMark
from portfolios.services.staleness import mark_assets_stale
from tests.support import factories as make
from tests.support.broker import broker, messages
from tests.support.house import DAYS, House, computed_tables, make_house, run, undisturbed_tables

__all__ = ["broker"]

pytestmark = [pytest.mark.broker, pytest.mark.django_db(transaction=True)]
ROOT = Path(__file__).parents[2]
PATIENCE = 60


@pytest.fixture
def house() -> House:
    return make_house()


@contextmanager
def worker_in_thread(celery: Celery) -> Iterator[threading.Event]:
    """A worker beside the test; the event is set once a run is closed.

    The worker asks, not the test: an SQLite database in memory has room for one at a time.
    """
    closed = threading.Event()

    def look(**kwargs: Any) -> None:
        if AnalyticsRun.objects.filter(finished_at__isnull=False).exists():
            closed.set()
        connection.close()  # the thread's own

    task_postrun.connect(look, weak=False, dispatch_uid="look")
    try:
        with start_worker(celery, pool="solo", concurrency=1, perform_ping_check=False, loglevel="ERROR"):
            yield closed
    finally:
        task_postrun.disconnect(dispatch_uid="look")


def test_a_request_is_done_by_a_worker(house: House, broker: Celery) -> None:
    expected = undisturbed_tables()
    requested = run_request(actor=make.make_user())
    assert requested.status == RunStatus.QUEUED
    with worker_in_thread(broker) as closed:
        assert closed.wait(PATIENCE)
    requested.refresh_from_db()
    assert (requested.status, requested.done) == (RunStatus.SUCCEEDED, requested.total)
    assert computed_tables() == expected
    assert messages(broker) == []


def test_the_nightly_task_computes_what_is_stale_and_nothing_else(house: House, broker: Celery) -> None:
    run()
    AnalyticsRun.objects.update(finished_at=None)
    tasks.nightly()
    assert messages(broker) == []
    mark_assets_stale({house.acme.pk: DAYS[70]}, ChangeCause.PRICE)
    with worker_in_thread(broker) as closed:
        tasks.nightly.delay()
        assert closed.wait(PATIENCE)
    latest = AnalyticsRun.objects.latest("pk")
    assert (latest.status, AnalyticsRun.objects.count()) == (RunStatus.SUCCEEDED, 2)
    assert not StaleMark.objects.exists()


def test_messages_are_json_and_carry_ids_only(house: House, broker: Celery) -> None:
    requested = run_request(actor=None)
    (dispatch,) = messages(broker)
    tasks.run_dispatch(requested.pk)
    chunks = messages(broker)
    assert [body_of(dispatch)] == [("analytics.run_dispatch", [requested.pk], {})]
    # Sorted: the broker of files names a message by its millisecond, which says nothing of two within one.
    assert sorted(map(body_of, chunks), key=itemgetter(1)) == [
        ("analytics.chunk_compute", [requested.pk, pk], {})
        for pk in requested.chunks.order_by("pk").values_list("pk", flat=True)
    ]


def test_what_a_person_waits_for_does_not_queue_behind_the_night(house: House, broker: Celery) -> None:
    nightly = run_create()
    assert nightly is not None
    tasks.run_dispatch(nightly.pk)
    asked = run_request(actor=make.make_user(), portfolio_codes=["HOME"])
    tasks.run_dispatch(asked.pk)
    for queue, expected in ((settings.COMPUTE_QUEUE, nightly), (settings.INTERACTIVE_QUEUE, asked)):
        chunks = [
            body_of(m)[1] for m in messages(broker, queue) if body_of(m)[0] == "analytics.chunk_compute"
        ]
        assert sorted(chunks) == [[expected.pk, chunk.pk] for chunk in expected.chunks.order_by("pk")]


def body_of(message: Any) -> tuple[str, Any, Any]:
    assert message.content_type == "application/json"
    arguments, named, _ = json.loads(message.body)
    return message.headers["task"], arguments, named


def test_a_dispatch_delivered_twice_does_no_harm(house: House, broker: Celery) -> None:
    expected = undisturbed_tables()
    requested = run_request(actor=None)
    tasks.run_dispatch.delay(requested.pk)
    with worker_in_thread(broker) as closed:
        assert closed.wait(PATIENCE)
        tasks.run_dispatch.delay(requested.pk)
    requested.refresh_from_db()
    assert requested.status == RunStatus.SUCCEEDED
    assert computed_tables() == expected


def test_a_worker_outlives_a_chunk_that_fails(
    house: House, broker: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError("by design")

    monkeypatch.setitem(tasks.runs._WRITERS, ChunkKind.ASSETS, fail)
    requested = run_request(actor=None)
    with worker_in_thread(broker) as closed:
        assert closed.wait(PATIENCE)
    requested.refresh_from_db()
    assert (requested.status, requested.issues) == (RunStatus.PARTIAL, ["ZeroDivisionError: by design"])
    assert set(requested.chunks.exclude(kind="assets").values_list("status", flat=True)) == {ChunkStatus.DONE}


@contextmanager
def worker_process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tests.support.worker", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.mark.servers
def test_a_killed_worker_leaves_nothing_half_done_and_the_next_one_finishes(
    house: House, broker: Celery, tmp_path: Path
) -> None:
    expected = undisturbed_tables()
    untouched = computed_tables()
    sign = tmp_path / "in the middle"
    planned = run_create()
    assert planned is not None
    with worker_process(str(sign)) as first:
        tasks.run_dispatch.delay(planned.pk)
        wait_until(sign.exists)
        first.kill()
        first.wait()
    planned.refresh_from_db()
    assert planned.status == RunStatus.RUNNING
    found = computed_tables()
    for table in ("portfolio_performance_history", "portfolio_risk_metrics", "portfolio_benchmarks"):
        assert found[table] == untouched[table]
    with worker_process():
        wait_until(lambda: AnalyticsRun.objects.get(pk=planned.pk).finished_at is not None)
    planned.refresh_from_db()
    assert (planned.status, planned.done) == (RunStatus.SUCCEEDED, planned.total)
    assert computed_tables() == expected
