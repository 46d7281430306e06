"""From one line a figure to one a row, and back."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from analytics.models import Restatement
from tests.support import factories as make

OLD = ("analytics", "0002_brin_indexes")


def migrated(*targets: tuple[str, str]) -> Any:
    """The models as they are at the targets, or at the end."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())
    return MigrationExecutor(connection).loader.project_state(targets or None).apps


@pytest.fixture
def whole_again(transactional_db: None) -> Iterator[None]:
    yield
    migrated()


def rows() -> list[tuple[Any, ...]]:
    found = Restatement.objects.order_by("row_date")
    return list(found.values_list("row_date", "portfolio", "cause", "changes"))


@pytest.mark.servers
def test_restatements_go_back_to_lines_and_are_gathered_again(whole_again: None) -> None:
    portfolio, run = make.make_portfolio(), make.make_run()
    common = {"table_name": "portfolio_risk_metrics", "portfolio": portfolio, "run": run, "cause": "fx"}
    next_day = make.DAY + dt.timedelta(days=1)
    Restatement.objects.create(row_date=make.DAY, changes={"beta": [0.5, None], "var": [1.5, 2.5]}, **common)
    Restatement.objects.create(
        row_date=next_day, changes={"value": ["10.500000", None], "level": ["low", "high"]}, **common
    )
    before = rows()
    lines = migrated(OLD).get_model("analytics", "Restatement").objects
    assert set(lines.values_list("row_date", "field", "old_value", "new_value", "cause", "portfolio")) == {
        (make.DAY, "beta", 0.5, None, "fx", portfolio.pk),
        (make.DAY, "var", 1.5, 2.5, "fx", portfolio.pk),
        (next_day, "value", 10.5, None, "fx", portfolio.pk),
        (next_day, "level", None, None, "fx", portfolio.pk),
    }
    migrated()
    assert rows() == [before[0], (*before[1][:3], {"value": [10.5, None], "level": [None, None]})]
