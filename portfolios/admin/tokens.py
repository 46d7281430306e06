"""API tokens: who has one and since when. The framework's own list would print the keys."""

from django.contrib import admin
from rest_framework.authtoken.admin import TokenAdmin
from rest_framework.authtoken.models import TokenProxy

from portfolio_site.kernel.admin import ReadOnlyAdmin

admin.site.unregister(TokenProxy)


@admin.register(TokenProxy)
class KeylessTokenAdmin(ReadOnlyAdmin, TokenAdmin):
    list_display = ("user", "created")
    list_display_links = ("user",)
    list_select_related = ("user",)
    fields = ("user", "created")
    autocomplete_fields = ()
