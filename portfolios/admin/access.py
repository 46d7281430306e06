from django.contrib import admin

from portfolio_site.kernel.admin import AutocompleteFilter
from portfolios.admin.bound import PortfolioBoundAdmin
from portfolios.models import PortfolioAccess


@admin.register(PortfolioAccess)
class PortfolioAccessAdmin(PortfolioBoundAdmin):
    list_display = ("portfolio", "user", "group", "role")
    list_filter = (
        "role",
        ("portfolio", AutocompleteFilter),
        ("user", AutocompleteFilter),
        ("group", AutocompleteFilter),
    )
    list_select_related = ("portfolio", "user", "group")
    search_fields = ("portfolio__code", "user__username", "group__name")
    fields = ("portfolio", "user", "group", "role")
