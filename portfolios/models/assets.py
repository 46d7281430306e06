from decimal import Decimal

from django.db import models
from django.db.models import Q

from portfolio_site.kernel.fields import quantity_field
from portfolios.models.currencies import Currency


class AssetClass(models.TextChoices):
    EQUITY = "equity", "Equity"
    ETF = "etf", "ETF"
    FUND = "fund", "Fund"
    BOND = "bond", "Bond"
    CRYPTO = "crypto", "Crypto"
    COMMODITY = "commodity", "Commodity"
    INDEX = "index", "Index"
    CASH = "cash", "Cash"


DEFAULT_LOT_SIZES = {
    AssetClass.FUND: Decimal("0.0001"),
    AssetClass.BOND: Decimal("0.0001"),
    AssetClass.CRYPTO: Decimal("0.00000001"),
}


class Asset(models.Model):
    """Something with a price: held, or only watched as a benchmark."""

    symbol = models.CharField(max_length=32)
    exchange = models.CharField(
        max_length=4, blank=True, default="", help_text="Market identifier code (MIC)"
    )
    name = models.CharField(max_length=200)
    asset_class = models.CharField(max_length=16, choices=AssetClass.choices)
    currency = models.ForeignKey(Currency, on_delete=models.PROTECT, db_column="currency", related_name="+")
    isin = models.CharField("ISIN", max_length=12, blank=True, default="")
    sector = models.CharField(max_length=64, blank=True, default="")
    country = models.CharField(max_length=2, blank=True, default="")
    issuer = models.CharField(max_length=128, blank=True, default="", help_text="For limits by issuer")
    identity_group = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="Assets with the same text here are substantially identical (wash sales)",
    )
    lot_size = quantity_field(default=Decimal(1), help_text="Smallest tradable quantity; 1 = whole units")
    is_total_return = models.BooleanField(default=False, help_text="Prices already contain the dividends")
    is_active = models.BooleanField(default=True)

    class Meta:
        db_table = "assets"
        ordering = ["symbol", "exchange"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "exchange"], name="assets_symbol_exchange_unique"),
            models.CheckConstraint(condition=Q(lot_size__gt=0), name="assets_lot_size_positive"),
        ]

    def __str__(self) -> str:
        return self.symbol
