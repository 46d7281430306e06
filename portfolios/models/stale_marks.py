from django.db import models
from django.db.models import Q

from portfolios.models.assets import Asset
from portfolios.models.currencies import Currency
from portfolios.models.portfolios import Portfolio


class ChangeCause(models.TextChoices):
    PRICE = "price", "Price"
    FX = "fx", "Exchange rate"
    TRANSACTION = "transaction", "Transaction"
    CORPORATE_ACTION = "corporate_action", "Corporate action"
    PARAMETER = "parameter", "Parameter"
    CODE = "code", "Code"


class StaleMark(models.Model):
    """A fact changed: whatever was computed from it is stale from `from_date` on.

    Written in the transaction of the change. A complete run removes the marks it found when it began; a
    mark that arrives during the run stays for the next one.
    """

    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.CASCADE, null=True, blank=True, related_name="stale_marks"
    )
    asset = models.ForeignKey(
        Asset, on_delete=models.CASCADE, null=True, blank=True, related_name="stale_marks"
    )
    currency = models.ForeignKey(
        Currency, on_delete=models.CASCADE, null=True, blank=True, db_column="currency", related_name="+"
    )
    series = models.CharField(max_length=32, blank=True, default="", help_text="Name of an interest rate")
    from_date = models.DateField()
    cause = models.CharField(max_length=20, choices=ChangeCause.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "stale_marks"
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(portfolio__isnull=False)
                | Q(asset__isnull=False)
                | Q(currency__isnull=False)
                | ~Q(series=""),
                name="stale_marks_has_subject",
            )
        ]

    def __str__(self) -> str:
        return f"{self.cause} from {self.from_date}"
