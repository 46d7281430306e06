"""Asset metrics: technical indicators, returns and risk of each asset on each of its bars.

A backfill computes all bars of its assets. On an ordinary day the new bars go on from the row before them,
for which a year of closes is enough; an asset that is unusual in any way is computed from its first bar on.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.conf import settings

from analytics.calculations.asset_metrics import LONG_RETURN_MONTHS, YEAR_WINDOW, asset_metric_columns
from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.fingerprints import running_fingerprints
from analytics.calculations.indicator_steps import (
    STATE,
    STATE_COLUMNS,
    STATE_KNOWN,
    STEP_RANGES,
    average_moves,
)
from analytics.calculations.returns import carry_forward, daily_risk_free, months_earlier
from analytics.models import AnalyticsRun, AssetPerformanceMetrics
from analytics.services.computed_rows import joined_columns, rows_replace
from portfolio_site.kernel.columns import read_columns
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Asset
from portfolios.selectors.market_data import (
    Bars,
    Series,
    bars_of,
    first_bar_days,
    interest_rate_series,
    last_bar_days,
    recent_bars_of,
)

Written = tuple[dict[str, int], list[str]]
Columns = dict[str, Any]
# Assets and their rows.
Part = tuple[list[int], Columns]
TABLE = AssetPerformanceMetrics._meta.db_table
# Bars worked on at a time, however long the histories are: 100 assets of five years.
BARS_PER_BLOCK = 130_000
SESSIONS_PER_DAY = 5 / 7
# A few days are continued one by one; for more of them the whole history costs less.
MOST_NEW_DAYS = dt.timedelta(days=10)
# In which 253 closes lie, and 18 bars.
YEAR_BACK = dt.timedelta(days=380)
RANGES_BACK = dt.timedelta(days=45)


@dataclass(frozen=True)
class Surroundings:
    """What all assets are measured against."""

    market_id: int | None
    risk_free: Series


def asset_metrics_write(run: AnalyticsRun, work: dict[str, Any]) -> Written:
    """Compute and store the metrics of the chunk's assets, each from its first stale day on.

    The assets are locked before anything is read, so that of two runs the later one sees no older prices.
    """
    first_days = {int(asset_id): dt.date.fromisoformat(day) for asset_id, day in work["assets"]}
    causes = {int(asset_id): found for asset_id, found in work.get("causes", {}).items()}
    lock_rows(Asset, first_days)
    surroundings = Surroundings(
        Asset.objects.filter(symbol=settings.MARKET_ASSET).values_list("pk", flat=True).first(),
        interest_rate_series(settings.DEFAULT_RISK_FREE, run.calculation_date),
    )
    written = 0
    for assets, columns in _computed(first_days, run.calculation_date, surroundings):
        written += rows_replace(
            run,
            AssetPerformanceMetrics,
            columns | {"run": run.pk, "engine_version": ENGINE_VERSION},
            key=("asset", "calculation_date"),
            first={asset_id: first_days[asset_id] for asset_id in assets},
            causes={asset_id: causes.get(asset_id, []) for asset_id in assets},
        )
    return {TABLE: written}, []


def _computed(
    first_days: Mapping[int, dt.date], through: dt.date, surroundings: Surroundings
) -> Iterator[Part]:
    """Assets and all their rows, block by block: first those that go on, then those computed anew."""
    new = {asset_id: day for asset_id, day in first_days.items() if through - day <= MOST_NEW_DAYS}
    left = dict(first_days)
    parts = _continued(new, through, surroundings) if new else []
    if parts:
        assets, columns = _joined(parts)
        yield assets, columns
        left = {asset_id: day for asset_id, day in first_days.items() if asset_id not in assets}
    for block in _blocks(left, through):
        parts = _recomputed({asset_id: left[asset_id] for asset_id in block}, through, surroundings)
        if parts:
            yield _joined(parts)


def _blocks(asset_ids: Iterable[int], through: dt.date) -> Iterator[list[int]]:
    block: list[int] = []
    bars = 0.0
    for asset_id, first in sorted(first_bar_days(asset_ids).items()):
        own = (through - first).days * SESSIONS_PER_DAY
        if block and bars + own > BARS_PER_BLOCK:
            yield block
            block, bars = [], 0.0
        block.append(asset_id)
        bars += own
    if block:
        yield block


def _recomputed(
    first_days: Mapping[int, dt.date], through: dt.date, surroundings: Surroundings
) -> list[Part]:
    """From all bars."""
    market_id = surroundings.market_id
    bars = bars_of({*first_days, *([market_id] if market_id else [])}, through)
    market = bars.get(market_id) if market_id else None
    return [
        (assets, _rows(bars, assets, market, surroundings.risk_free, rows))
        for assets, rows in _alike(bars, first_days)
    ]


def _continued(first_days: Mapping[int, dt.date], through: dt.date, surroundings: Surroundings) -> list[Part]:
    """Of those assets that can go on from the row of the day before."""
    first, market_id = min(first_days.values()), surroundings.market_id
    since, ranges_since = first - YEAR_BACK, first - RANGES_BACK
    bars = recent_bars_of(
        {*first_days, *([market_id] if market_id else [])},
        through,
        since=since,
        figures_since=ranges_since,
        days=_days_of_long_returns(first_days, first, through),
    )
    market = bars.get(market_id) if market_id else None
    groups = [
        (assets, rows)
        for assets, rows in _alike(bars, first_days)
        if _has_year(bars[assets[0]].dates, rows, since, ranges_since)
        and (market_id is None or _covers_year(market, bars[assets[0]].dates, rows))
    ]
    states = _states(
        {asset_id: bars[asset_id].dates[rows[0] - 1] for assets, rows in groups for asset_id in assets}
    )
    found = []
    for assets, rows in groups:
        known = [asset_id for asset_id in assets if asset_id in states]
        if known:
            before = {name: np.array([states[a][name] for a in known]) for name in states[known[0]]}
            found.append((known, _rows(bars, known, market, surroundings.risk_free, rows, before)))
    return found


def _has_year(dates: np.ndarray, rows: np.ndarray, since: dt.date, ranges_since: dt.date) -> bool:
    """Whether there are rows, and before them all closes of a year and enough high and low."""
    return bool(
        len(rows)
        and rows[0] >= YEAR_WINDOW
        and dates[rows[0] - YEAR_WINDOW] >= np.datetime64(since)
        and dates[rows[0] + 1 - STEP_RANGES] >= np.datetime64(ranges_since)
    )


def _covers_year(market: Bars | None, dates: np.ndarray, rows: np.ndarray) -> bool:
    year = dates[rows[0] - YEAR_WINDOW :]
    return market is not None and bool(np.isin(year, market.dates).all())


def _days_of_long_returns(asset_ids: Iterable[int], first: dt.date, through: dt.date) -> set[dt.date]:
    """Days on which stand the closes that returns over years begin with, of all days from `first` on."""
    new = np.arange(np.datetime64(first), np.datetime64(through) + 1)
    begins = [months_earlier(new, months) for months in LONG_RETURN_MONTHS]
    days = {day for earlier in begins for day in earlier.tolist()}
    return days | last_bar_days(asset_ids, [min(earlier).item() for earlier in begins])


def _states(days: Mapping[int, np.datetime64]) -> dict[int, dict[str, Any]]:
    """The rows from which the next ones can go on, by asset: complete ones of these days, by this code."""
    rows = AssetPerformanceMetrics.objects.filter(
        asset__in=list(days),
        calculation_date__in={day.item() for day in days.values()},
        engine_version=ENGINE_VERSION,
        **{f"{name}__isnull": False for name in STATE_KNOWN},
    ).exclude(inputs_hash="")
    columns = read_columns(rows.order_by(), "asset", "calculation_date", "inputs_hash", *STATE_COLUMNS)
    stored = zip(columns.pop("asset").tolist(), columns.pop("calculation_date"), strict=True)
    return {
        asset_id: {name: values[place] for name, values in columns.items()}
        for place, (asset_id, day) in enumerate(stored)
        if day == days[asset_id]
    }


def _alike(
    bars: Mapping[int, Bars], first_days: Mapping[int, dt.date]
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Assets that have bars on the same dates and are written from the same one on, and these rows."""
    groups: dict[tuple[bytes, int], list[int]] = {}
    for asset_id, first in sorted(first_days.items()):
        if asset_id in bars:
            dates = bars[asset_id].dates
            begin = int(np.searchsorted(dates, np.datetime64(first)))
            groups.setdefault((dates.tobytes(), begin), []).append(asset_id)
    for (_, begin), assets in groups.items():
        yield assets, np.arange(begin, len(bars[assets[0]].dates))


