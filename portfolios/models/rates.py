from django.db import models
from django.db.models import F, Q

from portfolio_site.kernel.fields import price_field
from portfolios.models.currencies import Currency


class ExchangeRate(models.Model):
    """Units of `quote` for one unit of `base` on a day. A missing rate is unknown, never 1."""

    base = models.ForeignKey(Currency, on_delete=models.PROTECT, db_column="base", related_name="+")
    quote = models.ForeignKey(Currency, on_delete=models.PROTECT, db_column="quote", related_name="+")
    date = models.DateField()
    rate = price_field()
    source = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        db_table = "exchange_rates"
        ordering = ["base", "quote", "date"]
        constraints = [
            models.UniqueConstraint(fields=["base", "quote", "date"], name="exchange_rates_pair_date_unique"),
            models.CheckConstraint(condition=Q(rate__gt=0), name="exchange_rates_rate_positive"),
            models.CheckConstraint(condition=~Q(base=F("quote")), name="exchange_rates_two_currencies"),
        ]

    def __str__(self) -> str:
        return f"{self.base_id}/{self.quote_id} {self.date}"


class InterestRate(models.Model):
    """An annual rate as a fraction (0.01 = 1 %), in force from its day until the next one."""

    name = models.CharField(max_length=32)
    date = models.DateField()
    annual_rate = models.DecimalField(max_digits=14, decimal_places=10)

    class Meta:
        db_table = "interest_rates"
        ordering = ["name", "date"]
        constraints = [
            models.UniqueConstraint(fields=["name", "date"], name="interest_rates_name_date_unique")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.date}"
