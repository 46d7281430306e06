from typing import Any

from django.contrib import admin

from portfolio_site.kernel.admin import (
    AutocompleteFilter,
    DateRangeFilter,
    LongTableAdmin,
    number_column,
    percent_column,
)
from portfolio_site.kernel.admin.columns import Column
from portfolios.admin.bound import PortfolioBoundAdmin
from portfolios.models import ExchangeRate, InterestRate, PriceBar, StaleMark


def price(field: str) -> Column:
    return number_column(field, 10, least_places=2)


@admin.register(PriceBar)
class PriceBarAdmin(LongTableAdmin):
    subject = "asset"
    day = "date"
    _prices = tuple(price(field) for field in ("open", "high", "low", "close"))
    _volume = number_column("volume", 12, least_places=0)
    _columns: tuple[Any, ...] = ("asset", "date", *_prices, "currency", _volume, "source", "adjusted_through")
    list_display = _columns
    list_filter = (("asset", AutocompleteFilter), ("date", DateRangeFilter))
    list_select_related = ("asset__currency",)
    search_fields = ("asset__symbol", "asset__name")
    fields = _columns

    @admin.display(description="currency")
    def currency(self, bar: PriceBar) -> str:
        return bar.asset.currency_id


@admin.register(ExchangeRate)
class ExchangeRateAdmin(LongTableAdmin):
    subject = "quote"
    day = "date"
    _rate = number_column("rate", 10, least_places=4, label="rate (quote for 1 base)")
    list_display = ("base", "quote", "date", _rate, "source")
    list_filter = (("base", AutocompleteFilter), ("quote", AutocompleteFilter), ("date", DateRangeFilter))
    list_select_related = ("base", "quote")
    search_fields = ("base__code", "quote__code")
    fields = list_display


@admin.register(InterestRate)
class InterestRateAdmin(LongTableAdmin):
    subject = "name"
    day = "date"
    _annual_rate = percent_column("annual_rate", 4)
    list_display = ("name", "date", _annual_rate)
    list_filter = (("date", DateRangeFilter),)
    search_fields = ("name",)
    fields = list_display


@admin.register(StaleMark)
class StaleMarkAdmin(PortfolioBoundAdmin):
    shares_unbound = True
    list_display = ("id", "cause", "from_date", "portfolio", "asset", "currency", "series", "created_at")
    list_filter = (
        "cause",
        ("from_date", DateRangeFilter),
        ("portfolio", AutocompleteFilter),
        ("asset", AutocompleteFilter),
    )
    list_select_related = ("portfolio", "asset", "currency")
    search_fields = ("portfolio__code", "asset__symbol", "series")
    ordering = ("-id",)
    fields = list_display
