"""What became of an approved proposal on its way to the books: its versions, its orders and their fills."""

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.admin.figures import choice_badge
from analytics.models import OrderFill, ProposalVersion, RebalancingOrder
from portfolio_site.kernel.admin import (
    AutocompleteFilter,
    DateRangeFilter,
    document_column,
    money_column,
    number_column,
)
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter
from portfolios.admin.bound import PortfolioBoundAdmin

ORDER_TONES = {"new": "calm", "sent": "busy", "partly": "fair", "filled": "good", "rejected": "bad"}

_quantity = number_column("quantity", 8, least_places=0)
_filled = number_column("filled_quantity", 8, label="filled", least_places=0)
_price = money_column("price", "asset.currency")
_fill_price = money_column("price", "order.asset.currency")
_fill_costs = (
    money_column("fee", "order.asset.currency"),
    money_column("tax", "order.asset.currency"),
)


class FillInline(admin.TabularInline):
    model = OrderFill
    fields = ("filled_on", _quantity, _fill_price, *_fill_costs, "venue_fill_id", "is_excess", "transaction")
    readonly_fields = (_quantity, _fill_price, *_fill_costs)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(RebalancingOrder)
class RebalancingOrderAdmin(PortfolioBoundAdmin):
    portfolio_path = "event__portfolio"
    list_display = (
        "client_order_id",
        "event",
        "position",
        "asset",
        "side",
        _quantity,
        _filled,
        _price,
        "state",
        "venue",
        "created_at",
    )
    list_filter = (
        "status",
        "side",
        "venue",
        ("event__portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
        ("created_at", DateTimeRangeFilter),
    )
    list_select_related = ("event__portfolio", "asset__currency")
    search_fields = ("client_order_id", "event__portfolio__code", "asset__symbol")
    ordering = ("-event", "position")
    fieldsets = (
        (None, {"fields": ("client_order_id", "event", "position", "asset", "side", "state", "venue")}),
        ("Figures", {"classes": ("figures",), "fields": (_quantity, _filled, _price)}),
        ("Lots", {"fields": (document_column("lots", label="lots that the sale takes"),)}),
        ("When", {"fields": ("created_at", "sent_at", "note")}),
    )
    inlines = (FillInline,)

    @admin.display(description="status", ordering="status")
    def state(self, order: RebalancingOrder) -> SafeString:
        return choice_badge(order.get_status_display(), order.status, ORDER_TONES)


@admin.register(OrderFill)
class OrderFillAdmin(PortfolioBoundAdmin):
    portfolio_path = "order__event__portfolio"
    list_display = (
        "venue_fill_id",
        "order",
        "filled_on",
        _quantity,
        _fill_price,
        *_fill_costs,
        "is_excess",
        "received_at",
    )
    list_filter = (
        "is_excess",
        ("order__event__portfolio", AutocompleteFilter),
        ("filled_on", DateRangeFilter),
    )
    list_select_related = ("order__event__portfolio", "order__asset__currency")
    search_fields = ("venue_fill_id", "order__client_order_id", "order__asset__symbol")
    ordering = ("-id",)
    fieldsets = (
        (
            None,
            {"fields": ("order", "venue_fill_id", "filled_on", "received_at", "is_excess", "transaction")},
        ),
        ("Figures", {"classes": ("figures",), "fields": (_quantity, _fill_price, *_fill_costs)}),
    )


@admin.register(ProposalVersion)
class ProposalVersionAdmin(PortfolioBoundAdmin):
    portfolio_path = "event__portfolio"
    list_display = ("event", "version", "created_at", "created_by", "reason", "proposal_hash")
    list_display_links = ("event", "version")
    list_filter = (
        ("event__portfolio", AutocompleteFilter),
        ("created_by", AutocompleteFilter),
        ("created_at", DateTimeRangeFilter),
    )
    list_select_related = ("event__portfolio", "created_by")
    search_fields = ("event__portfolio__code", "proposal_hash__startswith", "reason")
    ordering = ("-event", "-version")
    fieldsets = (
        (None, {"fields": ("event", "version", "created_at", "created_by", "reason", "proposal_hash")}),
        ("Proposal", {"fields": (document_column("proposal"),), "classes": ("wide-document",)}),
        ("What it was made from", {"fields": (document_column("inputs"),), "classes": ("wide-document",)}),
    )
