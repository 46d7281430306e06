from django.conf import settings
from django.db import models
from django.db.models import Q

from portfolio_site.kernel import clock
from portfolio_site.kernel.fields import money_field
from portfolios.models import Portfolio


class ReserveKind(models.TextChoices):
    FEE = "fee", "Fee"
    WITHDRAWAL = "withdrawal", "Withdrawal"
    DISTRIBUTION = "distribution", "Distribution"
    TAX = "tax", "Tax"
    OTHER = "other", "Other"


class CashReserve(models.Model):
    """Cash to be kept for a payment on a day, by whose word and why.

    It is kept back until it is ended: paid, or no longer wanted. It is never changed or deleted.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="cash_reserves")
    kind = models.CharField(max_length=16, choices=ReserveKind.choices)
    amount = money_field(help_text="Base currency")
    due_date = models.DateField()
    note = models.CharField(max_length=500)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now)
    ended_on = models.DateField(null=True, blank=True, help_text="From this day on it is not kept back")
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        db_table = "cash_reserves"
        ordering = ["portfolio", "due_date", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="cash_reserves_amount"),
            models.CheckConstraint(condition=~Q(note=""), name="cash_reserves_note"),
            models.CheckConstraint(
                condition=Q(ended_by__isnull=True) | Q(ended_on__isnull=False), name="cash_reserves_ended"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio}: {self.kind} {self.amount} on {self.due_date}"
