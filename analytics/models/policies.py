from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Q

from portfolio_site.kernel.fields import money_field, percent_field
from portfolios.models import AssetClass, Portfolio

# A policy that is not stored yet has these values as they are.
NOTHING = Decimal(0)


class RebalanceMode(models.TextChoices):
    FULL = "full", "Full: every line to its target"
    BANDS = "bands", "Bands: only lines outside their band"
    INVEST_CASH = "invest_cash", "Invest cash: buy only"
    RAISE_CASH = "raise_cash", "Raise cash: sell only"
    LIQUIDATE = "liquidate", "Liquidate what has no target"
    HOLD = "hold", "Hold: propose nothing"


class BandDestination(models.TextChoices):
    TARGET = "target", "The target"
    EDGE = "edge", "The edge of the band"
    INNER = "inner", "The inner edge (a fraction of the band)"


class LotMethod(models.TextChoices):
    """How a sale chooses its lots. Portfolio: as the books do."""

    PORTFOLIO = "book", "As the portfolio's books"
    FIFO = "fifo", "First in, first out"
    LIFO = "lifo", "Last in, first out"
    HIFO = "hifo", "Highest cost first"
    LOWEST_COST = "lowest", "Lowest cost first"
    MINIMUM_TAX = "tax", "Minimum tax"


class WashSaleMode(models.TextChoices):
    BLOCK = "block", "Block"
    WARN = "warn", "Warn"
    ALLOW = "allow", "Allow"


class ProposalGear(models.TextChoices):
    EXACT = "exact", "Programme: optimum, or its bound and gap"
    FAST = "fast", "Search: feasible at once"


class Venue(models.TextChoices):
    PAPER = "paper", "Paper: filled at the last close"
    ORDER_FILE = "order_file", "Order file"


def _rate_field(**options: Any) -> models.DecimalField:
    return models.DecimalField(max_digits=9, decimal_places=8, **{"default": NOTHING} | options)


