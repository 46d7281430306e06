from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.admin.figures import PROVENANCE, QUALITY, choice_badge, percents, ratios
from analytics.models import PortfolioRiskContribution, PortfolioVarBacktest
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, points_column
from portfolio_site.kernel.admin.figures import figure, percent
from portfolios.admin.bound import LongPortfolioTableAdmin

ZONE_TONES = {"green": "good", "yellow": "fair", "red": "bad"}


@admin.register(PortfolioVarBacktest)
class PortfolioVarBacktestAdmin(LongPortfolioTableAdmin):
    day = "calculation_date"
    list_display = (
        "portfolio",
        "calculation_date",
        "method",
        "confidence",
        *percents("var", "cvar"),
        *ratios("observations", "exceptions", places=0),
        *ratios("expected", places=1),
        *ratios("kupiec_p", "christoffersen_p", "joint_p", places=4),
        "basel_zone",
    )
    list_filter = (
        ("portfolio", AutocompleteFilter),
        ("calculation_date", DateRangeFilter),
        "method",
        "level",
        "zone",
    )
    list_select_related = ("portfolio",)
    search_fields = ("portfolio__code", "portfolio__name")
    fieldsets = (
        (None, {"fields": ("portfolio", "calculation_date", "method", "confidence", "basel_zone")}),
        (
            "Value at risk of one day",
            {"classes": ("figures",), "fields": (*percents("var", "cvar"), *ratios("window", places=0))},
        ),
        (
            "Foretold against what came",
            {
                "classes": ("figures",),
                "fields": (
                    *ratios("observations", "exceptions", places=0),
                    *ratios("expected", places=1),
                    *ratios("zone_exceptions", places=0),
                    *ratios("kupiec_lr", "kupiec_p", places=4),
                    *ratios("christoffersen_lr", "christoffersen_p", places=4),
                    *ratios("joint_lr", "joint_p", places=4),
                ),
            },
        ),
        QUALITY,
        PROVENANCE,
    )

    @admin.display(description="level")
    def confidence(self, row: PortfolioVarBacktest) -> SafeString:
        return percent(row.level, 0)

    @admin.display(description="Basel zone")
    def basel_zone(self, row: PortfolioVarBacktest) -> SafeString:
        if row.zone is None:
            return figure(None, reason=row.quality.get("zone", ""))
        return choice_badge(row.get_zone_display(), row.zone, ZONE_TONES)


@admin.register(PortfolioRiskContribution)
class PortfolioRiskContributionAdmin(LongPortfolioTableAdmin):
    day = "calculation_date"
    _figures = (
        *percents("weight", "volatility", "component_volatility"),
        *percents("marginal_var", "component_var"),
        points_column("component_var_percentage", label="share of VaR"),
    )
    list_display = ("portfolio", "asset", "calculation_date", *_figures)
    list_filter = (
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
        ("calculation_date", DateRangeFilter),
    )
    list_select_related = ("portfolio", "asset")
    search_fields = ("portfolio__code", "portfolio__name", "asset__symbol")
    fieldsets = (
        (None, {"fields": ("portfolio", "asset", "calculation_date", "method")}),
        ("Part of the portfolio's risk", {"classes": ("figures",), "fields": _figures}),
        QUALITY,
        PROVENANCE,
    )
