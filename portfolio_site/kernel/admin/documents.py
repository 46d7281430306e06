"""Stored JSON as tables that people can read."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portfolio_site.kernel.admin.figures import UNKNOWN, digits

_DECIMAL = re.compile(r"-?\d+\.\d+")
_PLACES = 12
_INLINE_ITEMS = 8


def document(value: Any) -> SafeString:
    """Objects become two columns, lists of objects a table, other lists bullets, the rest text."""
    if value is None or value in ("", [], {}):
        return format_html('<span class="unknown">{}</span>', UNKNOWN)
    if isinstance(value, Mapping):
        rows = format_html_join("", "<tr><th scope='row'>{}</th>{}</tr>", ((title(k), cell(v)) for k, v in value.items()))
        return _table(rows)
    if isinstance(value, list):
        return _list(value)
    return _scalar(value)


def objects_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> SafeString:
    """One row an object; `columns` come first, then whatever else the objects have."""
    found = dict.fromkeys(key for row in rows for key in row)
    names = [*(name for name in columns if name in found), *(name for name in found if name not in columns)]
    numeric = {name for name in names if all(_is_number(row.get(name)) for row in rows if row.get(name) is not None)}
    heads = format_html_join(
        "", '<th scope="col" class="{}">{}</th>', (("number" if name in numeric else "", title(name)) for name in names)
    )
    lines = format_html_join(
        "",
        "<tr>{}</tr>",
        ((format_html_join("", "{}", ((cell(row.get(name)),) for name in names)),) for row in rows),
    )
    return _table(lines, format_html("<thead><tr>{}</tr></thead>", heads))


def changes_table(before: Any, after: Any) -> SafeString:
    """Two versions of one object side by side, with what differs marked."""
    if not isinstance(before or {}, Mapping) or not isinstance(after or {}, Mapping):
        return changes_table({"value": before}, {"value": after})
    old, new = before or {}, after or {}
    names = dict.fromkeys([*old, *new])
    lines = format_html_join(
        "",
        '<tr class="{}"><th scope="row">{}</th>{}{}</tr>',
        (
            ("changed" if old.get(name) != new.get(name) else "", title(name), cell(old.get(name)), cell(new.get(name)))
            for name in names
        ),
    )
    if not names:
        return document(None)
    heads = '<thead><tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>'
    return _table(lines, SafeString(heads))


def title(name: object) -> str:
    text = str(name).replace("_", " ")
    return text[:1].upper() + text[1:]


def cell(value: Any) -> SafeString:
    return format_html('<td class="{}">{}</td>', "number" if _is_number(value) else "", document(value))


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _DECIMAL.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalar(value: Any) -> SafeString:
    if isinstance(value, bool):
        return format_html("{}", "yes" if value else "no")
    if isinstance(value, float) or (isinstance(value, str) and _is_number(value)):
        value = digits(Decimal(str(value)), _PLACES, least_places=0)
    return format_html("{}", str(value))


def _list(values: Sequence[Any]) -> SafeString:
    if all(isinstance(value, Mapping) for value in values):
        return objects_table(values)
    if not any(isinstance(value, Mapping | list) for value in values) and len(values) <= _INLINE_ITEMS:
        return format_html_join(", ", "{}", ((_scalar(value),) for value in values))
    return format_html('<ul class="document">{}</ul>', format_html_join("", "<li>{}</li>", ((document(v),) for v in values)))


def _table(rows: SafeString, head: SafeString = SafeString("")) -> SafeString:
    return format_html(
        '<div class="document-scroll"><table class="document">{}<tbody>{}</tbody></table></div>', head, rows
    )
