from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.admin.figures import EVENT_TONES, amounts, choice_badge, percents
from analytics.models import Approval, RebalancingEvent
from portfolio_site.kernel.admin import (
    AutocompleteFilter,
    DateRangeFilter,
    document_column,
    number_column,
    points_column,
)
from portfolio_site.kernel.admin.documents import document, objects_table
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter
from portfolios.admin.bound import LongPortfolioTableAdmin, PortfolioBoundAdmin

ACTION_HEADINGS = dict.fromkeys(["symbol", "side", "quantity", "price", "amount", "cost", "reason"], "")
OUTCOME_HEADINGS = {
    "symbol": "",
    "target": "Target %",
    "weight_before": "Before %",
    "weight_after": "After %",
    "side": "",
    "quantity": "",
    "reason": "",
}

_drift = (points_column("drift_before"), points_column("drift_after"))
_turnover = percents("turnover")
_estimates = amounts("estimated_cost", "estimated_tax")


class ApprovalInline(admin.TabularInline):
    model = Approval
    fields = ("created_at", "user", "decision", "level", "note")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(RebalancingEvent)
class RebalancingEventAdmin(LongPortfolioTableAdmin):
    day = "valuation_date"
    list_display = (
        "id",
        "portfolio",
        "valuation_date",
        "event_type",
        "state",
        "mode",
        "trades",
        *_turnover,
        *_drift,
        *_estimates[:1],
        "created_at",
        "expires_at",
    )
    list_display_links = ("id", "portfolio")
    list_filter = (
        "status",
        "event_type",
        "mode",
        ("portfolio", AutocompleteFilter),
        ("valuation_date", DateRangeFilter),
    )
    list_select_related = ("portfolio__base_currency",)
    search_fields = ("portfolio__code", "portfolio__name", "proposal_hash__startswith")
    inlines = (ApprovalInline,)
    fieldsets = (
        (None, {"fields": ("portfolio", "state", "event_type", "mode", "valuation_date", "requested_by")}),
        (
            "In short",
            {
                "classes": ("figures",),
                "fields": (
                    *_turnover,
                    *_drift,
                    number_column("tracking_distance", 4),
                    number_column("optimality_gap", 4),
                    *_estimates,
                    *amounts("actual_cost", "actual_tax"),
                ),
            },
        ),
        ("Trades", {"fields": ("trades_table",), "classes": ("wide-document",)}),
        ("Every line, and why", {"fields": ("outcomes_table",), "classes": ("wide-document",)}),
        ("Why now", {"fields": (document_column("trigger", label="evidence"),)}),
        ("Before and after", {"fields": (document_column("pre_state"), document_column("post_state"))}),
        ("When", {"fields": ("created_at", "expires_at", "approved_at", "approved_by", "completed_at")}),
        (
            "Origin",
            {"fields": ("run", "engine_version", "proposal_hash", "version"), "classes": ("collapse",)},
        ),
    )

    @admin.display(description="status", ordering="status")
    def state(self, event: RebalancingEvent) -> SafeString:
        return choice_badge(event.get_status_display(), event.status, EVENT_TONES)

    @admin.display(description="trades")
    def trades(self, event: RebalancingEvent) -> int:
        return len(event.actions)

    @admin.display(description="trades")
    def trades_table(self, event: RebalancingEvent) -> SafeString:
        return objects_table(event.actions, ACTION_HEADINGS) if event.actions else document(None)

    @admin.display(description="lines")
    def outcomes_table(self, event: RebalancingEvent) -> SafeString:
        return objects_table(event.outcomes, OUTCOME_HEADINGS) if event.outcomes else document(None)


@admin.register(Approval)
class ApprovalAdmin(PortfolioBoundAdmin):
    portfolio_path = "event__portfolio"
    list_display = ("event", "user", "decision", "level", "created_at", "note")
    list_filter = (
        "decision",
        ("event__portfolio", AutocompleteFilter),
        ("user", AutocompleteFilter),
        ("created_at", DateTimeRangeFilter),
    )
    list_select_related = ("event__portfolio", "user")
    search_fields = ("event__portfolio__code", "user__username", "note", "proposal_hash__startswith")
    ordering = ("-id",)
    fields = ("event", "user", "decision", "level", "note", "proposal_hash", "created_at")
