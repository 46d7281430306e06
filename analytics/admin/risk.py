from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.admin.figures import PROVENANCE, QUALITY, RISK_TONES, choice_badge, percents, ratios
from analytics.models import PortfolioRiskMetrics
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, points_column
from portfolio_site.kernel.admin.figures import figure
from portfolios.admin.bound import LongPortfolioTableAdmin


@admin.register(PortfolioRiskMetrics)
class PortfolioRiskMetricsAdmin(LongPortfolioTableAdmin):
    day = "calculation_date"
    list_display = (
        "portfolio",
        "calculation_date",
        "level",
        "risk_class",
        *percents("volatility", "var_95_1d", "cvar_95_1d", "max_drawdown", "current_drawdown"),
        *ratios("sharpe_ratio", "effective_assets"),
        points_column("largest_weight_percentage", label="largest weight"),
        *ratios("observations", places=0),
    )
    list_filter = (("portfolio", AutocompleteFilter), ("calculation_date", DateRangeFilter), "risk_level")
    list_select_related = ("portfolio",)
    search_fields = ("portfolio__code", "portfolio__name")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "portfolio",
                    "calculation_date",
                    "level",
                    "risk_class",
                    "observations",
                    "var_method",
                )
            },
        ),
        (
            "Reward for risk",
            {
                "classes": ("figures",),
                "fields": (*ratios("sharpe_ratio", "sortino_ratio", "treynor_ratio", "calmar_ratio"),),
            },
        ),
        (
            "Losses",
            {
                "classes": ("figures",),
                "fields": (
                    *percents("volatility", "max_drawdown", "current_drawdown"),
                    *ratios("max_drawdown_duration", places=0),
                    *percents("var_95_1d", "var_99_1d", "var_95_1m", "var_99_1m"),
                    *percents("cvar_95_1d", "cvar_99_1d", "cvar_95_1m", "cvar_99_1m"),
                ),
            },
        ),
        (
            "Concentration",
            {
                "classes": ("figures",),
                "fields": (
                    *ratios("concentration_hhi", places=4),
                    *ratios("effective_assets", "effective_bets"),
                    points_column("largest_weight_percentage", label="largest weight"),
                    *ratios("average_correlation", "max_correlation", "diversification_ratio"),
                ),
            },
        ),
        QUALITY,
        PROVENANCE,
    )

    @admin.display(description="risk level")
    def level(self, row: PortfolioRiskMetrics) -> SafeString:
        if row.risk_level is None:
            return figure(None, reason=row.quality.get("risk_level", ""))
        return choice_badge(row.get_risk_level_display(), row.risk_level, RISK_TONES)
