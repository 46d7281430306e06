"""Proposals for many portfolios of fifty lines, from books to stored events, against a loop over `milp`."""

from tests.benchmarks import Result
from tests.benchmarks.engines import POSTGRESQL, SQLITE, run_on_engines


def main() -> list[Result]:
    return run_on_engines("tests.benchmarks.rebalancing_runs", (POSTGRESQL, SQLITE))
