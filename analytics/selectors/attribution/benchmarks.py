"""What a portfolio is measured against by sector: stated weights, or the components of its benchmark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from django.conf import settings

from analytics.calculations.component_returns import next_known, returns_of_bars, without_holidays
from analytics.selectors.attribution.labels import CASH, sector_of
from analytics.selectors.attribution.window import HOLIDAYS, AttributionError
from analytics.selectors.portfolio_panels import PortfolioPanel
from portfolios.calculations.carrying import carry_forward as carry_with_age
from portfolios.imports.report import Reject
from portfolios.models import Asset
from portfolios.selectors.market_data import Bars, Series, bars_of, exchange_rates_to

WHOLE = Decimal(100)


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
        sectors=tuple(sector_of(component) for component in components),
        weights=next_known(weights),
        returns=without_holidays(panel.dates, returns, HOLIDAYS),
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
    """Returns in base currency by asset id, (M,), see `returns_of_bars`."""
    base, through = panel.portfolio.base_currency_id, panel.dates[-1].item()
    bars = bars_of((asset.pk for asset in assets), through)
    rates = exchange_rates_to(base, {asset.currency_id for asset in assets}, through)
    returns = {}
    for asset in assets:
        if asset.pk not in bars:
            raise AttributionError(f"{asset.symbol} has no prices up to {through}")
        own = bars[asset.pk]
        levels = own.close
        if asset.currency_id != base:
            if asset.currency_id not in rates:
                raise AttributionError(
                    f"no rate from {asset.currency_id} to {base}, which {asset.symbol} needs"
                )
            levels = levels * _rates_of_bars(own, rates[asset.currency_id])
        returns[asset.pk] = returns_of_bars(panel.dates, own.dates, levels, HOLIDAYS)
    return returns


def _rates_of_bars(own: Bars, rates: Series) -> np.ndarray:
    carried = carry_with_age(own.dates, *rates)
    return np.where(carried.age <= settings.FX_MAX_CARRY_DAYS, carried.values, np.nan)
