"""Runs that fell silent are sent to the workers again; runs with failed chunks can be opened again."""

import datetime as dt
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.models import AnalyticsRun, ChunkKind, ChunkStatus, RunChunk, RunStatus
from analytics.services import runs
from analytics.services.runs import (
    PATIENCE,
    SILENCE,
    RunError,
    chunk_execute,
    run_create,
    run_execute,
    run_finalise,
    run_is_awaited,
    run_retry,
    run_start,
    runs_resume,
)
from portfolio_site.kernel import clock
from portfolios.models import AuditEvent, ChangeCause, StaleMark
from portfolios.services.staleness import mark_assets_stale
from tests.support import factories as make
from tests.support.house import DAYS, House, computed_tables, make_house, run, undisturbed_tables

pytestmark = pytest.mark.django_db
LONG_AGO = dt.timedelta(seconds=settings.CHUNK_TIME_LIMIT + 1) + SILENCE

Sent = list[tuple[str, list[int]]]


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    messages: Sent = []
    monkeypatch.setattr(
        runs.current_app, "send_task", lambda name, arguments: messages.append((name, arguments))
    )
    return messages


def fail(run: AnalyticsRun, work: dict[str, Any]) -> Any:
    raise ZeroDivisionError("by design")


def silent_for(age: dt.timedelta, **fields: Any) -> AnalyticsRun:
    defaults = {"status": RunStatus.RUNNING, "heartbeat_at": clock.now() - age}
    return make.make_run(**defaults | fields)


def dispatched(*found: AnalyticsRun) -> Sent:
    return [("analytics.run_dispatch", [run.pk]) for run in found]


def test_a_run_that_fell_silent_is_sent_again_once(sent: Sent) -> None:
    silent = silent_for(LONG_AGO)
    assert runs_resume() == [silent.pk]
    assert runs_resume() == []
    assert sent == dispatched(silent)


def test_a_request_whose_message_was_lost_is_sent_again(sent: Sent) -> None:
    lost = make.make_run(created_at=clock.now() - LONG_AGO)
    make.make_run()
    assert runs_resume() == [lost.pk]
    assert sent == dispatched(lost)


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.PARTIAL, RunStatus.FAILED])
def test_what_is_finished_or_was_heard_of_lately_is_left_alone(status: RunStatus, sent: Sent) -> None:
    silent_for(LONG_AGO, status=status)
    silent_for(LONG_AGO - dt.timedelta(minutes=1))
    before = list(AnalyticsRun.objects.values())
    assert runs_resume() == []
    assert sent == []
    assert list(AnalyticsRun.objects.values()) == before


def test_no_chunk_can_still_be_at_work_when_its_run_is_called_silent(sent: Sent) -> None:
    silent_for(dt.timedelta(seconds=settings.CHUNK_TIME_LIMIT + settings.SECONDS_TO_GIVE_UP))
    assert runs_resume() == []


def test_a_run_whose_worker_died_before_closing_it_is_closed_by_the_next_dispatch(
    house: House, sent: Sent
) -> None:
    planned = run_create()
    assert planned is not None
    for chunk_id in run_start(planned.pk):
        chunk_execute(chunk_id)
    AnalyticsRun.objects.update(heartbeat_at=clock.now() - LONG_AGO)
    assert runs_resume() == [planned.pk]
    assert run_start(planned.pk) == []
    assert run_finalise(planned.pk)
    planned.refresh_from_db()
    assert planned.status == RunStatus.SUCCEEDED


def test_what_was_done_before_the_silence_is_not_done_again(house: House, sent: Sent) -> None:
    expected = undisturbed_tables()
    planned = run_create()
    assert planned is not None
    first, *others = run_start(planned.pk)
    chunk_execute(first)
    AnalyticsRun.objects.update(heartbeat_at=clock.now() - LONG_AGO)
    runs_resume()
    assert run_start(planned.pk) == others
    assert run_execute(planned).status == RunStatus.SUCCEEDED
    assert planned.done == planned.total
    assert computed_tables() == expected


