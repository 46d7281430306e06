"""Performance and risk of many portfolios, from books to rows, against moving the rows."""

from tests.benchmarks import Result
from tests.benchmarks.engines import POSTGRESQL, SQLITE, run_on_engines


def main() -> list[Result]:
    return run_on_engines("tests.benchmarks.portfolio_runs", (POSTGRESQL, SQLITE))
