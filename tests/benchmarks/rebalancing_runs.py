"""The work behind bench_rebalancing, on the database that DATABASE_URL names."""

import datetime as dt
import os
import time
from decimal import Decimal
from typing import Any

import django

django.setup()

import numpy as np  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402
from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: E402

from analytics.models import PortfolioAllocation, ProposalVersion, RebalancingEvent, RebalancingPolicy  # noqa: E402
from analytics.services.rebalancing_sweep import proposals_sweep, sweep_send  # noqa: E402
from portfolio_site.kernel.bulk import bulk_insert  # noqa: E402
from portfolios.models import Portfolio, Transaction, TransactionKind  # noqa: E402
from tests.benchmarks import Result, time_call  # noqa: E402
from tests.benchmarks.engines import print_results  # noqa: E402
from tests.benchmarks.market import PORTFOLIOS, Market, load_market  # noqa: E402
from tests.benchmarks.worker_processes import SECONDS_BETWEEN_LOOKS, workers  # noqa: E402

LINES = 50
# So many portfolios are solved one by one; their time is scaled to all.
SAMPLE = int(os.environ.get("BENCH_SAMPLE", "20"))
SECONDS_EACH = 1.0
# What a worker may take for a hundred portfolios before something must be wrong.
MOST_SECONDS_A_MESSAGE = 60
# Of the value; what the targets leave is what must remain, so that every cost is felt somewhere.
RESERVE = 0.02
MINIMUM_TRADE, FEE, COST_RATE = 250.0, 2.0, 0.001


def main() -> None:
    call_command("migrate", verbosity=0)
    market = load_market()
    has_workers = bool(settings.REDIS_URL)
    load_drifted_books(market, PORTFOLIOS * (2 if has_workers else 1))
    ids = list(Portfolio.objects.order_by("pk").values_list("pk", flat=True))
    ids, for_workers = ids[:PORTFOLIOS], ids[PORTFOLIOS:]
    day = market.days[-1].item()
    seconds = time_call(lambda: proposals_sweep(ids, day))
    events = events_of(ids)
    sample = ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE]
    solved: list[float | None] = []
    loop = time_call(lambda: solved.extend(best_by_milp(events[pk].pre_state) for pk in sample))
    loop *= len(ids) / len(sample)
    floor = f"a loop over milp, 1 s each, {len(sample)} of them scaled"
    what = f"{len(ids):,} portfolios x {LINES} assets, books to events"
    results = [Result(floor, loop, f"one sweep, {what}", seconds, least=20.0)]
    if for_workers:
        results.append(Result(floor, loop, f"two workers, {what}", by_workers(for_workers, day), least=20.0))
    pairs = [
        (events[pk].tracking_distance, distance)
        for pk, distance in zip(sample, solved, strict=True)
        if distance is not None
    ]
    if pairs:
        ours, theirs = np.mean(np.array(pairs, dtype=float), axis=0)
        name = f"tracking distance of the sweep, mean of {len(pairs)}"
        results.append(Result(name, float(ours), "of milp in 1 s", float(theirs), most=1.02, unit=""))
    print_results(results)


def by_workers(ids: list[int], day: dt.date) -> float:
    """Seconds from the first message to the last proposal."""
    with workers(2):
        return time_call(lambda: wait_for(ids, sweep_send(ids, day)))


def wait_for(ids: list[int], messages: int) -> None:
    waiting = RebalancingEvent.objects.filter(portfolio__in=ids)
    latest = time.monotonic() + MOST_SECONDS_A_MESSAGE * messages
    while waiting.count() < len(ids):
        if time.monotonic() > latest:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
    events_of(ids)


def events_of(ids: list[int]) -> dict[int, RebalancingEvent]:
    """The proposals by portfolio; every one must be there, with its version."""
    events = {event.portfolio_id: event for event in RebalancingEvent.objects.filter(portfolio__in=ids)}
    versions = ProposalVersion.objects.filter(event__portfolio__in=ids).count()
    if len(events) < len(ids) or versions < len(ids):
        raise RuntimeError(f"only {len(events)} of {len(ids)} portfolios have a proposal")
    return events


