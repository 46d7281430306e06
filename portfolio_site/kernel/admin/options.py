"""Model admins that only show."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest

from portfolio_site.kernel.pagination import CappedCountPaginator


class OneCountChangeList(ChangeList):
    """Says how many rows there are in one place, below the list, where a capped count is worded as one."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count


class ReadOnlyAdmin(admin.ModelAdmin):
    """May be searched and read. Whatever changes such rows is a service, not a form."""

    actions: Sequence[str] | None = None
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

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return OneCountChangeList

    @property
    def media(self) -> forms.Media:
        """With what the autocomplete filters need; a media property of the widget, whatever its field."""
        return super().media + AutocompleteSelect(None, self.admin_site).media


class LongTableAdmin(ReadOnlyAdmin):
    """A table of millions of rows: newest first by key, or by `day` once narrowed down to one `subject`.

    Both orders are read from an index. Sorting by any other column would read the whole table.
    """

    subject: ClassVar[str]
    day: ClassVar[str]
    sortable_by = ()

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return (f"-{self.day}",) if request.GET.get(self.subject) else ("-pk",)
