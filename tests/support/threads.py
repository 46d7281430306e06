"""Calls in threads of their own, each with its own connection to the database."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

Result = TypeVar("Result")


def in_thread(call: Callable[[], Result]) -> Future[Result]:
    """Start the call; its result, or what it raised, is in the future."""

    def run() -> Result:
        try:
            return call()
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    pool.shutdown(wait=False)
    return future


def together(*calls: Callable[[], Result]) -> list[Result]:
    """All at once; returns their results in their order."""
    futures = [in_thread(call) for call in calls]
    return [future.result(timeout=60) for future in futures]
