"""Files to import, and proof of what an import left in the tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db.models import QuerySet

from portfolios.imports.report import ImportReport
from portfolios.models import AuditEvent

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


def last_event() -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Action, before and after of the last audit row."""
    event = AuditEvent.objects.order_by("-sequence")[0]
    return event.action, event.before or {}, event.after or {}


def database_state() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours."""
    return {rows.model._meta.db_table: list(rows.order_by("pk").values()) for rows in _tables()}


def table_sizes() -> dict[str, tuple[int, object]]:
    """How many rows each table of ours has and the last key: the cheap proof, for many rows."""
    return {
        rows.model._meta.db_table: (rows.count(), rows.order_by("pk").values_list("pk", flat=True).last())
        for rows in _tables()
    }


def _tables() -> Iterator[QuerySet[Any]]:
    for app in APPS:
        for model in apps.get_app_config(app).get_models():
            yield model._base_manager.all()


@contextmanager
def nothing_written() -> Iterator[None]:
    before = database_state()
    yield
    assert database_state() == before
