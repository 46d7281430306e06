from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from analytics.admin.correlation_explorer import explorer_view
from analytics.admin.figures import PROVENANCE, QUALITY, ratios
from analytics.models import AssetCorrelation
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, LongTableAdmin

_FIXED = ("1m", "3m", "6m", "1y", "3y")
_ROLLING = ("20d", "60d")


@admin.register(AssetCorrelation)
class AssetCorrelationAdmin(LongTableAdmin):
    subject = "asset1"
    day = "calculation_date"
    change_list_template = "admin/correlations/change_list.html"
    list_display = (
        "asset1",
        "asset2",
        "calculation_date",
        *ratios(*(f"correlation_{window}" for window in _FIXED)),
        *ratios(*(f"rolling_{window}" for window in _ROLLING)),
        *ratios("q_value_1y", places=4),
        "is_significant",
    )
    list_filter = (
        ("asset1", AutocompleteFilter),
        ("asset2", AutocompleteFilter),
        ("calculation_date", DateRangeFilter),
        "is_significant",
    )
    list_select_related = ("asset1", "asset2")
    search_fields = ("asset1__symbol", "asset2__symbol")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "asset1",
                    "asset2",
                    "calculation_date",
                    "is_significant",
                    *ratios("q_value_1y", places=6),
                )
            },
        ),
        (
            "Correlation",
            {
                "classes": ("figures",),
                "fields": ratios(
                    *(f"correlation_{window}" for window in _FIXED),
                    *(f"rolling_{window}" for window in _ROLLING),
                    places=4,
                ),
            },
        ),
        (
            "p-value: how likely chance alone explains it",
            {
                "classes": ("figures",),
                "fields": ratios(*(f"p_value_{window}" for window in (*_FIXED, *_ROLLING)), places=6),
            },
        ),
        (
            "Observations",
            {
                "classes": ("figures",),
                "fields": ratios(*(f"observations_{window}" for window in (*_FIXED, *_ROLLING)), places=0),
            },
        ),
        QUALITY,
        PROVENANCE,
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.explorer)
        return [path("explorer/", view, name="correlation_explorer"), *super().get_urls()]

    def explorer(self, request: HttpRequest) -> HttpResponse:
        return explorer_view(self, request)