def load_drifted_books(market: Market, count: int) -> None:
    """Store portfolios in dollars that hold fifty assets a quarter away from their targets, and cash."""
    random = np.random.default_rng(21)
    Portfolio.objects.bulk_create(
        Portfolio(code=f"P{number:06}", name=f"Book {number}", base_currency_id="USD")
        for number in range(count)
    )
    portfolios = list(Portfolio.objects.order_by("code").values_list("pk", flat=True))
    RebalancingPolicy.objects.bulk_create(
        RebalancingPolicy(
            portfolio_id=pk,
            mode="full",
            minimum_trade=Decimal(str(MINIMUM_TRADE)),
            fee_per_trade=Decimal(str(FEE)),
            cost_rate=Decimal(str(COST_RATE)),
            cash_reserve_percentage=Decimal(str(RESERVE * 100)),
            cash_target_percentage=Decimal(str(RESERVE * 100)),
        )
        for pk in portfolios
    )
    traded = np.flatnonzero(np.isfinite(market.closes[:-1, -30:]).all(axis=1))
    bought = len(market.days) - 30
    targets: list[tuple[int, int, Decimal]] = []
    lines: list[tuple[Any, ...]] = []
    for pk in portfolios:
        held = random.choice(traded, min(LINES, len(traded)), replace=False)
        shares = np.round(random.dirichlet(np.full(len(held), 3.0)) * (1 - RESERVE) * 100, 4)
        value = float(np.exp(random.normal(12.2, 0.7)))
        amounts = shares / 100 * np.exp(random.normal(0, 0.25, len(held))) * value
        prices = market.closes[held, bought]
        counts = np.floor(amounts / prices)
        spent = float(counts @ prices)
        cash = round(spent + max(value - spent, 0.005 * value), 2)
        lines.append((pk, TransactionKind.DEPOSIT, market.days[bought], None, None, None, cash))
        lines += [
            (
                pk,
                TransactionKind.BUY,
                market.days[bought],
                int(market.ids[asset]),
                n,
                price,
                round(n * price, 2),
            )
            for asset, n, price in zip(held, counts.tolist(), prices.tolist(), strict=True)
            if n
        ]
        targets += [
            (pk, int(market.ids[asset]), Decimal(str(share)))
            for asset, share in zip(held, shares.tolist(), strict=True)
        ]
    PortfolioAllocation.objects.bulk_create(
        [
            PortfolioAllocation(portfolio_id=pk, asset_id=asset, target_percentage=target)
            for pk, asset, target in targets
        ],
        batch_size=2000,
    )
    owners, kinds, days, assets, quantities, prices_, amounts_ = (
        list(column) for column in zip(*lines, strict=True)
    )
    bulk_insert(
        Transaction,
        {
            "portfolio": owners,
            "kind": kinds,
            "trade_date": days,
            "asset": assets,
            "quantity": quantities,
            "price": prices_,
            "amount": amounts_,
            "external_id": [str(number) for number in range(len(lines))],
            "status": "settled",
            "fee": 0.0,
            "tax": 0.0,
            "currency": "USD",
            "source": "bench",
            "note": "",
            "created_at": timezone.make_aware(dt.datetime(2024, 1, 1)),
        },
    )


def best_by_milp(state: dict[str, Any]) -> float | None:
    """The tracking distance that the programme reaches in a second, None when it has found nothing.

    The direction of each trade is that of its drift, which is what makes it quick. Columns: shares traded,
    whether there is a trade, distance.
    """
    lines = state["lines"]
    value, cash = float(state["value"]), float(state["cash"])
    prices, held, targets = (
        np.array([float(line[name]) for line in lines]) for name in ("price", "quantity", "target")
    )
    targets = targets / 100
    n = len(lines)
    drift = held * prices / value - targets
    sign = np.where(drift < 0, 1.0, -1.0)
    fewest = np.ceil(MINIMUM_TRADE / prices)
    most = np.ceil(np.abs(drift) * value / prices) + fewest
    most = np.where(sign < 0, np.minimum(most, held), most)
    fewest = np.where(sign < 0, np.minimum(fewest, held), fewest)
    one, none = np.eye(n), np.zeros((n, n))
    change = np.diag(sign * prices / value)
    spent = np.concatenate([prices * (sign + COST_RATE), np.full(n, FEE), np.zeros(n)])[None]
    rows = np.vstack(
        [
            np.hstack([change, none, -one]),
            np.hstack([-change, none, -one]),
            np.hstack([one, -np.diag(most), none]),
            np.hstack([-one, np.diag(fewest), none]),
            spent / value,
        ]
    )
    ceilings = np.concatenate([-drift, drift, np.zeros(2 * n), [cash / value - RESERVE]])
    answer = milp(
        np.concatenate([np.zeros(2 * n), np.ones(n)]),
        constraints=LinearConstraint(rows, -np.inf, ceilings),
        integrality=np.concatenate([np.ones(2 * n), np.zeros(n)]),
        bounds=Bounds(0, np.concatenate([most, np.ones(n), np.full(n, 2.0)])),
        options={"time_limit": SECONDS_EACH},
    )
    if answer.x is None:
        return None
    lots = np.round(answer.x[:n])
    return float(np.abs((held + sign * lots) * prices / value - targets).sum())


if __name__ == "__main__":
    main()
