from django.contrib import admin

from analytics.admin.figures import PROVENANCE, QUALITY, percents, ratios
from analytics.models import AssetPerformanceMetrics
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, LongTableAdmin


@admin.register(AssetPerformanceMetrics)
class AssetPerformanceMetricsAdmin(LongTableAdmin):
    subject = "asset"
    day = "calculation_date"
    list_display = (
        "asset",
        "calculation_date",
        *ratios("close"),
        "currency",
        *percents("return_1d", "return_1m", "return_1y", signed=True),
        *percents("volatility_1y"),
        *ratios("beta_1y", "sharpe_ratio_1y", "rsi_14", "sma_50", "sma_200"),
    )
    list_filter = (("asset", AutocompleteFilter), ("calculation_date", DateRangeFilter))
    list_select_related = ("asset__currency",)
    search_fields = ("asset__symbol", "asset__name")
    fieldsets = (
        (None, {"fields": ("asset", "calculation_date", "currency", *ratios("close", places=4))}),
        (
            "Trend",
            {
                "classes": ("figures",),
                "fields": ratios(
                    *("sma_20", "sma_50", "sma_200", "ema_12", "ema_26"),
                    *("macd", "macd_signal", "macd_histogram"),
                    places=4,
                ),
            },
        ),
        (
            "Momentum and bands",
            {
                "classes": ("figures",),
                "fields": (
                    *ratios("rsi_14", "stochastic_k", "stochastic_d"),
                    *ratios("bollinger_upper", "bollinger_middle", "bollinger_lower", "atr_14", places=4),
                    *ratios("obv", places=0),
                ),
            },
        ),
        (
            "Returns",
            {
                "classes": ("figures",),
                "fields": percents(
                    *(
                        "return_1d",
                        "return_1m",
                        "return_3m",
                        "return_6m",
                        "return_1y",
                        "return_3y",
                        "return_5y",
                    ),
                    signed=True,
                ),
            },
        ),
        (
            "Risk",
            {
                "classes": ("figures",),
                "fields": (
                    *percents("volatility_20d", "volatility_1y", "max_drawdown_1y"),
                    *ratios("beta_1y", "sharpe_ratio_1y"),
                ),
            },
        ),
        QUALITY,
        PROVENANCE,
    )

    @admin.display(description="currency")
    def currency(self, row: AssetPerformanceMetrics) -> str:
        return row.asset.currency_id
