from django.db import models

from analytics.models.computed import ComputedRow
from portfolio_site.kernel.fields import money_field
from portfolios.models import Asset, Portfolio


class DataQuality(models.TextChoices):
    """How good the values behind a day's figures are, best first."""

    COMPLETE = "complete", "Complete"
    CARRIED = "carried", "Carried price or rate"
    AT_COST = "at_cost", "At cost"
    MISSING_FX = "missing_fx", "Missing exchange rate"
    BLOCKED = "blocked", "Blocked"


def _figure() -> models.FloatField:
    return models.FloatField(null=True, blank=True)


class PortfolioPerformanceHistory(ComputedRow):
    """One portfolio on one day, in its base currency. Returns and ratios are fractions, losses positive."""

    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, related_name="performance_history", db_index=False
    )
    snapshot_date = models.DateField()

    total_value = money_field(null=True)
    invested_value = money_field(null=True)
    cash_value = money_field(null=True)
    cost_basis = money_field(null=True)
    net_flow = money_field(null=True)
    cumulative_net_flow = money_field(null=True)
    realized_pnl = money_field(null=True)
    realized_fx_pnl = money_field(null=True, help_text="The part of the realised gain that rates made")
    unrealized_pnl = money_field(null=True)
    transferred_pnl = money_field(null=True, help_text="Unrealised gain that came or left with a transfer")
    income = money_field(null=True)
    fees = money_field(null=True)
    trading_costs = money_field(null=True, help_text="The part of the fees that trades cost")
    taxes = money_field(null=True)
    fx_on_cash = money_field(null=True)
    data_quality = models.CharField(
        max_length=10,
        choices=DataQuality.choices,
        blank=True,
        default="",
        db_default="",
        help_text="The worst that applies",
    )

    daily_return = _figure()
    twr_index = _figure()
    cumulative_return = _figure()
    return_1m = _figure()
    return_3m = _figure()
    return_6m = _figure()
    return_ytd = _figure()
    return_1y = _figure()
    return_3y = _figure()
    return_5y = _figure()
    annualized_return = _figure()
    money_weighted_return = _figure()
    volatility = _figure()
    downside_deviation = _figure()
    sharpe_ratio = _figure()
    sortino_ratio = _figure()
    max_drawdown = _figure()
    current_drawdown = _figure()
    var_95 = _figure()
    var_99 = _figure()
    beta = _figure()
    alpha = _figure()
    benchmark = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    benchmark_return = _figure()
    benchmark_cumulative_return = _figure()
    excess_return = _figure()
    tracking_error = _figure()
    information_ratio = _figure()

    class Meta:
        db_table = "portfolio_performance_history"
        ordering = ["portfolio", "-snapshot_date"]
        verbose_name = "performance snapshot"
        verbose_name_plural = "performance history"
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "snapshot_date"], name="portfolio_performance_history_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.snapshot_date}"
