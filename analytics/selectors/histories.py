"""The stored history of a portfolio as arrays, for charts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.models import PortfolioPerformanceHistory
from portfolios.models import Portfolio


@dataclass(frozen=True)
class History:
    """Days, ascending, and by name one figure a day; NaN where it is unknown."""

    days: np.ndarray
    figures: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.days)


@dataclass(frozen=True)
class MonthReturns:
    """One row a year and one column a month (from January), as fractions; NaN where there is none.

    A month that begins or ends within the history counts from or to there.
    """

    years: list[int]
    months: np.ndarray
    totals: np.ndarray


def performance_history(portfolio: Portfolio, names: Sequence[str]) -> History:
    rows = PortfolioPerformanceHistory.objects.filter(portfolio=portfolio).order_by("snapshot_date")
    values: list[tuple[Any, ...]] = list(rows.values_list("snapshot_date", *names))
    columns = list(zip(*values, strict=True)) if values else [()] * (len(names) + 1)
    return History(
        np.array(columns[0], dtype="datetime64[D]"),
        {name: np.array(column, dtype=float) for name, column in zip(names, columns[1:], strict=True)},
    )


def month_returns(days: np.ndarray, cumulative: np.ndarray) -> MonthReturns:
    """From the cumulative return, a fraction, of every day."""
    known = np.isfinite(cumulative)
    days, growth = days[known], 1 + cumulative[known]
    if not len(days):
        return MonthReturns([], np.empty((0, 12)), np.empty(0))
    of_month = days.astype("datetime64[M]")
    last = np.flatnonzero(np.append(of_month[1:] != of_month[:-1], True))
    month_ends, ends = of_month[last].astype(int), growth[last]
    returns = ends / np.concatenate([[1.0], ends[:-1]]) - 1
    years = month_ends // 12 + 1970
    first, through = int(years[0]), int(years[-1])
    months = np.full((through - first + 1, 12), np.nan)
    months[years - first, month_ends % 12] = returns
    grown = np.where(np.isfinite(months), 1 + months, 1.0).prod(axis=1) - 1
    totals = np.where(np.isfinite(months).any(axis=1), grown, np.nan)
    return MonthReturns(list(range(first, through + 1)), months, totals)
