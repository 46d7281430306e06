from typing import Any

from django.contrib import admin

from analytics.admin.figures import PROVENANCE, QUALITY, percents, ratios
from analytics.models import PortfolioBenchmark
from portfolio_site.kernel.admin import AutocompleteFilter
from portfolios.admin.bound import PortfolioBoundAdmin


@admin.register(PortfolioBenchmark)
class PortfolioBenchmarkAdmin(PortfolioBoundAdmin):
    _excess = percents("excess_return", signed=True)
    _error = percents("tracking_error")
    _fit = ratios("information_ratio", "beta", "correlation")
    _capture = percents("up_capture", "down_capture")
    list_display = (
        "portfolio",
        "asset",
        "is_primary",
        "is_active",
        "rule",
        *_excess,
        *_error,
        *_fit,
        *_capture,
        "calculation_date",
    )
    list_filter = (
        "is_primary",
        "is_active",
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
    )
    list_select_related = ("portfolio", "asset")
    search_fields = ("portfolio__code", "portfolio__name", "asset__symbol")
    ordering = ("portfolio__code", "-is_primary", "asset__symbol")
    fieldsets = (
        (None, {"fields": ("portfolio", "asset", "rule", "is_primary", "is_active", "start_date")}),
        (
            "Comparison over the window",
            {
                "classes": ("figures",),
                "fields": (
                    *_excess,
                    *_error,
                    *_fit,
                    *percents("alpha", signed=True),
                    *ratios("r_squared"),
                    *_capture,
                    *ratios("window", places=0),
                ),
            },
        ),
        ("Computed", {"fields": ("calculation_date", "calculated_at")}),
        QUALITY,
        PROVENANCE,
    )

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).prefetch_related("asset__blend__components__asset")
