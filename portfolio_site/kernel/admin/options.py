"""Model admins that only show."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest

from portfolio_site.kernel.pagination import CappedCountPaginator


class ReadOnlyAdmin(admin.ModelAdmin):
    """May be searched and read. Whatever changes such rows is a service, not a form."""

    actions = None
    list_per_page = 50
    show_full_result_count = False
    paginator = CappedCountPaginator
    show_facets = admin.ShowFacets.NEVER  # each count would be one more pass over the table

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @property
    def media(self) -> forms.Media:
        """With what the autocomplete filters need; a media property of the widget, whatever its field."""
        return super().media + AutocompleteSelect(None, self.admin_site).media  # type: ignore[arg-type]


class LongTableAdmin(ReadOnlyAdmin):
    """A table of millions of rows: newest first by key, and by `day` once it is narrowed down to one `subject`.

    Both orders are read from an index. Sorting by any other column would read the whole table.
    """

    subject: str
    day: str
    sortable_by: tuple[str, ...] = ()

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return [f"-{self.day}"] if request.GET.get(self.subject) else ["-pk"]
