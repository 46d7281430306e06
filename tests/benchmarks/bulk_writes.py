"""The work behind bench_bulk, on the database that DATABASE_URL names."""

import statistics
from collections.abc import Callable
from typing import Any

import django

django.setup()

import numpy as np  # noqa: E402
from django.core.management import call_command  # noqa: E402

from analytics.models import AssetCorrelation  # noqa: E402
from portfolio_site.kernel.bulk import bulk_insert, bulk_upsert  # noqa: E402
from portfolios.models import Asset  # noqa: E402
from tests.benchmarks import Result, time_call  # noqa: E402
from tests.benchmarks.engines import print_results  # noqa: E402
from tests.benchmarks.floors import Floor, clear  # noqa: E402

ASSETS = 505
ROUNDS = 5
ORM_SHARE = 20
DAY = "2018-02-07"
FIGURES = [
    "correlation_1m", "correlation_3m", "correlation_6m", "correlation_1y", "correlation_3y", "rolling_20d",
    "rolling_60d", "p_value_1m", "p_value_3m", "p_value_6m", "p_value_1y", "p_value_3y", "p_value_20d",
    "p_value_60d",
]  # fmt: skip


def main() -> None:
    call_command("migrate", verbosity=0)
    Asset.objects.bulk_create(
        Asset(symbol=f"A{number:03}", name="Bench", asset_class="equity", currency_id="USD")
        for number in range(ASSETS)
    )
    ids = np.array(Asset.objects.order_by("pk").values_list("pk", flat=True))
    left, right = np.triu_indices(ASSETS, 1)
    random = np.random.default_rng(7)
    columns: dict[str, Any] = {
        "asset1": ids[left],
        "asset2": ids[right],
        "calculation_date": np.full(len(left), np.datetime64(DAY)),
        **{name: random.uniform(-1, 1, len(left)) for name in FIGURES},
        "quality": {},
        "inputs_hash": "",
        "engine_version": "",
    }

    def upsert() -> None:
        bulk_upsert(AssetCorrelation, columns, key=("asset1", "asset2", "calculation_date"))

    def insert() -> None:
        bulk_insert(AssetCorrelation, columns)

    def orm() -> None:
        AssetCorrelation.objects.bulk_create(
            [
                AssetCorrelation(
                    asset1_id=int(ids[left[row]]),
                    asset2_id=int(ids[right[row]]),
                    calculation_date=DAY,
                    **{name: float(columns[name][row]) for name in FIGURES},
                )
                for row in range(0, len(left), ORM_SHARE)
            ],
            batch_size=2000,
        )

    inserted = _median(insert, clear_first=True)
    floor = Floor((AssetCorrelation,))
    floor_seconds = statistics.median(floor.out_and_in()[1] for _ in range(ROUNDS))
    into_empty = _median(upsert, clear_first=True)
    over_equal = _median(upsert, clear_first=False)
    orm_seconds = _median(orm, clear_first=True, rounds=1) * ORM_SHARE
    print_results(
        [
            Result(f"bulk_insert, {len(left):,} rows", inserted, floor.name, floor_seconds, most=1.5),
            Result("bulk_upsert into an empty table", into_empty, floor.name, floor_seconds),
            Result("bulk_upsert over equal rows", over_equal, floor.name, floor_seconds),
            Result("the ORM's bulk_create (scaled from a part)", orm_seconds, floor.name, floor_seconds),
        ]
    )


def _median(operation: Callable[[], None], *, clear_first: bool, rounds: int = ROUNDS) -> float:
    seconds = []
    for _ in range(rounds):
        if clear_first:
            clear((AssetCorrelation,))
        seconds.append(time_call(operation))
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
