"""From plain tables to partitioned ones and back: rows, ids, names, grants."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from analytics.models import AssetCorrelation, PortfolioPerformanceHistory
from analytics.selectors.archive import HISTORY
from analytics.services.partitions import partition_years
from portfolio_site.kernel import clock
from tests.analytics.services.test_partitions import OLD_DAYS
from tests.support import factories as make
from tests.support.history import make_history, partitions_put_back, stored_rows

OLD = ("analytics", "0007_asset_state")
NEW = ("analytics", "0008_partitions")
KINDS = "SELECT relname, relkind FROM pg_class WHERE relname = ANY(%s)"
NAMED = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid::regclass::text = ANY(%s) AND contype <> 'p'
"""
INDEXED = "SELECT tablename, indexname FROM pg_indexes WHERE tablename = ANY(%s)"
GRANTED = "SELECT relname, relacl::text FROM pg_class WHERE relname = ANY(%s)"
# These have a BRIN index only since they are partitioned.
NEW_INDEXES = {
    (table, f"{table}_brin") for table in ("portfolio_risk_contributions", "portfolio_var_backtests")
}


@pytest.fixture
def whole_again(transactional_db: None) -> Iterator[None]:
    with partitions_put_back():
        yield
        migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())


def migrate(*targets: Any) -> None:
    MigrationExecutor(connection).migrate(targets)


def asked(sql: str) -> set[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [[model._meta.db_table for model in HISTORY]])
        return set(cursor.fetchall())


@pytest.mark.servers
def test_tables_are_cut_into_years_and_put_together_again(whole_again: None) -> None:
    portfolio, _ = make_history(OLD_DAYS)
    with connection.cursor() as cursor:
        cursor.execute("GRANT SELECT ON asset_correlations TO PUBLIC")
    before, named, indexed, granted = stored_rows(), asked(NAMED), asked(INDEXED), asked(GRANTED)

    migrate(OLD)
    assert {kind for _, kind in asked(KINDS)} == {"r"}
    assert (stored_rows(), asked(NAMED), asked(GRANTED)) == (before, named, granted)
    assert asked(INDEXED) == indexed - NEW_INDEXES
    plain_row = make.make_performance(portfolio)

    migrate(NEW)
    assert {kind for _, kind in asked(KINDS)} == {"p"}
    assert (asked(NAMED), asked(INDEXED), asked(GRANTED)) == (named, indexed, granted)
    this_year = clock.today().year
    years = {day.year for day in OLD_DAYS} | {this_year, this_year + 1}
    assert partition_years(PortfolioPerformanceHistory) == years | {make.DAY.year}
    assert partition_years(AssetCorrelation) == years
    last = PortfolioPerformanceHistory.objects.get(pk=plain_row.pk)
    assert last.snapshot_date == make.DAY
    assert make.make_risk(portfolio).pk > max(row[0] for row in before["portfolio_risk_metrics"])
    assert make.make_performance(make.make_portfolio()).pk == plain_row.pk + 1
    assert stored_rows()["asset_performance_metrics"] == before["asset_performance_metrics"]
