"""The demo as the product stored it: its rows as tables, taken once, for tests that only look."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.apps import apps
from django.db import connection, models

from analytics.models import (
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    RebalancingEvent,
)

SEVEN_TABLES: dict[str, tuple[type[models.Model], str]] = {
    "performance": (PortfolioPerformanceHistory, "snapshot_date"),
    "assets": (AssetPerformanceMetrics, "calculation_date"),
    "allocations": (PortfolioAllocation, ""),
    "events": (RebalancingEvent, ""),
    "risk": (PortfolioRiskMetrics, "calculation_date"),
    "correlations": (AssetCorrelation, "calculation_date"),
    "benchmarks": (PortfolioBenchmark, ""),
}
FOREIGN = {
    "portfolio": "portfolio__code",
    "asset": "asset__symbol",
    "asset1": "asset1__symbol",
    "asset2": "asset2__symbol",
    "benchmark": "benchmark__symbol",
}
# With `django_db` they come before the tests that empty the database.
DEMO_MARKS = [pytest.mark.django_db, pytest.mark.once]

Fingerprints = dict[str, np.ndarray]


@dataclass(frozen=True)
class DemoHouse:
    """Tables by short name, and what every table of the database held after the first and second run."""

    tables: dict[str, pd.DataFrame]
    not_finite: dict[str, int]
    first: Fingerprints
    second: Fingerprints

    def of(self, table: str, **key: Any) -> pd.DataFrame:
        """The rows of one portfolio or asset, by day."""
        rows = self.tables[table]
        for name, value in key.items():
            rows = rows[rows[name] == value]
        day = SEVEN_TABLES[table][1]
        return rows.set_index(day).sort_index() if day else rows


def read_tables() -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """The seven tables with symbols and codes for keys, and how many stored numbers are NaN or infinite."""
    tables, not_finite = {}, {}
    for name, (model, day) in SEVEN_TABLES.items():
        fields = [field.name for field in model._meta.concrete_fields]
        rows = list(
            model._default_manager.order_by().values_list(*(FOREIGN.get(field, field) for field in fields))
        )
        not_finite[name] = sum(_is_not_finite(value) for row in rows for value in row)
        table = pd.DataFrame(rows, columns=fields)
        if day:
            table[day] = pd.to_datetime(table[day])
        tables[name] = table
    return tables, not_finite


def _is_not_finite(value: Any) -> bool:
    return (type(value) is float and not math.isfinite(value)) or (
        type(value) is Decimal and not value.is_finite()
    )


def fingerprints() -> Fingerprints:
    """A number per row of every table, sorted."""
    found = {}
    names = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)})
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(name)}")  # noqa: S608
            found[name] = np.sort(np.array([hash(row) for row in cursor.fetchall()], dtype=np.int64))
    return found
