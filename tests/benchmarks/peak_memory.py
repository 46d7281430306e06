"""Peak memory of a backfill, in a process of its own."""

import re
from pathlib import Path

from tests.benchmarks import Result
from tests.benchmarks.asset_runs import COMPUTED, MEGABYTE, backfill
from tests.benchmarks.engines import print_results
from tests.benchmarks.floors import clear

KILOBYTE = 1024


def main() -> None:
    clear(COMPUTED)
    backfill()
    # Not ru_maxrss, which a process inherits from the one that started it.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    peak = int(found[1]) * KILOBYTE / MEGABYTE if found else float("nan")
    print_results([Result("peak memory", peak, "", 1.0, unit="MB")])


if __name__ == "__main__":
    main()
