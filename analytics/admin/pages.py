"""Pages of charts and tables: what one consists of, its tabs, and its tables as files."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import unquote
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import FORMS, Table, table_response

Section = Chart | Table
Subject = TypeVar("Subject", bound=Model)


@dataclass(frozen=True)
class Content:
    """Charts and tables in the order of the page; `template` and `context` for what is more than these.

    `figures`: what stands in large type above everything, as (label, what is shown) pairs.
    `files`: tables that the template shows in its own way, and that can be downloaded all the same.
    """

    sections: Sequence[Section] = ()
    figures: Sequence[tuple[str, Any]] = ()
    template: str = "console/page.html"
    context: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Table] = ()

    @property
    def tables(self) -> Iterator[Table]:
        for section in self.sections:
            yield section.table if isinstance(section, Chart) else section
        yield from self.files

    @property
    def has_charts(self) -> bool:
        return any(isinstance(section, Chart) and not section.is_empty for section in self.sections)


@dataclass(frozen=True)
class Tab(Generic[Subject]):
    """`show` makes the content of the tab; a response in its place is passed on as it is (after a form)."""

    slug: str
    label: str
    show: Callable[[HttpRequest, Subject], Content | HttpResponse]


@dataclass(frozen=True)
class Heading:
    """What a page is about: in its title, and below the links that lead to it."""

    name: str
    subtitle: str = ""
    trail: Sequence[tuple[str, str]] = ()


class ObjectPage(ABC, Generic[Subject]):
    """The tabs of the objects that a model admin shows; the record itself is the last of them."""

    tabs: ClassVar[Sequence[Tab[Any]]]

    def __init__(self, admin: ModelAdmin) -> None:
        self.admin = admin

    @abstractmethod
    def heading(self, subject: Subject) -> Heading:
        """What stands above the tabs."""

    def urls(self) -> list[URLPattern]:
        wrap = self.admin.admin_site.admin_view
        return [
            path(
                f"<path:object_id>/{tab.slug}/",
                wrap(lambda request, object_id, tab=tab: self.view(request, object_id, tab)),
                name=f"{self.admin.opts.app_label}_{self.admin.opts.model_name}_{tab.slug}",
            )
            for tab in self.tabs
        ]

    def view(self, request: HttpRequest, object_id: str, tab: Tab[Subject]) -> HttpResponse:
        subject = self._subject(request, object_id)
        content = tab.show(request, subject)
        if isinstance(content, HttpResponse):
            return content
        heading = self.heading(subject)
        context = {
            **tab_links(self.tabs, subject, tab.slug, heading.name),
            "title": f"{heading.name}: {tab.label.lower()}",
            str(self.admin.opts.model_name): subject,
        }
        return content_response(request, self.admin, heading, content, context)

    def list_link(self) -> tuple[str, str]:
        opts = self.admin.opts
        name = str(opts.verbose_name_plural)
        return (
            f"{name[:1].upper()}{name[1:]}",
            reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"),
        )

    def _subject(self, request: HttpRequest, object_id: str) -> Subject:
        """One that the user may see; for any other, nothing is there."""
        subject = self.admin.get_object(request, unquote(object_id))
        if subject is None or not self.admin.has_view_permission(request, subject):
            raise Http404
        return subject


def tab_links(tabs: Sequence[Tab[Any]], subject: Model, current: str, name: str) -> dict[str, Any]:
    """What the row of tabs shows; the record itself is the last of them."""
    labels = [*((tab.slug, tab.label) for tab in tabs), ("change", "Record")]
    view = f"admin:{subject._meta.app_label}_{subject._meta.model_name}"
    links = [(slug, label, reverse(f"{view}_{slug}", args=[subject.pk])) for slug, label in labels]
    return {"tabs": links, "tabs_of": name, "current_tab": current}


def content_response(
    request: HttpRequest,
    admin: ModelAdmin,
    heading: Heading,
    content: Content,
    context: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The page, or the one of its tables that the address asks for as a file."""
    if "table" in request.GET:
        return _file(request, content, heading.name)
    return TemplateResponse(
        request,
        content.template,
        {
            **admin.admin_site.each_context(request),
            "opts": admin.opts,
            "title": heading.name,
            "heading": heading,
            "content": content,
            **(context or {}),
            **content.context,
        },
    )


def _file(request: HttpRequest, content: Content, name: str) -> HttpResponse:
    wanted, form = request.GET["table"], request.GET.get("format", "csv")
    table = next((table for table in content.tables if table.slug == wanted), None)
    if table is None or form not in FORMS:
        raise Http404
    return table_response(table, form, name)
