"""What a tab consists of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse

from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Table
from portfolios.models import Portfolio

Section = Chart | Table


@dataclass(frozen=True)
class Content:
    """Charts and tables in the order of the page; `template` and `context` for what is more than these.

    `figures`: what stands in large type above everything, as (label, what is shown) pairs.
    """

    sections: Sequence[Section] = ()
    figures: Sequence[tuple[str, Any]] = ()
    template: str = "admin/portfolio_page/tab.html"
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> Iterator[Table]:
        for section in self.sections:
            yield section.table if isinstance(section, Chart) else section

    @property
    def has_charts(self) -> bool:
        return any(isinstance(section, Chart) and not section.is_empty for section in self.sections)


@dataclass(frozen=True)
class Tab:
    """`show` makes the content of the tab; a response in its place is passed on as it is (after a form)."""

    slug: str
    label: str
    show: Callable[[HttpRequest, Portfolio], Content | HttpResponse]
