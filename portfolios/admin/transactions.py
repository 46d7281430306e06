from django.contrib import admin

from portfolio_site.kernel.admin import AutocompleteFilter, DateRangeFilter, money_column, number_column
from portfolios.admin.bound import LongPortfolioTableAdmin
from portfolios.models import Transaction

quantity = number_column("quantity", 12, least_places=0)
price = number_column("price", 10, least_places=2)
amount = money_column("amount", "currency")
fee = money_column("fee", "currency")
tax = money_column("tax", "currency")
fx_rate = number_column("fx_rate", 10, least_places=4)
counter_amount = money_column("counter_amount", "counter_currency")


@admin.register(Transaction)
class TransactionAdmin(LongPortfolioTableAdmin):
    day = "trade_date"
    list_display = ("portfolio", "trade_date", "kind", "asset", quantity, price, amount, fee, tax, "status")
    list_filter = (
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
        ("trade_date", DateRangeFilter),
        "kind",
        "status",
    )
    list_select_related = ("portfolio", "asset", "currency")
    search_fields = ("portfolio__code", "asset__symbol", "external_id__exact")
    search_help_text = "Part of a portfolio code or symbol, or a whole external id"
    fieldsets = (
        (None, {"fields": ("portfolio", "kind", "status", "trade_date", "settle_date")}),
        ("Trade", {"fields": ("asset", quantity, price)}),
        ("Money", {"fields": (amount, fee, tax, fx_rate, counter_amount)}),
        ("Origin", {"fields": ("source", "external_id", "batch", "note", "created_at")}),
        ("Correction", {"fields": ("reverses", "reversal")}),
    )

    @admin.display(description="reversed by")
    def reversal(self, line: Transaction) -> str:
        found = Transaction.objects.filter(reverses=line).first()
        return str(found) if found else "–"
