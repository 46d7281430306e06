from typing import Any

from django.contrib import admin

from analytics.models import BlendComponent, BlendedBenchmark
from portfolio_site.kernel.admin import ReadOnlyAdmin, number_column


class ComponentInline(admin.TabularInline):
    _weight = number_column("weight_percentage", 6, label="weight", least_places=0, unit="%")
    model = BlendComponent
    fields = ("asset", _weight)
    readonly_fields = (_weight,)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(BlendedBenchmark)
class BlendedBenchmarkAdmin(ReadOnlyAdmin):
    list_display = ("asset", "name", "rebalance_frequency", "start_date", "rule")
    list_filter = ("rebalance_frequency",)
    list_select_related = ("asset",)
    search_fields = ("asset__symbol", "asset__name", "components__asset__symbol")
    ordering = ("asset__symbol",)
    fields = ("asset", "name", "rebalance_frequency", "start_date", "rule")
    inlines = (ComponentInline,)

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).prefetch_related("components__asset")

    @admin.display(ordering="asset__name")
    def name(self, blend: BlendedBenchmark) -> str:
        return blend.asset.name
