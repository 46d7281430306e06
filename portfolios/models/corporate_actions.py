from django.db import models
from django.db.models import Q

from portfolio_site.kernel.fields import price_field
from portfolios.models.assets import Asset


class CorporateActionKind(models.TextChoices):
    SPLIT = "split", "Split"
    CASH_DIVIDEND = "cash_dividend", "Cash dividend"
    SPIN_OFF = "spin_off", "Spin-off"
    MERGER = "merger", "Merger"
    SYMBOL_CHANGE = "symbol_change", "Symbol change"


class CorporateAction(models.Model):
    """What a company did to its shares, effective before trading on `ex_date`.

    A ratio is kept as new shares (`ratio_new`) for old ones (`ratio_old`), because 1:3 has no exact decimal.
    """

    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="corporate_actions")
    ex_date = models.DateField()
    kind = models.CharField(max_length=16, choices=CorporateActionKind.choices)
    ratio_new = models.PositiveBigIntegerField(null=True, blank=True)
    ratio_old = models.PositiveBigIntegerField(null=True, blank=True)
    ratio = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        help_text="New shares for one old share, rounded",
    )
    amount = price_field(
        null=True,
        blank=True,
        help_text="Per old share, in the asset's currency; for a spin-off the value of one new share",
    )
    new_asset = models.ForeignKey(Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    cost_allocation = models.DecimalField(
        max_digits=18,
        decimal_places=12,
        null=True,
        blank=True,
        help_text="Share of the old cost that goes to the new shares, 0 to 1; blank: by market values",
    )

    class Meta:
        db_table = "corporate_actions"
        ordering = ["asset", "ex_date", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["asset", "ex_date", "kind"], name="corporate_actions_unique"),
            models.CheckConstraint(
                # Spelled out, because a comparison with NULL is not false.
                condition=~Q(kind="split")
                | (
                    Q(ratio_new__isnull=False)
                    & Q(ratio_new__gt=0)
                    & Q(ratio_old__isnull=False)
                    & Q(ratio_old__gt=0)
                ),
                name="corporate_actions_split_has_ratio",
            ),
            models.CheckConstraint(
                condition=~Q(kind="cash_dividend") | (Q(amount__isnull=False) & Q(amount__gt=0)),
                name="corporate_actions_dividend_has_amount",
            ),
            models.CheckConstraint(
                condition=Q(cost_allocation__isnull=True)
                | (Q(cost_allocation__gte=0) & Q(cost_allocation__lte=1)),
                name="corporate_actions_cost_allocation_is_share",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.kind} {self.ex_date}"
