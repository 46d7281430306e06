from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.models import TradingRestriction
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, number_column
from portfolio_site.kernel.admin.figures import badge
from portfolio_site.kernel.clock import today
from portfolios.admin.bound import PortfolioBoundAdmin

_lowest = number_column("minimum", 6, least_places=0)
_highest = number_column("maximum", 6, least_places=0)


@admin.register(TradingRestriction)
class TradingRestrictionAdmin(PortfolioBoundAdmin):
    """Those without a portfolio hold for all, so everyone may see them."""

    shares_unbound = True
    list_display = (
        "id",
        "portfolio",
        "subject",
        "kind",
        "state",
        _lowest,
        _highest,
        "unit",
        "starts_on",
        "ends_on",
        "owner",
        "reason",
    )
    list_display_links = ("id", "kind")
    list_filter = (
        "kind",
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
        ("starts_on", DateRangeFilter),
        ("ends_on", DateRangeFilter),
    )
    list_select_related = ("portfolio", "asset", "owner")
    search_fields = ("portfolio__code", "asset__symbol", "issuer", "sector", "reason")
    fieldsets = (
        (None, {"fields": ("portfolio", "asset", "issuer", "sector", "kind", "state")}),
        ("Range", {"classes": ("figures",), "fields": (_lowest, _highest, "unit")}),
        ("When", {"fields": ("starts_on", "ends_on")}),
        ("By whose word", {"fields": ("owner", "reason", "created_at", "version")}),
    )

    @admin.display(description="what")
    def subject(self, restriction: TradingRestriction) -> str:
        """The asset, or the group of them that it is about."""
        groups = (
            (str(restriction.asset or ""), "{}"),
            (restriction.issuer, "issuer {}"),
            (restriction.sector, "sector {}"),
        )
        return ", ".join(text.format(name) for name, text in groups if name) or "every asset"

    @admin.display(description="in force")
    def state(self, restriction: TradingRestriction) -> SafeString:
        day, ends_on = today(), restriction.ends_on
        if ends_on is not None and ends_on < day:
            return badge("ended", "calm")
        return badge("to come", "busy") if day < restriction.starts_on else badge("in force", "fair")
