"""A row of links of which one is chosen: what a tab shows beside its name."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True)
class Choices:
    """`name` is the parameter of the address, `options` its values with what they are called."""

    name: str
    label: str
    options: Mapping[str, str]
    default: str

    def chosen(self, request: HttpRequest) -> str:
        """An option that does not exist is none."""
        asked = request.GET.get(self.name, self.default)
        return asked if asked in self.options else self.default

    def links(self, request: HttpRequest, anchor: str = "") -> dict[str, object]:
        """For the template console/choices.html."""
        current = self.chosen(request)
        links = []
        for option, words in self.options.items():
            query = request.GET.copy()
            query[self.name] = option
            links.append((f"?{query.urlencode()}{anchor}", words, option == current))
        return {"label": self.label, "links": links}
