"""The admin site as the back-office console: its front page shows how every portfolio stands."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse


class ConsoleSite(admin.AdminSite):
    site_header = "Portfolio Site"
    site_title = "Portfolio Site"
    index_title = "Morning"
    site_url = None

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        # The site is made while the apps are still loading; their models can only be imported now.
        from analytics.selectors.dashboard import dashboard

        context = {
            "dashboard": dashboard(request.user, request.GET.get("page", 1)),
            "may_run": request.user.has_perm("analytics.add_analyticsrun"),
            **(extra_context or {}),
        }
        return super().index(request, context)
