"""The broker of the tests: the real one when there is one, else files in a folder of the test's own."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings
from kombu import pools

from portfolio_site.celery import app


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Celery]:
    """The application, connected to a broker without messages."""
    before = app.conf.broker_transport_options
    if settings.REDIS_URL:
        with redis.Redis.from_url(settings.REDIS_URL) as server:
            server.flushdb()
    else:
        app.conf.broker_transport_options = _folders(tmp_path)
    _reconnect()
    yield app
    app.conf.broker_transport_options = before
    _reconnect()


def _folders(root: Path) -> dict[str, Any]:
    names = {"data_folder_in": "messages", "data_folder_out": "messages"}
    names |= {"processed_folder": "processed", "control_folder": "control"}
    for folder in set(names.values()):
        (root / folder).mkdir()
    return {name: str(root / folder) for name, folder in names.items()} | {"store_processed": False}


def _reconnect() -> None:
    """Forget the pools, which keep connections made with the options of before."""
    pools.reset()
    app._pool = None
    app.amqp._producer_pool = None


def messages(celery: Celery, *names: str) -> list[Any]:
    """Take all messages that wait, in the queues of these names or in all."""
    found = []
    with celery.connection_for_read() as connection:
        for name in names or celery.amqp.queues:
            with connection.SimpleQueue(celery.amqp.queues[name]) as queue, suppress(queue.Empty):
                while True:
                    message = queue.get(block=False)
                    message.ack()
                    found.append(message)
    return found
