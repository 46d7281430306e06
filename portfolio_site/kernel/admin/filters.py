"""Filters for tables that grow: no drop-down that lists a table, no scan to find the choices."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.admin import FieldListFilter, ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone


class _FormFilter(FieldListFilter):
    """A filter that is a small form; what else is asked of the list travels along in hidden fields."""

    template = "admin/form_filter.html"
    field: Any

    def __init__(
        self,
        field: Any,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: ModelAdmin,
        field_path: str,
    ) -> None:
        self.field_path = field_path
        values = {name: params[name][-1] for name in self.names if name in params}
        super().__init__(field, request, params, model, model_admin, field_path)
        self.form = forms.Form(values, auto_id="filter_%s")
        self.form.fields.update(zip(self.names, self.form_fields(request, model_admin), strict=True))

    @property
    def names(self) -> list[str]:
        """The parameters of the address, one for each field of the form."""
        return [self.field_path]

    def form_fields(self, request: HttpRequest, model_admin: ModelAdmin) -> list[forms.Field]:
        raise NotImplementedError

    def expected_parameters(self) -> list[str | None]:
        return [*self.names]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield {
            "form": self.form,
            "hidden": [(name, value) for name, value in changelist.params.items() if name not in self.names],
            "is_set": any(self.form.data.values()),
            "clear": changelist.get_query_string(remove=self.names),
        }

    def cleaned(self) -> dict[str, Any]:
        if not self.form.is_valid():
            raise IncorrectLookupParameters(self.form.errors)
        return {name: value for name, value in self.form.cleaned_data.items() if value is not None}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**self.cleaned())


class AutocompleteFilter(_FormFilter):
    """One related object, found by typing. Offers and accepts only what the related admin shows this user."""

    def form_fields(self, request: HttpRequest, model_admin: ModelAdmin) -> list[forms.Field]:
        site = model_admin.admin_site
        related = site.get_model_admin(self.field.related_model)
        widget = AutocompleteSelect(self.field, site)
        queryset = related.get_queryset(request)
        return [forms.ModelChoiceField(queryset, required=False, label=str(self.title), widget=widget)]


class DateRangeFilter(_FormFilter):
    """From one day to another, both included."""

    @property
    def names(self) -> list[str]:
        return [f"{self.field_path}__gte", f"{self.field_path}__lte"]

    def form_fields(self, request: HttpRequest, model_admin: ModelAdmin) -> list[forms.Field]:
        return [self._day("from"), self._day("to")]

    def _day(self, label: str) -> forms.DateField:
        attributes = {"type": "date", "aria-label": f"{self.title} {label}"}
        widget = forms.DateInput(attrs=attributes, format="%Y-%m-%d")
        return forms.DateField(required=False, label=label, widget=widget)


class DateTimeRangeFilter(DateRangeFilter):
    """The same for timestamps: whole days of the site's time zone."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = (self.cleaned().get(name) for name in self.names)
        if first is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": self._midnight(first)})
        if last is not None:
            queryset = queryset.filter(
                **{f"{self.field_path}__lt": self._midnight(last + dt.timedelta(days=1))}
            )
        return queryset

    def _midnight(self, day: dt.date) -> dt.datetime:
        return dt.datetime.combine(day, dt.time.min, timezone.get_current_timezone())
