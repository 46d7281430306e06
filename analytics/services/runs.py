"""The nightly job as a whole: plan, compute chunk by chunk, finalise.

The command, the Celery task, the admin button and the endpoint all come through here. A chunk writes its rows
and marks itself done in one transaction, so a killed worker leaves nothing half done and a message that is
delivered twice does nothing the second time. The chunks are the ledger: whoever finds none waiting closes the
run, and a run that has fallen silent is sent to the workers again. Nothing done for one chunk costs more when
there are thousands of others.
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from analytics.calculations.constants import ENGINE_VERSION
from analytics.models import AnalyticsRun, ChunkKind, ChunkStatus, RunChunk, RunStatus
from analytics.services.asset_metrics import asset_metrics_write
from analytics.services.correlations import correlations_write
from analytics.services.partitions import partitions_ensure
from analytics.services.planning import LATEST_SECTIONS, SECTIONS, run_plan
from analytics.services.portfolio_figures import portfolio_figures_write
from portfolio_site.kernel import clock
from portfolio_site.kernel.locks import lock_rows, wait_for_writers
from portfolios.models import ChangeCause, Portfolio, StaleMark
from portfolios.selectors.market_data import latest_trading_day
from portfolios.services.audit import Actor, audit_append

logger = logging.getLogger(__name__)

Progress = Callable[[AnalyticsRun], None]
# By name: the task lives in a face and calls this module.
DISPATCH_TASK = "analytics.run_dispatch"
# Before any price: a backfill starts with whatever there is.
BEGINNING = dt.date(1900, 1, 1)
UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)
# Beyond the longest that a chunk may take, before a run counts as silent.
SILENCE = dt.timedelta(minutes=5)
# A run that is silent after this long is closed: its marks are still there, and the next one plans anew.
PATIENCE = dt.timedelta(days=1)
_WRITERS = {
    ChunkKind.ASSETS: asset_metrics_write,
    ChunkKind.CORRELATIONS: correlations_write,
    ChunkKind.PORTFOLIOS: portfolio_figures_write,
}


class RunError(ValueError):
    """A run that cannot be planned, with the reason for the person who asked."""


def run_create(
    *,
    actor: Actor = None,
    calculation_date: dt.date | None = None,
    from_date: dt.date | None = None,
    portfolio_codes: Sequence[str] = (),
    only: Sequence[str] = (),
    keep_empty: bool = True,
) -> AnalyticsRun | None:
    """Plan a run and store it with its chunks; None when nothing is to be done and `keep_empty` is off."""
    unknown_sections = sorted(set(only) - set(SECTIONS))
    if unknown_sections:
        raise RunError(f"only: {', '.join(unknown_sections)} is not one of {', '.join(SECTIONS)}.")
    known = set(Portfolio.objects.filter(code__in=portfolio_codes).values_list("code", flat=True))
    missing = sorted(set(portfolio_codes) - known)
    if missing:
        raise RunError(f"portfolio: there is no {', '.join(missing)}.")
    through = calculation_date or latest_trading_day(clock.today())
    if through is None:
        raise RunError("date: there are no prices yet; import some first.")
    if through > clock.today():
        raise RunError(f"date: {through} is in the future.")
    if from_date is not None and from_date > through:
        raise RunError(f"from: {from_date} is later than {through}.")
    partitions_ensure()
    with transaction.atomic():
        wait_for_writers(StaleMark)
        plan = run_plan(through, from_date=from_date, portfolio_codes=portfolio_codes, only=only)
        if not plan.chunks and not keep_empty:
            return None
        run = AnalyticsRun.objects.create(
            calculation_date=through,
            from_date=from_date,
            only=list(only),
            portfolio_codes=list(portfolio_codes),
            requested_by=actor if actor is not None and actor.is_authenticated else None,
            stage="waiting",
            total=plan.units,
            mark_watermark=plan.watermark,
            engine_version=ENGINE_VERSION,
        )
        RunChunk.objects.bulk_create(
            RunChunk(run=run, number=number, kind=chunk.kind, work=chunk.work, units=chunk.units)
            for number, chunk in enumerate(plan.chunks, start=1)
        )
    return run


def run_request(
    *,
    actor: Actor,
    portfolio_codes: Sequence[str] = (),
    from_date: dt.date | None = None,
    only: Sequence[str] = (),
) -> AnalyticsRun:
    """Plan a run and hand it to the workers.

    Whoever names portfolios wants to see them computed anew, so these are computed from their beginning; a
    run over everything does what is stale.
    """
    if portfolio_codes and from_date is None and set(only or SECTIONS) - LATEST_SECTIONS:
        from_date = BEGINNING
    run = run_create(actor=actor, from_date=from_date, portfolio_codes=portfolio_codes, only=only)
    if run is None:  # cannot be: empty runs are kept
        raise RunError("the run could not be stored.")
    transaction.on_commit(lambda: current_app.send_task(DISPATCH_TASK, [run.pk]))
    return run


def run_start(run_id: int) -> list[int]:
    """Mark a run as running and return the chunks that wait; starting it twice changes nothing."""
    AnalyticsRun.objects.filter(pk=run_id, status=RunStatus.QUEUED).update(
        status=RunStatus.RUNNING, started_at=clock.now(), heartbeat_at=clock.now()
    )
    waiting = RunChunk.objects.filter(run=run_id, status=ChunkStatus.WAITING).order_by("number")
    return list(waiting.values_list("pk", flat=True))


def run_is_awaited(run_id: int) -> bool:
    """Whether somebody waits for it: a person's run over some portfolios, not the whole house."""
    asked = AnalyticsRun.objects.filter(pk=run_id, requested_by__isnull=False)
    return asked.exclude(portfolio_codes=[]).exists()


