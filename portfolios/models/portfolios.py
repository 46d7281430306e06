from django.conf import settings
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from portfolio_site.kernel.fields import percent_field
from portfolios.models.currencies import Currency
from portfolios.models.households import Household


class CostMethod(models.TextChoices):
    FIFO = "fifo", "First in, first out"
    LIFO = "lifo", "Last in, first out"
    HIFO = "hifo", "Highest cost first"
    AVERAGE = "average", "Average cost"


class PortfolioStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    CLOSED = "closed", "Closed"


class FlowTiming(models.TextChoices):
    START = "start", "Start of day"
    MIDDAY = "midday", "Midday"
    END = "end", "End of day"


class ValuationFrequency(models.TextChoices):
    DAILY = "daily", "Daily"
    MONTHLY = "monthly", "Monthly"
    QUARTERLY = "quarterly", "Quarterly"


class TaxTreatment(models.TextChoices):
    TAXABLE = "taxable", "Taxable"
    DEFERRED = "deferred", "Tax-deferred (retirement)"
    EXEMPT = "exempt", "Tax-exempt"


class Portfolio(models.Model):
    """One book of transactions, valued in one base currency."""

    code = models.CharField(
        max_length=32, unique=True, validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    )
    name = models.CharField(max_length=200)
    base_currency = models.ForeignKey(
        Currency, on_delete=models.PROTECT, db_column="base_currency", related_name="+"
    )
    inception_date = models.DateField(null=True, blank=True)
    cost_method = models.CharField(max_length=8, choices=CostMethod.choices, default=CostMethod.FIFO)
    status = models.CharField(max_length=8, choices=PortfolioStatus.choices, default=PortfolioStatus.ACTIVE)
    risk_free = models.CharField(max_length=32, blank=True, help_text="Name of an interest rate series")
    inflow_timing = models.CharField(max_length=8, choices=FlowTiming.choices, default=FlowTiming.START)
    outflow_timing = models.CharField(max_length=8, choices=FlowTiming.choices, default=FlowTiming.END)
    valuation_frequency = models.CharField(
        max_length=9,
        choices=ValuationFrequency.choices,
        default=ValuationFrequency.DAILY,
        help_text="Returns between valuations are Modified Dietz",
    )
    large_flow_percentage = percent_field(
        default=10,
        validators=[MinValueValidator(0)],
        help_text="A flow above this share of the value asks for a valuation on its day",
    )
    household = models.ForeignKey(
        Household, on_delete=models.PROTECT, null=True, blank=True, related_name="portfolios"
    )
    tax_treatment = models.CharField(max_length=8, choices=TaxTreatment.choices, default=TaxTreatment.TAXABLE)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="portfolios"
    )

    class Meta:
        db_table = "portfolios"
        ordering = ["code"]
        permissions = [("view_all_portfolios", "May see every portfolio (auditor)")]

    def __str__(self) -> str:
        return self.code
