from django.db import models

from analytics.models.computed import ComputedRow
from portfolios.models import Portfolio


def _figure() -> models.FloatField:
    return models.FloatField(null=True, blank=True)


class RiskLevel(models.TextChoices):
    VERY_LOW = "very_low", "Very low"
    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"
    VERY_HIGH = "very_high", "Very high"


class PortfolioRiskMetrics(ComputedRow):
    """Risk of one portfolio over the last three years of its returns. Losses are positive fractions."""

    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, related_name="risk_metrics", db_index=False
    )
    calculation_date = models.DateField()

    sharpe_ratio = _figure()
    sortino_ratio = _figure()
    treynor_ratio = _figure()
    calmar_ratio = _figure()
    max_drawdown = _figure()
    max_drawdown_duration = models.IntegerField(null=True, blank=True, help_text="Calendar days")
    current_drawdown = _figure()
    var_95_1d = _figure()
    var_99_1d = _figure()
    var_95_1m = _figure()
    var_99_1m = _figure()
    cvar_95_1d = _figure()
    cvar_99_1d = _figure()
    cvar_95_1m = _figure()
    cvar_99_1m = _figure()
    risk_level = models.CharField(max_length=10, choices=RiskLevel.choices, null=True, blank=True)  # noqa: DJ001
    risk_class = models.PositiveSmallIntegerField(null=True, blank=True)
    concentration_hhi = _figure()
    effective_assets = _figure()
    effective_bets = models.FloatField(
        null=True,
        blank=True,
        help_text="Square of the diversification ratio (Choueifaty, Froidure, Reynier 2013)",
    )
    largest_weight_percentage = _figure()
    average_correlation = _figure()
    max_correlation = _figure()
    diversification_ratio = _figure()
    volatility = _figure()
    var_method = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001
    observations = models.IntegerField(default=0)

    class Meta:
        db_table = "portfolio_risk_metrics"
        ordering = ["portfolio", "-calculation_date"]
        verbose_name = "risk metrics row"
        verbose_name_plural = "risk metrics"
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "calculation_date"], name="portfolio_risk_metrics_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.calculation_date}"
