from django.contrib import admin
from django.utils.safestring import SafeString

from analytics.admin.figures import BASE_CURRENCY
from analytics.models import CashReserve
from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, money_column
from portfolio_site.kernel.admin.figures import badge
from portfolio_site.kernel.clock import today
from portfolios.admin.bound import PortfolioBoundAdmin

_amount = money_column("amount", BASE_CURRENCY)


@admin.register(CashReserve)
class CashReserveAdmin(PortfolioBoundAdmin):
    list_display = ("id", "portfolio", "kind", "state", _amount, "due_date", "owner", "note", "ended_on")
    list_display_links = ("id", "kind")
    list_filter = (
        "kind",
        ("portfolio", AutocompleteFilter),
        ("due_date", DateRangeFilter),
        ("ended_on", DateRangeFilter),
    )
    list_select_related = ("portfolio__base_currency", "owner")
    search_fields = ("portfolio__code", "portfolio__name", "note")
    fieldsets = (
        (None, {"fields": ("portfolio", "kind", "state", "due_date")}),
        ("How much", {"classes": ("figures",), "fields": (_amount,)}),
        ("By whose word", {"fields": ("owner", "note", "created_at")}),
        ("How it ended", {"fields": ("ended_on", "ended_by")}),
    )

    @admin.display(description="state")
    def state(self, reserve: CashReserve) -> SafeString:
        day = today()
        if reserve.ended_on is not None and reserve.ended_on <= day:
            return badge("ended", "calm")
        return badge("overdue", "bad") if reserve.due_date < day else badge("kept back", "fair")
