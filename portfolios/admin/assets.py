from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portfolio_site.kernel.admin import (
    AutocompleteFilter,
    DateRangeFilter,
    ReadOnlyAdmin,
    number_column,
)
from portfolios.models import Asset, CorporateAction, Currency, FindingStatus

lot_size = number_column("lot_size", 12, least_places=0)


@admin.register(Currency)
class CurrencyAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "minor_units")
    search_fields = ("code", "name")
    list_filter = ("minor_units",)


@admin.register(Asset)
class AssetAdmin(ReadOnlyAdmin):
    list_display = (
        "symbol",
        "name",
        "asset_class",
        "currency",
        "exchange",
        "sector",
        "country",
        lot_size,
        "is_active",
    )
    list_filter = ("is_active", "asset_class", "is_total_return", ("currency", AutocompleteFilter))
    list_select_related = ("currency",)
    search_fields = ("symbol", "name", "isin__exact")
    search_help_text = "Part of a symbol or name, or a whole ISIN"
    fieldsets = (
        (None, {"fields": ("symbol", "exchange", "name", "asset_class", "currency", "is_active")}),
        ("Classification", {"fields": ("isin", "sector", "country")}),
        ("Trading and prices", {"fields": (lot_size, "is_total_return", "findings")}),
    )

    @admin.display(description="findings in prices")
    def findings(self, asset: Asset) -> SafeString:
        count = asset.data_findings.filter(status=FindingStatus.OPEN).count()
        url = reverse("admin:portfolios_datafinding_changelist", query={"asset": asset.pk})
        return format_html('<a href="{}">{} open</a>', url, count)


@admin.register(CorporateAction)
class CorporateActionAdmin(ReadOnlyAdmin):
    amount = number_column("amount", 10, least_places=2)
    list_display = ("asset", "ex_date", "kind", "ratio_text", amount, "currency", "new_asset")
    list_filter = ("kind", ("ex_date", DateRangeFilter), ("asset", AutocompleteFilter))
    list_select_related = ("asset__currency", "new_asset")
    search_fields = ("asset__symbol", "asset__name", "new_asset__symbol")
    ordering = ("-ex_date", "asset")
    fields = ("asset", "ex_date", "kind", "ratio_text", amount, "currency", "new_asset")

    @admin.display(description="ratio (new for old)")
    def ratio_text(self, action: CorporateAction) -> str:
        if action.ratio_new is None or action.ratio_old is None:
            return ""
        return f"{action.ratio_new}:{action.ratio_old}"

    @admin.display(description="currency")
    def currency(self, action: CorporateAction) -> str:
        return action.asset.currency_id if action.amount is not None else ""
