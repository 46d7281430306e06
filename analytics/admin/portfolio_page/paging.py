"""What the tabs with long lists share: their filters, and the way to what is older."""

from typing import Any

from django import forms
from django.http import HttpRequest

# A file holds more than a screen, but not a whole history.
LINES_IN_FILE = 10_000


def day_field(label: str) -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(required=False, label=label, widget=widget)


def lines_wanted(request: HttpRequest, on_screen: int) -> int:
    return LINES_IN_FILE if "table" in request.GET else on_screen


def links(request: HttpRequest, older: str | None) -> list[tuple[str, str]]:
    """To the older lines, and back to the newest; `older` is the key of the last one shown."""
    found = []
    if request.GET.get("before"):
        found.append(("Newest", _query(request)))
    if older is not None:
        found.append(("Older", _query(request, before=older)))
    return found


def _query(request: HttpRequest, **changes: Any) -> str:
    query = request.GET.copy()
    query.pop("before", None)
    query.update(changes)
    return f"?{query.urlencode()}"
