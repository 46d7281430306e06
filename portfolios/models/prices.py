from django.db import models
from django.db.models import Q

from portfolio_site.kernel.fields import price_field, quantity_field
from portfolios.models.assets import Asset


class PriceBar(models.Model):
    """One day's prices of one asset, as its source published them.

    `adjusted_through` is empty for prices as traded. Otherwise the source has already divided by every
    split up to that day, and nobody may do so again.
    """

    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="price_bars", db_index=False)
    date = models.DateField()
    open = price_field(null=True, blank=True)
    high = price_field(null=True, blank=True)
    low = price_field(null=True, blank=True)
    close = price_field()
    volume = quantity_field(null=True, blank=True)
    source = models.CharField(max_length=64, blank=True, default="")
    adjusted_through = models.DateField(null=True, blank=True)

    class Meta:
        db_table = "price_bars"
        ordering = ["asset", "date"]
        constraints = [
            models.UniqueConstraint(fields=["asset", "date"], name="price_bars_asset_date_unique"),
            models.CheckConstraint(condition=Q(close__gt=0), name="price_bars_close_positive"),
        ]
        indexes = [models.Index(fields=["date"], name="price_bars_date")]

    def __str__(self) -> str:
        return f"{self.asset} {self.date}"
