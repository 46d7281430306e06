from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q

from portfolios.models.portfolios import Portfolio


class PortfolioRole(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    MAKER = "maker", "Maker"
    CHECKER = "checker", "Checker"
    MANAGER = "manager", "Manager"


class PortfolioAccess(models.Model):
    """What one user, or one group of users, may do with one portfolio."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="access")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="portfolio_access",
    )
    group = models.ForeignKey(
        Group, on_delete=models.CASCADE, null=True, blank=True, related_name="portfolio_access"
    )
    role = models.CharField(max_length=8, choices=PortfolioRole.choices)

    class Meta:
        db_table = "portfolio_access"
        ordering = ["portfolio", "role"]
        verbose_name_plural = "portfolio access"
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True)
                | Q(user__isnull=True, group__isnull=False),
                name="portfolio_access_user_or_group",
            ),
            models.UniqueConstraint(
                fields=["portfolio", "user", "role"],
                condition=Q(user__isnull=False),
                name="portfolio_access_user_role_unique",
            ),
            models.UniqueConstraint(
                fields=["portfolio", "group", "role"],
                condition=Q(group__isnull=False),
                name="portfolio_access_group_role_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio}: {self.user or self.group} is {self.role}"
