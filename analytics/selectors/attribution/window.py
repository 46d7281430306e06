"""The days that are asked for: a panel, its sub-periods, and why a figure of one of them is unknown."""

import datetime as dt
from dataclasses import dataclass
from typing import cast

import numpy as np

from analytics.calculations.performance import BENCHMARK_GAP_DAYS
from analytics.calculations.twr import NO_CAPITAL, FlowTiming, SubPeriods, sub_periods
from analytics.selectors.portfolio_panels import PanelFault, PortfolioPanel, portfolio_panels
from portfolios.models import Portfolio

HOLIDAYS = np.timedelta64(BENCHMARK_GAP_DAYS, "D")
# What a missing return may be due to, among the reasons of a valuation.
_CAUSES = ("inflow", "outflow", "income", "fees", "taxes", "trading_costs", "net_purchases")


class AttributionError(Exception):
    """The question cannot be answered as it is asked, and why."""


@dataclass(frozen=True)
class Window:
    """The sub-periods of a panel, and those of them that are asked for."""

    panel: PortfolioPanel
    periods: SubPeriods
    inside: slice

    @property
    def days(self) -> np.ndarray:
        """The last day of each sub-period inside."""
        return self.panel.valuation.timeline[self.periods.ends[self.inside]]

    @property
    def opening(self) -> dt.date | None:
        """The evening whose value the first sub-period begins with."""
        return self._day(self.inside.start - 1) if self.inside.start else None

    @property
    def closing(self) -> dt.date:
        return self._day(self.inside.stop - 1)

    def _day(self, place: int) -> dt.date:
        return cast(dt.date, self.panel.valuation.timeline[self.periods.ends[place]].item())

    def unknown(self, figures: np.ndarray) -> str:
        """When the first of the figures (K,) inside is unknown, and what the books say of it; or nothing."""
        places = np.flatnonzero(np.isnan(figures[self.inside]))
        if not len(places):
            return ""
        place = self.inside.start + int(places[0])
        begin = self.periods.ends[place - 1] + 1 if place else 0
        days = self.panel.valuation.reasons[begin : self.periods.ends[place] + 1]
        said = [reasons[name] for reasons in days for name in _CAUSES if name in reasons]
        if self.periods.capital[place] <= -NO_CAPITAL:
            said = ["negative capital"]
        return ": ".join(
            [f"unknown on {self._day(place)}", *(["; ".join(dict.fromkeys(said))] if said else [])]
        )


def panel_through(portfolio: Portfolio, last: dt.date) -> PortfolioPanel:
    """The panel of one portfolio up to a day. Raises AttributionError where there is none."""
    for panel in portfolio_panels([portfolio], last):
        if isinstance(panel, PanelFault):
            raise AttributionError(f"{portfolio.code}: {panel.reason}")
        return panel
    raise AttributionError(f"{portfolio.code} has no settled transactions up to {last}")


def window_of(panel: PortfolioPanel, first: dt.date, last: dt.date) -> Window:
    """From the morning of `first` to the evening of `last`. Raises AttributionError without history."""
    code, dates = panel.portfolio.code, panel.valuation.timeline
    if last < first:
        raise AttributionError(f"{last} is before {first}")
    begin, end = dates[0].item(), dates[-1].item()
    if first < begin:
        raise AttributionError(f"{code} has no history on {first}: it begins on {begin}")
    if last > end + HOLIDAYS.item():
        raise AttributionError(f"{code} has no history on {last}: it ends on {end}")
    periods = panel_sub_periods(panel)
    days = dates[periods.ends]
    start = int(np.searchsorted(days, np.datetime64(first)))
    stop = int(np.searchsorted(days, np.datetime64(last), side="right"))
    if start == stop:
        raise AttributionError(f"{code} has no known value from {first} to {last}")
    return Window(panel, periods, slice(start, stop))


def panel_sub_periods(panel: PortfolioPanel, added_back: np.ndarray | None = None) -> SubPeriods:
    valuation, portfolio = panel.valuation, panel.portfolio
    return sub_periods(
        valuation.total_value,
        valuation.inflow,
        valuation.outflow,
        inflow_timing=cast(FlowTiming, portfolio.inflow_timing),
        outflow_timing=cast(FlowTiming, portfolio.outflow_timing),
        added_back=added_back,
    )
