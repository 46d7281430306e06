"""One point of the growth curves, on the migrated, empty database that DATABASE_URL names.

Computes everything but proposals up to the day before the last one, then the last one as an ordinary new day.
Prints as JSON the seconds by kind of chunk, the rows, the size of the tables and this process's memory.
"""

import json
import resource
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402

from analytics.models import AnalyticsRun  # noqa: E402
from analytics.services.runs import chunk_execute, run_create, run_finalise, run_start  # noqa: E402
from tests.benchmarks import time_call  # noqa: E402
from tests.benchmarks.books import load_books  # noqa: E402
from tests.benchmarks.market import PORTFOLIOS, load_market  # noqa: E402
from tests.support.house import COMPUTED  # noqa: E402


def main() -> None:
    market = load_market()
    load_books(market, PORTFOLIOS)
    backfill = _run(partial(run_create, calculation_date=market.days[-2].item()))
    day = _run(run_create)
    sizes = {"table_megabytes": _table_megabytes(), "peak_megabytes": _peak_megabytes()}
    print(json.dumps({"backfill": backfill, "day": day, **sizes}))


def _run(plan: Callable[[], object]) -> dict[str, float]:
    """Plan and compute; the seconds by what was done."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as the database does by itself within minutes
    seconds: defaultdict[str, float] = defaultdict(float)
    seconds["plan"] = time_call(plan)
    run = AnalyticsRun.objects.latest("pk")
    kinds: dict[Any, str] = dict(run.chunks.values_list("pk", "kind"))
    for chunk_id in run_start(run.pk):
        seconds[kinds[chunk_id]] += time_call(partial(chunk_execute, chunk_id))
    seconds["end"] = time_call(partial(run_finalise, run.pk))
    run.refresh_from_db()
    if run.error:
        raise RuntimeError(f"{run.error} {run.issues[:3]}")
    return seconds


def _table_megabytes() -> float:
    """With indexes, and with partitions where a table has them."""
    names = [model._meta.db_table for model in COMPUTED]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(coalesce("
            " (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(name::regclass)),"
            " pg_total_relation_size(name::regclass))) FROM unnest(%s::text[]) AS name",
            [names],
        )
        return float(cursor.fetchone()[0]) / 2**20


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
