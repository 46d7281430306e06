"""Tables and their files in templates."""

from collections.abc import Iterator, Sequence
from typing import Any

from django import template
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html

from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.tables import Column, Link, Struck, Table, Unknown

register = template.Library()


@register.filter
def cells(table: Table, row: Sequence[Any]) -> Iterator[tuple[Column, Any]]:
    """Each column with its value as it is shown."""
    return ((column, _shown(value, column)) for column, value in zip(table.columns, row, strict=True))


@register.simple_tag
def query_with(request: HttpRequest, **changes: str) -> str:
    """The query of the address with some of it changed."""
    query = request.GET.copy()
    for name, value in changes.items():
        query[name] = value
    return query.urlencode()


def _shown(value: Any, column: Column) -> Any:
    if isinstance(value, Struck):
        return format_html("<s>{}</s>", _shown(value.value, column))
    reason = value.reason if isinstance(value, Unknown) else ""
    if value is None or isinstance(value, Unknown):
        return figures.figure(None, reason=reason)
    if isinstance(value, Link):
        return format_html('<a href="{}">{}</a>', value.url, value.text)
    if column.kind == "percent":
        return figures.figure(value * 100, column.places, signed=column.signed)
    if column.kind == "number":
        return figures.figure(value, column.places, signed=column.signed)
    if column.kind == "date":
        return format_html('<span class="day">{}</span>', date_format(value, "SHORT_DATE_FORMAT"))
    return value
