"""The search in the head of every page: to the one thing that is called so, or to a list of what is alike."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from analytics.models import RebalancingEvent
from analytics.selectors.search import search
from portfolios.models import Asset, Portfolio


def search_view(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    term = request.GET.get("q", "")
    found = search(request.user, term)
    if found.exact is not None:
        return HttpResponseRedirect(page_of(found.exact))
    shown = [
        (heading, [(page_of(each), words_of(each)) for each in rows])
        for heading, rows in (
            ("Portfolios", found.portfolios),
            ("Assets", found.assets),
            ("Rebalancing events", found.events),
        )
        if rows
    ]
    context |= {"title": "Search", "term": term, "found": shown}
    return TemplateResponse(request, "admin/search.html", context)


def page_of(found: Portfolio | Asset | RebalancingEvent) -> str:
    if isinstance(found, Portfolio):
        return reverse("admin:portfolios_portfolio_overview", args=[found.pk])
    if isinstance(found, Asset):
        return reverse("admin:portfolios_asset_overview", args=[found.pk])
    return reverse("admin:analytics_rebalancingevent_change", args=[found.pk])


def words_of(found: Portfolio | Asset | RebalancingEvent) -> str:
    if isinstance(found, Portfolio):
        return f"{found.code}: {found.name}"
    if isinstance(found, Asset):
        return (
            f"{found.symbol}.{found.exchange}: {found.name}"
            if found.exchange
            else f"{found.symbol}: {found.name}"
        )
    return f"#{found.pk}: {found} ({found.get_status_display().lower()})"
