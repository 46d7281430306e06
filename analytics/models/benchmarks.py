from django.db import models
from django.db.models import Q

from analytics.models.computed import ComputedRow
from portfolios.models import Asset, Portfolio


def _figure() -> models.FloatField:
    return models.FloatField(null=True, blank=True, editable=False)


class PortfolioBenchmark(ComputedRow):
    """What a portfolio is measured against, and how the two compare over the risk window."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="benchmarks")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    is_primary = models.BooleanField(default=False)
    start_date = models.DateField(null=True, blank=True)
    is_active = models.BooleanField(default=True)

    tracking_error = _figure()
    information_ratio = _figure()
    beta = _figure()
    alpha = _figure()
    excess_return = _figure()
    correlation = _figure()
    r_squared = _figure()
    up_capture = _figure()
    down_capture = _figure()
    calculation_date = models.DateField(null=True, blank=True, editable=False, help_text="The last day used")
    calculated_at = models.DateTimeField(null=True, blank=True, editable=False)
    window = models.IntegerField(null=True, blank=True, editable=False, help_text="Number of returns used")

    class Meta:
        db_table = "portfolio_benchmarks"
        ordering = ["portfolio", "-is_primary", "asset"]
        verbose_name = "benchmark"
        constraints = [
            models.UniqueConstraint(fields=["portfolio", "asset"], name="portfolio_benchmarks_unique"),
            models.UniqueConstraint(
                fields=["portfolio"], condition=Q(is_primary=True), name="portfolio_benchmarks_one_primary"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio} vs {self.asset}"

    @property
    def rule(self) -> str:
        """What a blend consists of, in words; empty for an asset with prices of its own."""
        return self.asset.blend.rule if hasattr(self.asset, "blend") else ""

    @property
    def in_words(self) -> str:
        name = f"{self.asset} (primary)" if self.is_primary else str(self.asset)
        return f"{name}: {self.rule}" if self.rule else name
