"""Stored JSON as tables that people can read."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portfolio_site.kernel.admin.figures import UNKNOWN, digits

# Numbers are stored as text, too, so that no digit is lost. A leading zero makes it a name.
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_NAMES = re.compile(r"(^|_)(code|date|hash|id|name|number|sequence|symbol|version|year)$")
MOST_PLACES = 8
INLINE_ITEMS = 8


def document(value: Any, name: str = "") -> SafeString:
    """Objects become two columns, lists of objects a table, other lists bullets, the rest text.

    `name` is the field that holds the value; a code or an id stays as it is, even if it looks like a number.
    """
    if value is None or value in ("", [], {}):
        return format_html('<span class="unknown">{}</span>', UNKNOWN)
    if isinstance(value, Mapping):
        lines = ((_title(key), _cell(item, str(key))) for key, item in value.items())
        return _table(format_html_join("", '<tr><th scope="row">{}</th>{}</tr>', lines))
    if isinstance(value, list):
        return _list(value, name)
    if isinstance(value, bool):
        return format_html("{}", "yes" if value else "no")
    number = _number(value, name)
    return format_html(
        "{}", value if number is None else digits(number, MOST_PLACES, least_places=_places(number))
    )


def objects_table(rows: Sequence[Mapping[str, Any]], headings: Mapping[str, str] | None = None) -> SafeString:
    """One row an object. The fields in `headings` come first, under these headings, then all the others."""
    known = headings or {}
    found = dict.fromkeys(name for row in rows for name in row)
    names = [*(name for name in known if name in found), *(name for name in found if name not in known)]
    places = {name: _column_places([row.get(name) for row in rows], name) for name in names}
    heads = (("" if places[name] is None else "number", known.get(name) or _title(name)) for name in names)
    lines = ((_line([_cell(row.get(name), name, places[name]) for name in names]),) for row in rows)
    return _table(
        format_html_join("", "<tr>{}</tr>", lines),
        format_html(
            "<thead><tr>{}</tr></thead>", format_html_join("", '<th scope="col" class="{}">{}</th>', heads)
        ),
    )


def changes_table(before: Any, after: Any) -> SafeString:
    """Two versions of one object side by side, with what differs marked."""
    if not all(isinstance(version, Mapping | None) for version in (before, after)):
        before, after = {"value": before}, {"value": after}
    old, new = before or {}, after or {}
    if not old and not new:
        return document(None)
    lines = (
        (
            "" if old.get(name) == new.get(name) else "changed",
            _title(name),
            _cell(old.get(name), name),
            _cell(new.get(name), name),
        )
        for name in dict.fromkeys([*old, *new])
    )
    return _table(
        format_html_join("", '<tr class="{}"><th scope="row">{}</th>{}{}</tr>', lines),
        format_html(
            '<thead><tr><th scope="col">{}</th><th scope="col">{}</th><th scope="col">{}</th></tr></thead>',
            *("Field", "Before", "After"),
        ),
    )


def _title(name: object) -> str:
    text = str(name).replace("_", " ")
    return text[:1].upper() + text[1:]


def _number(value: Any, name: str) -> Decimal | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_text = isinstance(value, str) and _NUMBER.fullmatch(value) is not None
    return Decimal(str(value)) if (is_number or is_text) and not _NAMES.search(name) else None


def _places(number: Decimal) -> int:
    """Decimals worth showing; one alone looks like a typing error in an amount."""
    _, _, decimals = f"{number:f}".partition(".")
    needed = min(len(decimals.rstrip("0")), MOST_PLACES)
    return 2 if needed == 1 else needed


def _column_places(values: Sequence[Any], name: str) -> int | None:
    """The decimals that a column of numbers needs; None if it holds anything else."""
    numbers = [_number(value, name) for value in values if value is not None]
    known = [number for number in numbers if number is not None]
    return max(map(_places, known)) if known and len(known) == len(numbers) else None


def _cell(value: Any, name: str, places: int | None = None) -> SafeString:
    number = _number(value, name)
    if number is None:
        return format_html("<td>{}</td>", document(value, name))
    return format_html(
        '<td class="number">{}</td>', digits(number, _places(number) if places is None else places)
    )


def _line(cells: Sequence[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((cell,) for cell in cells))


def _list(values: Sequence[Any], name: str) -> SafeString:
    if all(isinstance(value, Mapping) for value in values):
        return objects_table(values)
    items = ((document(value, name),) for value in values)
    if len(values) <= INLINE_ITEMS and all(isinstance(value, int | float) for value in values):
        return format_html_join(", ", "{}", items)
    return format_html('<ul class="document">{}</ul>', format_html_join("", "<li>{}</li>", items))


def _table(lines: SafeString, head: SafeString | str = "") -> SafeString:
    return format_html(
        '<div class="document-scroll"><table class="document">{}<tbody>{}</tbody></table></div>', head, lines
    )
