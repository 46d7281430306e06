"""Portfolios with what analytics adds: the way to their figures, and the button that computes them."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from analytics.admin.portfolio_page import PortfolioPage
from analytics.admin.portfolio_page.page import tab_links
from analytics.services.runs import RunError, run_request
from portfolios.admin.portfolios import PortfolioAdmin
from portfolios.models import Portfolio

RELATED_LISTS = (
    ("Performance", "analytics_portfolioperformancehistory"),
    ("Risk", "analytics_portfolioriskmetrics"),
    ("Allocations", "analytics_portfolioallocation"),
    ("Benchmarks", "analytics_portfoliobenchmark"),
    ("Rebalancing", "analytics_rebalancingevent"),
    ("Transactions", "portfolios_transaction"),
    ("Access", "portfolios_portfolioaccess"),
    ("Audit", "portfolios_auditevent"),
)

admin.site.unregister(Portfolio)


@admin.register(Portfolio)
class AnalysedPortfolioAdmin(PortfolioAdmin):
    actions = ("run_analytics",)
    change_form_template = "admin/analytics/portfolio.html"

    def get_fieldsets(self, request: HttpRequest, obj: Portfolio | None = None) -> Any:
        return (*super().get_fieldsets(request, obj), ("Benchmarks", {"fields": ("measured_against",)}))

    @admin.display(description="measured against")
    def measured_against(self, portfolio: Portfolio) -> SafeString:
        rows = portfolio.benchmarks.filter(is_active=True).order_by("-is_primary", "asset__symbol")
        lines = rows.select_related("asset").prefetch_related("asset__blend__components__asset")
        return format_html_join("", "<div>{}</div>", ((line.in_words,) for line in lines))

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("analytics.add_analyticsrun")

    @admin.action(description="Run analytics for selected portfolios", permissions=["run"])
    def run_analytics(self, request: HttpRequest, portfolios: QuerySet[Portfolio]) -> HttpResponse | None:
        """Ask first; then start the run and go to its page."""
        codes = list(portfolios.order_by("code").values_list("code", flat=True))
        if not codes:  # to the service, no codes means the whole house
            self.message_user(
                request, "Nothing was started: none of these portfolios is yours to see.", messages.ERROR
            )
            return None
        if "confirmed" not in request.POST:
            return self._confirmation(request, portfolios)
        try:
            run = run_request(actor=request.user, portfolio_codes=codes)
        except RunError as error:
            self.message_user(request, f"Nothing was started: {error}", messages.ERROR)
            return None
        self.message_user(request, f"{run} was started for {', '.join(codes)}.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:analytics_analyticsrun_change", args=[run.pk]))

    def _confirmation(self, request: HttpRequest, portfolios: QuerySet[Portfolio]) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Run analytics",
            "opts": self.opts,
            "media": self.media,
            "portfolios": portfolios.order_by("code"),
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/analytics/run_confirmation.html", context)

    def get_urls(self) -> list[URLPattern]:
        return PortfolioPage(self).urls() + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        lists = [(name, reverse(f"admin:{view}_changelist")) for name, view in RELATED_LISTS]
        portfolio = self.get_object(request, unquote(object_id))
        context = {
            "related_lists": [(name, f"{url}?portfolio={object_id}") for name, url in lists],
            "may_run": self.has_run_permission(request),
            **(tab_links(portfolio, "change") if portfolio else {}),
        }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})
