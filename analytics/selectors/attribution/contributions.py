"""What each line added to the return of a window, and the returns of the lines themselves."""

from dataclasses import dataclass

import numpy as np

from analytics.calculations.contribution import Contributions, contributions, grouped
from analytics.calculations.currency_returns import PositionReturns, position_returns
from analytics.selectors.attribution.labels import CASH, line_labels
from analytics.selectors.attribution.window import Window


@dataclass(frozen=True)
class ContributionLine:
    """weight: the average share of the capital. Fractions; NaN = unknown.

    local, fx, base: the line's own returns over the days it was held, of single assets only.
    """

    name: str
    weight: float
    contribution: float
    local: float = np.nan
    fx: float = np.nan
    base: float = np.nan


def contribution_lines(window: Window, grouping: str) -> tuple[tuple[ContributionLine, ...], str]:
    """The lines by what they added, cash last, and why they cannot be linked; or nothing."""
    found = window_contributions(window)
    linked = found.linked()
    labels = line_labels(window.panel, grouping)
    names, amounts = grouped(linked[:-1], labels)
    _, weights = grouped(found.weights[:-1].mean(axis=1), labels)
    own = _own_line_returns(window) if grouping == "asset" else {}
    lines = [
        ContributionLine(name, float(weight), float(amount), *own.get(name, ()))
        for name, weight, amount in zip(names, weights, amounts, strict=True)
    ]
    lines.sort(key=lambda line: (-line.contribution if np.isfinite(line.contribution) else 0.0, line.name))
    lines.append(ContributionLine(CASH, float(found.weights[-1].mean()), float(linked[-1])))
    return tuple(lines), _why_not_linked(window, found) if np.isnan(linked).any() else ""


def window_contributions(window: Window) -> Contributions:
    """Of the sub-periods inside."""
    valuation, inside = window.panel.valuation, window.inside
    found = contributions(
        window.periods,
        valuation.positions,
        valuation.net_purchases,
        valuation.asset_income,
        valuation.asset_costs,
    )
    return Contributions(found.lines[:, inside], found.weights[:, inside], found.returns[inside])


def window_position_returns(window: Window) -> PositionReturns:
    """Of all sub-periods."""
    valuation = window.panel.valuation
    return position_returns(
        window.periods,
        valuation.positions,
        valuation.fx,
        valuation.net_purchases,
        valuation.asset_income,
        valuation.asset_costs,
    )


def _own_line_returns(window: Window) -> dict[str, tuple[float, float, float]]:
    """Local, currency and base return of each asset over the period, by its name."""
    linked = window_position_returns(window).within(window.inside).linked()
    figures = zip(linked.local.tolist(), linked.fx.tolist(), linked.base.tolist(), strict=True)
    return dict(zip(line_labels(window.panel, "asset"), figures, strict=True))


def _why_not_linked(window: Window, found: Contributions) -> str:
    if (found.returns <= -1).any():
        return "everything was lost: contributions cannot be linked"
    columns = np.full((len(found.lines), len(window.periods.ends)), 0.0)
    columns[:, window.inside] = found.lines
    return window.unknown(columns.sum(axis=0))
