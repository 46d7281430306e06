"""Who may write: services do, and what they write of record they tell the audit trail."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from rest_framework import mixins

from analytics.api import views as analytics_views
from portfolios.api import views as portfolios_views

ROOT = Path(__file__).parents[2]
APPS = ("analytics", "portfolios", "portfolio_site")
# Rooms that are there to write: services, migrations, and the kernel's ways of writing many rows.
WRITING_ROOMS = re.compile(r"(analytics|portfolios)/(services|migrations)/|portfolio_site/kernel/bulk\w*\.py")

ORM_WRITES = frozenset(
    {
        "save",
        "create",
        "delete",
        "bulk_create",
        "bulk_update",
        "get_or_create",
        "update_or_create",
        "asave",
        "acreate",
        "adelete",
        "aupdate",
        "abulk_create",
        "abulk_update",
        "_raw_delete",
    }
)
KERNEL_WRITES = frozenset({"bulk_insert", "bulk_insert_objects", "bulk_upsert", "bulk_replace"})
SQL_WRITES = re.compile(
    # The end: where a formatted string goes on with the name of its table.
    r"(?i)\s*(INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+(\S+\s+SET|$)|DELETE\s+FROM|TRUNCATE|MERGE\s+INTO|REPLACE\s+INTO)"
)
# A call of one of these leaves an audit row, by itself or in what it calls.
AUDITED_BY = frozenset({"audit_append", "audit_append_many", "event_move"})

# Faces that write all the same, each with its reason.
WRITING_FACES: Mapping[str, str] = {
    "portfolio_site/kernel/tables.py": "a workbook, which is a file to download",
    "portfolio_site/schedules.py": "the scheduler's own table of periodic tasks, which is no record",
}
# Services that write without an audit row of their own, each with its reason.
COMPUTED = "computed rows, which a run writes and restatements explain"
IMPORTED = "rows of an import, of which the importer tells in the same transaction"
SILENT_SERVICES: Mapping[str, str] = {
    "analytics/services/allocation_analysis.py": COMPUTED,
    "analytics/services/benchmarks.py": COMPUTED,
    "analytics/services/computed_rows.py": COMPUTED,
    "analytics/services/correlations.py": COMPUTED,
    "analytics/services/partitions.py": "a year that the archive holds; the archive tells of it",
    "analytics/services/restatements.py": "the record of changed figures itself, which a run writes",
    "analytics/services/risk_models.py": COMPUTED,
    "portfolios/services/audit/appending.py": "the audit trail itself",
    "portfolios/services/import_assets.py": IMPORTED,
    "portfolios/services/import_corporate_actions.py": IMPORTED,
    "portfolios/services/import_exchange_rates.py": IMPORTED,
    "portfolios/services/import_interest_rates.py": IMPORTED,
    "portfolios/services/import_prices.py": IMPORTED,
    "portfolios/services/import_transactions/importer.py": IMPORTED,
    "portfolios/services/imports/flow.py": "the counts of an import, of which the importer tells",
    "portfolios/services/request_keys.py": "what was answered to a request; what it did has its own row",
    "portfolios/services/staleness.py": "marks of what is to be computed again",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def writes(tree: ast.AST) -> list[str]:
    """The writes of a module, as `line: what`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = called(node)
            if name in KERNEL_WRITES or (isinstance(node.func, ast.Attribute) and writes_rows(node, name)):
                found.append(f"{node.lineno}: {name}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_WRITES.match(node.value):
            found.append(f"{node.lineno}: {node.value.split()[0]}")
    return found


def called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def writes_rows(call: ast.Call, name: str) -> bool:
    """Rows are updated by keyword and deleted without arguments; dictionaries, sets and arrays are not."""
    if name == "update":
        return not call.args and bool(call.keywords)
    return name in ORM_WRITES and not (name == "delete" and call.args)


def writers(in_writing_rooms: bool) -> dict[str, list[str]]:
    found = {
        path: writes(tree) for path, tree in modules() if bool(WRITING_ROOMS.match(path)) == in_writing_rooms
    }
    return {path: lines for path, lines in found.items() if lines}


def test_only_services_write() -> None:
    faces = writers(in_writing_rooms=False)
    assert {path: lines for path, lines in faces.items() if path not in WRITING_FACES} == {}
    assert WRITING_FACES.keys() - faces.keys() == set(), "these write no longer"


@pytest.mark.parametrize(
    "source",
    [
        "row.save()",
        "Asset.objects.create(symbol='A')",
        "Asset.objects.filter(pk=1).update(name='A')",
        "rows.delete()",
        "bulk_upsert(Asset, columns, key=['id'])",
        "cursor.execute('DELETE FROM assets')",
        "cursor.execute(f'UPDATE {table} SET name = 1')",
        "cursor.execute('insert or replace into assets values (1)')",
    ],
)
def test_a_write_is_seen(source: str) -> None:
    assert writes(ast.parse(source))


@pytest.mark.parametrize(
    "source", ["names.update({1: 2})", "digest.update(b'1')", "np.delete(rows, 1)", "print('UPDATE of rows')"]
)
def test_what_is_no_write_is_not(source: str) -> None:
    assert writes(ast.parse(source)) == []


def test_screens_of_records_save_through_services() -> None:
    """Django's own screens would write past them, unless they may not write at all."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    careless = []
    for model, screen in admin.site._registry.items():
        if model._meta.app_label not in APPS:
            continue
        changes = screen.has_add_permission(request) or screen.has_change_permission(request)
        for may, method in ((changes, "save_model"), (screen.has_delete_permission(request), "delete_model")):
            if may and getattr(type(screen), method) is getattr(admin.ModelAdmin, method):
                careless.append(f"{type(screen).__name__}.{method}")
    assert careless == []


@pytest.mark.parametrize("views", [analytics_views, portfolios_views])
def test_endpoints_of_records_write_through_services(views: ModuleType) -> None:
    careless = [
        f"{name}.{method}"
        for name, view in vars(views).items()
        if isinstance(view, type)
        for mixin, method in (
            (mixins.CreateModelMixin, "perform_create"),
            (mixins.UpdateModelMixin, "perform_update"),
            (mixins.DestroyModelMixin, "perform_destroy"),
        )
        if issubclass(view, mixin) and view is not mixin and getattr(view, method) is getattr(mixin, method)
    ]
    assert careless == []


def is_audited(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and called(node) in AUDITED_BY for node in ast.walk(tree))


def test_services_tell_the_audit_trail_what_they_write() -> None:
    services = {path: tree for path, tree in modules() if re.match(r"(analytics|portfolios)/services/", path)}
    silent = {
        path: lines for path, tree in services.items() if (lines := writes(tree)) and not is_audited(tree)
    }
    assert {path: lines for path, lines in silent.items() if path not in SILENT_SERVICES} == {}
    assert SILENT_SERVICES.keys() - silent.keys() == set(), "these write no longer, or are audited"
