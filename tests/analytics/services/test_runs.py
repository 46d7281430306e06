"""The life of a run: plan, chunks, retries and its end."""

import datetime as dt
from typing import Any

import pytest
from django.db import transaction

from analytics.models import (
    AnalyticsRun,
    AssetPerformanceMetrics,
    ChunkKind,
    ChunkStatus,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    RunChunk,
    RunStatus,
)
from analytics.services import portfolio_figures, risk_metrics, runs
from analytics.services.runs import RunError, chunk_execute, run_create, run_finalise, run_start
from portfolios.models import (
    AuditEvent,
    ChangeCause,
    PriceBar,
    StaleMark,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from portfolios.services.staleness import mark_assets_stale, mark_portfolio_stale
from tests.support import factories as make
from tests.support.house import (
    COMPUTED,
    DAYS,
    FIRST_DAY,
    HOLIDAY,
    LAST_DAY,
    OF_LAST_DAYS,
    House,
    computed_tables,
    make_house,
    run,
    undisturbed_tables,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> House:
    return make_house()


def started() -> tuple[AnalyticsRun, list[int]]:
    planned = run_create()
    assert planned is not None
    return planned, run_start(planned.pk)


def chunk_of(planned: AnalyticsRun, kind: ChunkKind) -> RunChunk:
    return planned.chunks.get(kind=kind)


def test_a_run_over_everything_fills_the_tables_and_says_what_it_did(house: House) -> None:
    done = run()
    assert (done.status, done.stage, done.issues, done.error) == (RunStatus.SUCCEEDED, "finished", [], "")
    assert done.done == done.total > 0
    assert done.seconds is not None
    filled = (*COMPUTED, *OF_LAST_DAYS)
    assert done.rows == {model._meta.db_table: model._default_manager.count() for model in filled}
    assert done.rows["asset_performance_metrics"] == 3 * len(DAYS)
    assert done.rows["portfolio_performance_history"] == done.rows["portfolio_risk_metrics"] == 2 * len(DAYS)
    for model in COMPUTED:
        assert set(model._default_manager.values_list("run", flat=True)) == {done.pk}
    event = AuditEvent.objects.get(action="run.finished")
    assert event.object_id == str(done.pk)
    assert event.after is not None
    assert event.after["rows"] == done.rows


def test_after_it_there_is_nothing_to_do(house: House) -> None:
    run()
    assert run_create(keep_empty=False) is None
    assert AnalyticsRun.objects.count() == 1
    empty = run()
    assert (empty.status, empty.total, empty.rows) == (RunStatus.SUCCEEDED, 0, {})


def test_asked_for_again_nothing_changes_and_rows_keep_their_run(house: House) -> None:
    first = run()
    tables = computed_tables()
    again = run(from_date=FIRST_DAY)
    assert set(again.rows) == set(first.rows)
    assert set(again.rows.values()) == {0}
    assert computed_tables() == tables
    for model in COMPUTED:
        assert set(model._default_manager.values_list("run", flat=True)) == {first.pk}


def test_day_by_day_gives_the_same_as_all_at_once(house: House) -> None:
    expected = undisturbed_tables(only=["assets", "correlations", "performance", "risk", "benchmarks"])
    events = expected.pop("rebalancing_events")
    allocations = expected.pop("portfolio_allocations")
    assert (events, len(allocations)) == ([], 3)
    thursday = DAYS.index(HOLIDAY - dt.timedelta(days=1))
    # Over the holiday, after which that Thursday turns out to have ended its week.
    for day in DAYS[thursday - 1 : thursday + 3]:
        run(calculation_date=day)
    run()
    found = computed_tables()
    assert {name: found[name] for name in expected} == expected


def test_a_chunk_delivered_twice_does_nothing_the_second_time(house: House) -> None:
    planned, chunk_ids = started()
    for chunk_id in chunk_ids:
        chunk_execute(chunk_id)
    done = list(RunChunk.objects.values())
    PriceBar.objects.filter(asset=house.acme, date=LAST_DAY).update(close=1)
    tables = computed_tables()
    for chunk_id in chunk_ids:
        chunk_execute(chunk_id)
    assert computed_tables() == tables
    assert list(RunChunk.objects.values()) == done
    assert run_start(planned.pk) == []
    planned.refresh_from_db()
    assert planned.done == planned.total


def test_only_the_last_one_finishes_and_only_once(house: House) -> None:
    planned, chunk_ids = started()
    for chunk_id in chunk_ids[:-1]:
        chunk_execute(chunk_id)
        assert run_finalise(planned.pk) is False
    chunk_execute(chunk_ids[-1])
    assert run_finalise(planned.pk) is True
    assert run_finalise(planned.pk) is False
    assert AuditEvent.objects.filter(action="run.finished").count() == 1


def test_a_chunk_that_fails_half_way_leaves_nothing_and_can_be_done_again(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = undisturbed_tables()
    write = risk_metrics.risk_metrics_write

    def fail_at_the_second(run: AnalyticsRun, panels: Any, *since_and_why: Any) -> int:
        if house.abroad in [panel.portfolio for panel in panels]:
            raise ZeroDivisionError("by design")
        return write(run, panels, *since_and_why)

    with monkeypatch.context() as patch:
        patch.setattr(portfolio_figures, "PORTFOLIOS_PER_WRITE", 1)
        patch.setattr(portfolio_figures.risk_metrics, "risk_metrics_write", fail_at_the_second)
        failed = run()
    assert (failed.status, failed.error) == (RunStatus.PARTIAL, "1 of 3 chunks failed.")
    assert failed.issues == ["ZeroDivisionError: by design"]
    assert "by design" in caplog.text
    # The first portfolio's rows were written before; they are gone with the rest of the chunk.
    assert not PortfolioPerformanceHistory.objects.exists()
    assert not PortfolioRiskMetrics.objects.exists()
    assert AssetPerformanceMetrics.objects.count() == 3 * len(DAYS)

    chunk = chunk_of(failed, ChunkKind.PORTFOLIOS)
    assert (chunk.status, chunk.rows) == (ChunkStatus.FAILED, {})
    chunk_execute(chunk.pk)
    assert computed_tables() == expected


def test_when_everything_fails_the_run_has_failed_and_marks_stay(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_assets_stale({house.acme.pk: DAYS[3]}, ChangeCause.PRICE)

    def fail(run: AnalyticsRun, work: dict[str, Any]) -> Any:
        raise MemoryError

    monkeypatch.setattr(runs, "_WRITERS", dict.fromkeys(ChunkKind, fail))
    failed = run()
    assert (failed.status, failed.error) == (RunStatus.FAILED, "3 of 3 chunks failed.")
    assert failed.done == failed.total
    assert StaleMark.objects.count() == 1
    assert all(not model._default_manager.exclude(run=None).exists() for model in COMPUTED)


def test_books_that_cannot_be_walked_are_an_issue_and_the_others_are_computed(house: House) -> None:
    expected = undisturbed_tables()
    make.make_transaction(
        house.home, kind=TransactionKind.SELL, asset=house.rhein, quantity=1, price=1, trade_date=DAYS[9]
    )
    done = run()
    assert done.status == RunStatus.PARTIAL
    (issue,) = done.issues
    assert issue.startswith("HOME: ")
    assert "RHEIN" in issue
    history = PortfolioPerformanceHistory._meta.db_table
    found = computed_tables()[history]
    assert found == [row for row in expected[history] if row["portfolio"] == house.abroad.pk]


def test_a_portfolio_of_cash_alone_is_valued_on_weekdays(house: House) -> None:
    cash = make.make_portfolio("CASH")
    make.make_transaction(cash, amount=1_000, trade_date=LAST_DAY - dt.timedelta(days=6))
    done = run(portfolio_codes=["CASH"])
    assert done.status == RunStatus.SUCCEEDED
    assert list(cash.performance_history.values_list("total_value", flat=True)) == [1_000] * 5


def test_a_run_for_an_earlier_day_leaves_what_stands_as_of_the_latest(house: House) -> None:
    run()
    before = {
        model: list(model._default_manager.order_by("pk").values())
        for model in (PortfolioBenchmark, PortfolioAllocation)
    }
    earlier = run(calculation_date=DAYS[60], from_date=DAYS[60])
    assert {model: list(model._default_manager.order_by("pk").values()) for model in before} == before
    assert set(earlier.rows.values()) == {0}
    assert {row.calculation_date for row in PortfolioBenchmark.objects.all()} == {LAST_DAY}


def test_rows_of_days_that_are_no_longer_in_the_calendar_go(house: House) -> None:
    run()
    gone = DAYS[40]
    PriceBar.objects.filter(date=gone).delete()
    for asset in (house.market, house.acme, house.rhein):
        mark_assets_stale({asset.pk: gone}, ChangeCause.PRICE)
    run()
    assert computed_tables() == undisturbed_tables()
    for model, field in (
        (PortfolioPerformanceHistory, "snapshot_date"),
        (PortfolioRiskMetrics, "calculation_date"),
        (AssetPerformanceMetrics, "calculation_date"),
    ):
        days = set(model._default_manager.values_list(field, flat=True))
        assert days == set(DAYS) - {gone}


def test_rows_before_a_book_that_begins_later_go(house: House) -> None:
    run()
    Transaction.objects.filter(portfolio=house.home).update(status=TransactionStatus.CANCELLED)
    make.make_transaction(house.home, amount=5_000, trade_date=DAYS[30])
    mark_portfolio_stale(house.home, FIRST_DAY, ChangeCause.TRANSACTION)
    run()
    for rows, field in (
        (house.home.performance_history, "snapshot_date"),
        (house.home.risk_metrics, "calculation_date"),
    ):
        assert min(rows.values_list(field, flat=True)) == DAYS[30]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["luck"]}, "only: luck is not one of"),
        ({"portfolio_codes": ["HOME", "NONE"]}, "portfolio: there is no NONE"),
        ({"from_date": LAST_DAY + dt.timedelta(days=1)}, "from: .* is later than"),
        ({"calculation_date": dt.date(2999, 1, 1)}, "date: 2999-01-01 is in the future"),
    ],
)
def test_what_cannot_be_planned_is_refused_and_not_stored(options: dict[str, Any], message: str) -> None:
    make.make_portfolio("HOME")
    make.make_price(make.make_asset(), LAST_DAY)
    with pytest.raises(RunError, match=message):
        run_create(**options)
    assert not AnalyticsRun.objects.exists()


def test_a_request_goes_to_the_workers_when_it_is_committed(
    house: House, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(runs.current_app, "send_task", lambda name, arguments: sent.append((name, arguments)))
    user = make.make_user()
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        requested = runs.run_request(actor=user, portfolio_codes=["HOME"])
        assert sent == []
    assert sent == [("analytics.run_dispatch", [requested.pk])]
    assert (requested.requested_by, requested.status) == (user, RunStatus.QUEUED)
