"""Correlations between assets: daily for pairs that some portfolio holds, weekly for all pairs."""

import datetime as dt
from typing import Any

import numpy as np
from django.db import IntegrityError

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.correlations import correlation_day
from analytics.calculations.fingerprints import joint_fingerprints, running_fingerprints
from analytics.calculations.returns import simple_returns
from analytics.models import AnalyticsRun, AssetCorrelation
from analytics.selectors.planning import held_assets, trading_days, week_ends
from analytics.services.computed_rows import PROVENANCE, joined_columns
from portfolio_site.kernel.bulk import bulk_insert, bulk_upsert
from portfolios.models import Asset
from portfolios.selectors.market_data import closes_of

Written = tuple[dict[str, int], list[str]]
TABLE = AssetCorrelation._meta.db_table
# Rows gathered before they are written: about 30 MB.
ROWS_PER_WRITE = 50_000
ONE_WEEK = dt.timedelta(days=7)


def correlations_write(run: AnalyticsRun, work: dict[str, Any]) -> Written:
    """Compute and store the correlations of the chunk's days."""
    days = [dt.date.fromisoformat(day) for day in work["days"]]
    active = sorted(Asset.objects.filter(is_active=True).values_list("pk", flat=True))
    bars = closes_of(active, days[-1])
    ids = np.array(sorted(bars), dtype=np.int64)
    if len(ids) < 2:
        return {TABLE: 0}, []
    calendar = np.unique(np.concatenate([own.dates for own in bars.values()]))
    returns = np.full((len(ids), len(calendar)), np.nan)
    for row, asset_id in enumerate(ids.tolist()):
        own = bars[asset_id]
        returns[row, np.searchsorted(calendar, own.dates)] = simple_returns(own.close)
    dated = np.stack(np.broadcast_arrays(calendar.astype(float), returns), axis=-1)
    hashes = running_fingerprints(dated)
    # A bar yet to come is no reason for a row: an asset enters with its first one.
    first_columns = np.array(
        [np.searchsorted(calendar, bars[asset_id].dates[0]) for asset_id in ids.tolist()]
    )
    held = held_assets(days[-1])
    # A week is over when the run's day lies behind its last session, also when the chunk ends within it.
    all_pairs_on = week_ends(trading_days(days[0], days[-1] + ONE_WEEK), run.calculation_date)
    if work["all_pairs"]:
        all_pairs_on.add(run.calculation_date)
    pending: list[dict[str, Any]] = []
    written = gathered = 0
    for day in days:
        column = int(np.searchsorted(calendar, np.datetime64(day)))
        listed = np.flatnonzero(first_columns <= column)
        pairs = _pairs(ids, listed, None if day in all_pairs_on else held.together_on(day))
        if len(pairs[0]) == 0:
            continue
        pending.append(_rows(day, ids, returns[:, : column + 1], pairs, hashes[:, column]))
        gathered += len(pairs[0])
        if gathered >= ROWS_PER_WRITE:
            written += _write(run, pending)
            pending, gathered = [], 0
    return {TABLE: written + _write(run, pending)}, []


def _pairs(
    ids: np.ndarray, listed: np.ndarray, wanted: set[tuple[int, int]] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pairs among the `listed` assets: all of them, or the wanted ones (asset ids)."""
    if wanted is None:
        left, right = np.triu_indices(len(listed), 1)
        return listed[left], listed[right]
    place = {int(ids[row]): int(row) for row in listed}
    found = sorted((place[a], place[b]) for a, b in wanted if a in place and b in place)
    left, right = np.array(found, dtype=np.intp).reshape(-1, 2).T
    return left, right


def _rows(
    day: dt.date,
    ids: np.ndarray,
    returns: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    hashes: np.ndarray,
) -> dict[str, Any]:
    found = correlation_day(returns, pairs)
    columns = found.columns()
    significant = columns.pop("is_significant").astype(object)
    significant[np.isnan(columns["q_value_1y"])] = None
    left, right = pairs
    return {
        "asset1": ids[left],
        "asset2": ids[right],
        "calculation_date": np.full(len(left), np.datetime64(day)),
        **columns,
        "is_significant": significant,
        "quality": found.reasons(),
        "inputs_hash": joint_fingerprints(hashes[left], hashes[right]),
    }


def _write(run: AnalyticsRun, pending: list[dict[str, Any]]) -> int:
    if not pending:
        return 0
    columns = joined_columns(pending)
    shared = {"run": run.pk, "engine_version": ENGINE_VERSION}
    rows = len(columns["asset1"])
    return sum(
        _write_block(
            {name: values[start : start + ROWS_PER_WRITE] for name, values in columns.items()} | shared
        )
        for start in range(0, rows, ROWS_PER_WRITE)
    )


def _write_block(columns: dict[str, Any]) -> int:
    """A day's pairs are new as a rule; where one is not, they are merged."""
    try:
        return bulk_insert(AssetCorrelation, columns)
    except IntegrityError:
        return bulk_upsert(
            AssetCorrelation, columns, key=("asset1", "asset2", "calculation_date"), provenance=PROVENANCE
        )
