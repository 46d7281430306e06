"""The admin site as the back-office console: its front page shows how every portfolio stands."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path


class ConsoleSite(admin.AdminSite):
    site_header = "Portfolio Site"
    site_title = "Portfolio Site"
    index_title = "Morning"
    site_url = None

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [path("search/", self.admin_view(self.search), name="search"), *super().get_urls()]

    def search(self, request: HttpRequest) -> HttpResponse:
        from analytics.admin.search import search_view

        return search_view(request, self.each_context(request))

    def password_change(  # type: ignore[override]  # the stubs promise a page; after the change it is a redirect
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        from portfolios.admin.users import own_password_change

        return own_password_change(self, request, extra_context)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        # The site is made while the apps are still loading; their models can only be imported now.
        from analytics.selectors.dashboard import dashboard

        context = {
            "dashboard": dashboard(request.user, request.GET),
            "may_run": request.user.has_perm("analytics.add_analyticsrun"),
            **(extra_context or {}),
        }
        return super().index(request, context)
