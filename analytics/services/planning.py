"""Plan: what a run has to do, cut into chunks that fit one message and one transaction."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

from analytics.models import AssetCorrelation, ChunkKind
from analytics.selectors.planning import (
    ONE_DAY,
    Due,
    Staleness,
    assets_due,
    assets_of_portfolios,
    computing_begins,
    last_correlation_day,
    portfolios_due,
    portfolios_to_compute,
    staleness,
    trading_days,
)
from analytics.services.asset_metrics import MOST_NEW_DAYS

SECTIONS = ("assets", "correlations", "performance", "risk", "benchmarks", "rebalancing")
PORTFOLIO_SECTIONS = {"performance", "risk", "benchmarks", "rebalancing"}
# What stands in one row a line, as of the latest day: there is no history to catch up with.
LATEST_SECTIONS = {"benchmarks", "rebalancing"}
# About 30 MB of metric columns over five years: small enough for a worker, large enough to amortise a query.
ASSETS_PER_CHUNK = 100
# Of assets that only have a few new days to write: a year of their closes is about as much to read.
CONTINUED_ASSETS_PER_CHUNK = 600
PORTFOLIOS_PER_CHUNK = 100
DAYS_PER_CHUNK = 130

Item = TypeVar("Item")


@dataclass(frozen=True)
class PlannedChunk:
    kind: ChunkKind
    work: dict[str, Any]
    units: int


@dataclass(frozen=True)
class Plan:
    chunks: list[PlannedChunk]
    watermark: int

    @property
    def units(self) -> int:
        return sum(chunk.units for chunk in self.chunks)


def run_plan(
    through: dt.date,
    *,
    from_date: dt.date | None = None,
    portfolio_codes: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Plan:
    """The chunks of a run up to `through`.

    Without `from_date`: what is stale or not yet computed. `portfolio_codes` limits the run to some
    portfolios and their assets, `only` to some sections.
    """
    sections = set(only or SECTIONS)
    stale = staleness(through)
    portfolios = list(portfolios_to_compute(portfolio_codes))
    related = assets_of_portfolios(portfolio.pk for portfolio in portfolios)
    asset_ids = set().union(*related.values()) if portfolio_codes else None
    chunks: list[PlannedChunk] = []
    if "assets" in sections:
        chunks += _asset_chunks(assets_due(through, from_date, stale, asset_ids), through)
    # One portfolio's run leaves the correlations of the whole house alone, unless they are asked for.
    if "correlations" in sections and (not portfolio_codes or "correlations" in only):
        chunks += _correlation_chunks(through, from_date, stale, all_pairs="correlations" in only)
    wanted = sections & PORTFOLIO_SECTIONS
    if wanted and wanted <= LATEST_SECTIONS:
        chunks += _portfolio_chunks(dict.fromkeys((p.pk for p in portfolios), Due(through)), sorted(wanted))
    elif wanted:
        chunks += _portfolio_chunks(portfolios_due(portfolios, through, from_date, stale), sorted(wanted))
    return Plan(chunks, stale.watermark)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _asset_chunks(due: dict[int, Due], through: dt.date) -> list[PlannedChunk]:
    with_histories: list[tuple[int, Due]] = []
    with_new_days: list[tuple[int, Due]] = []
    for asset_id, own in sorted(due.items(), key=itemgetter(0)):
        is_new = through - own.first <= MOST_NEW_DAYS
        (with_new_days if is_new else with_histories).append((asset_id, own))
    return [
        PlannedChunk(ChunkKind.ASSETS, _work("assets", batch), len(batch))
        for batch in (
            *_batches(with_histories, ASSETS_PER_CHUNK),
            *_batches(with_new_days, CONTINUED_ASSETS_PER_CHUNK),
        )
    ]


def _work(name: str, batch: Iterable[tuple[int, Due]]) -> dict[str, Any]:
    """Ids with their first days, and by id what had changed; keys of JSON objects are texts."""
    batch = list(batch)
    return {
        name: [[number, due.first.isoformat()] for number, due in batch],
        "causes": {str(number): due.causes for number, due in batch if due.causes},
    }


def _correlation_chunks(
    through: dt.date, from_date: dt.date | None, stale: Staleness, *, all_pairs: bool
) -> list[PlannedChunk]:
    if from_date is not None:
        first = from_date
    else:
        first = min(
            day for day in (_resumption_day(last_correlation_day(), through), stale.first_day()) if day
        )
        if all_pairs:
            first = min(first, through)
    days = trading_days(max(first, computing_begins(AssetCorrelation)), through)
    return [
        PlannedChunk(
            ChunkKind.CORRELATIONS,
            {"days": [day.isoformat() for day in batch], "all_pairs": all_pairs},
            len(batch),
        )
        for batch in _batches(days, DAYS_PER_CHUNK)
    ]


def _resumption_day(last: dt.date | None, through: dt.date) -> dt.date:
    """The day after the last one; the last one again when its week is over: it may have become its end."""
    if last is None:
        return dt.date.min
    week_is_over = last.isocalendar()[:2] < through.isocalendar()[:2]
    return last if week_is_over else last + ONE_DAY


def _portfolio_chunks(due: dict[int, Due], sections: list[str]) -> list[PlannedChunk]:
    return [
        PlannedChunk(ChunkKind.PORTFOLIOS, _work("portfolios", batch) | {"sections": sections}, len(batch))
        for batch in _batches(sorted(due.items(), key=itemgetter(0)), PORTFOLIOS_PER_CHUNK)
    ]
