"""The stored risk of one portfolio: its last rows, and its history as arrays."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
from django.db.models import F

from analytics.models import (
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
)
from analytics.selectors.histories import History
from portfolios.models import Portfolio

LEVELS = (0.95, 0.99)


@dataclass(frozen=True)
class VarDays:
    """T days, ascending: the return of each, and by level the value at risk known on the evening before.

    Fractions, losses of `limits` positive; NaN = unknown.
    """

    days: np.ndarray
    returns: np.ndarray
    limits: dict[float, np.ndarray]

    def tested(self, level: float) -> np.ndarray:
        return np.isfinite(self.returns) & np.isfinite(self.limits[level])

    def exceptions(self, level: float) -> np.ndarray:
        """Days that lost more than was foretold."""
        return self.tested(level) & (self.returns < -self.limits[level])

    def expected(self, level: float) -> float:
        return float(self.tested(level).sum() * (1 - level))


def var_backtests(portfolio: Portfolio, day: dt.date) -> list[PortfolioVarBacktest]:
    rows = PortfolioVarBacktest.objects.filter(portfolio=portfolio, calculation_date=day)
    return list(rows.order_by("level", "method"))


def risk_contributions(portfolio: Portfolio, day: dt.date) -> list[PortfolioRiskContribution]:
    """The largest share of the risk first."""
    rows = PortfolioRiskContribution.objects.filter(portfolio=portfolio, calculation_date=day)
    return list(
        rows.select_related("asset").order_by(
            F("component_var_percentage").desc(nulls_last=True), "asset__symbol"
        )
    )


def var_days(portfolio: Portfolio, through: dt.date, count: int) -> VarDays:
    """The last `count` days of the history up to a day."""
    performance = PortfolioPerformanceHistory.objects.filter(portfolio=portfolio, snapshot_date__lte=through)
    latest = performance.order_by("-snapshot_date").values_list("snapshot_date", "daily_return")
    returns = dict(latest[: count + 1])
    days = sorted(returns)
    risk = PortfolioRiskMetrics.objects.filter(portfolio=portfolio, calculation_date__in=days[:-1])
    known = {day: of_day for day, *of_day in risk.values_list("calculation_date", "var_95_1d", "var_99_1d")}
    before = [known.get(day, (None, None)) for day in days[:-1]]
    return VarDays(
        np.array(days[1:], dtype="datetime64[D]"),
        np.array([returns[day] for day in days[1:]], dtype=float),
        {
            level: np.array([of_day[place] for of_day in before], dtype=float)
            for place, level in enumerate(LEVELS)
        },
    )


def risk_history(portfolio: Portfolio, name: str) -> History:
    """One figure of the risk rows, day by day."""
    rows = PortfolioRiskMetrics.objects.filter(portfolio=portfolio).order_by("calculation_date")
    values = list(rows.values_list("calculation_date", name))
    return History(
        np.array([day for day, _ in values], dtype="datetime64[D]"),
        {name: np.array([value for _, value in values], dtype=float)},
    )
