"""Pieces of an admin that know no business: view-only tables, figures, filters for long tables, documents."""

from portfolio_site.kernel.admin.columns import (
    document_column,
    money_column,
    number_column,
    percent_column,
    points_column,
)
from portfolio_site.kernel.admin.filters import AutocompleteFilter, DateRangeFilter
from portfolio_site.kernel.admin.options import LongTableAdmin, ReadOnlyAdmin

__all__ = [
    "AutocompleteFilter",
    "DateRangeFilter",
    "LongTableAdmin",
    "ReadOnlyAdmin",
    "document_column",
    "money_column",
    "number_column",
    "percent_column",
    "points_column",
]
