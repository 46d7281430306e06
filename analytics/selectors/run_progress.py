"""How far each part of a run is."""

from typing import Any

from django.db.models import Count, Q, Sum

from analytics.models import AnalyticsRun, ChunkStatus


def chunk_progress(run: AnalyticsRun) -> list[dict[str, Any]]:
    """One row a kind of work: how many chunks and units it has, and how many chunks stand where."""
    counts = {status.value: Count("pk", filter=Q(status=status)) for status in ChunkStatus}
    kinds: Any = run.chunks.values("kind").annotate(chunks=Count("pk"), units=Sum("units"), **counts)
    return list(kinds.order_by("kind"))
