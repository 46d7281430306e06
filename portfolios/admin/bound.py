"""Rows that belong to a portfolio are shown to those who may see the portfolio."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from portfolio_site.kernel.admin import LongTableAdmin, ReadOnlyAdmin
from portfolios.selectors.visibility import limited_to, sees_everything, visible_to


class PortfolioBoundAdmin(ReadOnlyAdmin):
    """`portfolio_path` leads from a row to its portfolio; `shares_unbound`: rows without one are for all."""

    portfolio_path = "portfolio"
    shares_unbound = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if self.shares_unbound and not sees_everything(request.user):
            path = self.portfolio_path
            return rows.filter(
                Q(**{f"{path}__isnull": True}) | Q(**{f"{path}__in": visible_to(request.user)})
            )
        return limited_to(request.user, rows, self.portfolio_path)


class LongPortfolioTableAdmin(PortfolioBoundAdmin, LongTableAdmin):
    subject = "portfolio"
