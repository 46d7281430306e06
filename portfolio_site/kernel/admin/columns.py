"""Columns for `list_display` and `fieldsets`: each function below returns one.

The name of a column of numbers starts with `number_`, which is what the style sheet aligns to the right.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.db import models
from django.utils.safestring import SafeString

from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.admin.documents import document

Show = Callable[[Any], SafeString]
# A `Show` with the attributes of a column. Django takes it wherever a field may stand; its stubs do not.
Column = Any


def number_column(
    field: str,
    places: int = 2,
    *,
    label: str = "",
    signed: bool = False,
    least_places: int | None = None,
    unit: str = "",
) -> Column:
    """A plain number; with `least_places`, without the zeros behind that many decimals."""

    def show(row: models.Model) -> SafeString:
        return figures.figure(
            getattr(row, field),
            places,
            least_places=least_places,
            signed=signed,
            unit=unit,
            reason=_reason(row, field),
        )

    return _column(show, field, label)


def percent_column(field: str, places: int = 2, *, label: str = "", signed: bool = False) -> Column:
    """A fraction, shown in percent."""

    def show(row: models.Model) -> SafeString:
        return figures.percent(getattr(row, field), places, signed=signed, reason=_reason(row, field))

    return _column(show, field, label)


def points_column(field: str, places: int = 2, *, label: str = "", signed: bool = False) -> Column:
    """What is already in percent, or in percentage points."""
    return number_column(field, places, label=label, signed=signed, unit="%")


def money_column(field: str, currency: str, *, label: str = "", signed: bool = False) -> Column:
    """An amount with its currency, which is the object at the dotted path `currency`."""
    currency_of = attrgetter(currency)

    def show(row: models.Model) -> SafeString:
        value = getattr(row, field)
        if value is None:
            return figures.figure(None, reason=_reason(row, field))
        unit = currency_of(row)
        return figures.money(value, unit.code, unit.minor_units, signed=signed)

    return _column(show, field, label)


def document_column(field: str, *, label: str = "") -> Column:
    """A JSON field as a table."""

    def show(row: models.Model) -> SafeString:
        return document(getattr(row, field))

    return _column(show, field, label, prefix="document", sortable=False)


def _reason(row: models.Model, field: str) -> str:
    return str(getattr(row, "quality", {}).get(field, ""))


def _column(show: Show, field: str, label: str, *, prefix: str = "number", sortable: bool = True) -> Column:
    show.__name__ = f"{prefix}_{field}"
    options = {"short_description": label or field.replace("_", " ")}
    if sortable:
        options["admin_order_field"] = field
    vars(show).update(options)
    return show