def test_a_run_nobody_could_finish_in_a_day_is_closed_and_its_marks_stay(house: House, sent: Sent) -> None:
    mark_assets_stale({house.acme.pk: DAYS[3]}, ChangeCause.PRICE)
    planned = run_create()
    assert planned is not None
    first, *_ = run_start(planned.pk)
    chunk_execute(first)
    past = clock.now() - PATIENCE - dt.timedelta(minutes=1)
    AnalyticsRun.objects.update(created_at=past, heartbeat_at=past)
    assert runs_resume() == [planned.pk]
    assert run_start(planned.pk) == []
    assert run_finalise(planned.pk)
    planned.refresh_from_db()
    assert (planned.status, planned.error) == (RunStatus.PARTIAL, "2 of 3 chunks failed.")
    assert planned.issues == ["No worker came back with this chunk."] * 2
    assert StaleMark.objects.count() == 1


def test_failed_chunks_of_a_finished_run_can_be_done_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed_tables()
    mark_assets_stale({house.acme.pk: DAYS[3]}, ChangeCause.PRICE)
    with monkeypatch.context() as patch:
        patch.setitem(runs._WRITERS, ChunkKind.PORTFOLIOS, fail)
        failed = run()
    done = list(RunChunk.objects.exclude(status=ChunkStatus.FAILED).values())
    user = make.make_user()

    opened = run_retry(failed.pk, actor=user)
    assert (opened.status, opened.error, opened.finished_at) == (RunStatus.RUNNING, "", None)
    assert opened.done == opened.total - 2
    retried = run_execute(opened)
    assert (retried.status, retried.issues, retried.error) == (RunStatus.SUCCEEDED, [], "")
    assert retried.done == retried.total
    assert computed_tables() == expected
    assert list(RunChunk.objects.exclude(kind=ChunkKind.PORTFOLIOS).values()) == done
    assert not StaleMark.objects.exists()
    actions = AuditEvent.objects.filter(object_type="analytics_run").order_by("sequence")
    assert list(actions.values_list("action", "actor")) == [
        ("run.finished", "system"),
        ("run.retried", user.username),
        ("run.finished", "system"),
    ]


def test_only_a_finished_run_with_failed_chunks_can_be_opened_again(house: House) -> None:
    done = run()
    planned = run_create()
    assert planned is not None
    before = list(AnalyticsRun.objects.values())
    with pytest.raises(RunError, match=f"no chunk of {done.pk} failed"):
        run_retry(done.pk)
    with pytest.raises(RunError, match=f"{planned.pk} is not finished"):
        run_retry(planned.pk)
    with pytest.raises(RunError, match="there is no 999999"):
        run_retry(999_999)
    assert list(AnalyticsRun.objects.values()) == before
    assert not AuditEvent.objects.filter(action="run.retried").exists()


def test_a_person_waits_for_a_run_over_named_portfolios_only() -> None:
    person = make.make_user()
    assert run_is_awaited(make.make_run("HOME", requested_by=person).pk)
    assert not run_is_awaited(make.make_run("HOME").pk)
    assert not run_is_awaited(make.make_run(requested_by=person).pk)


def test_the_end_of_a_chunk_asks_for_one_other_that_waits_not_for_all() -> None:
    started = make.make_run(status=RunStatus.RUNNING)
    RunChunk.objects.bulk_create(
        RunChunk(run=started, number=number, kind=ChunkKind.ASSETS, work={}) for number in range(200)
    )
    with CaptureQueriesContext(connection) as captured:
        assert run_finalise(started.pk) is False
    (query,) = captured.captured_queries
    assert query["sql"].endswith('ORDER BY "analytics_run_chunks"."number" DESC LIMIT 1')


def test_the_command_does_again_what_failed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed_tables()
    with monkeypatch.context() as patch:
        patch.setitem(runs._WRITERS, ChunkKind.ASSETS, fail)
        failed = run()
    call_command("run_analytics", "--retry", str(failed.pk), stdout=StringIO())
    failed.refresh_from_db()
    assert failed.status == RunStatus.SUCCEEDED
    assert computed_tables() == expected
    assert AnalyticsRun.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--retry", "999999"], "there is no 999999"), (["--retry", "1", "--only", "risk"], "no other choice")],
)
def test_the_command_says_what_cannot_be_done_again(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("run_analytics", *arguments)
    assert not AnalyticsRun.objects.exists()
