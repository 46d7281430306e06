"""Addresses, permissions and files of a portfolio's tabs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from analytics.admin.portfolio_page import overview
from analytics.admin.portfolio_page.content import Content, Tab
from portfolio_site.kernel.tables import FORMS, table_response
from portfolios.models import Portfolio

if TYPE_CHECKING:
    from analytics.admin.portfolios import AnalysedPortfolioAdmin

TABS: Sequence[Tab] = (Tab("overview", "Overview", overview.show),)


class PortfolioPage:
    """The tabs of the portfolios that an admin shows."""

    def __init__(self, admin: "AnalysedPortfolioAdmin") -> None:
        self.admin = admin

    def urls(self) -> list[URLPattern]:
        wrap = self.admin.admin_site.admin_view
        return [
            path(
                f"<path:object_id>/{tab.slug}/",
                wrap(lambda request, object_id, tab=tab: self.view(request, object_id, tab)),
                name=f"portfolios_portfolio_{tab.slug}",
            )
            for tab in TABS
        ]

    def view(self, request: HttpRequest, object_id: str, tab: Tab) -> HttpResponse:
        portfolio = self._portfolio(request, object_id)
        content = tab.show(request, portfolio)
        if isinstance(content, HttpResponse):
            return content
        if "table" in request.GET:
            return _file(request, content, portfolio)
        context = {
            **self.admin.admin_site.each_context(request),
            **tab_links(portfolio, tab.slug),
            "title": f"{portfolio.code}: {tab.label.lower()}",
            "opts": self.admin.opts,
            "portfolio": portfolio,
            "content": content,
            **content.context,
        }
        return TemplateResponse(request, content.template, context)

    def _portfolio(self, request: HttpRequest, object_id: str) -> Portfolio:
        """One that the user may see; for any other, nothing is there."""
        portfolio = self.admin.get_object(request, unquote(object_id))
        if portfolio is None or not self.admin.has_view_permission(request, portfolio):
            raise Http404
        return portfolio


def tab_links(portfolio: Portfolio, current: str) -> dict[str, Any]:
    """What the row of tabs shows; the record itself is the last of them."""
    links = [(tab.slug, tab.label, _address(tab.slug, portfolio)) for tab in TABS]
    return {"tabs": [*links, ("change", "Record", _address("change", portfolio))], "current_tab": current}


def _address(tab: str, portfolio: Portfolio) -> str:
    return reverse(f"admin:portfolios_portfolio_{tab}", args=[portfolio.pk])


def _file(request: HttpRequest, content: Content, portfolio: Portfolio) -> HttpResponse:
    wanted, form = request.GET["table"], request.GET.get("format", "csv")
    table = next((table for table in content.tables if table.slug == wanted), None)
    if table is None or form not in FORMS:
        raise Http404
    return table_response(table, form, portfolio.code)
