from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from portfolio_site.kernel.admin import AutocompleteFilter, ReadOnlyAdmin
from portfolios.models import Portfolio
from portfolios.selectors.visibility import limited_to


@admin.register(Portfolio)
class PortfolioAdmin(ReadOnlyAdmin):
    """Also what every autocomplete of portfolios offers, so it must show no more than the user may see."""

    list_display = (
        "code",
        "name",
        "base_currency",
        "status",
        "inception_date",
        "cost_method",
        "risk_free",
        "owner",
    )
    list_filter = ("status", "cost_method", ("base_currency", AutocompleteFilter))
    list_select_related = ("base_currency", "owner")
    search_fields = ("code", "name")
    fieldsets = (
        (None, {"fields": ("code", "name", "base_currency", "status", "inception_date", "owner")}),
        (
            "How it is measured",
            {
                "fields": (
                    "cost_method",
                    "risk_free",
                    "inflow_timing",
                    "outflow_timing",
                    "valuation_frequency",
                    "large_flow_percentage",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Portfolio]:
        return limited_to(request.user, super().get_queryset(request), "pk")
