from django.db import models

from analytics.models.computed import ComputedRow
from portfolios.models import Asset, Portfolio


def _figure(help_text: str = "") -> models.FloatField:
    return models.FloatField(null=True, blank=True, help_text=help_text)


class VarMethod(models.TextChoices):
    HISTORICAL = "historical", "Historical"
    NORMAL = "normal", "Normal"
    CORNISH_FISHER = "cornish_fisher", "Cornish–Fisher"


class BaselZone(models.TextChoices):
    GREEN = "green", "Green"
    YELLOW = "yellow", "Yellow"
    RED = "red", "Red"


class PortfolioVarBacktest(ComputedRow):
    """One-day value at risk of today's positions by one method, and how well the method foretold it before.

    Losses are positive fractions of the portfolio's value. Only the day a run ends on has rows.
    """

    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, related_name="var_backtests", db_index=False
    )
    calculation_date = models.DateField()
    method = models.CharField(max_length=16, choices=VarMethod.choices)
    level = models.FloatField(help_text="Confidence: 0.95 or 0.99")

    var = _figure()
    cvar = _figure()
    window = models.IntegerField(default=0, help_text="Number of returns behind the value at risk")
    observations = models.IntegerField(default=0, help_text="Days tested")
    exceptions = models.IntegerField(null=True, blank=True, help_text="Days that lost more than was foretold")
    expected = _figure("Exceptions to be expected")
    kupiec_lr = _figure()
    kupiec_p = _figure()
    christoffersen_lr = _figure()
    christoffersen_p = _figure()
    joint_lr = _figure()
    joint_p = _figure()
    zone = models.CharField(max_length=8, choices=BaselZone.choices, null=True, blank=True)  # noqa: DJ001
    zone_exceptions = models.IntegerField(
        null=True, blank=True, help_text="Exceptions on the last 250 days at 99 %"
    )

    class Meta:
        db_table = "portfolio_var_backtests"
        ordering = ["portfolio", "-calculation_date", "level", "method"]
        verbose_name = "value-at-risk backtest"
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "calculation_date", "method", "level"],
                name="portfolio_var_backtests_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.calculation_date} {self.method} {self.level:.0%}"


class PortfolioRiskContribution(ComputedRow):
    """What one position adds to the portfolio's risk. Only the day a run ends on has rows.

    The components of a portfolio's positions add up to its one-day value at risk at 95 % and to its
    volatility.
    """

    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.PROTECT, related_name="risk_contributions", db_index=False
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    calculation_date = models.DateField()

    weight = _figure("Share of the portfolio's value, a short position negative")
    volatility = _figure("Annualized, of the asset itself")
    marginal_var = _figure("Value at risk per unit of weight")
    component_var = _figure("Part of the portfolio's value at risk")
    component_var_percentage = _figure("Percent of the portfolio's value at risk")
    component_volatility = _figure("Part of the portfolio's volatility")
    method = models.CharField(max_length=16, choices=VarMethod.choices)

    class Meta:
        db_table = "portfolio_risk_contributions"
        ordering = ["portfolio", "-calculation_date", "-weight"]
        verbose_name = "risk contribution"
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "asset", "calculation_date"], name="portfolio_risk_contributions_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.calculation_date} {self.asset}"
