"""Kills workers at random moments of a backfill and holds the tables against those of an undisturbed one.

    python -m tests.soak.kill_workers [--kills 100] [--seed 1] [--seconds 0.4]

It starts a PostgreSQL and a Valkey of its own. Some kills end a worker with all its processes, most end one
process that computes; all of them by SIGKILL. Should a backfill end before all kills are spent, the next
one begins on a fresh copy of the house.
"""

import argparse
import os
import random
import signal
import sys
import time
from contextlib import ExitStack

from tests.support.services import start_services

DAYS_PER_CHUNK = 3


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.4, help="the longest rest of a worker")
    options = parser.parse_args()
    # Ended from outside, it still takes its servers and workers with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        os.environ.update(start_services(stack), DJANGO_SETTINGS_MODULE="portfolio_site.settings", DEBUG="1")
        return soak(options.kills, random.Random(options.seed), options.seconds)  # noqa: S311


def soak(wanted: int, chance: random.Random, seconds: float) -> int:
    import django

    django.setup()

    from django.core.management import call_command

    from tests.soak.backfills import Kills, disturbed_backfill, make_large_house, small_chunks

    call_command("migrate", verbosity=0)
    make_large_house()
    kills, begin, rounds = Kills(wanted), time.monotonic(), 0
    while kills.left > 0:
        rounds += 1
        go_to_copy(f"round{rounds}")
        with small_chunks(DAYS_PER_CHUNK):
            wrong = disturbed_backfill(kills, chance, seconds)
        print(  # noqa: T201
            f"backfill {rounds}, {time.monotonic() - begin:.0f} s: kills so far {dict(kills.made)}, "
            f"{kills.at_work} of them with a chunk at work: {wrong or 'all tables equal, row by row'}",
            flush=True,
        )
        if wrong:
            return 1
    return 0


def go_to_copy(name: str) -> None:
    """Copy the database that holds the house and nothing computed, and connect to the copy."""
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = "template1"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE postgres")
    connection.close()
    connection.settings_dict["NAME"] = name


if __name__ == "__main__":
    sys.exit(main())
