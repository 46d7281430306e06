from django.db import models
from django.db.models import Q

from analytics.models.runs import AnalyticsRun
from portfolio_site.kernel import clock
from portfolios.models import Asset, ChangeCause, Portfolio


class PublishedTable(models.TextChoices):
    """The tables whose figures are published once and for all; the others stand as of the latest day."""

    PERFORMANCE = "portfolio_performance_history", "Performance history"
    RISK = "portfolio_risk_metrics", "Risk metrics"
    ASSETS = "asset_performance_metrics", "Asset metrics"


class Restatement(models.Model):
    """A published row whose figures changed: what they were, what they are, by which run, and why.

    The figures of a row that was removed have become null. `cause` is the first of `causes`; empty where the
    run knew of no fact that had changed.
    """

    table_name = models.CharField("table", max_length=64, choices=PublishedTable.choices)
    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    row_date = models.DateField()
    changes = models.JSONField(help_text="By figure: what it was and what it is; money as text")
    cause = models.CharField(max_length=20, choices=ChangeCause.choices, blank=True, default="")
    causes = models.JSONField(default=list, blank=True, help_text="What had changed, and since when")
    run = models.ForeignKey(AnalyticsRun, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "restatements"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "row_date", "table_name", "run"], name="restatements_portfolio_unique"
            ),
            models.UniqueConstraint(
                fields=["asset", "row_date", "table_name", "run"], name="restatements_asset_unique"
            ),
            models.CheckConstraint(
                condition=Q(portfolio__isnull=False, asset__isnull=True)
                | Q(portfolio__isnull=True, asset__isnull=False),
                name="restatements_has_one_subject",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.table_name} {self.portfolio or self.asset} {self.row_date}"
