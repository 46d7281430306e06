from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portfolio_site.kernel import clock
from portfolios.models import Portfolio


class ChangeKind(models.TextChoices):
    TARGETS = "targets", "Targets and bands"
    POLICY = "policy", "Rebalancing policy"
    RESTRICTION = "restriction", "Restriction"
    BENCHMARKS = "benchmarks", "Benchmarks"
    PRICE = "price", "Price entered by hand"


class ChangeStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    CANCELLED = "cancelled", "Cancelled"
    STALE = "stale", "Overtaken"


class ChangeRequest(models.Model):
    """A change that waits for a second person. Until then it stands here only, where no calculation reads."""

    kind = models.CharField(max_length=16, choices=ChangeKind.choices)
    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, null=True, blank=True, related_name="change_requests"
    )
    payload = models.JSONField(help_text="What is to be set")
    before = models.JSONField(null=True, blank=True, help_text="What stood there when it was asked for")
    content_hash = models.CharField(max_length=64)
    effective_from = models.DateField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, default="")
    status = models.CharField(max_length=9, choices=ChangeStatus.choices, default=ChangeStatus.PENDING)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=clock.now)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=1000, blank=True, default="")

    class Meta:
        db_table = "change_requests"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status__in=["approved", "rejected"])
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("requested_by"))),
                name="change_requests_maker_not_checker",
            ),
        ]
        indexes = [models.Index(fields=["portfolio", "status"], name="change_requests_portfolio")]

    def __str__(self) -> str:
        return f"{self.kind} {self.portfolio or ''} {self.status}".strip()
