"""The work behind bench_assets, on the database that DATABASE_URL names."""

import datetime as dt
import os
from typing import Any

import django

django.setup()

import numpy as np  # noqa: E402
from django.apps import apps  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from analytics.models import AssetCorrelation, AssetPerformanceMetrics, RunStatus  # noqa: E402
from analytics.services.runs import BEGINNING, run_create, run_execute  # noqa: E402
from portfolios.models import ChangeCause, PriceBar, StaleMark  # noqa: E402
from portfolios.services.staleness import mark_assets_stale  # noqa: E402
from tests.benchmarks import Result, time_call  # noqa: E402
from tests.benchmarks.engines import print_results, run_module  # noqa: E402
from tests.benchmarks.floors import Floor, clear, medians  # noqa: E402
from tests.benchmarks.market import (  # noqa: E402
    ASSETS,
    PRICES,
    RUNS,
    insert_bars,
    load_market,
    prepend_mirrored_history,
)

ROWS = (AssetPerformanceMetrics, AssetCorrelation)
# State that the metrics are continued from goes with them.
COMPUTED: list[Any] = [*ROWS, *(model for model in apps.get_models() if model.__name__ == "AssetState")]
MEGABYTE = 1e6
MOST_MEGABYTES = 1200.0
PRICE_COLUMNS = 5


def main() -> None:
    call_command("migrate", verbosity=0)
    load_market()
    backfill()
    floor = Floor(ROWS)
    found = medians(RUNS, lambda: _round(floor))
    rows = sum(model._default_manager.count() for model in ROWS)
    what = f"{rows:,} rows"
    day = medians(RUNS, lambda: {"seconds": _ordinary_day()})["seconds"]
    prepend_mirrored_history()
    clear(COMPUTED)  # or every figure would be restated, which is not what is measured
    backfill()
    twice = medians(RUNS, lambda: {"seconds": _ordinary_day()})["seconds"]
    floor_name = f"{floor.name} of the same rows" + (" out and in" if found["out"] else "")
    results = [
        Result(f"backfill into empty tables, {what}", found["empty"], floor_name, found["floor"], most=1.5),
        Result(
            f"backfill over existing rows, {what}", found["existing"], floor_name, found["floor"], most=2.5
        ),
        Result(f"an ordinary day of {ASSETS} assets", day, "the backfill", found["empty"], most=0.04),
        Result("the same with twice the history", twice, "the backfill", found["empty"], most=0.04),
    ]
    if connection.vendor == "postgresql":
        results += _memory()
    print_results(results)


def backfill(from_date: dt.date | None = None) -> None:
    """All metrics of all assets, and the correlations of all pairs on the last day."""
    last = PriceBar.objects.latest("date").date
    run(only=["assets"], from_date=from_date)
    run(only=["correlations"], from_date=last)


def run(**options: Any) -> None:
    planned = run_create(**options)
    if planned is None or run_execute(planned).status != RunStatus.SUCCEEDED:
        raise RuntimeError(f"the run failed: {planned and planned.issues} {planned and planned.error}")


def _round(floor: Floor) -> dict[str, float]:
    """Interleaved, so that a busy neighbour slows all of them."""
    clear(COMPUTED)
    empty = time_call(lambda: backfill())
    existing = time_call(lambda: backfill(from_date=BEGINNING))
    out, back = floor.out_and_in()
    return {"empty": empty, "existing": existing, "out": out, "floor": out + back}


def _ordinary_day() -> float:
    """One more bar of each asset that traded on the last day."""
    last = np.datetime64(PriceBar.objects.latest("date").date)
    tomorrow = np.busday_offset(last, 1, roll="forward")
    day: Any = tomorrow.item()
    bars = list(PriceBar.objects.filter(date=last.item()).values_list("asset", *PRICES, "volume"))
    ids = np.array([bar[0] for bar in bars])
    move = 1 + np.random.default_rng(int(last.astype(int))).normal(0, 0.01, len(ids))
    prices = {
        name: np.round(np.array([bar[place] or np.nan for bar in bars], dtype=float) * move, 4)
        for place, name in enumerate(PRICES, start=1)
    }
    volumes = np.array([bar[-1] or 0 for bar in bars], dtype=float)
    insert_bars(ids, np.full(len(ids), tomorrow), {**prices, "volume": volumes})
    mark_assets_stale(dict.fromkeys(ids.tolist(), day), ChangeCause.PRICE)
    seconds = time_call(lambda: run(only=["assets"]))
    StaleMark.objects.all().delete()  # a run of some sections leaves them for the others
    return seconds


def _memory() -> list[Result]:
    """In a process that has done nothing else."""
    (peak,) = run_module("tests.benchmarks.peak_memory", dict(os.environ))
    megabytes = peak.seconds
    panel = PriceBar.objects.count() * PRICE_COLUMNS * 8 / MEGABYTE
    name = "peak memory of a backfill of twice the history"
    return [
        Result(name, megabytes, "the limit", MOST_MEGABYTES, most=1.0, unit="MB"),
        Result(name, megabytes, "bytes of the price panel", panel, unit="MB"),
    ]


if __name__ == "__main__":
    main()
