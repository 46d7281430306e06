"""Which queue a task goes to, how long it may take and when its message comes back."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings

ROOT = Path(__file__).parents[2]
BLAS_THREADS = """
import portfolio_site, numpy, scipy.linalg, threadpoolctl
print({pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"})
"""


def our_tasks() -> dict[str, Any]:
    current_app.loader.import_default_modules()
    return {name: task for name, task in current_app.tasks.items() if not name.startswith("celery.")}


def queue_of(name: str) -> str:
    queue = current_app.amqp.router.route({}, name)["queue"]
    assert queue.routing_key == queue.exchange.name == queue.name  # or its messages reach other queues too
    return str(queue.name)


def test_no_message_comes_back_while_its_task_may_still_run() -> None:
    visible_after = current_app.conf.broker_transport_options["visibility_timeout"]
    limits = {name: task.time_limit or current_app.conf.task_time_limit for name, task in our_tasks().items()}
    assert limits["analytics.chunk_compute"] == settings.CHUNK_TIME_LIMIT + settings.SECONDS_TO_GIVE_UP
    assert max(limits.values()) < visible_after


def test_every_task_is_told_to_stop_before_its_process_is_ended() -> None:
    for task in our_tasks().values():
        soft = task.soft_time_limit or current_app.conf.task_soft_time_limit
        assert soft < (task.time_limit or current_app.conf.task_time_limit)


def test_every_task_survives_the_loss_of_its_worker() -> None:
    assert current_app.conf.worker_prefetch_multiplier == 1
    for task in our_tasks().values():
        assert (task.acks_late, task.reject_on_worker_lost) == (True, True)


def test_chunks_are_kept_apart_from_what_a_person_waits_for() -> None:
    assert queue_of("analytics.chunk_compute") == settings.COMPUTE_QUEUE
    for name in ("analytics.run_dispatch", "analytics.resume_runs", "portfolios.run_upload"):
        assert queue_of(name) == settings.INTERACTIVE_QUEUE
    assert set(settings.CELERY_TASK_ROUTES) <= set(our_tasks())


def test_the_worker_of_the_procfile_serves_both_queues() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("worker:")]
    assert f"--queues {settings.INTERACTIVE_QUEUE},{settings.COMPUTE_QUEUE} " in line


def test_a_worker_computes_with_one_thread() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", BLAS_THREADS]
    printed = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    assert printed.stdout.strip() == "{1}"