class RebalancingPolicy(models.Model):
    """How one portfolio is brought back to its targets, what that may cost, and who must agree.

    Amounts of money are in the base currency, rates are fractions.
    """

    portfolio = models.OneToOneField(Portfolio, on_delete=models.PROTECT, related_name="rebalancing_policy")

    mode = models.CharField(max_length=12, choices=RebalanceMode.choices, default=RebalanceMode.BANDS)
    band_destination = models.CharField(
        max_length=8, choices=BandDestination.choices, default=BandDestination.TARGET
    )
    inner_band_fraction = models.DecimalField(
        max_digits=7,
        decimal_places=6,
        default=Decimal("0.5"),
        help_text="Part of the band kept; 0: the target",
    )
    cool_off_days = models.PositiveSmallIntegerField(default=0)
    improvement_share = models.DecimalField(
        max_digits=7,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="A trade must leave at most this share of its line's deviation; blank: no such test",
    )

    cash_target_percentage = percent_field(default=NOTHING)
    cash_reserve = money_field(default=NOTHING, help_text="Base currency")
    cash_reserve_percentage = percent_field(default=NOTHING, help_text="The larger of the two reserves holds")
    reserve_horizon_days = models.PositiveSmallIntegerField(
        default=30, help_text="Dated reserves due within so many days are kept back as well"
    )
    settlement_days = models.PositiveSmallIntegerField(
        default=2, help_text="Weekdays from a trade to its settlement"
    )
    minimum_trade = money_field(default=NOTHING, help_text="Base currency")
    minimum_trade_percentage = percent_field(default=NOTHING, help_text="The larger of the two holds")
    minimum_trade_tolerance = percent_field(
        default=NOTHING, help_text="Percent by which a trade may fall short of its minimum"
    )
    turnover_cap = models.DecimalField(
        max_digits=9, decimal_places=6, null=True, blank=True, help_text="Largest turnover, fraction of value"
    )

    fee_per_trade = money_field(default=NOTHING, help_text="Base currency")
    cost_rate = _rate_field(help_text="Commission, fraction of traded value")
    spread_rate = _rate_field(help_text="Half the spread, fraction of traded value")
    impact_coefficient = models.DecimalField(
        max_digits=7,
        decimal_places=4,
        default=NOTHING,
        help_text="Market impact: times daily volatility times the root of traded over daily volume",
    )
    fx_cost_rate = _rate_field(help_text="Fraction of traded value in another currency than the base")
    cost_limit = _rate_field(
        default=None, null=True, blank=True, help_text="Largest cost and tax, fraction of value"
    )
    cost_per_drift = _rate_field(
        default=None,
        null=True,
        blank=True,
        help_text="Benefit test: largest cost and tax for each unit of drift removed",
    )

    lot_method = models.CharField(max_length=8, choices=LotMethod.choices, default=LotMethod.PORTFOLIO)
    short_term_tax_rate = _rate_field()
    long_term_tax_rate = _rate_field()
    long_term_days = models.PositiveSmallIntegerField(
        default=365, help_text="A lot held for more days than this is long-term"
    )
    holding_warning_days = models.PositiveSmallIntegerField(
        default=0, help_text="Warn when a gain turns long-term within so many days; 0: never"
    )
    short_term_gain_limit = money_field(null=True, blank=True, help_text="Largest short-term gain of one lot")
    yearly_gain_budget = money_field(null=True, blank=True, help_text="Largest realised gain of a year")
    wash_sale_mode = models.CharField(max_length=5, choices=WashSaleMode.choices, default=WashSaleMode.WARN)

    proven_lines = models.PositiveSmallIntegerField(
        default=20, help_text="Up to so many lines the optimum is proven, however long it takes"
    )
    solver_seconds = models.PositiveSmallIntegerField(default=5, help_text="Of each stage, above that")

    is_discretionary = models.BooleanField(default=True, help_text="If not, approvals need a note")
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    large_trade_value = money_field(
        null=True, blank=True, help_text="Traded value above which more approvals are needed"
    )
    approvals_needed_when_large = models.PositiveSmallIntegerField(default=2)
    expiry_hours = models.PositiveSmallIntegerField(default=72)
    price_move_limit = _rate_field(
        default=None,
        null=True,
        blank=True,
        help_text="An approval ends when a traded price moves by more than this fraction",
    )
    automatic_approval = models.BooleanField(default=False)
    automatic_turnover_cap = _rate_field(help_text="Largest turnover approved without a person")
    automatic_value_cap = money_field(
        default=NOTHING, help_text="Largest traded value approved without a person"
    )
    two_person_changes = models.BooleanField(
        default=False, help_text="Targets, policy, restrictions and benchmarks need a second person"
    )

    venue = models.CharField(max_length=16, choices=Venue.choices, default=Venue.PAPER)
    residual_tolerance = _rate_field(
        default=Decimal("0.001"), help_text="Untraded part of the value up to which it counts as completed"
    )
    version = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "rebalancing_policies"
        ordering = ["portfolio"]
        verbose_name_plural = "rebalancing policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(cash_target_percentage__gte=0) & Q(cash_target_percentage__lte=100),
                name="rebalancing_policies_cash_target",
            ),
            models.CheckConstraint(
                condition=Q(cash_reserve__gte=0)
                & Q(minimum_trade__gte=0)
                & Q(fee_per_trade__gte=0)
                & Q(cost_rate__gte=0)
                & Q(cost_rate__lt=1)
                & Q(spread_rate__gte=0)
                & Q(spread_rate__lt=1)
                & Q(impact_coefficient__gte=0)
                & Q(fx_cost_rate__gte=0)
                & Q(fx_cost_rate__lt=1),
                name="rebalancing_policies_costs",
            ),
            models.CheckConstraint(
                condition=Q(approvals_needed__gte=1) & Q(approvals_needed_when_large__gte=1),
                name="rebalancing_policies_approvals_needed",
            ),
            models.CheckConstraint(
                condition=Q(inner_band_fraction__gte=0) & Q(inner_band_fraction__lte=1),
                name="rebalancing_policies_inner_band",
            ),
            models.CheckConstraint(
                condition=Q(short_term_tax_rate__gte=0)
                & Q(short_term_tax_rate__lt=1)
                & Q(long_term_tax_rate__gte=0)
                & Q(long_term_tax_rate__lt=1),
                name="rebalancing_policies_tax_rates",
            ),
            models.CheckConstraint(
                condition=Q(minimum_trade_tolerance__gte=0) & Q(minimum_trade_tolerance__lt=100),
                name="rebalancing_policies_tolerance",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio}: {self.mode}"


class MinimumTrade(models.Model):
    """The smallest trade in assets of one class, in the place of the two figures of the policy."""

    policy = models.ForeignKey(RebalancingPolicy, on_delete=models.CASCADE, related_name="minimum_trades")
    asset_class = models.CharField(max_length=16, choices=AssetClass.choices)
    amount = money_field(default=NOTHING, help_text="Base currency")
    percentage = percent_field(default=NOTHING, help_text="The larger of the two holds")

    class Meta:
        db_table = "minimum_trades"
        ordering = ["policy", "asset_class"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "asset_class"], name="minimum_trades_once"),
            models.CheckConstraint(
                condition=Q(amount__gte=0) & Q(percentage__gte=0) & Q(percentage__lte=100),
                name="minimum_trades_figures",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy.portfolio}: {self.asset_class}"
