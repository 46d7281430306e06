from django.conf import settings
from django.db import models

from analytics.models.rebalancing import RebalancingEvent
from portfolio_site.kernel import clock


class ProposalVersion(models.Model):
    """One version of a proposal with all it was made from. Never changed: an edit makes the next version."""

    event = models.ForeignKey(RebalancingEvent, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    inputs = models.JSONField(help_text="Lines, lots, rules and policy: the proposal follows from them alone")
    proposal = models.JSONField(help_text="Trades, outcomes and figures")
    proposal_hash = models.CharField(max_length=64)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now)
    reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        db_table = "proposal_versions"
        ordering = ["event", "version"]
        constraints = [
            models.UniqueConstraint(fields=["event", "version"], name="proposal_versions_once"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} version {self.version}"