def _rows(
    bars: Mapping[int, Bars],
    assets: list[int],
    market: Bars | None,
    risk_free: Series,
    rows: np.ndarray,
    before: Mapping[str, np.ndarray] | None = None,
) -> Columns:
    """The rows of assets with the same dates, asset after asset; `before`: the row each goes on from."""
    dates = bars[assets[0]].dates
    high, low, close, volume = (
        np.stack([getattr(bars[asset_id], name) for asset_id in assets])
        for name in ("high", "low", "close", "volume")
    )
    session_rate = daily_risk_free(carry_forward(*risk_free, dates))
    nothing = np.array([], dtype="datetime64[D]"), np.array([])
    market_series = (market.dates, market.close) if market is not None else nothing
    columns, reasons = asset_metric_columns(
        dates, high, low, close, volume, *market_series, session_rate, rows, before
    )
    columns[STATE] = average_moves(close, rows, before)
    shared = np.broadcast_to(np.stack([dates.astype(float), session_rate]), (len(assets), 2, len(dates)))
    inputs = np.stack([shared[:, 0], high, low, close, volume, shared[:, 1]], axis=-1)
    if before is None:
        hashes = running_fingerprints(inputs, settings.MARKET_ASSET)[:, rows]
    else:
        hashes = running_fingerprints(inputs[:, rows], after=before["inputs_hash"].astype("S32"))
    return {
        "asset": np.repeat(np.array(assets, dtype=np.int64), len(rows)),
        "calculation_date": np.tile(dates[rows], len(assets)),
        **{name: values.ravel() for name, values in columns.items()},
        "quality": reasons,
        "inputs_hash": hashes.ravel(),
    }


def _joined(parts: list[Part]) -> Part:
    """All assets and rows, by asset and day."""
    if len(parts) == 1:
        return parts[0]
    columns = joined_columns([columns for _, columns in parts])
    order, reasons = np.argsort(columns["asset"], kind="stable"), columns.pop("quality")
    return [asset_id for assets, _ in parts for asset_id in assets], {
        **{name: values[order] for name, values in columns.items()},
        "quality": [reasons[row] for row in order.tolist()],
    }
