from django.db import models

from analytics.models.computed import ComputedRow
from portfolio_site.kernel.fields import money_field
from portfolios.models import Asset, Portfolio


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
    unrealized_pnl = money_field(null=True)
    income = money_field(null=True)
    fees = money_field(null=True)
    taxes = money_field(null=True)
    fx_on_cash = money_field(null=True)

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
