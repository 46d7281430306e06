"""Celery workers as processes of their own, for as long as something is measured."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from portfolio_site.celery import app

SECONDS_BETWEEN_LOOKS = 0.05


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Worker processes that are ready to take work."""
    command = [sys.executable, "-m", "celery", "--app", "portfolio_site", "worker", "--concurrency", "1"]
    queues = ",".join(queue.name for queue in app.conf.task_queues)
    with ExitStack() as stack:
        for number in range(count):
            process = subprocess.Popen(  # noqa: S603
                [*command, "--queues", queues, "--hostname", f"bench{number}", "--loglevel", "ERROR"],
                env=os.environ | {"PYTHONWARNINGS": "ignore"},  # one of Celery's is about being root
                stdout=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        while len(app.control.ping(timeout=1.0)) < count:
            pass
        yield
