"""Model admins that only show."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Model, QuerySet
from django.http import HttpRequest

PAGE_SIZE = 50


class ReadOnlyAdmin(admin.ModelAdmin):
    """May be searched and read. Whatever changes such rows is a service, not a form."""

    actions = None
    list_per_page = PAGE_SIZE
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
