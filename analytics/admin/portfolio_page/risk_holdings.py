"""Where the risk of a portfolio comes from: its positions, and how they move together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analytics.admin.figures import known_or_why
from analytics.models import (
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    VarMethod,
)
from analytics.selectors.attribution.labels import asset_labels
from analytics.selectors.correlation_maps import WINDOWS, CorrelationMap, correlation_map
from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Column, Table, Unknown

Pair = tuple[int, int]
# As many as can be read: the bars of a chart, the lines of a heat map, and those whose cells carry figures.
MOST_BARS, MOST_LINES, MOST_FIGURES = 30, 60, 16
# What a sum of many parts leaves.
ROUNDING = 1e-9
NO_POSITIONS = "No contributions are stored for this day: run analytics for this portfolio."
DIVERSIFICATION = (
    ("Effective assets", "effective_assets", "", "equal positions with the same concentration"),
    ("Effective bets", "effective_bets", "", "independent bets of equal size that diversify as much"),
    ("Concentration (HHI)", "concentration_hhi", "", "sum of the squared weights; 1 is a single position"),
    ("Largest weight", "largest_weight_percentage", "%", "of what is invested"),
    ("Diversification ratio", "diversification_ratio", "", "risk of the parts to that of the whole"),
    ("Average correlation", "average_correlation", "", "of all pairs of positions, over up to three years"),
    ("Highest correlation", "max_correlation", "", "of a pair of positions, over up to three years"),
)


def share_chart(
    contributions: Sequence[PortfolioRiskContribution], tests: Sequence[PortfolioVarBacktest]
) -> Chart:
    """The parts add up to the value at risk at 95 % of the positions held today."""
    labels = asset_labels([line.asset for line in contributions])
    bars = list(zip(labels, contributions, strict=True))[:MOST_BARS][::-1]
    names = [label for label, _ in bars]
    return Chart(
        slug="contributions",
        title="What each position adds to the value at risk",
        summary=_share_words(labels, contributions, tests),
        traces=[
            {
                "type": "bar", "orientation": "h", "name": name, "y": names, "x": values,
                "marker": {"color": colour}, "hovertemplate": "%{x:.1f} %",
            }
            for name, colour, values in (
                ("Weight", "--chart-8", [_times_100(line.weight) for _, line in bars]),
                ("Share of the risk", "--chart-1", [line.component_var_percentage for _, line in bars]),
            )
        ],
        layout={
            "barmode": "group",
            "hovermode": "y unified",
            "xaxis": {"ticksuffix": " %"},
            "yaxis": {"type": "category", "showgrid": False},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
        },
        height=90 + 28 * max(3, len(bars)),
        table=_share_table(labels, contributions),
    )  # fmt: skip


def _share_table(labels: Sequence[str], contributions: Sequence[PortfolioRiskContribution]) -> Table:
    rows: list[list[Any]] = [
        [
            label,
            *(
                known_or_why(line, name)
                for name in (
                    "weight",
                    "volatility",
                    "marginal_var",
                    "component_var",
                    "component_var_percentage",
                )
            ),
        ]
        for label, line in zip(labels, contributions, strict=True)
    ]
    if rows:
        whole = [_sum(contributions, name) for name in ("component_var", "component_var_percentage")]
        rows.append(["Together", _sum(contributions, "weight"), NOT_ADDED, NOT_ADDED, *whole])
    notes = sorted({note for line in contributions for note in line.quality.values()})
    return Table(
        "contributions",
        "What each position adds to the value at risk",
        [
            Column("Position"),
            Column("Weight", "percent", signed=True),
            Column("Volatility", "percent"),
            Column("Marginal VaR", "percent", 3, signed=True),
            Column("Component VaR", "percent", 3, signed=True),
            Column("Share of the VaR", "number", 1, "%", signed=True),
        ],
        rows,
        empty=NO_POSITIONS,
        note=(
            "Marginal: the VaR per unit of weight. A component below zero lowers the risk of the whole. What "
            f"is missing to 100% of weight is cash. {'; '.join(notes)}"
        ),
    )


NOT_ADDED = Unknown("this does not add up over positions")


def _share_words(
    labels: Sequence[str],
    contributions: Sequence[PortfolioRiskContribution],
    tests: Sequence[PortfolioVarBacktest],
) -> str:
    whole = _sum(contributions, "component_var")
    first = contributions[0] if contributions else None
    if first is None or first.component_var_percentage is None or isinstance(whole, Unknown):
        return "What the positions add to the risk is not known."
    method = VarMethod(first.method)
    words = f"Together {whole:.3%}"
    stated = next((test.var for test in tests if test.method == method and test.level == 0.95), None)
    if stated is not None:
        is_same = abs(stated - whole) < ROUNDING
        relation = "which is" if is_same else f"against {stated:.3%},"
        words += f", {relation} the VaR of the whole at 95% by the {method.label.lower()} method"
    largest = f"{labels[0]} adds the most, {first.component_var_percentage:.1f}%"
    left_out = len(contributions) - MOST_BARS
    more = f" The {left_out} smallest are in the table only." if left_out > 0 else ""
    weight = "" if first.weight is None else f" with {first.weight:.1%} of the weight"
    return f"{words}; {largest}{weight}.{more}"


def diversification_table(row: PortfolioRiskMetrics) -> Table:
    return Table(
        "diversification",
        "Diversification",
        [Column("Figure"), Column("Value", "number", 3), Column("Unit"), Column("What it is")],
        [[label, known_or_why(row, name), unit, meaning] for label, name, unit, meaning in DIVERSIFICATION],
        wide=False,
    )


def correlation_chart(contributions: Sequence[PortfolioRiskContribution], window: str) -> Chart:
    """Of the positions with the largest weights; pairs that may be chance are grey and in brackets."""
    by_weight = sorted(contributions, key=lambda line: (-abs(line.weight or 0), line.asset.symbol))
    found = correlation_map([line.asset for line in by_weight[:MOST_LINES]], window)
    labels, pairs = asset_labels(found.assets), _pairs(found)
    title = f"Correlations of the positions over {WINDOWS[window][1]}"
    left_out = max(0, len(contributions) - MOST_LINES)
    return Chart(
        slug="correlations",
        title=title,
        summary=_correlation_words(found, labels, pairs, left_out),
        traces=_heat_map(found, labels),
        layout={
            "hovermode": "closest",
            "xaxis": {"type": "category", "side": "top", "showgrid": False, "tickangle": -90},
            "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
        },
        height=110 + 34 * max(3, min(len(labels), 20)),
        wide=True,
        table=_pair_table(found, labels, pairs, window, title),
    )


def _pairs(found: CorrelationMap) -> list[Pair]:
    """Places of the known pairs, the strongest first."""
    rows, columns = np.triu_indices(len(found.assets), k=1)
    known = ~np.isnan(found.r[rows, columns])
    rows, columns = rows[known], columns[known]
    order = np.argsort(-np.abs(found.r[rows, columns]), kind="stable")
    return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))


def _heat_map(found: CorrelationMap, labels: Sequence[str]) -> list[dict[str, Any]]:
    r, clear = found.r, found.is_significant
    apart = ~np.eye(len(labels), dtype=bool)
    doubtful = apart & ~clear & ~np.isnan(r)
    has_figures = len(labels) <= MOST_FIGURES
    grid: dict[str, Any] = {
        "type": "heatmap", "x": labels, "y": labels, "xgap": 2, "ygap": 2,
        **({"texttemplate": "%{text}"} if has_figures else {}),
    }  # fmt: skip
    return [
        {
            **grid, "z": np.where(apart & clear, r, np.nan), "zmin": -1, "zmax": 1,
            "text": np.where(apart & clear, np.char.mod("%+.2f", np.nan_to_num(r)), ""),
            "colorscale": [[0, "--heat-low"], [0.5, "--heat-middle"], [1, "--heat-high"]],
            "colorbar": {"thickness": 10, "outlinewidth": 0, "tickformat": "+.1f"},
            "hovertemplate": "%{y} and %{x}: %{z:+.2f}<extra></extra>", "hoverongaps": False,
        },
        {
            **grid, "z": np.where(doubtful, 0.0, np.nan), "customdata": r,
            "text": np.where(doubtful, np.char.mod("(%+.2f)", np.nan_to_num(r)), ""),
            "colorscale": [[0, "--hairline-color"], [1, "--hairline-color"]], "showscale": False,
            "hovertemplate": "%{y} and %{x}: %{customdata:+.2f}, may be chance<extra></extra>",
            "hoverongaps": False,
        },
    ]  # fmt: skip


def _correlation_words(
    found: CorrelationMap, labels: Sequence[str], pairs: Sequence[Pair], left_out: int
) -> str:
    if not pairs:
        return "No correlation of these positions is known over this window."
    clear = sum(bool(found.is_significant[pair]) for pair in pairs)
    row, column = pairs[0]
    words = (
        f"As of {found.day}, {clear} of {len(pairs)} pairs are significant; the others, grey and in "
        f"brackets, may be chance. The closest are {labels[row]} and {labels[column]} with "
        f"{found.r[row, column]:+.2f}."
    )
    more = f" The {left_out} positions of the smallest weights are left out." if left_out else ""
    return words + more


def _pair_table(
    found: CorrelationMap, labels: Sequence[str], pairs: Sequence[Pair], window: str, title: str
) -> Table:
    return Table(
        "correlations",
        title,
        [
            Column("Pair"),
            Column("Correlation", "number", signed=True),
            Column("Adjusted p", "number", 4),
            Column("Common returns", "number", 0),
            Column("Significant"),
        ],
        [
            [
                f"{labels[row]} and {labels[column]}",
                found.r[row, column].item(),
                _unless_nan(found.q[row, column], "no test is stored"),
                _unless_nan(found.observations[row, column], "not stored"),
                "yes" if found.is_significant[row, column] else "no",
            ]
            for row, column in pairs
        ],
        empty=(
            f"No correlation over {WINDOWS[window][1]} is stored for two of the positions: choose another "
            "window, or run analytics."
        ),
        note=(
            "Significant: an adjusted p below 0.05. It is adjusted for the number of pairs (Benjamini and "
            "Hochberg), over all pairs of the run for 1 year and over these pairs for the other windows."
        ),
    )


def _sum(contributions: Sequence[PortfolioRiskContribution], name: str) -> Any:
    values = [getattr(line, name) for line in contributions]
    if not values or None in values:
        return Unknown("one of the parts is not known")
    return sum(values)


def _times_100(value: float | None) -> float | None:
    return None if value is None else value * 100


def _unless_nan(value: float, reason: str) -> Any:
    return Unknown(reason) if np.isnan(value) else float(value)
