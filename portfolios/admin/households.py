from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest

from portfolio_site.kernel.admin import ReadOnlyAdmin
from portfolios.models import Household
from portfolios.selectors.visibility import sees_everything, visible_to


@admin.register(Household)
class HouseholdAdmin(ReadOnlyAdmin):
    """Shown to those who may see one of its portfolios, and of these with those that they may see."""

    list_display = ("code", "name", "members")
    search_fields = ("code", "name")
    fields = ("code", "name", "members")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Household]:
        households, seen = super().get_queryset(request), visible_to(request.user)
        if not sees_everything(request.user):
            households = households.filter(pk__in=seen.values("household"))
        return households.prefetch_related(Prefetch("portfolios", queryset=seen))

    @admin.display(description="portfolios")
    def members(self, household: Household) -> str:
        return ", ".join(portfolio.code for portfolio in household.portfolios.all())
