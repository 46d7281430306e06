from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.admin.figures import BASE_CURRENCY, PROVENANCE, QUALITY
from analytics.models import MinimumTrade, PortfolioAllocation, RebalancingPolicy
from portfolio_site.kernel.admin import (
    AutocompleteFilter,
    money_column,
    number_column,
    percent_column,
    points_column,
)
from portfolio_site.kernel.admin.figures import badge
from portfolios.admin.bound import PortfolioBoundAdmin

_target = points_column("target_percentage", label="target")
_lowest = points_column("min_percentage", label="min")
_highest = points_column("max_percentage", label="max")
_band = number_column("rebalance_threshold", label="band", unit="pts")
_relative_band = points_column("rebalance_threshold_relative", label="band, of the target")
_current = points_column("current_percentage", label="current")
_drift = number_column("drift_percentage", label="drift", signed=True, unit="pts")
_value = money_column("current_value", BASE_CURRENCY, label="current value")
_own_minimum = (
    money_column("amount", f"policy.{BASE_CURRENCY}"),
    points_column("percentage", label="of the value"),
)


@admin.register(PortfolioAllocation)
class PortfolioAllocationAdmin(PortfolioBoundAdmin):
    list_display = (
        "portfolio",
        "asset",
        _target,
        _lowest,
        _highest,
        _band,
        _current,
        _drift,
        "state",
        _value,
        "rebalance_frequency",
        "is_active",
    )
    list_filter = (
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
        "is_breached",
        "is_active",
        "rebalance_frequency",
    )
    list_select_related = ("portfolio__base_currency", "asset")
    search_fields = ("portfolio__code", "portfolio__name", "asset__symbol", "asset__name")
    ordering = ("portfolio__code", "-target_percentage", "asset__symbol")
    fieldsets = (
        (None, {"fields": ("portfolio", "asset", "is_active", "rebalance_frequency", "version")}),
        ("Target", {"classes": ("figures",), "fields": (_target, _lowest, _highest, _band, _relative_band)}),
        (
            "Where it stands",
            {"classes": ("figures",), "fields": (_value, _current, _drift, "state", "calculation_date")},
        ),
        QUALITY,
        PROVENANCE,
    )

    @admin.display(description="state", ordering="is_breached")
    def state(self, line: PortfolioAllocation) -> SafeString:
        if line.is_breached is None:
            return badge("not computed", "calm")
        return badge("outside its band", "bad") if line.is_breached else badge("inside", "good")


class MinimumTradeInline(admin.TabularInline):
    model = MinimumTrade
    fields = ("asset_class", *_own_minimum)
    readonly_fields = _own_minimum
    extra = 0
    can_delete = False

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(RebalancingPolicy)
class RebalancingPolicyAdmin(PortfolioBoundAdmin):
    _cash = (
        points_column("cash_target_percentage", label="cash target"),
        money_column("cash_reserve", BASE_CURRENCY),
    )
    _reserve_share = points_column("cash_reserve_percentage", label="cash reserve, of the value")
    _minimum_share = (
        points_column("minimum_trade_percentage", label="minimum trade, of the value"),
        points_column("minimum_trade_tolerance", label="may fall short of it by"),
    )
    _costs = (
        money_column("minimum_trade", BASE_CURRENCY),
        money_column("fee_per_trade", BASE_CURRENCY),
        percent_column("cost_rate", 4),
        percent_column("turnover_cap"),
    )
    list_display = ("portfolio", "mode", *_cash, *_costs[:3], "lot_method", "approvals_needed")
    list_filter = ("mode", "lot_method", "band_destination", ("portfolio", AutocompleteFilter))
    list_select_related = ("portfolio__base_currency",)
    search_fields = ("portfolio__code", "portfolio__name")
    ordering = ("portfolio__code",)
    fieldsets = (
        (None, {"fields": ("portfolio", "mode", "band_destination", "lot_method", "version")}),
        (
            "Cash",
            {
                "classes": ("figures",),
                "fields": (*_cash, _reserve_share, "reserve_horizon_days", "settlement_days"),
            },
        ),
        (
            "Trades and costs",
            {"classes": ("figures",), "fields": (_costs[0], *_minimum_share, *_costs[1:])},
        ),
        ("Decisions", {"fields": ("approvals_needed", "expiry_hours", "cool_off_days")}),
    )
    inlines = (MinimumTradeInline,)
