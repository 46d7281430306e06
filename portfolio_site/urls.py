"""Every address of the site."""

from django.contrib import admin
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from analytics.api.urls import router as analytics_router
from portfolio_site.kernel.errors import UnknownAddress
from portfolios.api.urls import router as portfolios_router


def health(request: HttpRequest) -> JsonResponse:
    """Answers when the process lives and reaches its database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


api_router = DefaultRouter()
api_router.include_format_suffixes = False
# The facts come last: where both apps add to an address, the list is theirs.
api_router.registry.extend(analytics_router.registry + portfolios_router.registry)

api_urls: list[URLPattern | URLResolver] = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(), name="docs"),
    path("redoc/", SpectacularRedocView.as_view(template_name="api/redoc.html"), name="redoc"),
    path("", include(api_router.urls)),
    re_path(r"^.+/$", UnknownAddress.as_view()),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("healthz", health, name="healthz"),
    path("admin/", admin.site.urls),
    path("api/v1/", include(api_urls)),
]
