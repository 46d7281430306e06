from django.conf import settings
from django.db import models
from django.db.models import F, Q

from analytics.models.rebalancing import RebalancingEvent
from portfolio_site.kernel import clock


class Decision(models.TextChoices):
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"


class Approval(models.Model):
    """Who said yes or no to which version of a proposal."""

    event = models.ForeignKey(RebalancingEvent, on_delete=models.PROTECT, related_name="approvals")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Nobody where a policy approved",
    )
    maker = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who made the version that is decided on",
    )
    is_automatic = models.BooleanField(default=False)
    decision = models.CharField(max_length=8, choices=Decision.choices)
    level = models.PositiveSmallIntegerField(default=1)
    proposal_hash = models.CharField(max_length=64)
    note = models.CharField(max_length=1000, blank=True, default="")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "approvals"
        ordering = ["event", "created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "proposal_hash", "user"], name="approvals_one_voice_each"
            ),
            models.CheckConstraint(
                condition=Q(maker__isnull=True) | Q(user__isnull=True) | ~Q(user=F("maker")),
                name="approvals_maker_not_checker",
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=False) | Q(is_automatic=True), name="approvals_somebody"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.decision}"
