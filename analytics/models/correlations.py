from django.db import models
from django.db.models import F, Q

from analytics.models.computed import ComputedRow
from portfolios.models import Asset


def _figure() -> models.FloatField:
    return models.FloatField(null=True, blank=True)


def _count() -> models.IntegerField:
    return models.IntegerField(null=True, blank=True)


class AssetCorrelation(ComputedRow):
    """How two assets moved together, by window, with the evidence that it was not chance."""

    asset1 = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    asset2 = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    calculation_date = models.DateField()

    correlation_1m = _figure()
    correlation_3m = _figure()
    correlation_6m = _figure()
    correlation_1y = _figure()
    correlation_3y = _figure()
    rolling_20d = _figure()
    rolling_60d = _figure()
    p_value_1m = _figure()
    p_value_3m = _figure()
    p_value_6m = _figure()
    p_value_1y = _figure()
    p_value_3y = _figure()
    p_value_20d = _figure()
    p_value_60d = _figure()
    observations_1m = _count()
    observations_3m = _count()
    observations_6m = _count()
    observations_1y = _count()
    observations_3y = _count()
    observations_20d = _count()
    observations_60d = _count()
    q_value_1y = _figure()
    is_significant = models.BooleanField(null=True, blank=True)

    class Meta:
        db_table = "asset_correlations"
        ordering = ["asset1", "asset2", "-calculation_date"]
        verbose_name = "correlation"
        constraints = [
            models.UniqueConstraint(
                fields=["asset1", "asset2", "calculation_date"], name="asset_correlations_unique"
            ),
            models.CheckConstraint(
                condition=Q(asset1_id__lt=F("asset2_id")), name="asset_correlations_ordered_pair"
            ),
        ]
        indexes = [models.Index(fields=["calculation_date"], name="asset_correlations_date")]

    def __str__(self) -> str:
        return f"{self.asset1}/{self.asset2} {self.calculation_date}"
