"""How far a run is: its parts, how fast it goes and when it will be done."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, Sum

from analytics.models import AnalyticsRun, ChunkStatus, RunStatus
from portfolio_site.kernel import clock

UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(frozen=True)
class Progress:
    """`rate`: units a second so far. `left`: seconds, if it goes on like that. None: not known yet."""

    done: int
    total: int
    stage: str
    seconds: float | None
    rate: float | None
    left: float | None
    is_finished: bool


def progress_of(run: AnalyticsRun) -> Progress:
    seconds = run.seconds
    if seconds is None and run.started_at is not None:
        seconds = max((clock.now() - run.started_at) / dt.timedelta(seconds=1), 0.0)
    rate = run.done / seconds if seconds and run.done else None
    finished = run.status not in UNFINISHED
    left = (run.total - run.done) / rate if rate and not finished else None
    stage = run.stage or ("finished" if finished else "plan")
    return Progress(run.done, run.total, stage, seconds, rate, left, finished)


def chunk_progress(run: AnalyticsRun) -> list[dict[str, Any]]:
    """One row a kind of work: how many chunks and units it has, and how many chunks stand where."""
    counts = {status.value: Count("pk", filter=Q(status=status)) for status in ChunkStatus}
    kinds: Any = run.chunks.values("kind").annotate(chunks=Count("pk"), units=Sum("units"), **counts)
    return list(kinds.order_by("kind"))


def failed_chunks(run: AnalyticsRun) -> list[dict[str, Any]]:
    """What failed, with its reasons."""
    rows: Any = run.chunks.filter(status=ChunkStatus.FAILED).order_by("number")
    return list(rows.values("number", "kind", "units", "issues"))


def has_failed_chunks(run: AnalyticsRun) -> bool:
    return run.status not in UNFINISHED and run.chunks.filter(status=ChunkStatus.FAILED).exists()
