from django.db import models

from portfolios.models.portfolios import Portfolio


class AuditEvent(models.Model):
    """One link of the audit chain. Triggers in the database refuse any change to a stored row."""

    sequence = models.BigIntegerField(primary_key=True)
    occurred_at = models.DateTimeField()
    actor = models.CharField(max_length=150, help_text="User name, or what acted on its own")
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, null=True, blank=True, related_name="audit_events"
    )
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, default="")
    request_id = models.CharField(max_length=64, blank=True, default="")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "audit_events"
        ordering = ["-sequence"]
        constraints = [models.UniqueConstraint(fields=["previous_hash"], name="audit_events_one_chain")]
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="audit_events_object"),
            models.Index(fields=["portfolio", "sequence"], name="audit_events_portfolio"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence}: {self.action}"
