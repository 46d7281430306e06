from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portfolio_site.kernel import clock
from portfolios.models import Asset, Portfolio


class RestrictionKind(models.TextChoices):
    DO_NOT_BUY = "do_not_buy", "Do not buy"
    DO_NOT_SELL = "do_not_sell", "Do not sell"
    DO_NOT_TRADE = "do_not_trade", "Do not trade"
    RANGE = "range", "Hold between minimum and maximum"
    NOT_IN_TAXABLE = "not_in_taxable", "Not in a taxable account"
    NOT_IN_DEFERRED = "not_in_deferred", "Not in a tax-deferred account"


class RestrictionUnit(models.TextChoices):
    PERCENT = "percent", "Percent of the portfolio"
    MONEY = "money", "Money, base currency"
    UNITS = "units", "Units"


class TradingRestriction(models.Model):
    """What may not be traded or held, from when to when, by whose word and why.

    Without a portfolio it holds for all of them (the restricted list). It names one asset, or a group by
    issuer or sector, whose holdings count together; with neither it holds for every asset.
    """

    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, null=True, blank=True, related_name="restrictions"
    )
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="restrictions"
    )
    issuer = models.CharField(max_length=128, blank=True, default="")
    sector = models.CharField(max_length=64, blank=True, default="")
    kind = models.CharField(max_length=16, choices=RestrictionKind.choices)
    unit = models.CharField(max_length=8, choices=RestrictionUnit.choices, default=RestrictionUnit.PERCENT)
    minimum = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    maximum = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="Last day; blank: until it is lifted")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField(default=clock.now)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "trading_restrictions"
        ordering = ["portfolio", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gte=F("starts_on")),
                name="trading_restrictions_days",
            ),
            models.CheckConstraint(
                condition=~Q(kind="range") | Q(minimum__isnull=False) | Q(maximum__isnull=False),
                name="trading_restrictions_range_has_limits",
            ),
            models.CheckConstraint(
                condition=(Q(minimum__isnull=True) | Q(minimum__gte=0))
                & (Q(maximum__isnull=True) | Q(maximum__gte=0))
                & (Q(minimum__isnull=True) | Q(maximum__isnull=True) | Q(minimum__lte=F("maximum"))),
                name="trading_restrictions_limits",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="trading_restrictions_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio or 'all'}: {self.kind} {self.asset or self.issuer or self.sector}".strip()
