"""The statistics of portfolio_performance_history: since inception, as of each day asked for."""

from dataclasses import dataclass

import numpy as np

from analytics.calculations.constants import (
    DAYS_PER_YEAR,
    MIN_REGRESSION,
    MIN_RETURNS_VOLATILITY,
    MIN_VAR_95,
    MIN_VAR_99,
)
from analytics.calculations.drawdowns import trailing_drawdowns
from analytics.calculations.irr import money_weighted_returns
from analytics.calculations.observations import Days, Floats, Integers, known_where
from analytics.calculations.reasons import ReasonSheet
from analytics.calculations.reductions import Trailing
from analytics.calculations.regression import beta_alpha, information_ratio, tracking_error
from analytics.calculations.returns import (
    ONE_DAY,
    annualized_return,
    linked_index,
    period_return,
    year_to_date_return,
)
from analytics.calculations.statistics import downside_deviation, sharpe_ratio, sortino_ratio, volatility
from analytics.calculations.tails import trailing_tails

RETURN_MONTHS = {
    "return_1m": 1,
    "return_3m": 3,
    "return_6m": 6,
    "return_1y": 12,
    "return_3y": 36,
    "return_5y": 60,
}
# Longest silence of a benchmark that is still a run of holidays, in calendar days.
BENCHMARK_GAP_DAYS = 7

MIN_RETURNS = {
    "volatility": MIN_RETURNS_VOLATILITY,
    "var_95": MIN_VAR_95,
    "var_99": MIN_VAR_99,
}
MIN_EXCESS_RETURNS = {
    "downside_deviation": MIN_RETURNS_VOLATILITY,
    "sharpe_ratio": MIN_RETURNS_VOLATILITY,
    "sortino_ratio": MIN_RETURNS_VOLATILITY,
}
MIN_COMMON_RETURNS = {
    "beta": MIN_REGRESSION,
    "alpha": MIN_REGRESSION,
    "tracking_error": MIN_RETURNS_VOLATILITY,
    "information_ratio": MIN_RETURNS_VOLATILITY,
}


@dataclass(frozen=True)
class ReturnSeries:
    """One portfolio day by day in its base currency; every array is (T,), NaN = unknown.

    The level before the first day is 1, dated the calendar day before `dates[0]`.
    """

    dates: Days
    returns: Floats  # daily return
    index: Floats  # twr_index at the end of the day
    risk_free: Floats  # rate of the session
    benchmark: Floats | None  # daily return of the benchmark; None without one
    values: Floats  # total value at the end of the day
    flows: Floats  # net external flow of the day, inflow positive
    level_dates: Days | None = None  # the days that the levels stand for, where they are not `dates`

    @property
    def excess(self) -> Floats:
        return self.returns - self.risk_free

    @property
    def benchmark_returns(self) -> Floats:
        """The benchmark's returns, all unknown without a benchmark."""
        return np.full(len(self.dates), np.nan) if self.benchmark is None else self.benchmark

    @property
    def levels(self) -> tuple[Days, Floats]:
        """Dates and index with the level before the first day in front, (T + 1,)."""
        dates = self.dates if self.level_dates is None else self.level_dates
        return np.concatenate([self.dates[:1] - ONE_DAY, dates]), np.concatenate([[1.0], self.index])


def performance_columns(
    series: ReturnSeries, rows: Integers
) -> tuple[dict[str, Floats], list[dict[str, str]]]:
    """Statistic columns of the days at positions `rows`, each (len(rows),), and the reasons of each row.

    Every NaN has its reason under the column's name. Reasons may be shared between rows: read only.
    """
    rows = np.asarray(rows, dtype=np.int64)
    sheet = ReasonSheet(len(rows))
    columns = _level_columns(series, rows, sheet)
    columns["money_weighted_return"] = _money_weighted_returns(series, rows, sheet)
    columns |= {name: column[rows] for name, column in _return_statistics(series).items()}
    broken = np.isnan(series.index[rows])
    for name in ("max_drawdown", "current_drawdown"):
        columns[name] = known_where(~broken, columns[name])
        sheet.explain(name, broken, "an earlier daily return is unknown")
        sheet.explain(name, columns[name] > 1, "more than everything was lost")
    columns |= _benchmark_columns(series, rows, columns["cumulative_return"], sheet)
    _explain_statistics(series, rows, columns, sheet)
    return columns, sheet.row_reasons()


