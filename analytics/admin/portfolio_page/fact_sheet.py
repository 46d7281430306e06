"""The fact sheet: a portfolio on paper."""

from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponse

from analytics.admin.figures import known_or_why
from analytics.admin.portfolio_page import overview
from analytics.models import PortfolioPerformanceHistory
from analytics.selectors.summaries import performance_snapshot, risk_row
from analytics.services.holdings import HoldingsError, holdings_on
from portfolio_site.kernel import clock
from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.line_pictures import line_picture
from portfolio_site.kernel.reports import report_response
from portfolio_site.kernel.tables import Column, Table
from portfolios.models import Portfolio

LARGEST_LINES = 15
RISK_LINES = (
    ("Volatility", "volatility"),
    ("Maximum drawdown", "max_drawdown"),
    ("Value at risk, 95 %, 1 day", "var_95_1d"),
    ("Expected shortfall, 95 %, 1 day", "cvar_95_1d"),
)


def show(request: HttpRequest, portfolio: Portfolio) -> HttpResponse:
    content = overview.show(request, portfolio)
    charts = {section.slug: section for section in content.sections if isinstance(section, Chart)}
    snapshot = performance_snapshot(portfolio, None)
    context: dict[str, Any] = {
        "title": f"{portfolio.code}: fact sheet",
        "subtitle": f"{portfolio.name}, in {portfolio.base_currency_id}"
        + (f", as of {snapshot.snapshot_date}" if snapshot else ""),
        "figures": content.figures,
        "picture": _picture(charts["growth"]),
        "growth_words": charts["growth"].summary,
        "tables": [
            *(charts[slug].table for slug in ("months", "bridge") if slug in charts),
            _largest_lines(portfolio, snapshot),
            _risk(portfolio),
        ],
        "made_at": clock.now(),
        "engine_version": snapshot.engine_version if snapshot else "–",
    }
    return report_response(request, "reports/fact_sheet.html", context, f"{portfolio.code}-fact-sheet")


def _picture(chart: Chart) -> str:
    if chart.is_empty:
        return ""
    days = np.array(chart.traces[0]["x"], dtype="datetime64[D]")
    lines = [(trace["name"], np.asarray(trace["y"], dtype=float)) for trace in chart.traces]
    return line_picture(days, lines, chart.summary)


def _largest_lines(portfolio: Portfolio, snapshot: PortfolioPerformanceHistory | None) -> Table:
    """Of the day of the sheet: what is traded or priced later does not stand on it."""
    columns = [
        Column("Line"),
        Column("Name"),
        Column("Value", "number", portfolio.base_currency.minor_units, portfolio.base_currency_id),
        Column("Weight", "number", 2, "%"),
        Column("Target", "number", 2, "%"),
    ]
    title = "Largest lines"
    if snapshot is None:
        return Table("lines", title, columns, [], empty=overview.NOT_COMPUTED)
    try:
        lines = holdings_on(portfolio, snapshot.snapshot_date).state.lines
    except HoldingsError as error:
        return Table("lines", title, columns, [], empty=f"{error}.")
    held = sorted((line for line in lines if line.quantity), key=lambda line: -(line.value or 0))
    rows = [
        [line.asset.symbol, line.asset.name, line.value, line.weight, line.target]
        for line in held[:LARGEST_LINES]
    ]
    note = f"The {LARGEST_LINES} largest of {len(held)}." if len(held) > LARGEST_LINES else ""
    return Table("lines", title, columns, rows, empty="Nothing is held.", note=note)


def _risk(portfolio: Portfolio) -> Table:
    row = risk_row(portfolio, None)
    columns = [Column("Risk"), Column("Figure", "percent")]
    if row is None:
        return Table("risk", "Risk", columns, [], empty=overview.NOT_COMPUTED)
    rows = [[label, known_or_why(row, name)] for label, name in RISK_LINES]
    level = row.get_risk_level_display() if row.risk_level else "not known"
    return Table("risk", "Risk", columns, rows, note=f"Risk level: {level}, as of {row.calculation_date}.")
