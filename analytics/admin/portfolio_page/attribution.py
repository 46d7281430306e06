"""Attribution: where the return of a period came from."""

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from analytics.admin.portfolio_page.choices import Choices
from analytics.admin.portfolio_page.content import Content, Section
from analytics.admin.portfolio_page.overview import NOT_COMPUTED
from analytics.selectors.attribution import (
    AttributionError,
    ContributionLine,
    Explanation,
    SectorAttribution,
)
from analytics.selectors.attribution.periods import PERIODS, period_explanation
from analytics.selectors.summaries import performance_snapshot
from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Column, Table, Unknown
from portfolios.models import Portfolio

TEMPLATE = "admin/portfolio_page/attribution.html"
PERIOD = Choices("period", "Period", PERIODS, "ytd")
GROUPING = Choices("by", "Lines", {"asset": "Assets", "sector": "Sectors", "currency": "Currencies"}, "asset")
MOST_BARS = 40
RETURNS = {
    "net": "Return",
    "price": "Price only",
    "gross": "Before fees and taxes",
    "net_of_fees": "After fees",
}
CURRENCIES = {"local": "Local", "fx": "Exchange rates"}
EFFECTS = {
    "allocation": ("Allocation", "--chart-1"),
    "selection": ("Selection", "--chart-2"),
    "interaction": ("Interaction", "--chart-3"),
}
CONTRIBUTIONS, SECTORS, UNEXPLAINED = (
    "Contributions to the return",
    "Sectors against the benchmark",
    "Not explained",
)
STATE_WEIGHTS = (
    "Make a blend of assets with sectors the primary benchmark, or state the benchmark's sectors in a file "
    "for the command explain_performance --weights."
)
# What sums and products of thousands of returns leave.
ROUNDING = 1e-9


def show(request: HttpRequest, portfolio: Portfolio) -> Content:
    snapshot = performance_snapshot(portfolio, None)
    period, grouping = PERIOD.chosen(request), GROUPING.chosen(request)
    rows = [PERIOD.links(request), GROUPING.links(request)]
    if snapshot is None:
        return Content([_nothing(NOT_COMPUTED)])
    try:
        found = period_explanation(portfolio, period, snapshot.snapshot_date, grouping)
    except AttributionError as error:
        reason = f"{error}. Choose another period."
        return Content([_nothing(reason)], template=TEMPLATE, context={"choice_rows": rows})
    sections = [_contributions(found), _sectors(found), *_unexplained(found, snapshot.snapshot_date)]
    return Content(sections, figures=_headline(found), template=TEMPLATE, context={"choice_rows": rows})


def _nothing(reason: str) -> Table:
    return Table("contributions", CONTRIBUTIONS, [Column("Line")], [], empty=reason)


def _headline(found: Explanation) -> Sequence[tuple[str, object]]:
    since = f"from the evening of {found.opening}" if found.opening else "from the first day"
    named = [(label, found.returns[name], name) for name, label in RETURNS.items()]
    named += [(label, found.currency[name], name) for name, label in CURRENCIES.items()]
    shown = [
        (label, figures.percent(_finite(value), signed=True, reason=found.quality.get(name, "")))
        for label, value, name in named
    ]
    (first, net), *others = shown
    return [(f"{first} {since} to {found.closing}", net), *others]


