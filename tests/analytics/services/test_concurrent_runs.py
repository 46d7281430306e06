"""Runs and facts that arrive at the same time, in real threads with connections of their own."""

import threading
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from analytics.models import AnalyticsRun, RunStatus
from analytics.services import asset_metrics, planning
from analytics.services.runs import BEGINNING, chunk_execute, run_create, run_execute, run_finalise, run_start
from portfolios.models import AuditEvent, ChangeCause, PriceBar, StaleMark
from portfolios.services.staleness import mark_assets_stale
from tests.support.house import DAYS, House, computed_tables, make_house, run, undisturbed_tables
from tests.support.threads import in_thread, together

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def house() -> House:
    return make_house()


def planned(**options: Any) -> AnalyticsRun:
    found = run_create(**options)
    assert found is not None
    return found


def test_two_who_finish_at_once_close_a_run_once(house: House) -> None:
    started = planned()
    for chunk_id in run_start(started.pk):
        chunk_execute(chunk_id)
    closed = together(*[lambda: run_finalise(started.pk)] * 4)
    assert sorted(closed) == [False, False, False, True]
    assert AuditEvent.objects.filter(action="run.finished").count() == 1


def test_chunks_of_one_run_in_parallel_give_the_same_as_one_after_the_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed_tables()
    monkeypatch.setattr(planning, "ASSETS_PER_CHUNK", 1)
    monkeypatch.setattr(planning, "DAYS_PER_CHUNK", 40)
    monkeypatch.setattr(planning, "PORTFOLIOS_PER_CHUNK", 1)
    started = planned()
    chunk_ids = run_start(started.pk)

    def work(own: list[int]) -> None:
        for chunk_id in own:
            chunk_execute(chunk_id)
            run_finalise(started.pk)

    # Every chunk is delivered twice.
    together(lambda: work(chunk_ids), lambda: work(chunk_ids[::-1]))
    started.refresh_from_db()
    assert (started.status, started.done) == (RunStatus.SUCCEEDED, started.total)
    assert computed_tables() == expected


def test_two_runs_over_the_same_portfolios_end_in_the_same_tables(house: House) -> None:
    expected = undisturbed_tables()
    runs = [planned(), planned(from_date=BEGINNING)]
    done = together(*[lambda run=run: run_execute(run) for run in runs])
    assert [run.status for run in done] == [RunStatus.SUCCEEDED] * 2
    assert computed_tables() == expected


def test_an_older_run_does_not_write_over_what_a_newer_one_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first reads the prices, then one changes, then the second reads them and is faster."""
    read = asset_metrics.bars_of
    has_read, may_write = threading.Event(), threading.Event()

    def read_and_wait(*arguments: Any) -> Any:
        bars = read(*arguments)
        if not has_read.is_set():
            has_read.set()
            may_write.wait(timeout=10)
        return bars

    monkeypatch.setattr(asset_metrics, "bars_of", read_and_wait)
    slow = in_thread(lambda: run(only=["assets"]))
    assert has_read.wait(timeout=10)
    with transaction.atomic():
        PriceBar.objects.filter(asset=house.acme, date=DAYS[5]).update(close=Decimal(95))
        mark_assets_stale({house.acme.pk: DAYS[5]}, ChangeCause.PRICE)
    fast = in_thread(lambda: run(only=["assets"]))
    with pytest.raises(TimeoutError):
        fast.result(timeout=0.5)
    may_write.set()
    slow.result(timeout=30)
    fast.result(timeout=30)
    found = computed_tables()["asset_performance_metrics"]
    assert found == undisturbed_tables(from_date=BEGINNING)["asset_performance_metrics"]


def test_a_mark_committed_late_is_planned_or_left_but_never_lost(house: House) -> None:
    """Its id is smaller than that of a mark which is committed already when the run is planned."""
    run()
    with transaction.atomic():
        mark_assets_stale({house.acme.pk: DAYS[5]}, ChangeCause.PRICE)
        in_thread(lambda: mark_assets_stale({house.rhein.pk: DAYS[9]}, ChangeCause.PRICE)).result(timeout=10)
        planning_run = in_thread(planned)
        with pytest.raises(TimeoutError):
            planning_run.result(timeout=0.3)
    found = planning_run.result(timeout=10)
    assets = [entry for chunk in found.chunks.filter(kind="assets") for entry in chunk.work["assets"]]
    assert assets == [[house.acme.pk, DAYS[5].isoformat()], [house.rhein.pk, DAYS[9].isoformat()]]
    assert run_execute(found).status == RunStatus.SUCCEEDED
    assert not StaleMark.objects.exists()
