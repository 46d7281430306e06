"""A Celery worker that takes its time: python -m tests.soak.worker

It rests for up to `SOAK_SECONDS` wherever a kill might hurt: before the rows of a chunk are written, before
they are committed, between a chunk and the end of its run, between two messages of a dispatch. A message that
is not acknowledged comes back after some seconds, which is longer than a chunk takes.
"""

import os
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest import mock

import django

from tests.support.worker import look_for_lost_messages_often

SECONDS_UNTIL_REDELIVERY = 4


def resting(call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The same call with a rest of at most so many seconds before and after it."""

    @wraps(call)
    def rested(*arguments: Any, **options: Any) -> Any:
        time.sleep(random.uniform(0, seconds))  # noqa: S311
        result = call(*arguments, **options)
        time.sleep(random.uniform(0, seconds))  # noqa: S311
        return result

    return rested


def take_time(seconds: float) -> None:
    from analytics import tasks
    from analytics.services import runs

    writers = {kind: resting(write, seconds) for kind, write in runs._WRITERS.items()}
    mock.patch.dict(runs._WRITERS, writers).start()
    for owner, name, rest in (
        (runs, "_note_progress", seconds / 5),
        (runs, "run_finalise", seconds / 5),
        (tasks.chunk_compute, "apply_async", seconds / 50),
    ):
        mock.patch.object(owner, name, resting(getattr(owner, name), rest)).start()


def main() -> None:
    django.setup()
    look_for_lost_messages_often()
    from portfolio_site.celery import app

    app.conf.broker_transport_options = {"visibility_timeout": SECONDS_UNTIL_REDELIVERY}
    take_time(float(os.environ["SOAK_SECONDS"]))
    app.worker_main(
        ["worker", "--concurrency=2", "--loglevel=CRITICAL", "--without-gossip", "--without-mingle"]
    )


if __name__ == "__main__":
    main()
