from django.conf import settings
from django.db import models
from django.db.models import F, Q

from analytics.models.policies import ProposalGear, RebalanceMode
from analytics.models.runs import AnalyticsRun
from portfolio_site.kernel import clock
from portfolio_site.kernel.fields import money_field
from portfolios.models import Portfolio


class EventType(models.TextChoices):
    SCHEDULED = "scheduled", "Scheduled"
    THRESHOLD = "threshold", "Threshold"
    MANUAL = "manual", "Manual"
    CASH_FLOW = "cash_flow", "Cash flow"
    TARGETS = "targets", "Changed targets"
    RESTRICTION = "restriction", "Changed restrictions"


class EventStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    EXECUTING = "executing", "Executing"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    REJECTED = "rejected", "Rejected"
    CANCELLED = "cancelled", "Cancelled"
    EXPIRED = "expired", "Expired"


OPEN_STATUSES = (EventStatus.PENDING, EventStatus.APPROVED, EventStatus.EXECUTING)


class RebalancingEvent(models.Model):
    """A proposal and what became of it. Approvals bind to `proposal_hash`."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="rebalancing_events")
    event_type = models.CharField(max_length=11, choices=EventType.choices)
    status = models.CharField(max_length=10, choices=EventStatus.choices, default=EventStatus.PENDING)
    mode = models.CharField(max_length=12, choices=RebalanceMode.choices)
    valuation_date = models.DateField()
    trigger = models.JSONField(default=dict, help_text="Evidence: which weight, band, price")
    joined_triggers = models.JSONField(
        default=list, blank=True, help_text="Triggers that fired while the event was open"
    )
    pre_state = models.JSONField(default=dict)
    post_state = models.JSONField(null=True, blank=True)
    actions = models.JSONField(default=list, help_text="The trades, one object a line")
    outcomes = models.JSONField(default=list, help_text="What was decided for every line, and why")
    proposal_hash = models.CharField(max_length=64)
    estimated_cost = money_field(default=0)
    actual_cost = money_field(null=True, blank=True)
    estimated_tax = money_field(null=True, blank=True)
    actual_tax = money_field(null=True, blank=True)
    turnover = models.FloatField(null=True, blank=True)
    drift_before = models.FloatField(null=True, blank=True, help_text="Percent of the portfolio")
    drift_after = models.FloatField(null=True, blank=True, help_text="Percent of the portfolio")
    tracking_distance = models.FloatField(null=True, blank=True)
    optimality_gap = models.FloatField(null=True, blank=True, help_text="0 when the optimum is proven")
    distance_bound = models.FloatField(
        null=True, blank=True, help_text="No trades under these rules come closer to the targets"
    )
    gear = models.CharField(
        max_length=5, choices=ProposalGear.choices, default=ProposalGear.EXACT, help_text="How it was found"
    )
    warnings = models.JSONField(default=list, blank=True, help_text="What the approver should look at")
    needs_review = models.BooleanField(default=False)
    venue = models.CharField(max_length=16, blank=True, default="")
    failure = models.CharField(max_length=1000, blank=True, default="")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now)
    approved_at = models.DateTimeField(null=True, blank=True)
    execution_started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    run = models.ForeignKey(AnalyticsRun, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    engine_version = models.CharField(max_length=16, blank=True, default="")

    class Meta:
        db_table = "rebalancing_events"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio"],
                condition=Q(status__in=["pending", "approved", "executing"]),
                name="rebalancing_events_one_open",
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(approved_by=F("requested_by")),
                name="rebalancing_events_maker_not_checker",
            ),
        ]
        indexes = [models.Index(fields=["portfolio", "-created_at"], name="rebalancing_events_portfolio")]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.event_type} {self.valuation_date}"
