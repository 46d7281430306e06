"""The statistics of portfolio_risk_metrics: over the last RISK_WINDOW returns, as of each day asked for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.concentration import (
    concentration_hhi,
    effective_assets,
    largest_weight_percentage,
    trailing_pair_figures,
)
from analytics.calculations.constants import (
    DAYS_PER_YEAR,
    MIN_MONTHLY_VAR,
    MIN_REGRESSION,
    MIN_RETURNS_VOLATILITY,
    MIN_RISK_ROW,
    MIN_VAR_95,
    MIN_VAR_99,
    RISK_WINDOW,
    SESSIONS_PER_MONTH,
)
from analytics.calculations.drawdowns import (
    trailing_calmar_ratio,
    trailing_drawdown_durations,
    trailing_drawdowns,
)
from analytics.calculations.observations import Floats, Integers, known_where
from analytics.calculations.performance import ReturnSeries
from analytics.calculations.reasons import ReasonSheet
from analytics.calculations.reductions import Trailing
from analytics.calculations.regression import beta_alpha, treynor_ratio
from analytics.calculations.returns import ONE_DAY, linked_index
from analytics.calculations.risk_class import risk_classes, risk_levels, weekly_volatility
from analytics.calculations.statistics import sharpe_ratio, sortino_ratio, volatility
from analytics.calculations.tails import monthly_returns, trailing_tails

Columns = dict[str, NDArray[Any]]

VAR_METHOD = "historical"
TAIL_FIGURES = {
    f"{figure}_{level}_{horizon}": minimum
    for figure in ("var", "cvar")
    for level, minimum in (("95", MIN_VAR_95), ("99", MIN_VAR_99))
    for horizon in ("1d", "1m")
}
PAIR_FIGURES = ("average_correlation", "max_correlation", "diversification_ratio")


def risk_columns(
    series: ReturnSeries, rows: Integers, weights: Floats, asset_returns: Floats
) -> tuple[Columns, list[dict[str, str]]]:
    """Statistic columns of the days at positions `rows`, each (len(rows),), and the reasons of each row.

    `weights` (len(rows), A): shares of the gross invested value held at the end of that day, Σ|w| = 1 or all
    0, short positions negative. `asset_returns` (A, T): simple returns in the base currency on the series'
    dates, NaN where the asset has no bar. Days whose portfolio return is unknown are left out, and the
    reasons say so under `observations`. Every missing figure has its reason; it is NaN, or None in the object
    columns `risk_level` and `var_method`. Reasons may be shared between rows: read only.
    """
    rows = np.asarray(rows, dtype=np.int64)
    sheet = ReasonSheet(len(rows))
    observed = np.flatnonzero(~np.isnan(series.returns))
    ends = np.searchsorted(observed, rows, side="right") - 1  # position among the known returns
    sizes = np.minimum(ends + 1, RISK_WINDOW)
    enough = sizes >= MIN_RISK_ROW

    of_days = _return_figures(series, observed)
    columns: Columns = {name: np.append(column, np.nan)[ends] for name, column in of_days.items()}
    columns |= _pair_figures(weights, asset_returns[:, observed], ends)
    for name, column in columns.items():
        columns[name] = known_where(enough, column)
    for name in (*columns, "effective_bets"):
        sheet.explain(name, ~enough, f"insufficient data: {{count}} of {MIN_RISK_ROW}", sizes)
    columns |= {
        "concentration_hhi": concentration_hhi(weights),
        "effective_assets": effective_assets(weights),
        "largest_weight_percentage": largest_weight_percentage(weights),
        # As many independent bets of equal size diversify as much (Choueifaty, Froidure and Reynier 2013).
        "effective_bets": columns["diversification_ratio"] ** 2,
    }
    _explain_returns(series, observed, ends, sizes, columns, sheet)
    _explain_positions(weights, columns, sheet)
    _note_left_out_days(observed, rows, ends, sizes, sheet)
    _add_classes(series, observed, ends, sizes, columns, sheet)
    no_var = np.isnan(columns["var_95_1d"])
    columns["var_method"] = np.array([None if missing else VAR_METHOD for missing in no_var], dtype=object)
    sheet.explain("var_method", no_var, f"insufficient data: {{count}} of {MIN_VAR_95}", sizes)
    columns["observations"] = sizes
    return columns, sheet.row_reasons()


def _return_figures(series: ReturnSeries, observed: Integers) -> dict[str, Floats]:
    """Figures of the portfolio's returns on each of the days on which it has one, (len(observed),)."""
    r = series.returns[observed]
    risk_free, benchmark = series.risk_free[observed], series.benchmark_returns[observed]
    e = r - risk_free
    days = np.concatenate([series.dates[:1] - ONE_DAY, series.dates[observed]]).astype(float)
    over = Trailing(RISK_WINDOW)
    beta, _ = beta_alpha(e, benchmark - risk_free, over=over)
    deepest, current = trailing_drawdowns(r, RISK_WINDOW)
    return {
        "volatility": volatility(r, over=over),
        "sharpe_ratio": sharpe_ratio(e, over=over),
        "sortino_ratio": sortino_ratio(e, over=over),
        "treynor_ratio": treynor_ratio(e, beta, over),
        "calmar_ratio": trailing_calmar_ratio(r, deepest, RISK_WINDOW),
        "max_drawdown": deepest,
        "max_drawdown_duration": trailing_drawdown_durations(r, days, deepest, RISK_WINDOW),
        "current_drawdown": current,
        **_tail_figures(r),
    }