def leave_out_daily_statistics(
    columns: dict[str, Floats], reasons: list[dict[str, str]], frequency: str
) -> list[dict[str, str]]:
    """Make unknown, in place, what only daily returns can tell; returns the reasons with those of these.

    For portfolios that are valued less often: their few returns are not those of sessions, so that scaling
    them by 252 would be wrong.
    """
    names = [*MIN_RETURNS, *MIN_EXCESS_RETURNS, *MIN_COMMON_RETURNS]
    for name in names:
        columns[name] = np.full_like(columns[name], np.nan)
    told = dict.fromkeys(names, f"valued {frequency}: there are no daily returns")
    return [{**row, **told} for row in reasons]


def _level_columns(series: ReturnSeries, rows: Integers, sheet: ReasonSheet) -> dict[str, Floats]:
    """Returns between two levels of the index."""
    dates, levels = series.levels
    ends = rows + 1
    columns = {
        "daily_return": series.returns[rows],
        "twr_index": series.index[rows],
        "cumulative_return": series.index[rows] - 1,
        "return_ytd": year_to_date_return(dates, levels, ends),
    }
    for name, months in RETURN_MONTHS.items():
        columns[name] = period_return(dates, levels, ends, months)
    days = (series.dates[rows] - dates[:1]).astype(np.int64)
    columns["annualized_return"] = annualized_return(columns["cumulative_return"], days)

    sheet.explain("daily_return", np.isnan(columns["daily_return"]), "the return of the day is unknown")
    broken = np.isnan(columns["twr_index"])
    for name in columns.keys() - {"daily_return"}:
        sheet.explain(name, broken, "an earlier daily return is unknown")
    short = days < DAYS_PER_YEAR
    sheet.explain("annualized_return", short, f"insufficient data: {{count}} of {DAYS_PER_YEAR} days", days)
    sheet.explain(
        "annualized_return", np.isnan(columns["annualized_return"]), "more than everything was lost"
    )
    for name in ("return_ytd", *RETURN_MONTHS):
        sheet.explain(name, np.isnan(columns[name]), "history does not reach back")
    return columns


def _money_weighted_returns(series: ReturnSeries, rows: Integers, sheet: ReasonSheet) -> Floats:
    """One equation per day, over the flows up to it and the value at its end."""
    rates, reasons = money_weighted_returns(series.dates, series.flows, series.values, rows)
    sheet.explain_each("money_weighted_return", reasons)
    return rates


def _return_statistics(series: ReturnSeries) -> dict[str, Floats]:
    """Statistics of all returns up to each day, (T,)."""
    returns, excess, so_far = series.returns, series.excess, Trailing()
    benchmark = series.benchmark_returns
    deepest, current = trailing_drawdowns(returns)
    beta, alpha = beta_alpha(excess, benchmark - series.risk_free, over=so_far)
    return {
        "volatility": volatility(returns, over=so_far),
        "downside_deviation": downside_deviation(excess, over=so_far),
        "sharpe_ratio": sharpe_ratio(excess, over=so_far),
        "sortino_ratio": sortino_ratio(excess, over=so_far),
        "max_drawdown": deepest,
        "current_drawdown": current,
        **_value_at_risk(returns),
        "beta": beta,
        "alpha": alpha,
        "tracking_error": tracking_error(returns, benchmark, over=so_far),
        "information_ratio": information_ratio(returns, benchmark, over=so_far),
    }