def run_execute(run: AnalyticsRun, progress: Progress | None = None) -> AnalyticsRun:
    """Do the whole run here and now."""
    for chunk_id in run_start(run.pk):
        chunk_execute(chunk_id)
        if progress is not None:
            run.refresh_from_db()
            progress(run)
    run_finalise(run.pk)
    run.refresh_from_db()
    return run


def chunk_execute(chunk_id: int) -> None:
    """Compute one chunk and store its rows; a chunk that is done already is left alone."""
    try:
        is_first = _chunk_write(chunk_id)
    except Exception as error:
        # The worker must live on, whatever one chunk ran into; its rows are rolled back and the run says so.
        logger.exception("chunk %s failed", chunk_id)
        waiting = RunChunk.objects.filter(pk=chunk_id, status=ChunkStatus.WAITING)
        issue = f"{type(error).__name__}: {error}"
        is_first = bool(waiting.update(status=ChunkStatus.FAILED, issues=[issue]))
    if is_first:
        _note_progress(chunk_id)


def _chunk_write(chunk_id: int) -> bool:
    """Whether the chunk had waited until now."""
    with transaction.atomic():
        lock_rows(RunChunk, [chunk_id])
        chunk = RunChunk.objects.select_related("run").get(pk=chunk_id)
        before = chunk.status
        if before != ChunkStatus.DONE:
            chunk.rows, chunk.issues = _WRITERS[ChunkKind(chunk.kind)](chunk.run, chunk.work)
            chunk.status = ChunkStatus.DONE
            chunk.save(update_fields=["rows", "issues", "status"])
    return before == ChunkStatus.WAITING


def _note_progress(chunk_id: int) -> None:
    """After the chunk's transaction: all workers write to this one row.

    A worker killed just before leaves the count short until the run is closed; the chunks themselves tell.
    """
    run_id, kind, units = RunChunk.objects.values_list("run", "kind", "units").get(pk=chunk_id)
    AnalyticsRun.objects.filter(pk=run_id, status=RunStatus.RUNNING).update(
        done=F("done") + units, stage=kind, heartbeat_at=clock.now()
    )


def run_finalise(run_id: int) -> bool:
    """Close a run whose chunks are all finished. Whoever finishes last does it; once."""
    if _is_waiting(run_id):
        return False
    with transaction.atomic():
        lock_rows(AnalyticsRun, [run_id])
        run = AnalyticsRun.objects.get(pk=run_id)
        if run.status != RunStatus.RUNNING or _is_waiting(run_id):
            return False
        _gather(run)
        run.stage, run.done, run.finished_at = "finished", run.total, clock.now()
        run.save()
        if run.status == RunStatus.SUCCEEDED:
            _marks_consume(run)
        audit_append(
            action="run.finished",
            object_type="analytics_run",
            object_id=run.pk,
            actor=run.requested_by,
            after=_audit_view(run),
        )
    return True


def _is_waiting(run_id: int) -> bool:
    """Whether a chunk waits. The last ones do longest, so looking from the end finds one at once."""
    waiting = RunChunk.objects.filter(run=run_id, status=ChunkStatus.WAITING)
    return waiting.order_by("-number").values_list("pk", flat=True).first() is not None


