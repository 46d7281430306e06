from django.contrib import admin

from analytics.admin.figures import PROVENANCE, QUALITY, amounts, percents, ratios
from analytics.models import PortfolioPerformanceHistory
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter
from portfolios.admin.bound import LongPortfolioTableAdmin


@admin.register(PortfolioPerformanceHistory)
class PortfolioPerformanceHistoryAdmin(LongPortfolioTableAdmin):
    day = "snapshot_date"
    list_display = (
        "portfolio",
        "snapshot_date",
        *amounts("total_value", "cash_value"),
        *amounts("net_flow", signed=True),
        *percents("daily_return", "return_ytd", "cumulative_return", "annualized_return", signed=True),
        *percents("volatility"),
        *ratios("sharpe_ratio"),
        *percents("current_drawdown"),
    )
    list_filter = (("portfolio", AutocompleteFilter), ("snapshot_date", DateRangeFilter), "data_quality")
    list_select_related = ("portfolio__base_currency",)
    search_fields = ("portfolio__code", "portfolio__name")
    fieldsets = (
        (None, {"fields": ("portfolio", "snapshot_date")}),
        (
            "Value",
            {
                "classes": ("figures",),
                "fields": (
                    *amounts(
                        "total_value", "invested_value", "cash_value", "cost_basis", "cumulative_net_flow"
                    ),
                    *amounts("unrealized_pnl", signed=True),
                    "data_quality",
                ),
            },
        ),
        (
            "The day",
            {
                "classes": ("figures",),
                "fields": (
                    *percents("daily_return", signed=True),
                    *amounts(
                        "net_flow",
                        "realized_pnl",
                        "realized_fx_pnl",
                        "transferred_pnl",
                        "fx_on_cash",
                        signed=True,
                    ),
                    *amounts("income", "fees", "trading_costs", "taxes"),
                ),
            },
        ),
        (
            "Returns",
            {
                "classes": ("figures",),
                "fields": (
                    *ratios("twr_index", places=6),
                    *percents(
                        "cumulative_return",
                        "annualized_return",
                        "money_weighted_return",
                        "return_ytd",
                        "return_1m",
                        "return_3m",
                        "return_6m",
                        "return_1y",
                        "return_3y",
                        "return_5y",
                        signed=True,
                    ),
                ),
            },
        ),
        (
            "Risk since inception",
            {
                "classes": ("figures",),
                "fields": (
                    *percents("volatility", "downside_deviation"),
                    *ratios("sharpe_ratio", "sortino_ratio"),
                    *percents("max_drawdown", "current_drawdown", "var_95", "var_99"),
                ),
            },
        ),
        (
            "Against the benchmark",
            {
                "classes": ("figures",),
                "fields": (
                    "benchmark",
                    *percents(
                        "benchmark_return", "benchmark_cumulative_return", "excess_return", signed=True
                    ),
                    *percents("tracking_error"),
                    *ratios("information_ratio", "beta"),
                    *percents("alpha", signed=True),
                ),
            },
        ),
        QUALITY,
        PROVENANCE,
    )
