"""Celery's face of the services. Messages carry ids; a message delivered twice does no harm."""

import datetime as dt

from celery import shared_task
from django.conf import settings

from analytics.services import runs
from analytics.services.archive import archive_retire
from analytics.services.change_requests import changes_apply_due
from analytics.services.event_expiry import events_expire
from analytics.services.execution.run import executions_resume
from analytics.services.partitions import partitions_ensure
from analytics.services.rebalancing_sweep import SWEEP_TASK, proposals_sweep


@shared_task(name=runs.DISPATCH_TASK)
def run_dispatch(run_id: int) -> None:
    """Send one message a chunk; what a person waits for does not queue behind the night."""
    queue = settings.INTERACTIVE_QUEUE if runs.run_is_awaited(run_id) else settings.COMPUTE_QUEUE
    for chunk_id in runs.run_start(run_id):
        chunk_compute.apply_async([run_id, chunk_id], queue=queue)
    runs.run_finalise(run_id)


# A chunk that takes its worker down with it, most likely for want of memory, does so a few times only.
@shared_task(
    name="analytics.chunk_compute",
    soft_time_limit=settings.CHUNK_TIME_LIMIT,
    time_limit=settings.CHUNK_TIME_LIMIT + settings.SECONDS_TO_GIVE_UP,
    retry_on_worker_lost=True,
    max_retries=5,
    default_retry_delay=0,
)
def chunk_compute(run_id: int, chunk_id: int) -> None:
    runs.chunk_execute(chunk_id)
    runs.run_finalise(run_id)


@shared_task(name="analytics.nightly")
def nightly(only: list[str] | None = None) -> None:
    """Whatever is stale, up to the latest trading day."""
    run = runs.run_create(only=only or [], keep_empty=False)
    if run is not None:
        run_dispatch.delay(run.pk)


@shared_task(name="analytics.resume_runs")
def resume_runs() -> list[int]:
    return runs.runs_resume()


@shared_task(name="analytics.make_partitions")
def make_partitions() -> list[str]:
    return partitions_ensure()


@shared_task(name="analytics.archive")
def archive() -> int:
    """Years beyond the retention; returns how many parts went into the archive."""
    return len(archive_retire())


@shared_task(name="analytics.apply_changes")
def apply_changes() -> dict[str, int]:
    """Approved changes whose day has come."""
    return {str(status): count for status, count in changes_apply_due().items()}


@shared_task(name="analytics.resume_executions")
def resume_executions() -> list[int]:
    """Carry on with what a worker has left half done."""
    return executions_resume()


@shared_task(name="analytics.expire_proposals")
def expire_proposals() -> int:
    return events_expire()


@shared_task(
    name=SWEEP_TASK,
    soft_time_limit=settings.CHUNK_TIME_LIMIT,
    time_limit=settings.CHUNK_TIME_LIMIT + settings.SECONDS_TO_GIVE_UP,
)
def sweep_proposals(portfolio_ids: list[int], day: str | None = None) -> dict[str, int]:
    """Propose to one chunk of the portfolios; what is open already is left open. The day is in ISO 8601."""
    outcome = proposals_sweep(portfolio_ids, dt.date.fromisoformat(day) if day else None)
    return {
        "stored": len(outcome.stored),
        "left_alone": len(outcome.left_alone),
        "problems": len(outcome.problems),
    }
