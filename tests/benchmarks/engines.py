"""Runs a benchmark script in a process of its own, with an empty database of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tests.benchmarks import Result
from tests.support.services import start_services

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


@contextmanager
def engine_addresses(engines: Sequence[str]) -> Iterator[dict[str, dict[str, str]]]:
    """What to set in the environment, by engine; the servers live as long as the context."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        addresses = {SQLITE: {"DATABASE_URL": f"sqlite:///{Path(folder) / 'bench.sqlite3'}"}}
        if POSTGRESQL in engines:
            addresses[POSTGRESQL] = start_services(stack)
        yield {engine: addresses[engine] for engine in engines}


def run_on_engines(module: str, engines: Sequence[str] = (SQLITE, POSTGRESQL)) -> list[Result]:
    """The results that `python -m module` prints as JSON, engine by engine."""
    results = []
    with engine_addresses(engines) as addresses:
        for engine, address in addresses.items():
            for result in run_module(module, address):
                results.append(replace(result, name=f"{engine}: {result.name}"))
    return results


def run_module(module: str, environment: dict[str, str]) -> list[Result]:
    """What a script prints with `print_results`; what goes wrong in it is seen."""
    printed = subprocess.run(  # noqa: S603
        [sys.executable, "-m", module],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "portfolio_site.settings"} | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [Result(**result) for result in json.loads(printed.stdout.splitlines()[-1])]


def print_results(results: list[Result]) -> None:
    print(json.dumps([asdict(result) for result in results]))
