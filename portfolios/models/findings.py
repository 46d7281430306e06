from django.conf import settings
from django.db import models
from django.db.models import Q

from portfolios.models.assets import Asset


class FindingKind(models.TextChoices):
    MISSING_OHLC = "missing_ohlc", "Missing open, high, low or volume"
    INCONSISTENT_OHLC = "inconsistent_ohlc", "Inconsistent bar"
    MISSING_SESSION = "missing_session", "Missing session"
    SUSPECT_CLOSE = "suspect_close", "Suspect close"
    UNADJUSTED_ACTION = "unadjusted_action", "Unadjusted corporate action"
    STALE_PRICE = "stale_price", "Stale price"


class FindingSeverity(models.TextChoices):
    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"


class FindingStatus(models.TextChoices):
    OPEN = "open", "Open"
    ACCEPTED = "accepted", "Accepted"
    RESOLVED = "resolved", "Resolved"


class DataFinding(models.Model):
    """Something that looks wrong in a stored price. The price stays as its source published it.

    Resolved: the last check found it no more. Accepted: someone looked, and said why it may stay.
    """

    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="data_findings", db_index=False)
    date = models.DateField()
    kind = models.CharField(max_length=20, choices=FindingKind.choices)
    severity = models.CharField(max_length=8, choices=FindingSeverity.choices)
    detail = models.TextField()
    measure = models.FloatField(help_text="How much, in the unit of the kind: a fraction or a number")
    related_date = models.DateField(null=True, blank=True, help_text="The other day that the detail names")
    status = models.CharField(max_length=8, choices=FindingStatus.choices, default=FindingStatus.OPEN)
    note = models.TextField(blank=True, default="")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(help_text="By the last check that found it new or changed")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        db_table = "data_findings"
        ordering = ["asset", "date", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["asset", "date", "kind"], name="data_findings_unique"),
            models.CheckConstraint(
                condition=~Q(status="accepted") | ~Q(note=""), name="data_findings_accepted_has_note"
            ),
        ]
        indexes = [models.Index(fields=["status", "severity"], name="data_findings_status")]

    def __str__(self) -> str:
        return f"{self.asset} {self.date} {self.kind}"
