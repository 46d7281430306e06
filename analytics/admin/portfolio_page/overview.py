"""Overview: how the portfolio has done."""

import calendar
import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate

import numpy as np
from django.http import HttpRequest

from analytics.admin.portfolio_page.content import Content, Section
from analytics.models import PortfolioPerformanceHistory
from analytics.selectors.benchmark_levels import BenchmarkGrowth, benchmark_growths
from analytics.selectors.bridges import BridgeError, NoHistoryError, PeriodBridge, portfolio_bridge
from analytics.selectors.histories import History, month_returns, performance_history
from analytics.selectors.summaries import performance_snapshot
from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Column, Table, Unknown
from portfolios.models import Portfolio

NOT_COMPUTED = "Nothing is computed yet: run analytics for this portfolio."
GROWTH = ("cumulative_return", "benchmark_cumulative_return", "current_drawdown")
BRIDGE_WORDS = {
    "net_flow": "Flows",
    "realized_pnl": "Realized",
    "unrealized_pnl": "Unrealized",
    "income": "Income",
    "fx_on_cash": "FX on cash",
    "fees": "Fees",
    "taxes": "Taxes",
}
HEADLINE = (
    ("Day", "daily_return"),
    ("Month", "return_1m"),
    ("Year to date", "return_ytd"),
    ("1 year", "return_1y"),
    ("Annualized", "annualized_return"),
)


def show(request: HttpRequest, portfolio: Portfolio) -> Content:
    snapshot = performance_snapshot(portfolio, None)
    if snapshot is None:
        return Content([_growth(portfolio, performance_history(portfolio, GROWTH))])
    history = performance_history(portfolio, GROWTH)
    return Content(
        [
            _growth(portfolio, history, snapshot),
            _drawdown(history),
            _months(history),
            *_bridge(portfolio, snapshot.snapshot_date),
        ],
        figures=_headline(portfolio, snapshot),
    )


def _headline(portfolio: Portfolio, snapshot: PortfolioPerformanceHistory) -> Sequence[tuple[str, object]]:
    currency = portfolio.base_currency
    value = figures.money(
        snapshot.total_value,
        currency.code,
        currency.minor_units,
        reason=snapshot.quality.get("total_value", ""),
    )
    returns = [
        (label, figures.percent(getattr(snapshot, name), signed=True, reason=snapshot.quality.get(name, "")))
        for label, name in HEADLINE
    ]
    return [(f"Value on {snapshot.snapshot_date}", value), *returns]


def _growth(
    portfolio: Portfolio, history: History, snapshot: PortfolioPerformanceHistory | None = None
) -> Chart:
    own = 100 * (1 + history.figures["cumulative_return"])
    benchmarks = _benchmarks(portfolio, history, snapshot)
    known = [line for line in benchmarks if np.isfinite(line.levels).any()]
    days = np.datetime_as_string(history.days).tolist()
    lines = [(portfolio.code, own, "solid"), *((line.name, line.levels, "dot") for line in known)]
    remarks = [f"{line.name}: {line.reason}." for line in benchmarks if line.reason]
    return Chart(
        slug="growth",
        title="Growth of 100",
        summary=_growth_words(portfolio, own, known, remarks),
        traces=[
            {
                "type": "scatter", "mode": "lines", "name": name, "x": days, "y": levels,
                "line": {"dash": dash}, "hovertemplate": "%{y:.2f}",
            }
            for name, levels, dash in lines
        ],
        table=Table(
            "growth",
            "Growth of 100",
            [Column("Day", "date"), *(Column(name, "number") for name, _, _ in lines)],
            daily_rows(history.days, [levels for _, levels, _ in lines]),
            empty=NOT_COMPUTED,
            note=" ".join(remarks),
        ),
    )  # fmt: skip


def _benchmarks(
    portfolio: Portfolio, history: History, snapshot: PortfolioPerformanceHistory | None
) -> list[BenchmarkGrowth]:
    """The primary one as it is stored with the portfolio's own figures, the others from prices and rates."""
    found = benchmark_growths(portfolio, history.days)
    stored = 100 * (1 + history.figures["benchmark_cumulative_return"])
    primary = snapshot.benchmark if snapshot else None
    if primary is None or not np.isfinite(stored).any():
        return found
    names = {line.asset_id: line.name for line in found}
    first = BenchmarkGrowth(primary.pk, names.get(primary.pk, primary.symbol), True, stored)
    return [first, *(line for line in found if line.asset_id != primary.pk)]


def _growth_words(
    portfolio: Portfolio, own: np.ndarray, benchmarks: Sequence[BenchmarkGrowth], remarks: Sequence[str]
) -> str:
    known = own[np.isfinite(own)]
    if not len(known):
        return "The growth is not known."
    words = f"100 invested in {portfolio.code} at the beginning are {known[-1]:.2f} now"
    for line in benchmarks:
        words += f", in {line.name} {line.levels[np.isfinite(line.levels)][-1]:.2f}"
    return " ".join([f"{words}; flows are left out.", *remarks])


