"""API tokens: who has one and since when. The framework's own list would print the keys."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from rest_framework.authtoken.admin import TokenAdmin
from rest_framework.authtoken.models import TokenProxy

from portfolio_site.kernel.admin import ReadOnlyAdmin

admin.site.unregister(TokenProxy)


@admin.register(TokenProxy)
class KeylessTokenAdmin(ReadOnlyAdmin, TokenAdmin):
    list_display = ("user", "created")
    list_display_links = None
    list_select_related = ("user",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The list only: a token's own page would be titled with its key."""
        return obj is None and super().has_view_permission(request)