def _contributions(found: Explanation) -> Chart:
    lines = [line for line in found.contributions if line.weight or line.contribution]
    known = sorted(
        (line for line in lines if not math.isnan(line.contribution)), key=lambda line: line.contribution
    )
    bars = known if len(known) <= MOST_BARS else [*known[: MOST_BARS // 2], *known[-MOST_BARS // 2 :]]
    return Chart(
        slug="contributions",
        title=CONTRIBUTIONS,
        summary=_contribution_words(found, lines, len(known) - len(bars)),
        traces=[
            {
                "type": "bar", "orientation": "h", "name": "Contribution",
                "y": [line.name for line in bars], "x": [line.contribution for line in bars],
                "text": [_signed(line.contribution) for line in bars],
                "textposition": "outside", "cliponaxis": False,
                "marker": {"color": [_colour(line.contribution) for line in bars]},
                "hovertemplate": "%{y}: %{x:+.3%}<extra></extra>",
            }
        ],
        layout={
            "hovermode": "closest",
            "xaxis": {"tickformat": "+.1%", **_room_for_texts([line.contribution for line in bars])},
            "yaxis": {"type": "category", "showgrid": False},
        },
        height=60 + 24 * max(4, len(bars)),
        wide=True,
        table=_contribution_table(found, lines),
    )  # fmt: skip


def _colour(amount: float) -> str:
    return "--negative" if amount < 0 else "--positive"


def _room_for_texts(values: Sequence[float]) -> dict[str, Any]:
    """Figures stand outside their bars."""
    low, high = min([0.0, *values]), max([0.0, *values])
    room = 0.12 * (high - low)
    return {"range": [low - room, high + room]} if room else {}


def _contribution_words(found: Explanation, lines: Sequence[ContributionLine], left_out: int) -> str:
    net, added = found.returns["net"], sum(line.contribution for line in lines)
    if math.isnan(added):
        return (
            f"The contributions are not known: {found.quality.get('contributions', 'a return is unknown')}."
        )
    words = f"The lines add up to {_signed(added)}"
    if math.isnan(net):
        words += "; the return of the whole is not known."
    elif abs(added - net) < ROUNDING:
        words += ", the return after costs."
    else:
        words += f" of a return of {_signed(net)}; {_signed(net - added)} is not explained."
    return words + (f" The {left_out} smallest are in the table only." if left_out else "")


def _contribution_table(found: Explanation, lines: Sequence[ContributionLine]) -> Table:
    has_own = found.grouping == "asset"
    own = [
        Column(name, "percent", signed=True)
        for name in ("Own return", "in its currency", "by exchange rates")
    ]
    rows: list[list[Any]] = [
        [
            line.name,
            _known(line.weight),
            *([_known(value) for value in (line.base, line.local, line.fx)] if has_own else []),
            _known(line.contribution, found.quality.get("contributions", "")),
        ]
        for line in lines
    ]
    if rows:
        returns = (found.returns["net"], found.currency["local"], found.currency["fx"])
        rows.append(
            [
                "Together",
                _known(sum(line.weight for line in lines)),
                *(map(_known, returns) if has_own else ()),
                _known(sum(line.contribution for line in lines), found.quality.get("contributions", "")),
            ]
        )
    return Table(
        "contributions",
        CONTRIBUTIONS,
        [
            Column(found.grouping.capitalize()),
            Column("Average weight", "percent", signed=True),
            *(own if has_own else ()),
            Column("Contribution", "percent", 3, signed=True),
        ],
        rows,
        empty="Nothing was held in this period.",
        note=(
            "With income, after fees and taxes of the line; contributions of single days are linked (Carino) "
            "so that they add up to the return of the period. An own return counts the days of holding."
        ),
    )


def _sectors(found: Explanation) -> Section:
    if found.attribution is None:
        reason = found.quality.get("attribution", "not known")
        return Table(
            "sectors", SECTORS, [Column("Sector")], [], empty=f"Not shown: {reason}. {STATE_WEIGHTS}"
        )
    return _sector_chart(found.attribution, found.quality.get("attribution", ""))


def _sector_chart(found: SectorAttribution, remark: str) -> Chart:
    effects = [effect for effect in found.effects if effect.portfolio_weight or effect.benchmark_weight]
    names = [effect.sector for effect in effects][::-1]
    return Chart(
        slug="sectors",
        title=SECTORS,
        summary=_sector_words(found, remark),
        traces=[
            {
                "type": "bar", "orientation": "h", "name": label, "marker": {"color": colour},
                "y": names, "x": [getattr(effect, name) for effect in effects][::-1],
                "hovertemplate": "%{x:+.3%}",
            }
            for name, (label, colour) in reversed(EFFECTS.items())
        ],
        layout={
            "barmode": "group",
            "hovermode": "y unified",
            "xaxis": {"tickformat": "+.1%"},
            "yaxis": {"type": "category", "showgrid": False},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
        },
        height=90 + 44 * max(2, len(effects)),
        wide=True,
        table=_sector_table(found, effects),
    )  # fmt: skip


def _sector_words(found: SectorAttribution, remark: str) -> str:
    parts = [
        f"{label.lower()} {_signed(sum(getattr(effect, name) for effect in found.effects))}"
        for name, (label, _) in EFFECTS.items()
    ]
    words = (
        f"{_signed(found.portfolio_return)} against {_signed(found.benchmark_return)} of {found.benchmark} "
        f"are {_signed(found.active_return)}: {', '.join(parts)}."
    )
    return f"{words} {remark.capitalize()}." if remark else words


def _sector_table(found: SectorAttribution, effects: Sequence[Any]) -> Table:
    names = ("portfolio_weight", "benchmark_weight", *EFFECTS)
    rows: list[list[Any]] = []
    for effect in effects:
        figures_of = [getattr(effect, name) for name in names]
        rows.append([effect.sector, *figures_of, sum(figures_of[2:])])
    if rows:
        rows.append(["Together", *(sum(row[place] for row in rows) for place in range(1, len(names) + 2))])
    return Table(
        "sectors",
        SECTORS,
        [
            Column("Sector"),
            Column("Portfolio weight", "percent", signed=True),
            Column(f"Weight in {found.benchmark}", "percent", signed=True),
            *(Column(label, "percent", 3, signed=True) for label, _ in EFFECTS.values()),
            Column("Active return", "percent", 3, signed=True),
        ],
        rows,
        note=(
            "Brinson and Fachler: allocation is the choice of the sectors, selection the choice inside them, "
            "interaction what both do together. Average weights; the effects of the days are linked (Carino)."
        ),
    )


def _unexplained(found: Explanation, last: dt.date) -> Sequence[Table]:
    """Every figure that is missing, and why; the attribution says so in its own place."""
    named = RETURNS | CURRENCIES | {"base": "Return", "contributions": "Contributions"}
    rows = [[label, found.quality[name]] for name, label in named.items() if name in found.quality]
    if found.closing < last:
        reason = f"The value is not known after {found.closing}: the period ends there."
        rows.append([f"Days to {last}", reason])
    return [Table("unexplained", UNEXPLAINED, [Column("Figure"), Column("Why")], rows)] if rows else []


def _known(value: float, reason: str = "") -> Any:
    return Unknown(reason or "not known") if math.isnan(value) else value


def _signed(fraction: float) -> str:
    return f"{figures.digits(fraction * 100, 2, signed=True)}%"


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
