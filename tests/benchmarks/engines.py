"""Runs a benchmark script once per database engine, each in its own process with its own empty database."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.benchmarks import Result
from tests.support.services import start_services


@contextmanager
def engine_urls() -> Iterator[dict[str, str]]:
    """Database URLs by engine; the PostgreSQL lives as long as the context."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield {
            "SQLite": f"sqlite:///{Path(folder) / 'bench.sqlite3'}",
            "PostgreSQL": start_services(stack)["DATABASE_URL"],
        }


def run_on_engines(module: str) -> list[Result]:
    """The results that `python -m module` prints as JSON, for both engines."""
    results = []
    with engine_urls() as urls:
        for engine, url in urls.items():
            environment = os.environ | {
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": "portfolio_site.settings",
            }
            command = [sys.executable, "-m", module]
            printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
            for line in json.loads(printed.stdout.splitlines()[-1]):
                results.append(
                    Result(f"{engine}: {line['name']}", line["seconds"], line["floor"], line["floor_seconds"])
                )
    return results


def print_results(results: list[Result]) -> None:
    lines = [
        {"name": r.name, "seconds": r.seconds, "floor": r.floor, "floor_seconds": r.floor_seconds}
        for r in results
    ]
    print(json.dumps(lines))
