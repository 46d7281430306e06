from django.contrib import admin

from analytics.models import Restatement
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, number_column
from portfolios.admin.bound import LongPortfolioTableAdmin


@admin.register(Restatement)
class RestatementAdmin(LongPortfolioTableAdmin):
    """Figures of assets are shared; figures of portfolios are not."""

    day = "row_date"
    shares_unbound = True
    _values = (number_column("old_value", 8, least_places=2), number_column("new_value", 8, least_places=2))
    list_display = (
        "id",
        "table_name",
        "portfolio",
        "asset",
        "row_date",
        "field",
        *_values,
        "cause",
        "created_at",
    )
    list_filter = (
        "cause",
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
        ("row_date", DateRangeFilter),
    )
    list_select_related = ("portfolio", "asset")
    search_fields = ("table_name__exact", "field__exact", "portfolio__code", "asset__symbol")
    search_help_text = "A whole table or column name, or part of a portfolio code or symbol"
    fields = ("table_name", "portfolio", "asset", "row_date", "field", *_values, "cause", "run", "created_at")