def _value_at_risk(returns: Floats) -> dict[str, Floats]:
    """On a day without a return it is that of the day before."""
    known = ~np.isnan(returns)
    tails = trailing_tails(returns[known])
    places = np.cumsum(known)
    return {
        f"var_{level * 100:.0f}": np.concatenate([[np.nan], losses])[places]
        for level, (losses, _) in tails.items()
    }


def _benchmark_columns(
    series: ReturnSeries, rows: Integers, cumulative: Floats, sheet: ReasonSheet
) -> dict[str, Floats]:
    """The benchmark's own returns beside the portfolio's."""
    benchmark = series.benchmark_returns
    linked = linked_index(benchmark)[rows] - 1
    # A benchmark that starts late or has stopped would compare two different periods.
    known = ~np.isnan(benchmark)
    last_known = np.maximum.accumulate(np.where(known, np.arange(len(benchmark)), -1))[rows]
    gap = np.timedelta64(BENCHMARK_GAP_DAYS, "D")
    late = not known.any() or series.dates[np.argmax(known)] - series.dates[0] > gap
    stopped = (last_known < 0) | (series.dates[rows] - series.dates[last_known] > gap)
    columns = {
        "benchmark_return": benchmark[rows],
        "benchmark_cumulative_return": known_where(~stopped & (not late), linked),
    }
    columns["excess_return"] = cumulative - columns["benchmark_cumulative_return"]

    everywhere = np.ones(len(rows), dtype=bool)
    if series.benchmark is None:
        for name in columns:
            sheet.explain(name, everywhere, "no benchmark")
    sheet.explain(
        "benchmark_return", np.isnan(columns["benchmark_return"]), "no return of the benchmark on this day"
    )
    sheet.explain("excess_return", np.isnan(cumulative), "an earlier daily return is unknown")
    for name in ("benchmark_cumulative_return", "excess_return"):
        sheet.explain(name, everywhere & late, "the benchmark does not reach back to the first day")
        sheet.explain(name, stopped, "the benchmark has no recent return")
    return columns


def _explain_statistics(
    series: ReturnSeries, rows: Integers, columns: dict[str, Floats], sheet: ReasonSheet
) -> None:
    """Reasons of the statistics that depend on a number of observations."""
    active = series.returns - series.benchmark_returns
    returns, excess, common, common_excess = (
        np.cumsum(~np.isnan(x))[rows]
        for x in (series.returns, series.excess, active, active - series.risk_free)
    )
    for name in ("max_drawdown", "current_drawdown"):
        sheet.explain(name, returns == 0, "insufficient data: 0 of 1")
    for name, minimum in MIN_RETURNS.items():
        sheet.explain(name, returns < minimum, f"insufficient data: {{count}} of {minimum}", returns)
    for name, minimum in MIN_EXCESS_RETURNS.items():
        sheet.explain(name, returns < minimum, f"insufficient data: {{count}} of {minimum}", returns)
        sheet.explain(
            name,
            excess < minimum,
            f"insufficient data: risk-free rate on {{count}} of {minimum} days",
            excess,
        )
    for name, minimum in MIN_COMMON_RETURNS.items():
        if series.benchmark is None:
            sheet.explain(name, np.ones(len(rows), dtype=bool), "no benchmark")
        paired = common_excess if name in ("beta", "alpha") else common
        sheet.explain(name, paired < minimum, f"insufficient data: {{count}} of {minimum} common", paired)
    for name, text in {
        "volatility": "insufficient data: constant returns",
        "sharpe_ratio": "insufficient data: constant excess returns",
        "sortino_ratio": "no day fell behind the risk-free rate",
        "beta": "insufficient data: constant benchmark",
        "alpha": "insufficient data: constant benchmark",
        "information_ratio": "no tracking error",
    }.items():
        sheet.explain(name, np.isnan(columns[name]), text)
