from decimal import Decimal

from django.db import models
from django.db.models import Q

from portfolio_site.kernel.fields import money_field, percent_field
from portfolios.models import CostMethod, Portfolio

# A policy that is not stored yet has these values as they are.
NOTHING = Decimal(0)


class RebalanceMode(models.TextChoices):
    FULL = "full", "Full: every line to its target"
    BANDS = "bands", "Bands: only lines outside their band"
    INVEST_CASH = "invest_cash", "Invest cash: buy only"
    RAISE_CASH = "raise_cash", "Raise cash: sell only"


class BandDestination(models.TextChoices):
    TARGET = "target", "The target"
    EDGE = "edge", "The edge of the band"
    INNER = "inner", "The inner edge (half the band)"


class RebalancingPolicy(models.Model):
    """How one portfolio is brought back to its targets, and what that may cost."""

    portfolio = models.OneToOneField(Portfolio, on_delete=models.PROTECT, related_name="rebalancing_policy")
    mode = models.CharField(max_length=12, choices=RebalanceMode.choices, default=RebalanceMode.BANDS)
    cash_target_percentage = percent_field(default=NOTHING)
    cash_reserve = money_field(default=NOTHING, help_text="Base currency")
    minimum_trade = money_field(default=NOTHING, help_text="Base currency")
    fee_per_trade = money_field(default=NOTHING, help_text="Base currency")
    cost_rate = models.DecimalField(
        max_digits=9, decimal_places=8, default=NOTHING, help_text="Fraction of traded value"
    )
    turnover_cap = models.DecimalField(
        max_digits=9, decimal_places=6, null=True, blank=True, help_text="Largest turnover, fraction of value"
    )
    lot_method = models.CharField(max_length=8, choices=CostMethod.choices, default=CostMethod.FIFO)
    band_destination = models.CharField(
        max_length=8, choices=BandDestination.choices, default=BandDestination.TARGET
    )
    cool_off_days = models.PositiveSmallIntegerField(default=0)
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    expiry_hours = models.PositiveSmallIntegerField(default=72)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "rebalancing_policies"
        ordering = ["portfolio"]
        verbose_name_plural = "rebalancing policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(cash_target_percentage__gte=0) & Q(cash_target_percentage__lte=100),
                name="rebalancing_policies_cash_target",
            ),
            models.CheckConstraint(
                condition=Q(cash_reserve__gte=0)
                & Q(minimum_trade__gte=0)
                & Q(fee_per_trade__gte=0)
                & Q(cost_rate__gte=0)
                & Q(cost_rate__lt=1),
                name="rebalancing_policies_costs",
            ),
            models.CheckConstraint(
                condition=Q(approvals_needed__gte=1), name="rebalancing_policies_approvals_needed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio}: {self.mode}"