def _drawdown(history: History) -> Chart:
    drawdown = -history.figures["current_drawdown"]
    known = np.isfinite(drawdown)
    words = "The drawdown is not known."
    if known.any():
        worst = int(np.nanargmin(drawdown))
        words = f"The deepest loss from a high was {-drawdown[worst]:.1%}, on {history.days[worst]}."
    return Chart(
        slug="drawdown",
        title="Drawdown",
        summary=words,
        traces=[
            {
                "type": "scatter", "mode": "lines", "fill": "tozeroy", "name": "Drawdown",
                "x": np.datetime_as_string(history.days).tolist(), "y": drawdown,
                "line": {"color": "--negative", "width": 1},
            }
        ],
        layout={"yaxis": {"tickformat": ".0%"}},
        height=220,
        table=Table(
            "drawdown",
            "Drawdown",
            [Column("Day", "date"), Column("Drawdown", "percent", signed=True)],
            daily_rows(history.days, [drawdown]),
            empty=NOT_COMPUTED,
        ),
    )  # fmt: skip


def _months(history: History) -> Chart:
    found = month_returns(history.days, history.figures["cumulative_return"])
    names = [calendar.month_abbr[month] for month in range(1, 13)]
    shown = [*found.months.T, found.totals]
    limit = float(np.nanmax(np.abs(found.months))) if np.isfinite(found.months).any() else 1.0
    rows = [
        [str(year), *(None if np.isnan(column[row]) else float(column[row]) for column in shown)]
        for row, year in enumerate(found.years)
    ]
    texts = np.where(np.isfinite(found.months), np.char.mod("%+.1f", found.months * 100), "")
    return Chart(
        slug="months",
        title="Monthly returns",
        summary=(
            f"{int((found.months > 0).sum())} of {int(np.isfinite(found.months).sum())} months gained; "
            "time-weighted, in percent."
        ),
        traces=[
            {
                "type": "heatmap", "x": names, "y": [str(year) for year in found.years],
                "z": found.months * 100, "zmin": -100 * limit, "zmax": 100 * limit,
                "text": texts, "texttemplate": "%{text}",
                "colorscale": [[0, "--heat-low"], [0.5, "--heat-middle"], [1, "--heat-high"]],
                "showscale": False, "hovertemplate": "%{x} %{y}: %{z:+.2f} %<extra></extra>",
                "xgap": 2, "ygap": 2,
            }
        ],
        layout={
            "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
            "xaxis": {"side": "top", "showgrid": False},
            "hovermode": "closest",
        },
        height=60 + 34 * max(1, len(found.years)),
        table=Table(
            "months",
            "Monthly returns",
            [Column("Year"), *(Column(name, "percent", 1, signed=True) for name in names),
             Column("Year's return", "percent", 1, signed=True)],
            rows,
            empty=NOT_COMPUTED,
        ),
    )  # fmt: skip


def _bridge(portfolio: Portfolio, last: dt.date) -> Sequence[Section]:
    first = dt.date(last.year, 1, 1)
    try:
        found = portfolio_bridge(portfolio, first, last)
    except (NoHistoryError, BridgeError) as error:
        return [Table("bridge", "Profit bridge", [Column("Line")], [], empty=f"{error}.")]
    return [_waterfall(portfolio, found, last.year)]


def _waterfall(portfolio: Portfolio, found: PeriodBridge, year: int) -> Chart:
    bridge, currency = found.bridge, portfolio.base_currency_id
    signs = {"fees": -1, "taxes": -1}
    steps = {name: None if (amount := bridge.lines[name]) is None else signs.get(name, 1) * amount
             for name in BRIDGE_WORDS}  # fmt: skip
    labels = ["Opening", *BRIDGE_WORDS.values(), "Closing"]
    amounts = [bridge.opening, *steps.values(), bridge.closing]
    reasons = ["opening", *BRIDGE_WORDS, "closing"]
    profit = bridge.profit
    return Chart(
        slug="bridge",
        title=f"Profit bridge, {year} to date",
        summary=(
            f"From {found.opened or 'the first day'} to {found.closed}, in {currency}: "
            + ("the profit is not known." if profit is None else f"a profit of {profit:,.2f} besides flows.")
        ),
        traces=[
            {
                "type": "waterfall", "x": labels,
                "measure": ["absolute", *["relative"] * len(steps), "total"],
                "y": [None if amount is None else float(amount) for amount in amounts],
                "increasing": {"marker": {"color": "--positive"}},
                "decreasing": {"marker": {"color": "--negative"}},
                "totals": {"marker": {"color": "--chart-1"}},
                "hovertemplate": "%{x}: %{y:,.2f}<extra></extra>",
            }
        ],
        layout={
            "hovermode": "closest",
            "showlegend": False,
            "yaxis": {"title": {"text": currency}, **_range_of(bridge.opening, steps.values())},
        },
        table=Table(
            "bridge",
            "Profit bridge",
            [Column("Line"), Column("Amount", "number", portfolio.base_currency.minor_units, currency, True)],
            [
                [label, Unknown(found.reasons.get(name, "")) if amount is None else amount]
                for label, amount, name in zip(labels, amounts, reasons, strict=True)
            ],
        ),
    )  # fmt: skip


def _range_of(opening: Decimal | None, steps: Iterable[Decimal | None]) -> dict[str, list[float]]:
    """The steps are small beside the value: the axis begins near the lowest of them."""
    levels = list(accumulate([opening or Decimal(0), *(step or Decimal(0) for step in steps)]))
    low, high = float(min(levels)), float(max(levels))
    room = 0.15 * (high - low)
    return {"range": [max(0.0, low - room), high + room]} if low > 0 and room else {}


def daily_rows(days: np.ndarray, series: Sequence[np.ndarray]) -> list[list[object]]:
    """Rows of a table of daily figures, the latest day first; NaN is unknown."""
    columns = [[None if np.isnan(value) else value for value in figures.tolist()] for figures in series]
    rows = [list(row) for row in zip(days.tolist(), *columns, strict=True)]
    return rows[::-1]