def _tail_figures(daily: Floats) -> dict[str, Floats]:
    """VaR and shortfall of one day and of one month, the latter scaled up where the history is short."""
    late = SESSIONS_PER_MONTH - 1  # the first days have no month behind them
    by_day = trailing_tails(daily, RISK_WINDOW)
    by_month = trailing_tails(monthly_returns(daily)[late:], RISK_WINDOW - late, minimum=1)
    long_enough = np.arange(1, len(daily) + 1) >= MIN_MONTHLY_VAR
    no_month = np.full(min(late, len(daily)), np.nan)
    figures = {}
    for level in by_day:
        for figure, one_day, one_month in zip(("var", "cvar"), by_day[level], by_month[level], strict=True):
            name = f"{figure}_{level * 100:.0f}"
            scaled = one_day * np.sqrt(SESSIONS_PER_MONTH)
            figures[f"{name}_1d"] = one_day
            figures[f"{name}_1m"] = np.where(long_enough, np.concatenate([no_month, one_month]), scaled)
    return figures


def _pair_figures(weights: Floats, returns: Floats, ends: Integers) -> dict[str, Floats]:
    """Figures of the positions held together on each row, over the returns (A, T) up to its end.

    A day without a return of the portfolio has the window of the last one that has, but weights of its own.
    """
    figures = {name: np.full(len(ends), np.nan) for name in PAIR_FIGURES}
    waiting = np.flatnonzero(ends >= 0)
    while len(waiting):
        _, first = np.unique(ends[waiting], return_index=True)
        rows = waiting[first]
        of_days = np.zeros(returns.shape)
        of_days[:, ends[rows]] = weights[rows].T
        found = trailing_pair_figures(of_days, returns, RISK_WINDOW)
        for name in PAIR_FIGURES:
            figures[name][rows] = getattr(found, name)[ends[rows]]
        waiting = np.delete(waiting, first)
    return figures


def _add_classes(
    series: ReturnSeries,
    observed: Integers,
    ends: Integers,
    sizes: Integers,
    columns: Columns,
    sheet: ReasonSheet,
) -> None:
    """Risk class and label; under a year of history by daily returns, marked as provisional."""
    dates = np.concatenate([series.dates[:1] - ONE_DAY, series.dates[observed]])
    levels = np.concatenate([[1.0], linked_index(series.returns[observed])])
    starts = ends + 1 - sizes
    provisional = (dates[ends + 1] - dates[starts]).astype(np.int64) < DAYS_PER_YEAR
    weekly = weekly_volatility(dates, levels, starts, ends + 1)
    spread = np.where(provisional, columns["volatility"], known_where(sizes >= MIN_RISK_ROW, weekly))
    classes = risk_classes(spread)
    labels, raised = risk_levels(classes, columns["concentration_hhi"], columns["current_drawdown"])
    columns["risk_class"] = classes
    columns["risk_level"] = labels
    sheet.explain_each("risk_level", raised)
    for name in ("risk_class", "risk_level"):
        sheet.explain(name, sizes < MIN_RISK_ROW, f"insufficient data: {{count}} of {MIN_RISK_ROW}", sizes)
        sheet.explain(name, np.isnan(classes), "insufficient data: too few weekly returns, or constant ones")
    sheet.explain("risk_class", provisional, "provisional: daily volatility, under a year of history")


