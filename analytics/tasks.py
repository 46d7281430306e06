"""Celery's face of the services. Messages carry ids; a message delivered twice does no harm."""

from celery import shared_task

from analytics.services import runs
from analytics.services.rebalancing_events import events_expire


@shared_task(name=runs.DISPATCH_TASK)
def run_dispatch(run_id: int) -> None:
    """Send one message a chunk."""
    for chunk_id in runs.run_start(run_id):
        chunk_compute.delay(run_id, chunk_id)
    runs.run_finalise(run_id)


@shared_task(name="analytics.chunk_compute")
def chunk_compute(run_id: int, chunk_id: int) -> None:
    runs.chunk_execute(chunk_id)
    runs.run_finalise(run_id)


@shared_task(name="analytics.nightly")
def nightly(only: list[str] | None = None) -> None:
    """Whatever is stale, up to the latest trading day."""
    run = runs.run_create(only=only or [], keep_empty=False)
    if run is not None:
        run_dispatch.delay(run.pk)


@shared_task(name="analytics.expire_proposals")
def expire_proposals() -> int:
    return events_expire()
