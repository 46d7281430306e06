"""Overview: prices, indicators, returns, who holds the asset, and what looks wrong in its prices."""

import datetime as dt
from collections.abc import Sequence

from django.http import HttpRequest
from django.urls import reverse

from analytics.admin.asset_page.candles import INDICATORS, price_chart
from analytics.admin.figures import known_or_why
from analytics.admin.pages import Content
from analytics.models import AssetPerformanceMetrics
from analytics.selectors.asset_bars import asset_bars, last_bar_day, latest_metrics
from analytics.selectors.asset_holders import Holder, holders_of
from portfolio_site.kernel import clock
from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.tables import Column, Link, Table, Unknown
from portfolios.models import Asset, FindingStatus
from portfolios.selectors.data_findings import findings_of

RANGES = {
    "3m": ("3 months", dt.timedelta(days=92)),
    "6m": ("6 months", dt.timedelta(days=184)),
    "1y": ("1 year", dt.timedelta(days=366)),
    "5y": ("5 years", dt.timedelta(days=5 * 365 + 2)),
}
DEFAULT_RANGE = "1y"
SHOWN_FINDINGS = 100
NOT_COMPUTED = "Nothing is computed yet: run analytics."
RETURNS = {
    "1 day": "return_1d",
    "1 month": "return_1m",
    "3 months": "return_3m",
    "6 months": "return_6m",
    "1 year": "return_1y",
    "3 years": "return_3y",
    "5 years": "return_5y",
}
RISKS = (
    ("Volatility, 20 days", "volatility_20d", "%"),
    ("Volatility, 1 year", "volatility_1y", "%"),
    ("Largest drawdown, 1 year", "max_drawdown_1y", "%"),
    ("Sharpe ratio, 1 year", "sharpe_ratio_1y", "ratio"),
    ("Beta to the market, 1 year", "beta_1y", "ratio"),
)


def show(request: HttpRequest, asset: Asset) -> Content:
    chosen = request.GET.get("range", DEFAULT_RANGE)
    chosen = chosen if chosen in RANGES else DEFAULT_RANGE
    words, length = RANGES[chosen]
    since = (last_bar_day(asset) or clock.today()) - length
    metrics = latest_metrics(asset)
    return Content(
        [
            price_chart(asset, asset_bars(asset, since, INDICATORS), words),
            _returns(metrics),
            _risks(metrics),
            _holders(holders_of(asset, request.user)),
            _findings(asset),
        ],
        figures=_headline(asset, metrics),
        template="admin/asset_page/overview.html",
        context={
            "ranges": [(slug, label) for slug, (label, _) in RANGES.items()],
            "current_range": chosen,
        },
    )


def _headline(asset: Asset, metrics: AssetPerformanceMetrics | None) -> Sequence[tuple[str, object]]:
    if metrics is None:
        return []
    returns = [
        (label, figures.percent(getattr(metrics, name), signed=True, reason=metrics.quality.get(name, "")))
        for label, name in RETURNS.items()
        if label in ("1 day", "1 month", "1 year")
    ]
    close = figures.money(metrics.close, asset.currency_id, reason=metrics.quality.get("close", ""))
    return [(f"Close on {metrics.calculation_date}", close), *returns]


def _returns(metrics: AssetPerformanceMetrics | None) -> Table:
    rows = [[label, known_or_why(metrics, name)] for label, name in RETURNS.items()] if metrics else []
    return Table(
        "returns",
        "Returns",
        [Column("Period"), Column("Return", "percent", signed=True)],
        rows,
        empty=NOT_COMPUTED,
        note=_as_of(metrics, "Without dividends, adjusted for splits"),
        wide=False,
    )


def _risks(metrics: AssetPerformanceMetrics | None) -> Table:
    rows = []
    for label, name, unit in RISKS if metrics else ():
        value = known_or_why(metrics, name)
        scaled = value * 100 if unit == "%" and not isinstance(value, Unknown) else value
        rows.append([label, scaled, unit])
    return Table(
        "risk",
        "Risk",
        [Column("Figure"), Column("Value", "number"), Column("Unit")],
        rows,
        empty=NOT_COMPUTED,
        note=_as_of(metrics, "Volatility is annualized"),
        wide=False,
    )


def _as_of(metrics: AssetPerformanceMetrics | None, words: str) -> str:
    return f"{words}; as of {metrics.calculation_date}." if metrics else ""


def _holders(holders: Sequence[Holder]) -> Table:
    return Table(
        "holders",
        "Who holds it",
        [
            Column("Portfolio"),
            Column("Name"),
            Column("Quantity", "number", _places(holders)),
            Column("Value", "number"),
            Column("Currency"),
            Column("Weight", "percent"),
            Column("As of", "date"),
        ],
        [
            [
                Link(holder.portfolio.code, _page_of(holder)),
                holder.portfolio.name,
                Unknown(holder.reason) if holder.quantity is None else holder.quantity,
                Unknown(holder.reason) if holder.value is None else holder.value,
                holder.portfolio.base_currency_id,
                Unknown(holder.reason) if holder.weight is None else holder.weight,
                holder.day,
            ]
            for holder in holders
        ],
        empty="None of the portfolios that you may see holds it.",
        note="Only portfolios that you may see; weights are of the whole value, cash included.",
    )


def _places(holders: Sequence[Holder]) -> int:
    """Decimals that the quantities need."""
    quantities = [holder.quantity.normalize() for holder in holders if holder.quantity is not None]
    return max((-int(quantity.as_tuple().exponent) for quantity in quantities if quantity % 1), default=0)


def _page_of(holder: Holder) -> str:
    return reverse("admin:portfolios_portfolio_overview", args=[holder.portfolio.pk])


def _findings(asset: Asset) -> Table:
    found = findings_of([asset.pk]).order_by("-date", "kind")[:SHOWN_FINDINGS]
    rows = [
        [
            Link(f"{finding.date}", reverse("admin:portfolios_datafinding_change", args=[finding.pk])),
            finding.get_kind_display(),
            finding.get_severity_display(),
            finding.get_status_display(),
            finding.detail,
            finding.note,
        ]
        for finding in found
    ]
    open_ones = sum(row[3] == FindingStatus.OPEN.label for row in rows)
    return Table(
        "findings",
        "Findings in its prices",
        [Column(name) for name in ("Day", "Finding", "Severity", "Status", "Detail", "Note")],
        rows,
        empty="The checks of the prices found nothing.",
        note=f"{open_ones} open; the latest {SHOWN_FINDINGS} at most.",
    )
