"""The work behind bench_bulk, on the database that DATABASE_URL names."""

import statistics
from collections.abc import Callable

import django

django.setup()

import numpy as np  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from analytics.models import AssetCorrelation  # noqa: E402
from portfolio_site.kernel.bulk import bulk_upsert  # noqa: E402
from portfolios.models import Asset  # noqa: E402
from tests.benchmarks import Result, time_call  # noqa: E402
from tests.benchmarks.engines import print_results  # noqa: E402

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
    columns = {
        "asset1": ids[left],
        "asset2": ids[right],
        "calculation_date": np.full(len(left), np.datetime64(DAY)),
        **{name: random.uniform(-1, 1, len(left)) for name in FIGURES},
        "quality": {},
        "inputs_hash": "",
        "engine_version": "",
    }
    rows = list(zip(*(_floor_column(values, len(left)) for values in columns.values()), strict=True))
    names = ["asset1_id", "asset2_id", *list(columns)[2:]]

    def upsert() -> None:
        bulk_upsert(AssetCorrelation, columns, key=("asset1", "asset2", "calculation_date"))

    def floor() -> None:
        _write_plainly(names, rows)

    def orm() -> None:
        part = [dict(zip(names, row, strict=True)) for row in rows[::ORM_SHARE]]
        AssetCorrelation.objects.bulk_create(
            [AssetCorrelation(**row | {"quality": {}}) for row in part], batch_size=2000
        )

    plain = "COPY" if connection.vendor == "postgresql" else "executemany"
    floor_seconds = _median(floor, clear=True)
    into_empty = _median(upsert, clear=True)
    upsert()
    over_equal = _median(upsert, clear=False)
    orm_seconds = _median(orm, clear=True, rounds=1) * ORM_SHARE
    print_results(
        [
            Result(f"bulk_upsert into an empty table, {len(rows):,} rows", into_empty, plain, floor_seconds),
            Result("bulk_upsert over equal rows", over_equal, plain, floor_seconds),
            Result("the ORM's bulk_create (scaled from a part)", orm_seconds, plain, floor_seconds),
        ]
    )


def _floor_column(values: object, length: int) -> list[object]:
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "M":
            plain = values.astype("datetime64[D]").tolist()
            return plain if connection.vendor == "postgresql" else [day.isoformat() for day in plain]
        return values.tolist()
    return ["{}" if values == {} else values] * length


def _write_plainly(names: list[str], rows: list[tuple[object, ...]]) -> None:
    table = AssetCorrelation._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            types = ["bigint", "bigint", "date", *["float8"] * len(FIGURES), "jsonb", "text", "text"]
            with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(types)
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join("?" * len(names))
            insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - our own names
            cursor.cursor.executemany(insert, rows)


def _median(operation: Callable[[], None], *, clear: bool, rounds: int = ROUNDS) -> float:
    seconds = []
    for _ in range(rounds):
        if clear:
            AssetCorrelation.objects.all()._raw_delete("default")
        seconds.append(time_call(operation))
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
