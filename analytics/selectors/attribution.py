"""Where the return of a portfolio came from: its lines, its currencies, its choices against a benchmark."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, cast

import numpy as np
from django.conf import settings

from analytics.calculations.brinson import brinson_fachler
from analytics.calculations.contribution import Contributions, contributions, grouped
from analytics.calculations.currency_returns import PositionReturns, portfolio_returns, position_returns
from analytics.calculations.performance import BENCHMARK_GAP_DAYS
from analytics.calculations.return_measures import amounts_left_out
from analytics.calculations.returns import ONE_DAY, simple_returns
from analytics.calculations.twr import (
    NO_CAPITAL,
    FlowTiming,
    SubPeriods,
    link_returns,
    sub_periods,
    sum_segments,
)
from analytics.selectors.blends import carried_levels
from analytics.selectors.portfolio_panels import PanelFault, PortfolioPanel, portfolio_panels
from portfolios.calculations.carrying import carry_forward as carry_with_age
from portfolios.imports.report import Reject
from portfolios.models import Asset, Portfolio
from portfolios.selectors.market_data import bars_of, exchange_rates_to

GROUPINGS = ("asset", "sector", "currency")
CASH = "Cash"
NO_SECTOR = "No sector"
WHOLE = Decimal(100)
HOLIDAYS = np.timedelta64(BENCHMARK_GAP_DAYS, "D")
# Less of the capital than this is what float arithmetic leaves of none.
NO_WEIGHT = 1e-9
# What a missing return may be due to, among the reasons of a valuation.
_CAUSES = ("inflow", "outflow", "income", "fees", "taxes", "trading_costs", "net_purchases")


class AttributionError(Exception):
    """The question cannot be answered as it is asked, and why."""


@dataclass(frozen=True)
class StatedWeight:
    """A line of a benchmark that somebody states: so many percent of a sector, measured by an asset.

    Cash without a symbol earns the portfolio's risk-free rate. line: where it stands in its file.
    """

    sector: str
    weight: Decimal
    symbol: str = ""
    line: int = 0


@dataclass(frozen=True)
class SectorBenchmark:
    """C components on the calendar of a panel, (C, M): the sector of each, its weight at the start of each
    day and its return in base currency since the last day on which it traded, 0 where it did not; fractions,
    NaN = unknown.
    """

    name: str
    sectors: tuple[str, ...]
    weights: np.ndarray
    returns: np.ndarray


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


def panel_through(portfolio: Portfolio, last: dt.date) -> PortfolioPanel:
    """The panel of one portfolio up to a day. Raises AttributionError where there is none."""
    for panel in portfolio_panels([portfolio], last):
        if isinstance(panel, PanelFault):
            raise AttributionError(f"{portfolio.code}: {panel.reason}")
        return panel
    raise AttributionError(f"{portfolio.code} has no settled transactions up to {last}")


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
    window = _window(panel, first, last)
    quality: dict[str, str] = {}
    returns = _period_returns(window, quality)
    currency = _currency_returns(window, quality)
    lines = _contribution_lines(window, grouping, quality)
    found = None
    try:
        found = _sector_attribution(window, benchmark or primary_components(panel), quality)
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


def primary_components(panel: PortfolioPanel) -> SectorBenchmark:
    """The components of the primary benchmark. Raises AttributionError where none are known."""
    if panel.primary_benchmark is None:
        raise AttributionError("no primary benchmark and no stated weights")
    symbol, parts = panel.assets[panel.primary_benchmark].symbol, panel.primary_parts
    if parts is None:
        raise AttributionError(f"{symbol}: {panel.benchmarks[panel.primary_benchmark]}")
    if len(parts.weights) == 1:
        raise AttributionError(f"{symbol} is an index without known constituents: state weights by sector")
    components = [panel.assets[asset_id] for asset_id in parts.weights]
    if not any(component.sector for component in components):
        raise AttributionError(f"the components of {symbol} have no sectors")
    weights, returns = (np.stack(list(part.values())) for part in (parts.weights, parts.component_returns))
    if np.isnan(weights).all():
        raise AttributionError(f"{symbol}: {parts.note or 'no returns'}")
    return SectorBenchmark(
        name=symbol,
        sectors=tuple(_sector(component) for component in components),
        weights=_next_known(weights),
        returns=_without_holidays(panel.dates, returns),
    )


def stated_benchmark(panel: PortfolioPanel, stated: Sequence[StatedWeight]) -> SectorBenchmark:
    """A benchmark of stated sector weights, which hold at the start of every day.

    Raises AttributionError for weights that are negative or do not make 100, and for a symbol that names no
    asset, or several, or one without prices or rates.
    """
    for row in stated:
        if row.weight < 0:
            raise _fault(row, "weight", str(row.weight), "must not be negative")
        if not row.symbol and row.sector != CASH:
            raise _fault(row, "symbol", "", f"only {CASH} goes without a symbol")
    total = sum((row.weight for row in stated), Decimal(0))
    if total != WHOLE:
        raise AttributionError(f"the weights make {total.normalize():f}, not 100")
    assets = _assets_of(stated)
    returns = _own_returns(panel, list(assets.values()))
    return SectorBenchmark(
        name="stated weights",
        sectors=tuple(row.sector for row in stated),
        weights=np.outer([float(row.weight / WHOLE) for row in stated], np.ones(len(panel.dates))),
        returns=np.stack(
            [returns[assets[row.symbol].pk] if row.symbol else panel.series.risk_free for row in stated]
        ),
    )


def _next_known(weights: np.ndarray) -> np.ndarray:
    """Weights of the next day that has any, or of the last one, (C, M)."""
    known = np.flatnonzero(~np.isnan(weights).any(axis=0))
    return weights[:, known[np.minimum(np.searchsorted(known, np.arange(weights.shape[1])), len(known) - 1)]]


def _without_holidays(dates: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """(C, M): 0 instead of NaN where the last return, or the first day, is no further back than holidays are.

    A return is always that since the last one, so that nothing is lost in between.
    """
    known = ~np.isnan(returns)
    last = np.maximum.accumulate(np.where(known, np.arange(len(dates)), 0), axis=1)
    return np.where(~known & (dates - dates[last] <= HOLIDAYS), 0.0, returns)


def _fault(row: StatedWeight, column: str, value: str, reason: str) -> AttributionError:
    return AttributionError(str(Reject(row.line, column, value, reason)))


def _assets_of(stated: Iterable[StatedWeight]) -> dict[str, Asset]:
    rows = {row.symbol: row for row in stated if row.symbol}
    found: dict[str, list[Asset]] = {symbol: [] for symbol in rows}
    for asset in Asset.objects.filter(symbol__in=rows):
        found[asset.symbol].append(asset)
    for symbol, assets in found.items():
        if len(assets) != 1:
            reason = "several exchanges list this symbol" if assets else "no asset has this symbol"
            raise _fault(rows[symbol], "symbol", symbol, reason)
    return {symbol: assets[0] for symbol, assets in found.items()}


def _own_returns(panel: PortfolioPanel, assets: Sequence[Asset]) -> dict[int, np.ndarray]:
    """Returns in base currency by asset id, (M,), 0 on days without a bar of their own.

    NaN where the last bar, or the first one to come, is further away than holidays are.
    """
    base = panel.portfolio.base_currency_id
    through = panel.dates[-1].item()
    bars = bars_of((asset.pk for asset in assets), through)
    rates = exchange_rates_to(base, {asset.currency_id for asset in assets}, through)
    evenings = np.concatenate([panel.dates[:1] - ONE_DAY, panel.dates])
    returns = {}
    for asset in assets:
        if asset.pk not in bars:
            raise AttributionError(f"{asset.symbol} has no prices up to {through}")
        own = bars[asset.pk]
        fx = np.ones(len(own.dates))
        if asset.currency_id != base:
            if asset.currency_id not in rates:
                raise AttributionError(
                    f"no rate from {asset.currency_id} to {base}, which {asset.symbol} needs"
                )
            carried = carry_with_age(own.dates, *rates[asset.currency_id])
            fx = np.where(carried.age <= settings.FX_MAX_CARRY_DAYS, carried.values, np.nan)
        moves = simple_returns(carried_levels(evenings, own.dates, own.close * fx))[1:]
        bars_so_far = np.searchsorted(own.dates, evenings, side="right")
        has_moved = (np.diff(bars_so_far) > 0) & (bars_so_far[:-1] > 0)
        nearest = own.dates[np.maximum(bars_so_far[1:] - 1, 0)]
        is_holiday = np.abs(panel.dates - nearest) <= HOLIDAYS
        returns[asset.pk] = np.where(has_moved, moves, np.where(is_holiday, 0.0, np.nan))
    return returns


@dataclass(frozen=True)
class _Window:
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


def _window(panel: PortfolioPanel, first: dt.date, last: dt.date) -> _Window:
    code, dates = panel.portfolio.code, panel.valuation.timeline
    if last < first:
        raise AttributionError(f"{last} is before {first}")
    begin, end = dates[0].item(), dates[-1].item()
    if first < begin:
        raise AttributionError(f"{code} has no history on {first}: it begins on {begin}")
    if last > end + HOLIDAYS.item():
        raise AttributionError(f"{code} has no history on {last}: it ends on {end}")
    periods = _sub_periods(panel)
    days = dates[periods.ends]
    start = int(np.searchsorted(days, np.datetime64(first)))
    stop = int(np.searchsorted(days, np.datetime64(last), side="right"))
    if start == stop:
        raise AttributionError(f"{code} has no known value from {first} to {last}")
    return _Window(panel, periods, slice(start, stop))


def _sub_periods(panel: PortfolioPanel, added_back: np.ndarray | None = None) -> SubPeriods:
    valuation, portfolio = panel.valuation, panel.portfolio
    return sub_periods(
        valuation.total_value,
        valuation.inflow,
        valuation.outflow,
        inflow_timing=cast(FlowTiming, portfolio.inflow_timing),
        outflow_timing=cast(FlowTiming, portfolio.outflow_timing),
        added_back=added_back,
    )


def _period_returns(window: _Window, quality: dict[str, str]) -> dict[str, float]:
    valuation = window.panel.valuation
    left_out = amounts_left_out(
        income=valuation.income,
        fees=valuation.fees,
        taxes=valuation.taxes,
        trading_costs=valuation.trading_costs,
    )
    returns = {}
    for name, amounts in left_out.items():
        measured = _sub_periods(window.panel, amounts).returns
        returns[name] = _compound(measured[window.inside])
        _note(quality, name, window.unknown(measured))
    return returns


def _compound(returns: np.ndarray) -> float:
    return float(np.prod(1 + returns) - 1)


def _note(quality: dict[str, str], name: str, reason: str) -> None:
    if reason:
        quality[name] = reason


def _contributions(window: _Window) -> Contributions:
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


def _position_returns(window: _Window) -> PositionReturns:
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


def _currency_returns(window: _Window, quality: dict[str, str]) -> dict[str, float]:
    valuation, periods = window.panel.valuation, window.periods
    positions = _position_returns(window)
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


def _contribution_lines(
    window: _Window, grouping: str, quality: dict[str, str]
) -> tuple[ContributionLine, ...]:
    found = _contributions(window)
    linked = found.linked()
    names, amounts = grouped(linked[:-1], _labels(window.panel, grouping))
    _, weights = grouped(found.weights[:-1].mean(axis=1), _labels(window.panel, grouping))
    own = _own_line_returns(window) if grouping == "asset" else {}
    lines = [
        ContributionLine(name, float(weight), float(amount), *own.get(name, ()))
        for name, weight, amount in zip(names, weights, amounts, strict=True)
    ]
    lines.sort(key=lambda line: (-line.contribution if np.isfinite(line.contribution) else 0.0, line.name))
    lines.append(ContributionLine(CASH, float(found.weights[-1].mean()), float(linked[-1])))
    if np.isnan(linked).any():
        _note(quality, "contributions", _why_not_linked(window, found))
    return tuple(lines)


def _own_line_returns(window: _Window) -> dict[str, tuple[float, float, float]]:
    """Local, currency and base return of each asset over the period, by its name."""
    linked = _position_returns(window).within(window.inside).linked()
    figures = zip(linked.local.tolist(), linked.fx.tolist(), linked.base.tolist(), strict=True)
    return dict(zip(_labels(window.panel, "asset"), figures, strict=True))


def _why_not_linked(window: _Window, found: Contributions) -> str:
    if (found.returns <= -1).any():
        return "everything was lost: contributions cannot be linked"
    columns = np.full((len(found.lines), len(window.periods.ends)), 0.0)
    columns[:, window.inside] = found.lines
    return window.unknown(columns.sum(axis=0))


def _labels(panel: PortfolioPanel, grouping: str) -> list[str]:
    assets = [panel.assets[asset_id] for asset_id in panel.valuation.asset_ids]
    if grouping == "sector":
        return [_sector(asset) for asset in assets]
    if grouping == "currency":
        return [asset.currency_id for asset in assets]
    listed = Counter(asset.symbol for asset in assets)
    return [
        asset.symbol if listed[asset.symbol] == 1 else f"{asset.symbol}@{asset.exchange}" for asset in assets
    ]


def _sector(asset: Asset) -> str:
    return asset.sector or NO_SECTOR


def _sector_attribution(
    window: _Window, benchmark: SectorBenchmark, quality: dict[str, str]
) -> SectorAttribution:
    found = _contributions(window)
    # Without capital there is nothing to allocate; below 0 all weights are unknown.
    at_work = ~(found.weights == 0).all(axis=0)
    if not at_work.all():
        quality["attribution"] = "sub-periods without capital are left out"
    sectors = [*_labels(window.panel, "sector"), CASH]
    groups = [*sorted({*sectors, *benchmark.sectors} - {CASH}), CASH]
    of_lines, of_components = (_membership(groups, labels) for labels in (sectors, benchmark.sectors))
    weights, contributed = (of_lines @ part[:, at_work] for part in (found.weights, found.lines))
    component_weights, component_returns = (
        part[:, window.inside][:, at_work] for part in _on_sub_periods(window, benchmark)
    )
    benchmark_weights = of_components @ component_weights
    earned = of_components @ np.where(component_weights == 0, 0.0, component_weights * component_returns)
    days = window.days[at_work]
    for side, figures in (("portfolio", contributed), ("benchmark", earned)):
        if np.isnan(figures).any():
            row, column = np.argwhere(np.isnan(figures))[0]
            raise AttributionError(f"return of {groups[row]} in the {side} unknown on {days[column]}")
    effects = brinson_fachler(
        groups,
        weights,
        _ratio(contributed, weights),
        benchmark_weights,
        _ratio(earned, benchmark_weights),
        portfolio_contributions=contributed,
    )
    linked = effects.linked()
    if np.isnan(linked.allocation).any():
        raise AttributionError("everything was lost: effects cannot be linked")
    columns = (
        weights.mean(axis=1),
        benchmark_weights.mean(axis=1),
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


def _membership(groups: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """(G, L): 1 where the label is the group's."""
    return np.array([[label == group for label in labels] for group in groups], dtype=np.float64)


def _ratio(earned: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns of groups; NaN without weight."""
    returns = np.full(earned.shape, np.nan)
    np.divide(earned, weights, out=returns, where=np.abs(weights) > NO_WEIGHT)
    return returns


def _on_sub_periods(window: _Window, benchmark: SectorBenchmark) -> tuple[np.ndarray, np.ndarray]:
    """Weights at the start of each sub-period, and returns over it, (C, K) each."""
    panel, ends = window.panel, window.periods.ends
    daily = np.zeros((len(benchmark.sectors), len(panel.valuation.timeline)))
    daily[:, panel.days] = benchmark.returns
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.minimum(np.searchsorted(panel.days, starts), len(panel.days) - 1)
    return benchmark.weights[:, place], link_returns(daily, ends)
