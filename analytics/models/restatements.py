from django.db import models

from analytics.models.runs import AnalyticsRun
from portfolio_site.kernel import clock
from portfolios.models import Asset, ChangeCause, Portfolio


class Restatement(models.Model):
    """A published figure that changed: what it was, what it is, and why."""

    table_name = models.CharField(max_length=64)
    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    row_date = models.DateField()
    field = models.CharField(max_length=64)
    old_value = models.FloatField(null=True, blank=True)
    new_value = models.FloatField(null=True, blank=True)
    cause = models.CharField(max_length=20, choices=ChangeCause.choices)
    run = models.ForeignKey(AnalyticsRun, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "restatements"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["portfolio", "row_date"], name="restatements_portfolio"),
            models.Index(fields=["asset", "row_date"], name="restatements_asset"),
        ]

    def __str__(self) -> str:
        return f"{self.table_name}.{self.field} {self.row_date}"
