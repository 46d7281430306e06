"""The nightly job of the assets, backfill and ordinary day, against moving its rows."""

from tests.benchmarks import Result
from tests.benchmarks.engines import POSTGRESQL, SQLITE, run_on_engines


def main() -> list[Result]:
    return run_on_engines("tests.benchmarks.asset_runs", (POSTGRESQL, SQLITE))
