"""What 100 in each benchmark of a portfolio became, in its base currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.conf import settings

from analytics.calculations.blends import blended_returns, rebalancing_days
from analytics.calculations.performance import BENCHMARK_GAP_DAYS
from analytics.models import PortfolioBenchmark
from analytics.selectors.attribution.labels import asset_labels
from analytics.selectors.blends import BlendRule, blend_rules, carried_levels
from portfolios.calculations.carrying import carry_forward
from portfolios.models import Asset, Portfolio
from portfolios.selectors.market_data import Bars, Series, closes_of, exchange_rates_to

ONE_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class BenchmarkGrowth:
    """levels: (T,) on the days asked for, NaN = unknown; `reason` says why where all or some are."""

    asset_id: int
    name: str
    is_primary: bool
    levels: np.ndarray
    reason: str = ""


def benchmark_growths(portfolio: Portfolio, days: np.ndarray) -> list[BenchmarkGrowth]:
    """Every active benchmark, the primary one first, on `days` (T,), ascending.

    As in the stored history the return of the first day counts: 100 is the level of the evening before, or
    of the first day itself for prices that begin on it.
    """
    rows = list(
        PortfolioBenchmark.objects.filter(portfolio=portfolio, is_active=True)
        .select_related("asset")
        .order_by("-is_primary", "asset__symbol")
    )
    if not rows or not len(days):
        return []
    through = days[-1].item()
    rules = blend_rules(row.asset_id for row in rows)
    components = {asset_id for rule in rules.values() for asset_id in rule.asset_ids}
    assets = Asset.objects.in_bulk(components)
    bars = closes_of(components, through)
    rates = exchange_rates_to(
        portfolio.base_currency_id, {asset.currency_id for asset in assets.values()}, through
    )
    base = portfolio.base_currency_id
    names = asset_labels([row.asset for row in rows])
    return [
        BenchmarkGrowth(
            row.asset_id,
            name,
            row.is_primary,
            *_growth(row, _own_levels(rules[row.asset_id], assets, bars, rates, base), days),
        )
        for row, name in zip(rows, names, strict=True)
    ]


def _growth(row: PortfolioBenchmark, series: Series | str, days: np.ndarray) -> tuple[np.ndarray, str]:
    if isinstance(series, str):
        return np.full(len(days), np.nan), series
    if row.start_date is not None and np.datetime64(row.start_date) > days[0]:
        return np.full(len(days), np.nan), f"counted from {row.start_date} on"
    return _rebased(series, days)


def _own_levels(
    rule: BlendRule,
    assets: Mapping[int, Asset],
    bars: Mapping[int, Bars],
    rates: Mapping[str, Series],
    base: str,
) -> Series | str:
    """Levels in base currency on the days on which it trades, or why there are none."""
    parts: list[Series] = []
    for component in (assets[asset_id] for asset_id in rule.asset_ids):
        if component.pk not in bars:
            return f"{component.symbol} has no prices"
        own = bars[component.pk]
        fx = np.ones(len(own.dates))
        if component.currency_id != base:
            if component.currency_id not in rates:
                return f"no rate from {component.currency_id} to {base}"
            carried = carry_forward(own.dates, *rates[component.currency_id])
            fx = np.where(carried.age <= settings.FX_MAX_CARRY_DAYS, carried.values, np.nan)
        parts.append((own.dates, own.close * fx))
    return parts[0] if len(parts) == 1 else _blend_levels(rule, parts)


def _blend_levels(rule: BlendRule, parts: Sequence[Series]) -> Series:
    dates = np.unique(np.concatenate([own_dates for own_dates, _ in parts]))
    if rule.start_date is not None:
        # The level before the first return.
        dates = dates[max(int(np.searchsorted(dates, np.datetime64(rule.start_date))) - 1, 0) :]
    levels = np.stack([carried_levels(dates, *own) for own in parts])
    blend = blended_returns(levels, np.array(rule.shares), rebalancing_days(dates, rule.frequency))
    known = np.flatnonzero(np.isfinite(blend.returns))
    index = np.full(len(dates), np.nan)
    if len(known):
        begin = int(known[0])
        index[begin - 1] = 1.0
        index[begin:] = np.cumprod(1 + blend.returns[begin:])
    return dates, index


def _rebased(series: Series, days: np.ndarray) -> tuple[np.ndarray, str]:
    """100 at the beginning of the days, and why some or all of the levels are unknown."""
    before, *on_days = _levels_on(np.concatenate([[days[0] - ONE_DAY], days]), series).tolist()
    levels = np.array(on_days)
    rebased = 100 * levels / (levels[0] if np.isnan(before) else before)
    unknown = days[np.isnan(rebased)]
    if np.isnan(levels[0]) and np.isnan(before):
        return rebased, f"no level on the first day, {days[0]}"
    return rebased, f"no level on {len(unknown)} days, the first {unknown[0]}" if len(unknown) else ""


def _levels_on(days: np.ndarray, series: Series) -> np.ndarray:
    """Carried over holidays and no further."""
    dates, levels = series
    places = np.searchsorted(dates, days, side="right") - 1
    is_recent = (places >= 0) & (days - dates[places] <= np.timedelta64(BENCHMARK_GAP_DAYS, "D"))
    return np.where(is_recent, carried_levels(days, dates, levels), np.nan)
