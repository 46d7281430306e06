"""Files to import, and proof of what an import left in the tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps

from portfolios.imports.report import ImportReport

APPS = ("portfolios", "analytics", "auth", "authtoken")

Refusal = tuple[int, str, str, str]


def write_file(folder: Path, *lines: str, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    """Read, created, updated, unchanged, rejected."""
    return report.read, report.created, report.updated, report.unchanged, len(report.rejected)


def refusals(report: ImportReport) -> list[Refusal]:
    return [(reject.line, reject.column, reject.value, reject.reason) for reject in report.rejected]


def database_state() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours."""
    models = [model for app in APPS for model in apps.get_app_config(app).get_models()]
    return {model._meta.db_table: list(model._base_manager.order_by("pk").values()) for model in models}


@contextmanager
def nothing_written() -> Iterator[None]:
    before = database_state()
    yield
    assert database_state() == before
