import datetime as dt
from pathlib import Path

import pytest

from analytics.models import PortfolioBenchmark
from analytics.services.import_benchmarks import benchmarks_import
from portfolios.models import AuditEvent, Portfolio, StaleMark
from tests.support.factories import make_asset, make_portfolio, make_transaction
from tests.support.imports import Refusal, counts, last_event, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

HEADER = "portfolio,symbol,is_primary"
GOOD = (HEADER, "P1,SPX,1", "P1,IXIC,0")


@pytest.fixture(autouse=True)
def portfolio() -> Portfolio:
    make_asset("SPX", asset_class="index")
    make_asset("IXIC", asset_class="index")
    portfolio = make_portfolio("P1")
    make_transaction(portfolio, trade_date=dt.date(2024, 1, 2))
    return portfolio


def primaries() -> list[str]:
    return list(PortfolioBenchmark.objects.filter(is_primary=True).values_list("asset__symbol", flat=True))


def marks() -> list[tuple[str, dt.date, str]]:
    return list(StaleMark.objects.values_list("portfolio__code", "from_date", "cause"))


def test_benchmarks_are_stored(tmp_path: Path, portfolio: Portfolio) -> None:
    assert counts(benchmarks_import(write_file(tmp_path, *GOOD))) == (2, 2, 0, 0, 0)
    assert primaries() == ["SPX"]
    # Every day of the history is measured against the primary benchmark.
    assert marks() == [("P1", dt.date(2024, 1, 2), "parameter")]
    event = AuditEvent.objects.get()
    assert (event.action, event.portfolio) == ("benchmark.changed", portfolio)


def test_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    benchmarks_import(path)
    with nothing_written():
        assert counts(benchmarks_import(path)) == (2, 0, 0, 2, 0)


def test_start_date(tmp_path: Path) -> None:
    benchmarks_import(write_file(tmp_path, HEADER + ",start_date", "P1,SPX,1,2024-02-01"))
    assert PortfolioBenchmark.objects.get().start_date == dt.date(2024, 2, 1)


@pytest.mark.parametrize("lines", [("P1,SPX,0", "P1,IXIC,1"), ("P1,IXIC,1",)])
def test_new_primary_takes_the_place_of_the_old_one(tmp_path: Path, lines: tuple[str, ...]) -> None:
    benchmarks_import(write_file(tmp_path, *GOOD))
    StaleMark.objects.all().delete()
    report = benchmarks_import(write_file(tmp_path, HEADER, *lines))
    assert (report.updated, report.unchanged) == (len(lines), 0)
    assert primaries() == ["IXIC"]
    assert len(marks()) == 1
    _, before, after = last_event()
    assert before["SPX"]["is_primary"] is True
    assert after["benchmarks"]["SPX"]["is_primary"] is False


def test_second_benchmark_makes_no_history_stale(tmp_path: Path) -> None:
    benchmarks_import(write_file(tmp_path, *GOOD[:2]))
    StaleMark.objects.all().delete()
    assert benchmarks_import(write_file(tmp_path, *GOOD)).created == 1
    assert marks() == []


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("P9,SPX,0", (3, "portfolio", "P9", "unknown portfolio")),
        ("P1,ZZZ,0", (3, "symbol", "ZZZ", "unknown symbol")),
        ("P1,IXIC,2", (3, "is_primary", "2", "must be 1 or 0")),
        ("P1,IXIC,1", (3, "is_primary", "1", "the primary benchmark of P1 stands on line 2")),
        ("P1,SPX,0", (3, "symbol", "SPX", "repeats portfolio and symbol of line 2")),
    ],
)
def test_bad_row_stops_the_file_and_skip_leaves_it_out(tmp_path: Path, line: str, refusal: Refusal) -> None:
    path = write_file(tmp_path, *GOOD[:2], line)
    with nothing_written():
        assert refusals(benchmarks_import(path)) == [refusal]
    assert counts(benchmarks_import(path, on_error="skip")) == (2, 1, 0, 0, 1)
