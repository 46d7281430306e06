"""Risk: how much can be lost, how well that was foretold, and where it comes from."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from django.http import HttpRequest
from django.utils.safestring import SafeString

from analytics.admin.figures import RISK_TONES, choice_badge
from analytics.admin.portfolio_page.choices import Choices
from analytics.admin.portfolio_page.content import Content
from analytics.admin.portfolio_page.overview import NOT_COMPUTED, daily_rows
from analytics.admin.portfolio_page.risk_holdings import (
    correlation_chart,
    diversification_table,
    share_chart,
)
from analytics.admin.portfolio_page.weight_bars import state_badge
from analytics.admin.risk_models import ZONE_TONES
from analytics.models import (
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    VarMethod,
)
from analytics.selectors.correlation_maps import ADJUSTED_WINDOW, WINDOWS
from analytics.selectors.histories import History, performance_history
from analytics.selectors.portfolio_risk import (
    LEVELS,
    VarDays,
    risk_contributions,
    risk_history,
    var_backtests,
    var_days,
)
from analytics.selectors.summaries import performance_snapshot, risk_row
from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Column, Table, Unknown
from portfolios.models import Portfolio

WINDOW = Choices(
    "window", "Correlations over", {window: words for window, (_, words) in WINDOWS.items()}, ADJUSTED_WINDOW
)
TEMPLATE = "admin/portfolio_page/risk.html"
# About a year of sessions.
SHOWN_DAYS = 252
SIGNIFICANT = 0.05
HEADLINE = (
    ("Volatility, annualized", "volatility"),
    ("VaR 95%, 1 day", "var_95_1d"),
    ("VaR 99%, 1 day", "var_99_1d"),
    ("CVaR 95%, 1 day", "cvar_95_1d"),
    ("CVaR 99%, 1 day", "cvar_99_1d"),
    ("Max drawdown", "max_drawdown"),
)
METHOD_COLOURS = {
    VarMethod.HISTORICAL: "--chart-1",
    VarMethod.NORMAL: "--chart-2",
    VarMethod.CORNISH_FISHER: "--chart-3",
}


def show(request: HttpRequest, portfolio: Portfolio) -> Content:
    row = risk_row(portfolio, None)
    if row is None:
        return Content([Table("risk", "Risk", [Column("Figure")], [], empty=NOT_COMPUTED)])
    day, window = row.calculation_date, WINDOW.chosen(request)
    snapshot = performance_snapshot(portfolio, day)
    tests = var_backtests(portfolio, day)
    contributions = risk_contributions(portfolio, day)
    correlations = correlation_chart(contributions, window)
    return Content(
        [
            _methods(portfolio, tests, snapshot),
            _days(var_days(portfolio, day, SHOWN_DAYS)),
            _backtests(tests),
            share_chart(contributions, tests),
            diversification_table(row),
            _history_chart("volatility", "Volatility, annualized", risk_history(portfolio, "volatility")),
            _history_chart("beta", "Beta", performance_history(portfolio, ("beta",))),
        ],
        figures=_headline(row, snapshot),
        template=TEMPLATE,
        context={
            "window_choices": WINDOW.links(request, "#correlations-title"),
            "correlations": correlations,
            "remarks": _remarks(row, snapshot),
        },
        files=[correlations.table],
    )


def _headline(
    row: PortfolioRiskMetrics, snapshot: PortfolioPerformanceHistory | None
) -> Sequence[tuple[str, object]]:
    losses = [
        (label, figures.percent(getattr(row, name), reason=row.quality.get(name, "")))
        for label, name in HEADLINE
    ]
    beta = snapshot.beta if snapshot else None
    against = f" against {snapshot.benchmark.symbol}" if snapshot and snapshot.benchmark else ""
    why = snapshot.quality.get("beta", "") if snapshot else "no performance on this day"
    return [
        ("Risk level", _level(row)),
        *losses,
        (f"Beta{against}", figures.figure(beta, reason=why)),
    ]


def _level(row: PortfolioRiskMetrics) -> SafeString:
    if row.risk_level is None:
        return figures.figure(None, reason=row.quality.get("risk_level", ""))
    return choice_badge(row.get_risk_level_display(), row.risk_level, RISK_TONES)


def _remarks(row: PortfolioRiskMetrics, snapshot: PortfolioPerformanceHistory | None) -> list[str]:
    """What the large figures rest on, and why one of them is missing."""
    remarks = [
        f"As of {row.calculation_date}, from the portfolio's own last {row.observations} daily returns."
    ]
    if row.risk_class is not None:
        level = (row.get_risk_level_display() or "unknown").lower()
        remarks.append(f"The risk level is {level}: class {row.risk_class} of 7 by volatility.")
    named = {"risk_level": "Risk level", "risk_class": "Risk class"} | {
        name: label for label, name in HEADLINE
    }
    remarks += [f"{label}: {row.quality[name]}." for name, label in named.items() if name in row.quality]
    if snapshot and snapshot.beta is None and "beta" in snapshot.quality:
        remarks.append(f"Beta: {snapshot.quality['beta']}.")
    return remarks


def _methods(
    portfolio: Portfolio, tests: Sequence[PortfolioVarBacktest], snapshot: PortfolioPerformanceHistory | None
) -> Chart:
    currency, places = portfolio.base_currency_id, portfolio.base_currency.minor_units
    value = snapshot.total_value if snapshot else None
    rows = [
        [
            f"{test.level:.0%}",
            test.get_method_display(),
            _known(test.var, test.quality, "var"),
            _money(test, value, places),
            _known(test.cvar, test.quality, "cvar"),
            test.window,
        ]
        for test in sorted(tests, key=_by_level)
    ]
    return Chart(
        slug="var-methods",
        title="Value at risk of one day, by method",
        summary=_method_words(tests),
        traces=[
            {
                "type": "bar", "name": method.label, "marker": {"color": METHOD_COLOURS[method]},
                "x": [f"{test.level:.0%} confidence" for test in of_method],
                "y": [test.var for test in of_method],
                "text": ["" if test.var is None else f"{test.var:.2%}" for test in of_method],
                "textposition": "outside", "cliponaxis": False,
                "hovertemplate": "%{y:.2%}",
            }
            for method in VarMethod
            if (of_method := [test for test in sorted(tests, key=_by_level) if test.method == method])
        ],
        layout={"barmode": "group", "yaxis": {"tickformat": ".1%", "rangemode": "tozero"}},
        table=Table(
            "var-methods",
            "Value at risk of one day, by method",
            [
                Column("Confidence"),
                Column("Method"),
                Column("VaR", "percent"),
                Column("VaR", "number", places, currency),
                Column("CVaR", "percent"),
                Column("Returns used", "number", 0),
            ],
            rows,
            empty=NO_TESTS,
            note="CVaR is the mean loss on the days beyond the VaR.",
        ),
    )  # fmt: skip


NO_TESTS = "No run ended on this day with daily returns: run analytics for this portfolio."


def _by_level(test: PortfolioVarBacktest) -> tuple[float, int]:
    return test.level, list(VarMethod).index(VarMethod(test.method))


def _money(test: PortfolioVarBacktest, value: Decimal | None, places: int) -> Any:
    if test.var is None or value is None:
        return Unknown(test.quality.get("var", "the value of the portfolio is not known"))
    return round(value * Decimal(repr(test.var)), places)


def _method_words(tests: Sequence[PortfolioVarBacktest]) -> str:
    words = []
    for level in LEVELS:
        losses = [test.var for test in tests if test.level == level and test.var is not None]
        if losses:
            words.append(f"between {min(losses):.2%} and {max(losses):.2%} at {level:.0%}")
    if not words:
        return "The value at risk is not known."
    return f"Of today's positions, a loss that one day rarely exceeds: {', '.join(words)}."


def _backtests(tests: Sequence[PortfolioVarBacktest]) -> Table:
    return Table(
        "backtest",
        "Backtest of the value at risk",
        [
            Column("Confidence"),
            Column("Method"),
            Column("Days tested", "number", 0),
            Column("Exceptions", "number", 0),
            Column("Expected", "number", 1),
            Column("Kupiec p", "number", 4),
            Column("Christoffersen p", "number", 4),
            Column("Joint p", "number", 4),
            Column("Verdict"),
            Column("Basel zone"),
        ],
        [
            [
                f"{test.level:.0%}",
                test.get_method_display(),
                test.observations,
                *(
                    _known(getattr(test, name), test.quality, name)
                    for name in ("exceptions", "expected", "kupiec_p", "christoffersen_p", "joint_p")
                ),
                _verdict(test),
                _zone(test),
            ]
            for test in sorted(tests, key=_by_level)
        ],
        empty=NO_TESTS,
        note=(
            "Today's positions on every earlier day, against the value at risk of the days before. An "
            "exception lost more than was foretold. Kupiec tests how many there are, Christoffersen whether "
            f"they follow each other; a p below {SIGNIFICANT} speaks against the method. The Basel zone "
            "counts the last 250 days at 99%: green to 4 exceptions, yellow to 9, red from 10."
        ),
    )


def _verdict(test: PortfolioVarBacktest) -> Any:
    if test.kupiec_p is None or test.exceptions is None or test.expected is None:
        return Unknown(test.quality.get("kupiec_p", "not tested"))
    count = "as many as expected"
    if test.kupiec_p < SIGNIFICANT:
        count = "too many" if test.exceptions > test.expected else "too few"
    clusters = test.christoffersen_p is not None and test.christoffersen_p < SIGNIFICANT
    return f"{count}, but in clusters" if clusters else count


def _zone(test: PortfolioVarBacktest) -> Any:
    if test.zone is None:
        return Unknown(test.quality.get("zone", "not known"))
    return state_badge(f"{test.get_zone_display()}: {test.zone_exceptions} of 250", ZONE_TONES[test.zone])


def _days(found: VarDays) -> Chart:
    days = np.datetime_as_string(found.days).tolist()
    hits = {level: found.exceptions(level) for level in LEVELS}
    crossed = np.where(hits[0.99], "beyond 99%", np.where(hits[0.95], "beyond 95%", ""))
    table = daily_rows(found.days, [found.returns, *(-found.limits[level] for level in LEVELS)])
    traces: list[dict[str, Any]] = [
        {
            "type": "bar", "name": "Return of the day", "x": days, "y": found.returns,
            "marker": {"color": "--chart-8"}, "hovertemplate": "%{y:+.2%}",
        }
    ]  # fmt: skip
    for level, dash in zip(LEVELS, ("solid", "dot"), strict=True):
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": f"VaR {level:.0%}", "x": days,
                "y": -found.limits[level], "line": {"color": "--chart-1", "dash": dash, "width": 1.5},
                "hovertemplate": "%{y:+.2%}",
            }
        )  # fmt: skip
    for name, symbol in (("beyond 95%", "circle-open"), ("beyond 99%", "x")):
        places = np.flatnonzero(crossed == name).tolist()
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": f"Loss {name}",
                "x": [days[place] for place in places], "y": found.returns[places],
                "marker": {"color": "--negative", "symbol": symbol, "size": 9}, "hoverinfo": "skip",
            }
        )  # fmt: skip
    return Chart(
        slug="var-days",
        title="Daily returns against the value at risk",
        summary=_days_words(found, hits),
        traces=traces,
        layout={"yaxis": {"tickformat": ".1%"}},
        table=Table(
            "var-days",
            "Daily returns against the value at risk",
            [
                Column("Day", "date"),
                Column("Return", "percent", signed=True),
                *(Column(f"VaR at {level:.0%}", "percent", signed=True) for level in LEVELS),
                Column("Exception"),
            ],
            [[*row, words] for row, words in zip(table, crossed[::-1].tolist(), strict=True)],
            empty="There are no two days with returns yet.",
        ),
    )


def _days_words(found: VarDays, hits: Mapping[float, np.ndarray]) -> str:
    words = []
    for level in LEVELS:
        tested = int(found.tested(level).sum())
        if tested:
            words.append(
                f"{int(hits[level].sum())} of {tested} days lost more than the VaR at {level:.0%} "
                f"({found.expected(level):.1f} expected)"
            )
    known = "; ".join(words) or "The value at risk is not known on any of these days"
    return f"{known}. The portfolio's own returns, and the figures of the evening before."


def _history_chart(name: str, title: str, history: History) -> Chart:
    series = history.figures[name]
    known = series[np.isfinite(series)]
    is_share = name == "volatility"
    words = f"{title} is not known on any day."
    if len(known):
        low, high, last = (
            f"{x:.1%}" if is_share else f"{x:.2f}" for x in (known.min(), known.max(), known[-1])
        )
        over = "over up to three years before each day" if is_share else "from the first day to each day"
        words = f"{last} now, between {low} and {high} before; {over}."
    return Chart(
        slug=name,
        title=title,
        summary=words,
        traces=[
            {
                "type": "scatter", "mode": "lines", "name": title,
                "x": np.datetime_as_string(history.days).tolist(), "y": series,
                "hovertemplate": "%{y:.1%}" if is_share else "%{y:.2f}",
            }
        ],
        layout={"yaxis": {"tickformat": ".1%"} if is_share else {}},
        height=220,
        table=Table(
            name,
            title,
            [Column("Day", "date"), Column(title, "percent" if is_share else "number")],
            daily_rows(history.days, [series]) if len(known) else [],
            empty=NO_BETA if name == "beta" else NOT_COMPUTED,
        ),
    )  # fmt: skip


NO_BETA = "No beta is known: it needs a primary benchmark and 60 common returns."


def _known(value: float | None, quality: Mapping[str, str], name: str) -> Any:
    return Unknown(quality.get(name, "not known")) if value is None else value
