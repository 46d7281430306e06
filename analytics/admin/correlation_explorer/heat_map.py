"""The map: assets that move together stand side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from django.urls import reverse

from analytics.admin.correlation_explorer.forms import asset_text
from analytics.admin.pages import Content
from analytics.selectors.correlation_maps import (
    ADJUSTED_WINDOW,
    MOST_ASSETS,
    WINDOWS,
    CorrelationMap,
    assets_of,
    assets_with_most_data,
    correlation_map,
    latest_day,
)
from portfolio_site.kernel.charts import Chart, Trace
from portfolio_site.kernel.tables import Column, Link, Table
from portfolios.models import Asset

TEMPLATE = "admin/correlations/explorer.html"
# Above so many the figures in the cells would touch each other.
MOST_WITH_TEXT = 16


def map_content(asked: Mapping[str, Any]) -> Content:
    portfolio, window = asked["portfolio"], asked["window"]
    assets = assets_of(portfolio) if portfolio else assets_with_most_data(latest_day())
    found = correlation_map(assets, window)
    whose = f"of {portfolio.code}" if portfolio else "with the longest histories"
    return Content([_chart(found, window, whose, is_grey=asked["significant"])], template=TEMPLATE)


def _chart(found: CorrelationMap, window: str, whose: str, *, is_grey: bool) -> Chart:
    names = [asset.symbol for asset in found.assets]
    shown = found.is_significant | np.eye(len(names), dtype=bool)
    traces = [_cells(names, found, shown if is_grey else np.ones(shown.shape, dtype=bool))]
    if is_grey:
        traces.insert(0, _grey(names, found, ~shown))
    return Chart(
        slug="correlations",
        title=f"Correlations of the {len(names)} assets {whose}, {WINDOWS[window][1]}",
        summary=_summary(found, window, is_grey=is_grey),
        traces=traces,
        layout={
            "hovermode": "closest",
            "xaxis": {"type": "category", "showgrid": False, "side": "top", "tickangle": -45},
            "yaxis": {"type": "category", "showgrid": False, "autorange": "reversed"},
        },
        height=min(120 + 34 * max(4, len(names)), 900),
        wide=True,
        table=_table(found, window),
    )


def _cells(names: list[str], found: CorrelationMap, shown: np.ndarray) -> Trace:
    return {
        "type": "heatmap", "x": names, "y": names, "z": np.where(shown, found.r, np.nan),
        "zmin": -1, "zmax": 1, "xgap": 1, "ygap": 1, "hoverongaps": False,
        "colorscale": [[0, "--heat-low"], [0.5, "--heat-middle"], [1, "--heat-high"]],
        "colorbar": {"thickness": 10, "title": {"text": "r"}, "tickvals": [-1, -0.5, 0, 0.5, 1]},
        "hovertemplate": "%{y} and %{x}: %{z:.2f}<extra></extra>",
        **_texts(np.where(shown & np.isfinite(found.r), np.char.mod("%.2f", found.r), "")),
    }  # fmt: skip


def _grey(names: list[str], found: CorrelationMap, hidden: np.ndarray) -> Trace:
    """What may be chance: grey, and in brackets."""
    known = hidden & np.isfinite(found.r)
    return {
        "type": "heatmap", "x": names, "y": names, "z": np.where(known, 0.0, np.nan),
        "xgap": 1, "ygap": 1, "showscale": False, "hoverongaps": False,
        "colorscale": [[0, "--hairline-color"], [1, "--hairline-color"]],
        "customdata": found.r,
        "hovertemplate": "%{y} and %{x}: %{customdata:.2f}, not significant<extra></extra>",
        **_texts(np.where(known, np.char.mod("(%.2f)", found.r), "")),
    }  # fmt: skip


def _texts(texts: np.ndarray) -> Trace:
    if len(texts) > MOST_WITH_TEXT:
        return {}
    return {"text": texts, "texttemplate": "%{text}"}


def _summary(found: CorrelationMap, window: str, *, is_grey: bool) -> str:
    pairs = np.triu_indices(len(found.assets), 1)
    r, known = found.r[pairs], np.isfinite(found.r[pairs])
    if not known.any():
        return "No correlations are stored for these assets."
    high, low = int(np.nanargmax(r)), int(np.nanargmin(r))

    def name(place: int) -> str:
        return f"{found.assets[pairs[0][place]]} and {found.assets[pairs[1][place]]} ({r[place]:.2f})"

    significant = int(found.is_significant[pairs].sum())
    scope = "all pairs of the run" if window == ADJUSTED_WINDOW else "the pairs shown"
    return (
        f"On {found.day}, of {int(known.sum())} pairs {name(high)} moved most alike and {name(low)} least; "
        f"on average {np.nanmean(r):.2f}. {significant} differ from zero by more than chance (q below 5 %, "
        f"adjusted for {scope})" + ("; the others are grey." if is_grey else ".")
    )


def _table(found: CorrelationMap, window: str) -> Table:
    pairs = zip(*(places.tolist() for places in np.triu_indices(len(found.assets), 1)), strict=True)
    rows = [_row(found, one, other) for one, other in pairs if np.isfinite(found.r[one, other])]
    return Table(
        "correlations",
        "Correlations of pairs",
        [
            Column("Pair"),
            Column("Correlation", "number", 3, signed=True),
            Column("p-value", "number", 4),
            Column("Adjusted p-value", "number", 4),
            Column("Observations", "number", 0),
            Column("Significant"),
        ],
        sorted(rows, key=lambda row: -abs(row[1])),
        empty=(
            f"No correlations over {WINDOWS[window][1]} are stored for these assets: "
            "run analytics, or choose another window or portfolio."
        ),
        note=f"The strongest first; at most {MOST_ASSETS} assets where no portfolio is chosen.",
    )


def _row(found: CorrelationMap, one: int, other: int) -> list[Any]:
    first, second = found.assets[one], found.assets[other]
    figures = [float(matrix[one, other]) for matrix in (found.r, found.p, found.q, found.observations)]
    return [
        Link(f"{first} and {second}", pair_url(first, second)),
        *(None if np.isnan(figure) else figure for figure in figures),
        "yes" if found.is_significant[one, other] else "no",
    ]


def pair_url(first: Asset, second: Asset) -> str:
    names = {"first": asset_text(first), "second": asset_text(second)}
    return reverse("admin:correlation_explorer", query=names)
