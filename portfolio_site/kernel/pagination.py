"""Pages: by number, by the last row of a time series seen, and with a count that stops early."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 500
PAGE_SIZE_PARAM = "page_size"
COUNT_LIMIT = 10_000
NEXT, PREVIOUS = "next", "previous"


class CappedCountPaginator(Paginator):
    """Counts no further than `count_limit` + 1 rows, so that a huge table is never counted for a page number.

    A count above the limit means "more than the limit"; the pages end there.
    """

    count_limit = COUNT_LIMIT

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        # Without its order the database may stop at the limit instead of sorting everything first.
        return rows.order_by()[: self.count_limit + 1].count()


def requested_page_size(request: Request) -> int:
    """`page_size` of the query, at most MAX_PAGE_SIZE."""
    text = request.query_params.get(PAGE_SIZE_PARAM)
    if text is None:
        return DEFAULT_PAGE_SIZE
    try:
        size = int(text)
    except ValueError:
        size = 0
    if size < 1:
        raise ValidationError({PAGE_SIZE_PARAM: ["Enter a whole number above 0."]})
    return min(size, MAX_PAGE_SIZE)


def page_schema(results: dict[str, Any], **more: Any) -> dict[str, Any]:
    """OpenAPI 3.1 of one page; REST framework's own says `nullable`, which 3.1 does not know."""
    link = {"type": ["string", "null"], "format": "uri"}
    properties = {**more, "next": link, "previous": link, "results": results}
    return {"type": "object", "required": list(properties), "properties": properties}


class NumberedPages(PageNumberPagination):
    """`?page=2&page_size=50`, in an order that is complete: equal rows never change pages."""

    page_size = DEFAULT_PAGE_SIZE
    max_page_size = MAX_PAGE_SIZE
    page_size_query_param = PAGE_SIZE_PARAM

    def get_page_size(self, request: Request) -> int:
        return requested_page_size(request)

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        order = queryset.query.order_by or queryset.model._meta.ordering
        return super().paginate_queryset(queryset.order_by(*order, "pk"), request, view)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return page_schema(schema, count={"type": "integer"})


@dataclass(frozen=True)
class _Position:
    """A row's place in the order, and which way to go from there."""

    value: Any
    key: Any
    backwards: bool


class DatedCursor(CursorPagination):
    """Pages of a time series: each link says from which (date, key) to go on, so no page is ever counted out.

    The first field the queryset is ordered by must be a column of its own that is never NULL. REST
    framework's own cursor steps over equal dates by offset and loses its way after 1000 of them; one day of
    correlations has many more.
    """

    page_size = DEFAULT_PAGE_SIZE
    max_page_size = MAX_PAGE_SIZE
    page_size_query_param = PAGE_SIZE_PARAM
    page: list[Any]
    base_url: str

    def get_page_size(self, request: Request) -> int:
        return requested_page_size(request)

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        self.base_url = request.build_absolute_uri()
        size = self.get_page_size(request)
        order = str(queryset.query.order_by[0])
        self.field_name = order.removeprefix("-")
        start = self._start(request, queryset.model)

        backwards = start is not None and start.backwards
        is_descending = order.startswith("-") != backwards
        if start is not None:
            queryset = queryset.filter(self._beyond(start, "lt" if is_descending else "gt"))
        sign = "-" if is_descending else ""
        found = list(queryset.order_by(sign + self.field_name, f"{sign}pk")[: size + 1])

        has_more = len(found) > size
        self.page = found[:size]
        if backwards:
            self.page.reverse()
        self.has_next = backwards or has_more
        self.has_previous = has_more if backwards else start is not None
        return self.page

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return page_schema(schema)

    def _beyond(self, start: _Position, lookup: str) -> Q:
        name = self.field_name
        # The first condition follows from the second; an index on the date can use only the first.
        return Q(**{f"{name}__{lookup}e": start.value}) & (
            Q(**{f"{name}__{lookup}": start.value}) | Q(**{name: start.value, f"pk__{lookup}": start.key})
        )

    def get_next_link(self) -> str | None:
        return self._link(self.page[-1:], backwards=False) if self.has_next else None

    def get_previous_link(self) -> str | None:
        return self._link(self.page[:1], backwards=True) if self.has_previous else None

    def _link(self, rows: Sequence[Model], *, backwards: bool) -> str | None:
        if not rows:
            return None
        direction = PREVIOUS if backwards else NEXT
        position = f"{direction}|{getattr(rows[0], self.field_name)}|{rows[0].pk}"
        token = urlsafe_b64encode(position.encode()).decode()
        return replace_query_param(self.base_url, self.cursor_query_param, token)

    def _start(self, request: Request, model: type[Model]) -> _Position | None:
        token = request.query_params.get(self.cursor_query_param)
        if token is None:
            return None
        field: Any = model._meta.get_field(self.field_name)
        try:
            direction, value, key = urlsafe_b64decode(token).decode().split("|")
            return _Position(
                field.to_python(value),
                model._meta.pk.to_python(key),
                {NEXT: False, PREVIOUS: True}[direction],
            )
        except (ValueError, KeyError, DjangoValidationError) as error:
            raise ValidationError({self.cursor_query_param: ["This is no cursor of this list."]}) from error
