"""Kills the process that executes a rebalancing at random moments and holds the tables against those of an
undisturbed execution.

    python -m tests.soak.kill_execution [--kills 20] [--seed 1] [--seconds 0.1]

It starts a PostgreSQL of its own. Each process takes up the event where the one before was killed, by
SIGKILL. Should the event be over before all kills are spent, the next round begins on a fresh copy. Too slow
for the test suite: each kill costs the start of a process.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from tests.support.services import start_services

TRADES = 12
READY = "ready"
LONGEST_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.1, help="the longest rest of a process")
    parser.add_argument("--work-on", type=int, metavar="EVENT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work_on is not None:
        return work(options.work_on, options.seconds)
    # Ended from outside, it still takes its servers with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        os.environ.update(start_services(stack), DJANGO_SETTINGS_MODULE="portfolio_site.settings", DEBUG="1")
        return soak(options.kills, random.Random(options.seed), options.seconds)  # noqa: S311


def work(event_id: int, seconds: float) -> int:
    """Execute the event, or go on with it, with rests wherever a kill might hurt."""
    import django

    django.setup()

    from analytics.models import EventStatus, RebalancingEvent
    from analytics.services.execution import fills, run
    from tests.soak.worker import resting

    for owner, name in (
        (run, "orders_create"),
        (run, "orders_mark_sent"),
        (run, "fill_book"),
        (run, "overdrafts_cover"),
        (run, "event_settle"),
        (fills, "transaction_create"),  # inside the transaction of a fill
        (fills, "audit_append"),
    ):
        mock.patch.object(owner, name, resting(getattr(owner, name), seconds)).start()
    event = RebalancingEvent.objects.get(pk=event_id)
    print(READY, flush=True)  # noqa: T201
    if event.status == EventStatus.APPROVED:
        run.event_execute(event_id, actor=None)
    elif event.status == EventStatus.EXECUTING:
        run.event_resume(event_id)
    return 0


def soak(wanted: int, chance: random.Random, seconds: float) -> int:
    import django

    django.setup()

    from django.core.management import call_command

    from analytics.models import EventStatus, RebalancingEvent
    from analytics.services.execution.run import event_execute
    from portfolios.services.audit import audit_verify
    from tests.analytics.services.execution import stage
    from tests.soak.kill_workers import go_to_copy

    call_command("migrate", verbosity=0)
    portfolio, event_id = make_approved_event()
    with stage.taken_back():
        event_execute(event_id, actor=None)
        expected = stage.footprint(portfolio)
    kills, rounds, begin = 0, 0, time.monotonic()
    while kills < wanted:
        rounds += 1
        go_to_copy(f"round{rounds}")
        found: set[str] = set()
        while True:
            is_killed = run_process(event_id, f"round{rounds}", chance, seconds, may_kill=kills < wanted)
            kills += is_killed
            event = RebalancingEvent.objects.get()
            if is_killed:
                found.add(f"{event.status} with {len(stage.booked())} booked")
            if event.status not in (EventStatus.APPROVED, EventStatus.EXECUTING):
                break
        wrong = [name for name, rows in stage.footprint(portfolio).items() if rows != expected[name]]
        if not audit_verify().is_intact:
            wrong.append("audit chain")
        print(  # noqa: T201
            f"execution {rounds}, {time.monotonic() - begin:.0f} s, {kills} kills so far, which left it "
            f"{', '.join(sorted(found)) or 'done'}: {wrong or 'all tables equal'}",
            flush=True,
        )
        if wrong:
            return 1
    return 0


def make_approved_event() -> tuple[Any, int]:
    """Many sales and buys, and one share from abroad, for which currency is exchanged."""
    from tests.analytics.services.execution import stage
    from tests.support import factories as make

    portfolio = stage.make_portfolio(cash=20_000)
    actions = []
    for number in range(TRADES):
        asset = make.make_asset(f"S{number:02}")
        stage.make_prices(asset, 10 + number)
        side = "sell" if number % 2 else "buy"
        if side == "sell":
            stage.buy(portfolio, asset, 20, 10 + number)
        actions.append(stage.action(asset.symbol, side, 5 + number, 10 + number))
    rhein = make.make_asset("RHEIN", currency="EUR")
    stage.make_prices(rhein, 50)
    for day in (stage.DAY_BEFORE, stage.DAY):
        make.make_exchange_rate(date=day, rate="1.08")
    actions.append(stage.action("RHEIN", "buy", 10, 50, "1.08"))
    return portfolio, stage.approved_event(portfolio, *actions).pk


def run_process(
    event_id: int, database: str, chance: random.Random, seconds: float, *, may_kill: bool
) -> bool:
    """Let a process work on the event, and kill it after a while; whether it was killed at work."""
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()
    options = ["--work-on", str(event_id), "--seconds", str(seconds)]
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tests.soak.kill_execution", *options],
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or process.stdout.readline().strip() != READY:
        raise RuntimeError("the process did not start")
    try:
        process.wait(chance.uniform(0, TRADES * seconds) if may_kill else LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    if process.returncode:
        raise RuntimeError(f"the process ended with status {process.returncode}")
    return False


if __name__ == "__main__":
    sys.exit(main())
