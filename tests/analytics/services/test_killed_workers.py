"""A few kills in the middle of a backfill; `python -m tests.soak.kill_workers` makes a hundred."""

import random

import pytest
from celery import Celery

from portfolios.models import AuditEvent
from tests.soak.backfills import Kills, disturbed_backfill, small_chunks
from tests.support.broker import broker
from tests.support.house import make_house

__all__ = ["broker"]

pytestmark = [pytest.mark.servers, pytest.mark.broker, pytest.mark.django_db(transaction=True)]


def test_workers_killed_at_random_moments_leave_what_an_undisturbed_run_leaves(broker: Celery) -> None:
    make_house()
    kills = Kills(3)
    with small_chunks(days=10):
        assert disturbed_backfill(kills, random.Random(4), seconds=0.2) == ""  # noqa: S311
    assert kills.left == 0
    assert kills.at_work > 0
    assert AuditEvent.objects.filter(action="run.finished").count() == 1
