"""One point of the growth curves, on the empty database that DATABASE_URL names:

    python -m tests.benchmarks.growth_point ASSETS PORTFOLIOS DAYS

Prints as JSON the seconds of a backfill by kind of chunk, of the ordinary day after it, what both wrote, the
size of the tables and the peak of this process's memory.
"""

import json
import resource
import sys
from collections import defaultdict
from functools import partial
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from analytics.models import AnalyticsRun  # noqa: E402
from analytics.services.runs import chunk_execute, run_create, run_finalise, run_start  # noqa: E402
from tests.benchmarks import time_call  # noqa: E402
from tests.benchmarks.growth_house import Sizes, make_growth_house, next_day_write  # noqa: E402
from tests.support.house import COMPUTED  # noqa: E402


def main() -> None:
    call_command("migrate", verbosity=0)
    make_growth_house(Sizes(*map(int, sys.argv[1:])))
    _analyse()
    loaded = _peak_megabytes()
    backfill = _run()
    backfill["megabytes"], backfill["megabytes_before"] = _peak_megabytes(), loaded
    backfill["table_megabytes"] = _table_megabytes()
    next_day_write()
    _analyse()
    print(json.dumps({"backfill": backfill, "day": _run()}))


def _run() -> dict[str, Any]:
    """Plan and compute; the seconds by what was done."""
    seconds: defaultdict[str, float] = defaultdict(float)
    seconds["plan"] = time_call(run_create)
    run = AnalyticsRun.objects.latest("pk")
    kinds = dict(run.chunks.values_list("pk", "kind"))
    for chunk_id in run_start(run.pk):
        seconds[kinds[chunk_id]] += time_call(partial(chunk_execute, chunk_id))
    seconds["end"] = time_call(partial(run_finalise, run.pk))
    run.refresh_from_db()
    if run.error:
        raise RuntimeError(f"{run.error} {run.issues[:3]}")
    return {"seconds": dict(seconds), "rows": run.rows, "chunks": len(kinds)}


def _analyse() -> None:
    """What the database's own housekeeping does within minutes of a load."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


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


if __name__ == "__main__":
    main()
