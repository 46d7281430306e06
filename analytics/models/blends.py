from django.db import models
from django.db.models import Q

from analytics.models.allocations import RebalanceFrequency
from portfolio_site.kernel.fields import percent_field
from portfolios.models import Asset

RULE_WORDS = {
    RebalanceFrequency.DAILY: "rebalanced daily",
    RebalanceFrequency.WEEKLY: "rebalanced on the first session of each week",
    RebalanceFrequency.MONTHLY: "rebalanced on the first session of each month",
    RebalanceFrequency.QUARTERLY: "rebalanced on the first session of each quarter",
    RebalanceFrequency.SEMIANNUAL: "rebalanced on the first session of each half-year",
    RebalanceFrequency.ANNUAL: "rebalanced on the first session of each year",
    RebalanceFrequency.NONE: "bought once and held",
}


class BlendedBenchmark(models.Model):
    """A benchmark without prices of its own: other assets in fixed weights, and when they are restored."""

    asset = models.OneToOneField(Asset, on_delete=models.PROTECT, related_name="blend")
    rebalance_frequency = models.CharField(
        max_length=12, choices=RebalanceFrequency.choices, default=RebalanceFrequency.MONTHLY
    )
    start_date = models.DateField(
        null=True, blank=True, help_text="The first day with a return; as early as prices allow when empty"
    )

    class Meta:
        db_table = "blended_benchmarks"
        ordering = ["asset"]

    def __str__(self) -> str:
        return str(self.asset)

    @property
    def rule(self) -> str:
        """The whole rule in words, the heaviest component first."""
        components = sorted(
            self.components.all(), key=lambda part: (-part.weight_percentage, part.asset.symbol)
        )
        words = [*map(str, components), RULE_WORDS[RebalanceFrequency(self.rebalance_frequency)]]
        return ", ".join([*words, f"from {self.start_date}"] if self.start_date else words)


class BlendComponent(models.Model):
    """One asset in a blend. The weights of a blend add up to exactly 100."""

    blend = models.ForeignKey(BlendedBenchmark, on_delete=models.CASCADE, related_name="components")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    weight_percentage = percent_field()

    class Meta:
        db_table = "blend_components"
        ordering = ["blend", "-weight_percentage", "asset"]
        constraints = [
            models.UniqueConstraint(fields=["blend", "asset"], name="blend_components_unique"),
            models.CheckConstraint(
                condition=Q(weight_percentage__gt=0) & Q(weight_percentage__lte=100),
                name="blend_components_weight",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.weight_percentage.normalize():f} % {self.asset}"
