"""Assets with what analytics adds: the page of their prices, indicators and holders."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern

from analytics.admin.asset_page import AssetPage, tab_links
from portfolios.admin.assets import AssetAdmin
from portfolios.models import Asset

admin.site.unregister(Asset)


@admin.register(Asset)
class AnalysedAssetAdmin(AssetAdmin):
    change_form_template = "admin/analytics/asset.html"

    def get_urls(self) -> list[URLPattern]:
        return AssetPage(self).urls() + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        asset = self.get_object(request, unquote(object_id))
        context = tab_links(asset, "change") if asset else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})
