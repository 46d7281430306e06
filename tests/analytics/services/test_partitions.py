"""Partitions of the history tables: there ahead of time, and nothing a reader or writer has to know about."""

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from analytics.models import PortfolioPerformanceHistory
from analytics.selectors.archive import HISTORY
from analytics.services.archive import archive_before
from analytics.services.partitions import (
    PartitionError,
    partition_name,
    partition_years,
    partitions_ensure,
    table_reserve,
)
from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_upsert
from tests.support import factories as make
from tests.support.history import make_history, partitions_put_back, stored_rows
from tests.support.threads import in_thread

pytestmark = pytest.mark.django_db(transaction=True)
postgresql = pytest.mark.servers

THIS_YEAR = clock.today().year
# Long before the years that the migration made partitions for.
OLD_DAYS = [dt.date(1996, 12, 31), dt.date(1997, 1, 1), dt.date(1997, 6, 1), dt.date(1999, 3, 1)]


@pytest.fixture(autouse=True)
def same_partitions(transactional_db: None) -> Iterator[None]:
    with partitions_put_back():
        yield


def partition_of(day: dt.date) -> str:
    """The table that the day's row of the performance history is in."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM portfolio_performance_history WHERE snapshot_date = %s",
            [day],
        )
        ((name,),) = cursor.fetchall()
    return str(name)


def output_of(*arguments: str) -> str:
    output = StringIO()
    call_command("make_partitions", *arguments, stdout=output)
    return output.getvalue()


def test_on_other_engines_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setattr(connection, "display_name", "SQLite")
    make_history(OLD_DAYS)
    before = stored_rows()
    assert partitions_ensure() == []
    assert output_of() == "SQLite has no partitions; there is nothing to do.\n"
    assert json.loads(output_of("--format", "json")) == {"made": []}
    assert stored_rows() == before


@pytest.mark.parametrize("year", [THIS_YEAR - 1, THIS_YEAR + 51])
def test_partitions_nobody_can_want_are_refused(year: int) -> None:
    with pytest.raises(PartitionError, match=f"{year} is not between {THIS_YEAR} and {THIS_YEAR + 50}"):
        partitions_ensure(year)
    with pytest.raises(CommandError, match="is not between"):
        output_of("--through", str(year))


@postgresql
def test_every_year_from_the_first_price_to_the_next_has_one_and_only_once() -> None:
    make.make_price(make.make_asset(), dt.date(THIS_YEAR - 3, 5, 1))
    made = partitions_ensure()
    wanted = set(range(THIS_YEAR - 3, THIS_YEAR + 2))
    for model in HISTORY:
        assert partition_years(model) >= wanted
        assert partition_name(model, THIS_YEAR - 3) in made
    assert partitions_ensure() == []
    assert output_of() == "All partitions are there.\n"
    assert output_of("--through", str(THIS_YEAR + 2)) == "".join(
        f"made {partition_name(model, THIS_YEAR + 2)}\n" for model in HISTORY
    )


@postgresql
def test_rows_that_waited_in_the_default_partition_move_into_their_year() -> None:
    make_history(OLD_DAYS)
    before = stored_rows()
    assert {partition_of(day) for day in OLD_DAYS} == {"portfolio_performance_history_default"}
    made = partitions_ensure()
    assert {name for name in made if name.startswith("portfolio_performance_history")} == {
        f"portfolio_performance_history_{year}" for year in (1996, 1997, 1999)
    }
    assert [partition_of(day)[-4:] for day in OLD_DAYS] == ["1996", "1997", "1997", "1999"]
    assert stored_rows() == before


@postgresql
def test_archived_years_get_no_partition_until_they_have_rows_again(tmp_path: Path) -> None:
    portfolio, asset = make_history(OLD_DAYS)
    make.make_price(asset, OLD_DAYS[0])
    list(archive_before(dt.date(1998, 1, 1), tmp_path))
    partitions_ensure()
    assert partition_years(PortfolioPerformanceHistory) >= {1998, 1999}
    assert partition_years(PortfolioPerformanceHistory).isdisjoint({1996, 1997})
    make.make_performance(portfolio, OLD_DAYS[0])
    assert partitions_ensure() == ["portfolio_performance_history_1996"]


def test_the_orm_and_upserts_work_across_years() -> None:
    portfolio, _ = make_history(OLD_DAYS)
    partitions_ensure()
    rows = PortfolioPerformanceHistory.objects
    ids = list(rows.order_by("snapshot_date").values_list("pk", flat=True))
    columns = {"portfolio": portfolio.pk, "snapshot_date": OLD_DAYS, "fees": [Decimal(1)] * len(OLD_DAYS)}
    others = {"quality": {}, "inputs_hash": "", "engine_version": ""}
    key = ("portfolio", "snapshot_date")
    assert bulk_upsert(PortfolioPerformanceHistory, columns | others, key=key) == len(OLD_DAYS)
    assert bulk_upsert(PortfolioPerformanceHistory, columns | others, key=key) == 0
    assert list(rows.order_by("snapshot_date").values_list("pk", "fees")) == [(pk, 1) for pk in ids]

    row = rows.get(pk=ids[0])
    row.beta = 0.5
    row.save()
    assert rows.filter(beta=0.5).get().pk == ids[0]
    assert rows.filter(pk__in=ids[:2]).delete()[0] == 2
    assert list(rows.order_by("snapshot_date").values_list("pk", flat=True)) == ids[2:]
    assert make.make_performance(portfolio, OLD_DAYS[0]).pk not in ids


def test_a_second_row_of_a_day_is_refused_in_every_partition() -> None:
    portfolio, _ = make_history(OLD_DAYS)
    partitions_ensure()
    before = stored_rows()
    for day in OLD_DAYS:
        with pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
            make.make_performance(portfolio, day)
    assert stored_rows() == before


@postgresql
def test_two_who_make_the_same_partitions_wait_for_each_other() -> None:
    make_history(OLD_DAYS)
    with transaction.atomic():
        table_reserve(next(iter(HISTORY)))
        other = in_thread(partitions_ensure)
        made = partitions_ensure()
    assert len(made) == 3 * len(HISTORY)
    assert other.result() == []
