"""Asset metrics: technical indicators, returns and risk of each asset on each of its bars."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from django.conf import settings

from analytics.calculations.asset_metrics import asset_metric_columns
from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.returns import carry_forward, daily_risk_free
from analytics.models import AnalyticsRun, AssetPerformanceMetrics
from analytics.models.computed import HASH_LENGTH
from analytics.services.computed_rows import rows_replace
from analytics.services.restatements import Cause
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Asset
from portfolios.selectors.market_data import Bars, bars_of, interest_rate_series

Written = tuple[dict[str, int], list[str]]
TABLE = AssetPerformanceMetrics._meta.db_table


def asset_metrics_write(run: AnalyticsRun, work: dict[str, Any]) -> Written:
    """Compute and store the metrics of the chunk's assets, each from its first stale day on.

    The assets are locked before anything is read, so that of two runs the later one sees no older prices.
    """
    first_days = {int(asset_id): dt.date.fromisoformat(day) for asset_id, day in work["assets"]}
    lock_rows(Asset, first_days)
    market_id = Asset.objects.filter(symbol=settings.MARKET_ASSET).values_list("pk", flat=True).first()
    bars = bars_of({*first_days, *([market_id] if market_id else [])}, run.calculation_date)
    market = bars.get(market_id) if market_id else None
    risk_free = interest_rate_series(settings.DEFAULT_RISK_FREE, run.calculation_date)
    written = 0
    for asset_id, first in sorted(first_days.items()):
        if asset_id in bars:
            causes = work.get("causes", {}).get(str(asset_id), [])
            written += _write_asset(run, asset_id, bars[asset_id], market, risk_free, first, causes)
    return {TABLE: written}, []


def _write_asset(
    run: AnalyticsRun,
    asset_id: int,
    bars: Bars,
    market: Bars | None,
    risk_free: tuple[np.ndarray, np.ndarray],
    first: dt.date,
    causes: Sequence[Cause],
) -> int:
    rows = np.arange(int(np.searchsorted(bars.dates, np.datetime64(first))), len(bars.dates))
    session_rate = daily_risk_free(carry_forward(*risk_free, bars.dates))
    nothing = np.array([], dtype="datetime64[D]"), np.array([])
    market_dates, market_close = (market.dates, market.close) if market is not None else nothing
    columns, reasons = asset_metric_columns(
        bars.dates,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        market_dates,
        market_close,
        session_rate,
        rows,
    )
    dates = bars.dates[rows]
    return rows_replace(
        run,
        AssetPerformanceMetrics,
        {
            "asset": asset_id,
            "calculation_date": dates,
            **columns,
            "quality": reasons,
            "run": run.pk,
            "inputs_hash": _hashes(bars, session_rate)[rows[0] :] if len(rows) else [],
            "engine_version": ENGINE_VERSION,
        },
        key=("asset", "calculation_date"),
        first=first,
        causes=causes,
    )


def _hashes(bars: Bars, session_rate: np.ndarray) -> list[str]:
    """Each bar's hash builds on the one before: it covers the asset's whole history up to that day."""
    table = np.stack([bars.high, bars.low, bars.close, bars.volume, session_rate], axis=1)
    running = hashlib.sha256(settings.MARKET_ASSET.encode())
    hashes = []
    for day, values in zip(bars.dates, table, strict=True):
        running.update(day.tobytes() + values.tobytes())
        hashes.append(running.hexdigest()[:HASH_LENGTH])
    return hashes
