"""Retrying what failed, asking how far a run is, and when the schedules run."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from analytics.admin.schedules import next_run
from analytics.models import AnalyticsRun, RunChunk, RunStatus
from analytics.services import runs
from portfolio_site.kernel import clock
from portfolio_site.schedules import schedules_ensure
from portfolios.models import AuditEvent
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    messages: list[Any] = []
    monkeypatch.setattr(runs.current_app, "send_task", lambda *message: messages.append(message))
    return messages


def make_failed_run() -> AnalyticsRun:
    run = make.make_run(status=RunStatus.PARTIAL, total=3, done=3)
    for number, status in enumerate(("done", "failed"), start=1):
        issues = ["no disk"] if status == "failed" else []
        RunChunk.objects.create(
            run=run, number=number, kind="assets", work={}, status=status, units=1, issues=issues
        )
    return run


def address(run: AnalyticsRun, what: str) -> str:
    return reverse(f"admin:analytics_analyticsrun_{what}", args=[run.pk])


def test_what_failed_is_named_before_it_is_done_again(console: Client, sent: list[Any]) -> None:
    run = make_failed_run()
    assert address(run, "retry") in console.get(change_url(run)).content.decode()
    page = console.get(address(run, "retry")).content.decode()
    assert "Chunk 2, assets, 1 units: no disk" in page
    assert "Chunk 1" not in page
    run.refresh_from_db()
    assert run.status == RunStatus.PARTIAL
    assert sent == []


def test_a_retry_sends_only_what_failed(
    console: Client, sent: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    run = make_failed_run()
    with django_capture_on_commit_callbacks(execute=True):
        console.post(address(run, "retry"))
    assert sent == [(runs.DISPATCH_TASK, [run.pk])]
    assert runs.run_start(run.pk) == [run.chunks.get(number=2).pk]
    assert AuditEvent.objects.filter(action="run.retried", object_id=str(run.pk)).count() == 1


def test_a_run_without_failures_offers_no_retry(console: Client, sent: list[Any]) -> None:
    run = make.make_run(status=RunStatus.SUCCEEDED)
    assert address(run, "retry") not in console.get(change_url(run)).content.decode()
    answer = console.post(address(run, "retry"), follow=True)
    assert "Nothing was started" in answer.content.decode()
    assert sent == []


def test_who_may_not_start_runs_may_not_retry(sent: list[Any]) -> None:
    reader, run = make_reader(), make_failed_run()
    reader.user_permissions.add(Permission.objects.get(codename="view_all_portfolios"))
    client = client_of(reader)
    assert client.get(address(run, "progress")).status_code == 200
    assert client.post(address(run, "retry")).status_code == 403
    run.refresh_from_db()
    assert run.status == RunStatus.PARTIAL
    assert sent == []


def test_a_run_over_the_house_is_not_there_for_others() -> None:
    assert client_of(make_reader()).get(address(make_failed_run(), "progress")).status_code == 404


def test_how_far_a_run_is(console: Client) -> None:
    run = make.make_run(status=RunStatus.RUNNING, done=30, total=120, stage="portfolios")
    AnalyticsRun.objects.filter(pk=run.pk).update(started_at=clock.now() - dt.timedelta(seconds=60))
    news = console.get(address(run, "progress")).json()
    assert (news["done"], news["total"], news["is_finished"]) == (30, 120, False)
    assert news["left"] == pytest.approx(180, rel=0.1)
    assert "30 of 120 units, stage: portfolios" in news["words"]


# --- schedules ------------------------------------------------------------------------------------------


@pytest.fixture
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Wednesday."""
    now = dt.datetime(2024, 4, 3, 21, 10, tzinfo=dt.UTC)
    monkeypatch.setattr(clock, "now", lambda: now)


@pytest.mark.usefixtures("_now")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Daily figures after the close", dt.datetime(2024, 4, 3, 22, 30, tzinfo=dt.UTC)),
        ("Weekly correlations of all pairs", dt.datetime(2024, 4, 6, 1, 30, tzinfo=dt.UTC)),
    ],
)
def test_the_next_time_follows_from_the_schedule(name: str, expected: dt.datetime) -> None:
    schedules_ensure()
    found = next_run(PeriodicTask.objects.get(name=name))
    assert found is not None
    assert abs(found - expected) < dt.timedelta(minutes=1)


def test_the_list_says_what_runs_when(console: Client) -> None:
    schedules_ensure()
    PeriodicTask.objects.filter(name="Archive old history").update(enabled=False)
    page = console.get(reverse("admin:django_celery_beat_periodictask_changelist")).content.decode()
    assert "At 10:30 PM" in page or "At 22:30" in page
    assert "it is switched off" in page
    assert "has not run yet" in page
