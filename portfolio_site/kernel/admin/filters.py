"""Filters for tables that grow: no drop-down that lists a table, no scan to find the choices."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.admin import FieldListFilter, ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone


class _FormFilter(FieldListFilter):
    """A filter that is a small form; what else is asked of the list travels along in hidden fields."""

    template = "admin/form_filter.html"
    form: forms.Form

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        mine = set(self.expected_parameters())
        yield {
            "form": self.form,
            "hidden": [(key, value) for key, value in changelist.params.items() if key not in mine],
            "is_set": any(self.form.data.values()),
            "clear": changelist.get_query_string(remove=self.expected_parameters()),
        }

    def _values(self) -> dict[str, str]:
        return {key: values[-1] for key, values in self._asked.items()}

    def _cleaned(self) -> dict[str, Any]:
        if not self.form.is_valid():
            raise IncorrectLookupParameters(self.form.errors)
        return {key: value for key, value in self.form.cleaned_data.items() if value is not None}

    def __init__(
        self,
        field: models.Field,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[models.Model],
        model_admin: ModelAdmin,
        field_path: str,
    ) -> None:
        self.field_path = field_path
        self._asked = {key: params[key] for key in self.expected_parameters() if key in params}
        super().__init__(field, request, params, model, model_admin, field_path)  # type: ignore[arg-type]
        self.form = self.build_form(field, request, model_admin)

    def build_form(self, field: models.Field, request: HttpRequest, model_admin: ModelAdmin) -> forms.Form:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**self._cleaned())


class AutocompleteFilter(_FormFilter):
    """One related object, found by typing. Offers and accepts only what the related admin shows this user."""

    def expected_parameters(self) -> list[str]:
        return [self.field_path]

    def build_form(self, field: models.Field, request: HttpRequest, model_admin: ModelAdmin) -> forms.Form:
        site = model_admin.admin_site
        related = site.get_model_admin(field.related_model)
        form = forms.Form(self._values(), auto_id=f"filter_{self.field_path}_%s")
        form.fields[self.field_path] = forms.ModelChoiceField(
            queryset=related.get_queryset(request),
            required=False,
            label=str(self.title),
            widget=AutocompleteSelect(field, site),
        )
        return form


class DateRangeFilter(_FormFilter):
    """From one day to another, both included."""

    def expected_parameters(self) -> list[str]:
        return [f"{self.field_path}__gte", f"{self.field_path}__lte"]

    def build_form(self, field: models.Field, request: HttpRequest, model_admin: ModelAdmin) -> forms.Form:
        form = forms.Form(self._values(), auto_id="filter_%s")
        for name, label in zip(self.expected_parameters(), ("from", "to"), strict=True):
            form.fields[name] = forms.DateField(
                required=False,
                label=label,
                widget=forms.DateInput(attrs={"type": "date", "aria-label": f"{self.title} {label}"}, format="%Y-%m-%d"),
            )
        return form


class DateTimeRangeFilter(DateRangeFilter):
    """The same for timestamps: whole days of the site's time zone."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = (self._cleaned().get(name) for name in self.expected_parameters())
        zone = timezone.get_current_timezone()
        if first is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": dt.datetime.combine(first, dt.time.min, zone)})
        if last is not None:
            end = dt.datetime.combine(last + dt.timedelta(days=1), dt.time.min, zone)
            queryset = queryset.filter(**{f"{self.field_path}__lt": end})
        return queryset
