"""One pair: its rolling correlations over time, and what each window says on the last day."""

from typing import Any

import numpy as np

from analytics.admin.pages import Content
from analytics.models import AssetCorrelation
from analytics.selectors.correlation_maps import ADJUSTED_WINDOW, WINDOWS, PairHistory, pair_history
from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Column, Table, Unknown
from portfolios.models import Asset

TEMPLATE = "admin/correlations/explorer.html"
DRAWN = {"20d": "--chart-8", "60d": "--chart-1", "1y": "--chart-2"}
DASHES = {"20d": "dot", "60d": "solid", "1y": "dash"}
NO_ROWS = "No correlation of this pair is stored: pairs are computed once both have prices on common days."


def pair_content(first: Asset, second: Asset) -> Content:
    found = pair_history(first, second)
    return Content([_chart(first, second, found), _windows(found.latest)], template=TEMPLATE)


def _chart(first: Asset, second: Asset, found: PairHistory) -> Chart:
    days = np.datetime_as_string(found.days).tolist()
    labels = {window: WINDOWS[window][1] for window in DRAWN}
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": labels[window], "x": days, "y": found.r[window],
            "line": {"color": colour, "width": 1 if window == "20d" else 2, "dash": DASHES[window]},
        }
        for window, colour in DRAWN.items()
    ]  # fmt: skip
    series = [found.r[window].tolist() for window in DRAWN]
    rows = [
        [day, *(None if np.isnan(value) else value for value in values)]
        for day, *values in zip(found.days.tolist(), *series, strict=True)
    ]
    return Chart(
        slug="rolling",
        title="Correlation over time",
        summary=_summary(first, second, found),
        traces=traces,
        layout={"yaxis": {"range": [-1.05, 1.05], "title": {"text": "correlation"}}},
        height=360,
        wide=True,
        table=Table(
            "rolling",
            "Correlation over time",
            [Column("Day", "date"), *(Column(label, "number", 3, signed=True) for label in labels.values())],
            rows[::-1],
            empty=NO_ROWS,
        ),
    )


def _summary(first: Asset, second: Asset, found: PairHistory) -> str:
    r = found.r["60d"]
    if not np.isfinite(r).any():
        return "The correlation over 60 days is not known on any day."
    low, high = int(np.nanargmin(r)), int(np.nanargmax(r))
    last = np.flatnonzero(np.isfinite(r))[-1]
    return (
        f"Over 60 days, the correlation of {first} and {second} was {r[last]:.2f} on {found.days[last]}; "
        f"lowest {r[low]:.2f} on {found.days[low]}, highest {r[high]:.2f} on {found.days[high]}."
    )


def _windows(latest: AssetCorrelation | None) -> Table:
    return Table(
        "windows",
        f"Every window on {latest.calculation_date}" if latest else "Every window",
        [
            Column("Window"),
            Column("Correlation", "number", 4, signed=True),
            Column("p-value", "number", 6),
            Column("Adjusted p-value", "number", 6),
            Column("Observations", "number", 0),
        ],
        [_window_row(latest, window) for window in WINDOWS] if latest else [],
        empty=NO_ROWS,
        note=_words(latest) if latest else "",
    )


def _window_row(latest: AssetCorrelation, window: str) -> list[Any]:
    field, label = WINDOWS[window]
    reason = latest.quality.get(field, "")
    adjusted = latest.q_value_1y if window == ADJUSTED_WINDOW else Unknown("adjusted for one year only")
    figures = (getattr(latest, field), getattr(latest, f"p_value_{window}"))
    return [
        label,
        *(Unknown(reason) if figure is None else figure for figure in figures),
        adjusted,
        getattr(latest, f"observations_{window}"),
    ]


def _words(latest: AssetCorrelation) -> str:
    if latest.is_significant is None:
        return "Whether one year's correlation is more than chance is not known."
    verdict = "is" if latest.is_significant else "is not"
    return (
        f"One year's correlation {verdict} significant after adjustment for all pairs of the run "
        "(Benjamini and Hochberg, 5 %)."
    )
