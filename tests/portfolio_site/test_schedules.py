"""Defaults come once; what an operator made of them is kept."""

import json

import pytest
from celery import current_app
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from analytics.services.planning import SECTIONS
from portfolio_site.schedules import DEFAULT_SCHEDULES, CodeDefaultsScheduler, schedules_ensure

pytestmark = pytest.mark.django_db


def test_every_default_is_added_once() -> None:
    assert schedules_ensure() == len(DEFAULT_SCHEDULES)
    assert schedules_ensure() == 0
    assert set(PeriodicTask.objects.values_list("name", flat=True)) == {
        default.name for default in DEFAULT_SCHEDULES
    }
    for default in DEFAULT_SCHEDULES:
        task = PeriodicTask.objects.get(name=default.name)
        assert task.enabled
        assert task.crontab is not None
        assert (task.crontab.minute, task.crontab.hour, task.crontab.day_of_week) == (
            default.minute,
            default.hour,
            default.day_of_week,
        )
        assert json.loads(task.kwargs) == default.arguments


def test_what_an_operator_edited_disabled_or_added_survives() -> None:
    schedules_ensure()
    edited, disabled = PeriodicTask.objects.order_by("name")[:2]
    own_time = CrontabSchedule.objects.create(minute="7", hour="7")
    PeriodicTask.objects.filter(pk=edited.pk).update(crontab=own_time, kwargs='{"only": ["assets"]}')
    PeriodicTask.objects.filter(pk=disabled.pk).update(enabled=False)
    PeriodicTask.objects.create(name="Own", task="analytics.nightly", crontab=own_time)
    before = list(PeriodicTask.objects.order_by("pk").values())
    assert schedules_ensure() == 0
    assert list(PeriodicTask.objects.order_by("pk").values()) == before


def test_a_schedule_of_the_same_time_on_other_days_is_not_taken_for_the_default() -> None:
    default = DEFAULT_SCHEDULES[0]
    times = {"minute": default.minute, "hour": default.hour, "timezone": "UTC"}
    monthly = CrontabSchedule.objects.create(day_of_month="1", **times)
    schedules_ensure()
    task = PeriodicTask.objects.get(name=default.name)
    assert task.crontab != monthly
    assert task.crontab is not None
    assert task.crontab.day_of_month == "*"


def test_a_time_that_stands_there_twice_is_no_obstacle() -> None:
    default = DEFAULT_SCHEDULES[0]
    twins = [
        CrontabSchedule.objects.create(minute=default.minute, hour=default.hour, timezone="UTC") for _ in "ab"
    ]
    assert schedules_ensure() == len(DEFAULT_SCHEDULES)
    assert PeriodicTask.objects.get(name=default.name).crontab in twins


def test_every_task_exists_and_takes_its_arguments() -> None:
    current_app.loader.import_default_modules()
    for default in DEFAULT_SCHEDULES:
        assert default.task in current_app.tasks
        assert set(default.arguments.get("only", [])) <= set(SECTIONS)


@pytest.mark.django_db(transaction=True)  # beat closes the connection that it finds
def test_beat_starts_with_the_defaults() -> None:
    CodeDefaultsScheduler(app=current_app, lazy=True).setup_schedule()
    assert PeriodicTask.objects.filter(
        name__in=[default.name for default in DEFAULT_SCHEDULES]
    ).count() == len(DEFAULT_SCHEDULES)
