from django.db import models

from analytics.models.computed import ComputedRow
from portfolios.models import Asset


def _figure() -> models.FloatField:
    return models.FloatField(null=True, blank=True)


class AssetPerformanceMetrics(ComputedRow):
    """Technical indicators, returns and risk of one asset on one day, from split-adjusted prices."""

    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="metrics", db_index=False)
    calculation_date = models.DateField()

    close = _figure()
    sma_20 = _figure()
    sma_50 = _figure()
    sma_200 = _figure()
    ema_12 = _figure()
    ema_26 = _figure()
    rsi_14 = _figure()
    macd = _figure()
    macd_signal = _figure()
    macd_histogram = _figure()
    bollinger_upper = _figure()
    bollinger_middle = _figure()
    bollinger_lower = _figure()
    atr_14 = _figure()
    stochastic_k = _figure()
    stochastic_d = _figure()
    obv = _figure()
    volatility_20d = _figure()
    volatility_1y = _figure()
    beta_1y = _figure()
    sharpe_ratio_1y = _figure()
    max_drawdown_1y = _figure()
    return_1d = _figure()
    return_1m = _figure()
    return_3m = _figure()
    return_6m = _figure()
    return_1y = _figure()
    return_3y = _figure()
    return_5y = _figure()
    # Not shown: with the indicators above it is what the next day's row can go on from.
    average_move_14 = models.FloatField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "asset_performance_metrics"
        ordering = ["asset", "-calculation_date"]
        verbose_name = "asset metrics row"
        verbose_name_plural = "asset metrics"
        constraints = [
            models.UniqueConstraint(
                fields=["asset", "calculation_date"], name="asset_performance_metrics_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.calculation_date}"
