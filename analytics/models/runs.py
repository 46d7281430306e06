from django.conf import settings
from django.db import models

from portfolio_site.kernel import clock


class RunStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    PARTIAL = "partial", "Done with errors"
    FAILED = "failed", "Failed"


class AnalyticsRun(models.Model):
    """The ledger of computations: what ran, for whom, how far it is and what went wrong."""

    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.QUEUED)
    calculation_date = models.DateField(help_text="The last day computed")
    from_date = models.DateField(null=True, blank=True, help_text="Empty: whatever is stale")
    only = models.JSONField(default=list, blank=True, help_text="Sections; empty means all")
    portfolio_codes = models.JSONField(default=list, blank=True, help_text="Empty means all")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    stage = models.CharField(max_length=32, blank=True, default="plan")
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    mark_watermark = models.BigIntegerField(default=0, help_text="Stale marks up to this id were planned")
    rows = models.JSONField(default=dict, blank=True, help_text="Rows written, by table")
    issues = models.JSONField(default=list, blank=True)
    error = models.TextField(blank=True, default="")
    engine_version = models.CharField(max_length=16)
    created_at = models.DateTimeField(default=clock.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "analytics_runs"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Run {self.pk} to {self.calculation_date}"

    @property
    def seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class ChunkKind(models.TextChoices):
    ASSETS = "assets", "Asset metrics"
    CORRELATIONS = "correlations", "Correlations"
    PORTFOLIOS = "portfolios", "Portfolios"


class ChunkStatus(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class RunChunk(models.Model):
    """One message's worth of work. It is marked done in the transaction that writes its rows."""

    run = models.ForeignKey(AnalyticsRun, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=ChunkKind.choices)
    work = models.JSONField(help_text="Ids and dates only")
    units = models.PositiveIntegerField(default=1)
    status = models.CharField(max_length=8, choices=ChunkStatus.choices, default=ChunkStatus.WAITING)
    rows = models.JSONField(default=dict, blank=True)
    issues = models.JSONField(default=list, blank=True)

    class Meta:
        db_table = "analytics_run_chunks"
        ordering = ["run", "number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="analytics_run_chunks_unique")]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.number} {self.kind}"
