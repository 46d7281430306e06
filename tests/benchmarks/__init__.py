"""Benchmarks: what an operation costs against a floor measured in the same run.

Seconds drift with the machine, ratios hold. A module `bench_<topic>.py` here has a `main()` that measures and
returns its results; `python -m tests.benchmarks [topic ...]` runs all of them, or those named. None of them
fails on a ratio: the table says what was required and whether it was met.

BENCH_ASSETS, BENCH_DAYS, BENCH_PORTFOLIOS and BENCH_RUNS make a run smaller, BENCH_DATA names the folder of
the market data.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """Median wall seconds of an operation and of its floor, the least that the same work could cost.

    Their ratio is to be `most` at most, or `least` at least. Some measure megabytes instead of seconds.
    """

    name: str
    seconds: float
    floor: str
    floor_seconds: float
    most: float | None = None
    least: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.seconds / self.floor_seconds

    @property
    def required(self) -> str:
        if self.most is not None:
            return f"<= {self.most:g}"
        return "" if self.least is None else f">= {self.least:g}"

    @property
    def verdict(self) -> str:
        if not self.required:
            return ""
        is_met = self.ratio <= self.most if self.most is not None else self.ratio >= (self.least or 0)
        return "met" if is_met else "NOT MET"


def compare(
    name: str, operation: Callable[[], object], floor_name: str, floor: Callable[[], object], rounds: int = 5
) -> Result:
    """Time both in turns, so that a busy neighbour slows both, after one round that is not counted."""
    seconds, floor_seconds = [], []
    for _ in range(rounds + 1):
        seconds.append(time_call(operation))
        floor_seconds.append(time_call(floor))
    return Result(name, statistics.median(seconds[1:]), floor_name, statistics.median(floor_seconds[1:]))


def time_call(operation: Callable[[], object]) -> float:
    start = time.perf_counter()
    operation()
    return time.perf_counter() - start
