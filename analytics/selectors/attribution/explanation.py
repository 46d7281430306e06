"""The whole explanation of some days: returns before and after costs, currencies, lines and sectors."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analytics.calculations.currency_returns import portfolio_returns
from analytics.calculations.return_measures import amounts_left_out
from analytics.calculations.twr import sum_segments
from analytics.selectors.attribution.benchmarks import SectorBenchmark, primary_components
from analytics.selectors.attribution.contributions import (
    ContributionLine,
    contribution_lines,
    window_position_returns,
)
from analytics.selectors.attribution.sectors import SectorAttribution, sector_attribution
from analytics.selectors.attribution.window import (
    AttributionError,
    Window,
    panel_sub_periods,
    window_of,
)
from analytics.selectors.portfolio_panels import PortfolioPanel
from portfolios.models import Portfolio


@dataclass(frozen=True)
class Explanation:
    """One portfolio from the evening of `opening` (None: from nothing) to that of `closing`.

    returns: price, gross, net_of_fees and net; currency: local, fx and base; the contributions add up to the
    net return. attribution: None where it is refused. quality: by figure, why it is missing or what to know.
    """

    portfolio: Portfolio
    opening: dt.date | None
    closing: dt.date
    grouping: str
    returns: dict[str, float]
    currency: dict[str, float]
    contributions: tuple[ContributionLine, ...]
    attribution: SectorAttribution | None
    quality: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """For programs: days as ISO dates, fractions as numbers, None for what is unknown."""
        attribution = self.attribution
        return {
            "portfolio": self.portfolio.code,
            "base_currency": self.portfolio.base_currency_id,
            "opening": self.opening.isoformat() if self.opening else None,
            "closing": self.closing.isoformat(),
            "returns": _known(self.returns),
            "currency": _known(self.currency),
            "grouping": self.grouping,
            "contributions": [_known(asdict(line)) for line in self.contributions],
            "attribution": attribution
            and {
                "benchmark": attribution.benchmark,
                "portfolio_return": attribution.portfolio_return,
                "benchmark_return": attribution.benchmark_return,
                "active_return": attribution.active_return,
                "effects": [asdict(effect) for effect in attribution.effects],
            },
            "quality": self.quality,
        }


def _known(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in figures.items()}


def performance_explanation(
    panel: PortfolioPanel,
    first: dt.date,
    last: dt.date,
    *,
    grouping: str = "asset",
    benchmark: SectorBenchmark | None = None,
) -> Explanation:
    """What happened from the morning of `first` to the evening of `last`, both days included.

    Effects are measured against `benchmark`, or else against the components of the primary benchmark. Raises
    AttributionError for days without history.
    """
    window = window_of(panel, first, last)
    quality: dict[str, str] = {}
    returns = _period_returns(window, quality)
    currency = _currency_returns(window, quality)
    lines, unlinked = contribution_lines(window, grouping)
    _note(quality, "contributions", unlinked)
    found = None
    try:
        found = sector_attribution(window, benchmark or primary_components(panel), quality)
    except AttributionError as refusal:
        quality["attribution"] = str(refusal)
    return Explanation(
        portfolio=panel.portfolio,
        opening=window.opening,
        closing=window.closing,
        grouping=grouping,
        returns=returns,
        currency=currency,
        contributions=lines,
        attribution=found,
        quality=quality,
    )


def _period_returns(window: Window, quality: dict[str, str]) -> dict[str, float]:
    valuation = window.panel.valuation
    left_out = amounts_left_out(
        income=valuation.income,
        fees=valuation.fees,
        taxes=valuation.taxes,
        trading_costs=valuation.trading_costs,
    )
    returns = {}
    for name, amounts in left_out.items():
        measured = panel_sub_periods(window.panel, amounts).returns
        returns[name] = _compound(measured[window.inside])
        _note(quality, name, window.unknown(measured))
    return returns


def _currency_returns(window: Window, quality: dict[str, str]) -> dict[str, float]:
    valuation, periods = window.panel.valuation, window.periods
    positions = window_position_returns(window)
    profit = periods.returns * periods.capital
    # On a day of unknown cash the gain is in that of the next known one.
    on_cash = np.where(np.isnan(valuation.cash_value), 0.0, valuation.fx_on_cash)
    whole = portfolio_returns(
        positions,
        capital=periods.capital,
        cash_result=profit - positions.result.sum(axis=0),
        fx_on_cash=sum_segments(on_cash, periods.ends),
    )
    returns = {}
    for name in ("local", "fx", "base"):
        figures = getattr(whole, name)
        returns[name] = _compound(figures[window.inside])
        _note(quality, name, window.unknown(figures))
    return returns


def _compound(returns: np.ndarray) -> float:
    return float(np.prod(1 + returns) - 1)


def _note(quality: dict[str, str], name: str, reason: str) -> None:
    if reason:
        quality[name] = reason
