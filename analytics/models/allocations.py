from django.db import models
from django.db.models import F, Q

from analytics.models.computed import ComputedRow
from portfolio_site.kernel.fields import money_field, percent_field
from portfolios.models import Asset, Portfolio


class RebalanceFrequency(models.TextChoices):
    DAILY = "daily", "Daily"
    WEEKLY = "weekly", "Weekly"
    MONTHLY = "monthly", "Monthly"
    QUARTERLY = "quarterly", "Quarterly"
    SEMIANNUAL = "semiannual", "Twice a year"
    ANNUAL = "annual", "Yearly"
    NONE = "none", "Never"


class BandRule(models.TextChoices):
    ABSOLUTE = "absolute", "Percentage points"
    RELATIVE = "relative", "Percent of the target"
    EITHER = "either", "Either (the tighter one)"
    BOTH = "both", "Both (the looser one)"


class PortfolioAllocation(ComputedRow):
    """The target of one asset in one portfolio with its limits and band, and how far it stands from it."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="allocations")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="allocations")
    target_percentage = percent_field()
    min_percentage = percent_field(default=0)
    max_percentage = percent_field(default=100)
    rebalance_threshold = percent_field(null=True, blank=True, help_text="Band in percentage points")
    rebalance_threshold_relative = percent_field(
        null=True, blank=True, help_text="Band in percent of the target"
    )
    band_rule = models.CharField(
        max_length=8,
        choices=BandRule.choices,
        default=BandRule.EITHER,
        help_text="Which of the two bands holds",
    )
    rebalance_frequency = models.CharField(
        max_length=12, choices=RebalanceFrequency.choices, default=RebalanceFrequency.NONE
    )
    is_active = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)

    current_value = money_field(null=True, blank=True, editable=False)
    current_percentage = models.FloatField(null=True, blank=True, editable=False)
    drift_percentage = models.FloatField(
        null=True, blank=True, editable=False, help_text="Current minus target, percentage points"
    )
    highest_drift_percentage = models.FloatField(
        null=True,
        blank=True,
        editable=False,
        help_text="Largest distance from the target since the last rebalancing, percentage points, signed",
    )
    highest_drift_date = models.DateField(null=True, blank=True, editable=False)
    is_breached = models.BooleanField(null=True, blank=True, editable=False)
    calculation_date = models.DateField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "portfolio_allocations"
        ordering = ["portfolio", "-target_percentage"]
        verbose_name = "allocation"
        constraints = [
            models.UniqueConstraint(fields=["portfolio", "asset"], name="portfolio_allocations_unique"),
            models.CheckConstraint(
                condition=Q(min_percentage__gte=0)
                & Q(min_percentage__lte=F("target_percentage"))
                & Q(target_percentage__lte=F("max_percentage"))
                & Q(max_percentage__lte=100),
                name="portfolio_allocations_min_target_max",
            ),
            models.CheckConstraint(
                condition=(Q(rebalance_threshold__isnull=True) | Q(rebalance_threshold__gte=0))
                & (Q(rebalance_threshold_relative__isnull=True) | Q(rebalance_threshold_relative__gte=0)),
                name="portfolio_allocations_thresholds",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.asset} {self.target_percentage} %"
