"""A Celery worker as a process of its own: python -m tests.support.worker [FILE]

With a FILE it stops in the middle of its first portfolio chunk, after the rows are written and before they
are committed, and makes the file to say so. A message that is not acknowledged comes back after a second.
"""

import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import django
from kombu.asynchronous.hub import Hub

SECONDS_UNTIL_REDELIVERY = 1


def hang_in_a_portfolio_chunk(sign: Path) -> None:
    from analytics.models import ChunkKind
    from analytics.services import runs

    write = runs._WRITERS[ChunkKind.PORTFOLIOS]

    def write_and_hang(*arguments: Any) -> Any:
        write(*arguments)
        sign.touch()
        time.sleep(600)

    mock.patch.dict(runs._WRITERS, {ChunkKind.PORTFOLIOS: write_and_hang}).start()


def look_for_lost_messages_often() -> None:
    """Kombu looks every ten seconds, which is longer than the rest of the test."""
    repeat = Hub.call_repeatedly

    def repeat_often(self: Hub, delay: float, *rest: Any) -> Any:
        return repeat(self, min(delay, SECONDS_UNTIL_REDELIVERY), *rest)

    mock.patch.object(Hub, "call_repeatedly", repeat_often).start()


def main() -> None:
    django.setup()
    look_for_lost_messages_often()
    from portfolio_site.celery import app

    app.conf.broker_transport_options = {"visibility_timeout": SECONDS_UNTIL_REDELIVERY}
    if len(sys.argv) > 1:
        hang_in_a_portfolio_chunk(Path(sys.argv[1]))
    app.worker_main(["worker", "--pool=solo", "--loglevel=WARNING", "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    main()
