from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.admin.figures import label
from analytics.models import Restatement
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, document_column
from portfolio_site.kernel.admin.documents import changes_table
from portfolio_site.kernel.admin.figures import figure
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter
from portfolios.admin.bound import LongPortfolioTableAdmin


@admin.register(Restatement)
class RestatementAdmin(LongPortfolioTableAdmin):
    """Figures of assets are shared; figures of portfolios are not."""

    day = "row_date"
    shares_unbound = True
    list_display = (
        "id",
        "table_name",
        "portfolio",
        "asset",
        "row_date",
        "number_figures",
        "reason",
        "run",
        "created_at",
    )
    list_filter = (
        "table_name",
        "cause",
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
        ("row_date", DateRangeFilter),
        ("created_at", DateTimeRangeFilter),
    )
    list_select_related = ("portfolio", "asset", "run")
    search_fields = ("portfolio__code", "asset__symbol", "run__id__exact")
    search_help_text = "Part of a portfolio code or symbol, or the number of a run"
    fieldsets = (
        (None, {"fields": ("table_name", "portfolio", "asset", "row_date", "run", "created_at")}),
        ("What changed", {"fields": ("figures",)}),
        ("Why", {"fields": (document_column("causes", label="what had changed before"),)}),
    )

    @admin.display(description="figures")
    def number_figures(self, row: Restatement) -> SafeString:
        return figure(len(row.changes), 0)

    @admin.display(description="cause")
    def reason(self, row: Restatement) -> str:
        """The first cause, and how many others there are."""
        if not row.causes:
            return row.get_cause_display() or "–"
        first, *others = row.causes
        text = f"{row.get_cause_display() or first['cause']}: {first['subject']}"
        return f"{text} and {len(others)} more" if others else text

    @admin.display(description="before and after")
    def figures(self, row: Restatement) -> SafeString:
        before, after = ({label(name): pair[at] for name, pair in row.changes.items()} for at in (0, 1))
        return changes_table(before, after)
