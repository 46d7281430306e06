"""Periods that have a name, and what happened in them."""

import calendar
import datetime as dt
from collections.abc import Mapping

from analytics.selectors.attribution.explanation import Explanation, performance_explanation
from analytics.selectors.attribution.window import panel_through
from portfolios.models import Portfolio

PERIODS: Mapping[str, str] = {
    "month": "Month to date",
    "quarter": "Quarter to date",
    "ytd": "Year to date",
    "year": "One year",
    "all": "Since the beginning",
}


def period_explanation(portfolio: Portfolio, period: str, last: dt.date, grouping: str) -> Explanation:
    """The named period that ends with `last`. Raises AttributionError for days without history."""
    panel = panel_through(portfolio, last)
    begin: dt.date = panel.valuation.timeline[0].item()
    first = begin if period == "all" else period_start(period, last)
    return performance_explanation(panel, first, last, grouping=grouping)


def period_start(period: str, last: dt.date) -> dt.date:
    """The first day of a period but that of the whole history."""
    if period == "year":
        return _year_before(last) + dt.timedelta(days=1)
    months = {"month": 1, "quarter": 3, "ytd": 12}[period]
    return dt.date(last.year, (last.month - 1) // months * months + 1, 1)


def _year_before(day: dt.date) -> dt.date:
    """29 February has the 28th a year before."""
    year = day.year - 1
    return dt.date(year, day.month, min(day.day, calendar.monthrange(year, day.month)[1]))