def _explain_returns(
    series: ReturnSeries,
    observed: Integers,
    ends: Integers,
    sizes: Integers,
    columns: Columns,
    sheet: ReasonSheet,
) -> None:
    """Reasons of the figures of the portfolio's returns, and notes on those that are not plain."""

    def known_in_window(x: Floats) -> Integers:
        so_far = np.concatenate([[0], np.cumsum(~np.isnan(x[observed]))])
        return so_far[ends + 1] - so_far[ends + 1 - sizes]

    common = known_in_window(series.excess + series.benchmark_returns)
    if series.benchmark is None:
        sheet.explain("treynor_ratio", np.ones(len(ends), dtype=bool), "no benchmark")
    sheet.explain(
        "treynor_ratio",
        common < MIN_REGRESSION,
        f"insufficient data: {{count}} of {MIN_REGRESSION} common",
        common,
    )
    excess = known_in_window(series.excess)
    for name in ("sharpe_ratio", "sortino_ratio"):
        text = f"insufficient data: risk-free rate on {{count}} of {MIN_RETURNS_VOLATILITY} days"
        sheet.explain(name, excess < MIN_RETURNS_VOLATILITY, text, excess)
    for name, text in {
        "volatility": "insufficient data: constant returns",
        "sharpe_ratio": "insufficient data: constant excess returns",
        "sortino_ratio": "no day fell behind the risk-free rate",
        "treynor_ratio": "the benchmark explains nothing: beta is 0 or unknown",
        "calmar_ratio": "no drawdown, or more than everything was lost",
    }.items():
        sheet.explain(name, np.isnan(columns[name]), text)
    sheet.explain("max_drawdown", columns["max_drawdown"] > 1, "more than everything was lost")
    for name, minimum in TAIL_FIGURES.items():
        sheet.explain(name, sizes < minimum, f"insufficient data: {{count}} of {minimum}", sizes)
        sheet.explain(name, np.isnan(columns[name]), "insufficient data: too few returns in the tail")
        if name.endswith("_1m"):
            text = f"one day scaled by √{SESSIONS_PER_MONTH}: {{count}} of {MIN_MONTHLY_VAR} returns"
            sheet.explain(name, sizes < MIN_MONTHLY_VAR, text, sizes)


def _explain_positions(weights: Floats, columns: Columns, sheet: ReasonSheet) -> None:
    """Reasons of the figures of the positions."""
    held = np.count_nonzero(weights, axis=-1)
    pair_figures = (*PAIR_FIGURES, "effective_bets")
    for name in ("concentration_hhi", "effective_assets", "largest_weight_percentage", *pair_figures):
        sheet.explain(name, held == 0, "no positions")
    for name in ("average_correlation", "max_correlation"):
        sheet.explain(name, held == 1, "a single position")
    for name in pair_figures:
        text = f"insufficient data: fewer than {MIN_RISK_ROW} common returns, or constant ones"
        sheet.explain(name, np.isnan(columns[name]), text)


def _note_left_out_days(
    observed: Integers, rows: Integers, ends: Integers, sizes: Integers, sheet: ReasonSheet
) -> None:
    """Say how many days between the window's first return and the row have none."""
    first = np.concatenate([observed, [0]])[ends + 1 - sizes]
    left_out = np.where(sizes > 0, rows - first + 1 - sizes, rows + 1)
    sheet.explain("observations", left_out > 0, "days left out, return unknown: {count}", left_out)