def _gather(run: AnalyticsRun) -> None:
    """What the chunks have written and run into, and the status that follows."""
    statuses: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    run.issues = []
    for status, written, issues in run.chunks.order_by("number").values_list("status", "rows", "issues"):
        statuses[status] += 1
        rows.update(written)
        run.issues += issues
    run.rows = dict(sorted(rows.items()))
    failed, total = statuses[ChunkStatus.FAILED], statuses.total()
    if failed == 0:
        run.status = RunStatus.PARTIAL if run.issues else RunStatus.SUCCEEDED
    else:
        run.status = RunStatus.FAILED if failed == total else RunStatus.PARTIAL
        run.error = f"{failed} of {total} chunks failed."


def run_retry(run_id: int, *, actor: Actor = None) -> AnalyticsRun:
    """Open a finished run again for the chunks that failed; `run_execute` or the workers do them."""
    with transaction.atomic():
        if not lock_rows(AnalyticsRun, [run_id]):
            raise RunError(f"run: there is no {run_id}.")
        run = AnalyticsRun.objects.get(pk=run_id)
        if run.status in UNFINISHED:
            raise RunError(f"run: {run_id} is not finished.")
        failed = run.chunks.filter(status=ChunkStatus.FAILED)
        units = failed.aggregate(units=Sum("units"))["units"]
        if units is None:
            raise RunError(f"run: no chunk of {run_id} failed.")
        before = {"status": run.status, "error": run.error}
        failed.update(status=ChunkStatus.WAITING, issues=[])
        run.status, run.stage, run.error, run.done = RunStatus.RUNNING, "waiting", "", run.total - units
        run.finished_at, run.heartbeat_at = None, clock.now()
        run.save()
        audit_append(
            action="run.retried", object_type="analytics_run", object_id=run_id, actor=actor, before=before
        )
    return run


@transaction.atomic
def run_retry_request(run_id: int, *, actor: Actor) -> AnalyticsRun:
    """The same, handed to the workers."""
    run = run_retry(run_id, actor=actor)
    transaction.on_commit(lambda: current_app.send_task(DISPATCH_TASK, [run.pk]))
    return run


def runs_resume() -> list[int]:
    """Send silent runs to the workers again and return their ids; what is done already stays as it is.

    A run falls silent when a worker dies between its last chunk and the end of the run, when a message is
    lost, or when the command that computed it is killed. Of several callers one resumes it.
    """
    now = clock.now()
    silent = (
        AnalyticsRun.objects.filter(status__in=UNFINISHED)
        .annotate(heard_at=Coalesce("heartbeat_at", "created_at"))
        .filter(heard_at__lt=now - dt.timedelta(seconds=settings.CHUNK_TIME_LIMIT) - SILENCE)
    )
    resumed = []
    for run in silent.order_by("pk"):
        if not silent.filter(pk=run.pk).update(heartbeat_at=now):
            continue
        if run.created_at < now - PATIENCE:
            run.chunks.filter(status=ChunkStatus.WAITING).update(
                status=ChunkStatus.FAILED, issues=["No worker came back with this chunk."]
            )
        current_app.send_task(DISPATCH_TASK, [run.pk])
        resumed.append(run.pk)
    return resumed


def _marks_consume(run: AnalyticsRun) -> None:
    """Remove the marks that this run has dealt with: only a run over everything, up to the last day, has."""
    last_day = latest_trading_day(clock.today())
    if run.only or run.portfolio_codes or (last_day is not None and run.calculation_date < last_day):
        return
    marks = StaleMark.objects.filter(id__lte=run.mark_watermark, from_date__lte=run.calculation_date)
    if run.from_date is not None:
        marks = marks.filter(from_date__gte=run.from_date)
        if run.from_date > BEGINNING:  # a split restates its asset from the first bar on
            marks = marks.exclude(cause=ChangeCause.CORPORATE_ACTION)
    marks.delete()


def _audit_view(run: AnalyticsRun) -> dict[str, Any]:
    return {
        "status": run.status,
        "calculation_date": run.calculation_date,
        "from_date": run.from_date,
        "only": run.only,
        "portfolios": run.portfolio_codes,
        "rows": run.rows,
        "issues": len(run.issues),
        "engine_version": run.engine_version,
    }
