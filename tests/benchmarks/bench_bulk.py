"""Writing 127,260 correlation rows: the bulk upsert against the plainest way the engine has."""

from tests.benchmarks import Result
from tests.benchmarks.engines import run_on_engines


def main() -> list[Result]:
    return run_on_engines("tests.benchmarks.bulk_writes")
