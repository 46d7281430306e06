from django.db import models
from django.db.models import Q

from portfolio_site.kernel.fields import money_field, price_field, quantity_field
from portfolios.models.assets import Asset
from portfolios.models.currencies import Currency
from portfolios.models.imports import ImportBatch
from portfolios.models.portfolios import Portfolio


class TransactionKind(models.TextChoices):
    DEPOSIT = "deposit", "Deposit"
    WITHDRAWAL = "withdrawal", "Withdrawal"
    BUY = "buy", "Buy"
    SELL = "sell", "Sell"
    SHORT = "short", "Short sale"
    COVER = "cover", "Cover"
    DIVIDEND = "dividend", "Dividend"
    INTEREST = "interest", "Interest"
    INTEREST_CHARGE = "interest_charge", "Interest charge"
    FEE = "fee", "Fee"
    FEE_REFUND = "fee_refund", "Fee refund"
    TAX = "tax", "Tax"
    TAX_REFUND = "tax_refund", "Tax refund"
    CURRENCY_EXCHANGE = "currency_exchange", "Currency exchange"
    TRANSFER_IN = "transfer_in", "Transfer in"
    TRANSFER_OUT = "transfer_out", "Transfer out"


class TransactionStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    PENDING = "pending", "Pending"
    SETTLED = "settled", "Settled"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


class TransactionQuerySet(models.QuerySet["Transaction"]):
    def booked(self) -> "TransactionQuerySet":
        """What counts in the books: settled lines that are not reversed. A reversal itself moves nothing."""
        return self.filter(status=TransactionStatus.SETTLED, reverses__isnull=True, reversed_by__isnull=True)


class Transaction(models.Model):
    """One line of a book. Amounts are gross and positive; the kind gives the direction.

    Only settled lines count: in the value from the trade date on, in settled cash from the settle date on.
    A settled line is never edited: another line `reverses` it, both stay, and neither counts any more.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="transactions")
    kind = models.CharField(max_length=20, choices=TransactionKind.choices)
    status = models.CharField(
        max_length=10, choices=TransactionStatus.choices, default=TransactionStatus.SETTLED
    )
    trade_date = models.DateField()
    settle_date = models.DateField(null=True, blank=True)
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="transactions"
    )
    quantity = quantity_field(null=True, blank=True)
    price = price_field(null=True, blank=True)
    amount = money_field(null=True, blank=True, help_text="Gross, positive, in the currency of the line")
    fee = money_field(default=0)
    tax = money_field(default=0)
    currency = models.ForeignKey(Currency, on_delete=models.PROTECT, db_column="currency", related_name="+")
    fx_rate = price_field(
        null=True, blank=True, help_text="Base currency for one unit of the line's currency"
    )
    counter_amount = money_field(null=True, blank=True)
    counter_currency = models.ForeignKey(
        Currency,
        on_delete=models.PROTECT,
        db_column="counter_currency",
        related_name="+",
        null=True,
        blank=True,
    )
    source = models.CharField(max_length=64, default="manual")
    external_id = models.CharField(max_length=128)
    note = models.CharField(max_length=500, blank=True, default="")
    lots = models.JSONField(
        null=True,
        blank=True,
        help_text="The lots a sale takes, each {lot, quantity}; blank: by the portfolio's cost method",
    )
    reverses = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversed_by"
    )
    batch = models.ForeignKey(
        ImportBatch, on_delete=models.PROTECT, null=True, blank=True, related_name="transactions"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TransactionQuerySet.as_manager()

    class Meta:
        db_table = "transactions"
        ordering = ["portfolio", "trade_date", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "source", "external_id"], name="transactions_external_id_unique"
            ),
            models.CheckConstraint(
                condition=Q(quantity__isnull=True) | Q(quantity__gt=0), name="transactions_quantity_positive"
            ),
            models.CheckConstraint(
                condition=Q(price__isnull=True) | Q(price__gte=0), name="transactions_price_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(amount__isnull=True) | Q(amount__gte=0), name="transactions_amount_not_negative"
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["buy", "sell", "short", "cover", "transfer_in", "transfer_out"])
                | (Q(asset__isnull=False) & Q(quantity__isnull=False)),
                name="transactions_trade_has_asset",
            ),
            models.CheckConstraint(
                condition=~Q(kind="currency_exchange")
                | (Q(counter_amount__isnull=False) & Q(counter_currency__isnull=False)),
                name="transactions_exchange_has_counter",
            ),
            models.CheckConstraint(
                condition=Q(reverses__isnull=True) | Q(status="settled"),
                name="transactions_reversal_is_settled",
            ),
        ]
        indexes = [
            models.Index(fields=["portfolio", "trade_date"], name="transactions_portfolio_date"),
            models.Index(fields=["asset", "trade_date"], name="transactions_asset_date"),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.trade_date} {self.kind} {self.external_id}"
