"""The work behind bench_portfolios, on the database that DATABASE_URL names."""

import tempfile
import time

import django

django.setup()

import empyrical  # noqa: E402
import numpy as np  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from analytics.calculations.drawdowns import calmar_ratio, max_drawdown  # noqa: E402
from analytics.calculations.regression import beta_alpha, information_ratio, tracking_error  # noqa: E402
from analytics.calculations.returns import geometric_return, simple_returns  # noqa: E402
from analytics.calculations.statistics import sharpe_ratio, sortino_ratio, volatility  # noqa: E402
from analytics.calculations.tails import historical_tails  # noqa: E402
from analytics.models import (  # noqa: E402
    AnalyticsRun,
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    RunStatus,
)
from analytics.services.runs import BEGINNING, run_create  # noqa: E402
from analytics.tasks import run_dispatch  # noqa: E402
from tests.benchmarks import Result, time_call  # noqa: E402
from tests.benchmarks.asset_runs import run  # noqa: E402
from tests.benchmarks.books import load_books  # noqa: E402
from tests.benchmarks.engines import print_results  # noqa: E402
from tests.benchmarks.floors import Floor, clear, copy_out, medians  # noqa: E402
from tests.benchmarks.market import PORTFOLIOS, RUNS, load_market  # noqa: E402
from tests.benchmarks.worker_processes import SECONDS_BETWEEN_LOOKS, workers  # noqa: E402

ROWS = (
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    PortfolioRiskContribution,
)
SECTIONS = ("performance", "risk")
INPUTS = (
    "SELECT * FROM transactions",
    "SELECT asset_id, date, close FROM price_bars WHERE asset_id IN (SELECT asset_id FROM transactions)",
    "SELECT * FROM interest_rates",
)
RATE = 0.02 / 252
TOGETHER = 64


def main() -> None:
    call_command("migrate", verbosity=0)
    market = load_market()
    load_books(market, PORTFOLIOS)
    figures()
    floor = Floor(ROWS)
    found = medians(RUNS, lambda: _round(floor))
    rows = sum(model._default_manager.count() for model in ROWS)
    what = f"{PORTFOLIOS:,} portfolios, {rows:,} rows"
    is_postgresql = connection.vendor == "postgresql"
    floor_name = f"{floor.name} of its rows" + (" + one read of its inputs" if is_postgresql else "")
    most = 2.0 if is_postgresql else 1.5
    results = [
        Result(f"books to rows, {what}", found["empty"], floor_name, found["floor"], most=most),
        Result(f"again over existing rows, {what}", found["existing"], floor_name, found["floor"]),
    ]
    if is_postgresql:
        results += [_statistics(simple_returns(market.closes[-1])[1:]), _two_workers()]
    print_results(results)


def figures(**options: object) -> None:
    run(only=SECTIONS, **options)


def _round(floor: Floor) -> dict[str, float]:
    clear(ROWS)
    empty = time_call(figures)
    existing = time_call(lambda: figures(from_date=BEGINNING))
    _, rows = floor.out_and_in()
    return {"empty": empty, "existing": existing, "floor": rows + _one_read()}


def _one_read() -> float:
    if connection.vendor != "postgresql":
        return 0.0
    with tempfile.TemporaryFile() as file:
        return sum(time_call(lambda query=query: copy_out(query, file)) for query in INPUTS)  # type: ignore[misc]


# --- statistics alone -------------------------------------------------------------------------------


def _statistics(market: np.ndarray) -> Result:
    """Fourteen statistics of each portfolio over all its returns."""
    random = np.random.default_rng(3)
    own = random.normal(0.0002, 0.01, (PORTFOLIOS, len(market)))
    returns = random.uniform(0.5, 1.5, (PORTFOLIOS, 1)) * market + own
    ours, loop = [], []
    # What stays in the processor's cache.
    blocks = [returns[start : start + TOGETHER] for start in range(0, PORTFOLIOS, TOGETHER)]
    for _ in range(RUNS):
        ours.append(time_call(lambda: [_batched(block, market) for block in blocks]))
        loop.append(time_call(lambda: [_one_by_one(each, market) for each in returns]))
    pairs = sorted(zip(loop, ours, strict=True), key=lambda pair: pair[0] / pair[1])
    seconds, floor_seconds = pairs[RUNS // 2]
    return Result(
        f"an empyrical loop, risk statistics of {len(returns):,} x {len(market):,} returns",
        seconds,
        f"ours, {TOGETHER} at a time",
        floor_seconds,
        least=5.0,
    )


def _batched(returns: np.ndarray, market: np.ndarray) -> list[np.ndarray]:
    excess = returns - RATE
    tails = historical_tails(returns)
    return [
        geometric_return(returns),
        volatility(returns),
        sharpe_ratio(excess),
        sortino_ratio(excess),
        calmar_ratio(returns),
        max_drawdown(returns),
        *(figure for level in tails.values() for figure in level),
        *beta_alpha(excess, market - RATE),
        tracking_error(returns, market),
        information_ratio(returns, market),
    ]


def _one_by_one(returns: np.ndarray, market: np.ndarray) -> list[float]:
    alpha, beta = empyrical.alpha_beta_aligned(returns, market, RATE)
    return [
        empyrical.annual_return(returns),
        empyrical.annual_volatility(returns),
        empyrical.sharpe_ratio(returns, RATE),
        empyrical.sortino_ratio(returns, RATE),
        empyrical.calmar_ratio(returns),
        empyrical.max_drawdown(returns),
        empyrical.value_at_risk(returns, 0.05),
        empyrical.conditional_value_at_risk(returns, 0.05),
        empyrical.value_at_risk(returns, 0.01),
        empyrical.conditional_value_at_risk(returns, 0.01),
        beta,
        alpha,
        empyrical.annual_volatility(returns - market),
        empyrical.excess_sharpe(returns, market),
    ]


# --- workers ----------------------------------------------------------------------------------------


def _two_workers() -> Result:
    found = {count: medians(RUNS, lambda count=count: _by_workers(count))["seconds"] for count in (1, 2)}  # type: ignore[misc]
    return Result(
        f"one Celery worker, {PORTFOLIOS:,} portfolios", found[1], "two Celery workers", found[2], least=1.8
    )


def _by_workers(count: int) -> dict[str, float]:
    clear(ROWS)
    with workers(count):
        planned = run_create(only=SECTIONS)
        if planned is None:
            raise RuntimeError("there is nothing to compute")
        return {"seconds": time_call(lambda: _wait_for(planned))}


def _wait_for(planned: AnalyticsRun) -> None:
    run_dispatch.delay(planned.pk)
    while planned.status in (RunStatus.QUEUED, RunStatus.RUNNING):
        time.sleep(SECONDS_BETWEEN_LOOKS)
        planned.refresh_from_db(fields=["status", "error"])
    if planned.status != RunStatus.SUCCEEDED:
        raise RuntimeError(f"the run failed: {planned.error}")


if __name__ == "__main__":
    main()
