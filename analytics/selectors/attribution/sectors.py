"""Whether the sectors were well chosen, or what was chosen inside them (Brinson and Fachler 1985)."""

from dataclasses import dataclass

import numpy as np

from analytics.calculations.brinson import brinson_fachler
from analytics.calculations.component_returns import on_sub_periods
from analytics.calculations.group_sides import group_side
from analytics.selectors.attribution.benchmarks import SectorBenchmark
from analytics.selectors.attribution.contributions import window_contributions
from analytics.selectors.attribution.labels import CASH, line_labels
from analytics.selectors.attribution.window import AttributionError, Window


@dataclass(frozen=True)
class SectorEffect:
    """Weights: averages. Fractions."""

    sector: str
    portfolio_weight: float
    benchmark_weight: float
    allocation: float
    selection: float
    interaction: float


@dataclass(frozen=True)
class SectorAttribution:
    """The effects of all sectors add up to portfolio_return - benchmark_return."""

    benchmark: str
    portfolio_return: float
    benchmark_return: float
    effects: tuple[SectorEffect, ...]

    @property
    def active_return(self) -> float:
        return self.portfolio_return - self.benchmark_return


def sector_attribution(
    window: Window, benchmark: SectorBenchmark, quality: dict[str, str]
) -> SectorAttribution:
    """Raises AttributionError where the return of a sector is unknown, or everything was lost."""
    found = window_contributions(window)
    # Without capital there is nothing to allocate; below 0 all weights are unknown.
    at_work = ~(found.weights == 0).all(axis=0)
    if not at_work.all():
        quality["attribution"] = "sub-periods without capital are left out"
    sectors = [*line_labels(window.panel, "sector"), CASH]
    groups = [*sorted({*sectors, *benchmark.sectors} - {CASH}), CASH]
    weights, returns = (
        part[:, window.inside][:, at_work]
        for part in on_sub_periods(
            benchmark.weights, benchmark.returns, window.panel.days, window.periods.ends
        )
    )
    earned = np.where(weights == 0, 0.0, weights * returns)
    ours = group_side(groups, sectors, found.weights[:, at_work], found.lines[:, at_work])
    theirs = group_side(groups, benchmark.sectors, weights, earned)
    days = window.days[at_work]
    for side, figures in (("portfolio", ours.earned), ("benchmark", theirs.earned)):
        if np.isnan(figures).any():
            row, column = np.argwhere(np.isnan(figures))[0]
            raise AttributionError(f"return of {groups[row]} in the {side} unknown on {days[column]}")
    linked = brinson_fachler(
        groups,
        ours.weights,
        ours.returns,
        theirs.weights,
        theirs.returns,
        portfolio_contributions=ours.earned,
    ).linked()
    if np.isnan(linked.allocation).any():
        raise AttributionError("everything was lost: effects cannot be linked")
    columns = (
        ours.weights.mean(axis=1),
        theirs.weights.mean(axis=1),
        linked.allocation,
        linked.selection,
        linked.interaction,
    )
    return SectorAttribution(
        benchmark=benchmark.name,
        portfolio_return=linked.portfolio,
        benchmark_return=linked.benchmark,
        effects=tuple(
            SectorEffect(group, *(float(figure) for figure in figures))
            for group, *figures in zip(groups, *columns, strict=True)
        ),
    )
