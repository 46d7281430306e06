"""A published figure that changes is kept: what it was, what it is, by which run, and why."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from analytics.calculations.constants import ENGINE_VERSION
from analytics.models import (
    AssetPerformanceMetrics,
    ChunkKind,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    PublishedTable,
    Restatement,
    RunChunk,
)
from analytics.selectors import planning
from analytics.services import portfolio_figures, risk_metrics
from analytics.services.runs import BEGINNING, chunk_execute, run_create, run_execute
from portfolios.models import (
    ChangeCause,
    CorporateAction,
    ExchangeRate,
    InterestRate,
    PriceBar,
    TransactionKind,
)
from portfolios.services.staleness import (
    mark_assets_stale,
    mark_currencies_stale,
    mark_portfolio_stale,
    mark_series_stale,
)
from tests.support import factories as make
from tests.support.house import (
    DAYS,
    FIRST_DAY,
    LAST_DAY,
    RATE_SERIES,
    House,
    make_computed_house,
    make_house,
    run,
)

pytestmark = pytest.mark.django_db

CHANGED = DAYS[70]
PUBLISHED: tuple[tuple[type[models.Model], str, str], ...] = (
    (PortfolioPerformanceHistory, "portfolio", "snapshot_date"),
    (PortfolioRiskMetrics, "portfolio", "calculation_date"),
    (AssetPerformanceMetrics, "asset", "calculation_date"),
)
HIDDEN_STATE = "average_move_14"
NO_FIGURES = {"id", "run", "inputs_hash", "engine_version", "quality", "benchmark", HIDDEN_STATE}

Row = tuple[str, int, dt.date]
Figures = dict[Row, dict[str, Any]]


@pytest.fixture
def house() -> House:
    """Everything is computed, by one run."""
    return make_computed_house()


def published() -> Figures:
    """Every published figure, by table, subject and day; money as text."""
    figures: Figures = {}
    for model, subject, day in PUBLISHED:
        names = {field.name for field in model._meta.concrete_fields} - NO_FIGURES - {subject, day}
        for row in model._default_manager.values(subject, day, *names):
            figures[model._meta.db_table, row[subject], row[day]] = {
                name: str(row[name]) if isinstance(row[name], Decimal) else row[name] for name in names
            }
    return figures


def writers() -> dict[Row, int | None]:
    return {
        (model._meta.db_table, row[0], row[1]): row[2]
        for model, subject, day in PUBLISHED
        for row in model._default_manager.values_list(subject, day, "run")
    }


def differences(before: Figures, after: Figures) -> dict[Row, dict[str, list[Any]]]:
    """What became another figure in rows that were there before."""
    found = {}
    for row, figures in before.items():
        now = after.get(row, dict.fromkeys(figures))
        changes = {name: [old, now[name]] for name, old in figures.items() if not is_the_same(old, now[name])}
        if changes:
            found[row] = changes
    return found


def is_the_same(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-9, abs_tol=1e-13)
    return bool(old == new)


def restated(**filters: Any) -> dict[Row, dict[str, list[Any]]]:
    return {
        (row.table_name, row.portfolio_id or row.asset_id or 0, row.row_date): row.changes
        for row in Restatement.objects.filter(**filters)
    }


def days_of(**filters: Any) -> set[dt.date]:
    return set(Restatement.objects.filter(**filters).values_list("row_date", flat=True))


def because(cause: str, subject: str, day: dt.date = CHANGED) -> dict[str, str]:
    return {"cause": cause, "subject": subject, "from_date": day.isoformat()}


def change_price(house: House, close: Any = 52, day: dt.date = CHANGED) -> Decimal:
    """A corrected close of the German share, which only ABROAD holds; returns what it was."""
    (old,) = PriceBar.objects.filter(asset=house.rhein, date=day).values_list("close", flat=True)
    PriceBar.objects.filter(asset=house.rhein, date=day).update(close=Decimal(close))
    mark_assets_stale({house.rhein.pk: day}, ChangeCause.PRICE)
    return Decimal(old)


def change_rate(house: House) -> None:
    ExchangeRate.objects.filter(date=CHANGED).update(rate=Decimal("1.5"))
    mark_currencies_stale({"EUR": CHANGED})


def book_late(house: House) -> None:
    make.make_transaction(
        house.home, kind=TransactionKind.SELL, asset=house.acme, quantity=50, price=110, trade_date=CHANGED
    )
    mark_portfolio_stale(house.home, CHANGED, ChangeCause.TRANSACTION)


def split(house: House) -> None:
    CorporateAction.objects.create(asset=house.acme, ex_date=CHANGED, kind="split", ratio_new=2, ratio_old=1)
    mark_assets_stale({house.acme.pk: CHANGED}, ChangeCause.CORPORATE_ACTION)


def change_risk_free(house: House) -> None:
    InterestRate.objects.create(name=RATE_SERIES, date=CHANGED, annual_rate=Decimal("0.01"))
    mark_series_stale(RATE_SERIES, CHANGED)


@pytest.mark.parametrize(
    ("change", "cause", "subject", "restated_subjects"),
    [
        (change_price, "price", "RHEIN", {"ABROAD", "RHEIN"}),
        (change_rate, "fx", "EUR", {"ABROAD"}),
        (book_late, "transaction", "HOME", {"HOME"}),
        (split, "corporate_action", "ACME", {"HOME", "ABROAD", "ACME"}),
        (change_risk_free, "parameter", RATE_SERIES, {"HOME", "ABROAD"}),
    ],
)
def test_a_change_restates_exactly_the_figures_that_become_others(
    house: House, change: Any, cause: str, subject: str, restated_subjects: set[str]
) -> None:
    before, wrote = published(), writers()
    change(house)
    done = run()
    after = published()
    expected = differences(before, after)
    assert restated() == expected
    rows = Restatement.objects.select_related("portfolio", "asset")
    assert {str(row.portfolio or row.asset) for row in rows} == restated_subjects
    for row in rows:
        assert (row.cause, row.causes, row.run_id) == (cause, [because(cause, subject)], done.pk)
    # A split halves all the prices before it; everything else only touches the days since.
    is_split = change is split
    untouched = {
        row for row in before if row[2] < CHANGED and not (is_split and row[0] == PublishedTable.ASSETS)
    }
    assert len(untouched) >= 2 * 2 * 70
    assert untouched.isdisjoint(restated())
    assert {row: writers()[row] for row in untouched} == {row: wrote[row] for row in untouched}


def test_the_old_and_the_new_value_are_those_of_the_table(house: House) -> None:
    history = PortfolioPerformanceHistory.objects.filter(portfolio=house.abroad, snapshot_date=CHANGED)
    old = history.get()
    change_price(house)
    run()
    new = history.get()
    row = Restatement.objects.get(
        portfolio=house.abroad, row_date=CHANGED, table_name=PublishedTable.PERFORMANCE
    )
    assert row.changes["total_value"] == [str(old.total_value), str(new.total_value)]
    assert row.changes["daily_return"] == [old.daily_return, new.daily_return]
    assert "cost_basis" not in row.changes


def test_a_run_again_and_a_message_again_restate_nothing_more(house: House) -> None:
    change_price(house)
    planned = run_create()
    assert planned is not None
    run_execute(planned)
    count = Restatement.objects.count()
    assert count > 0
    for chunk in planned.chunks.all():
        chunk_execute(chunk.pk)
    run(from_date=FIRST_DAY)
    run()
    assert Restatement.objects.count() == count


def test_a_correction_that_is_taken_back_is_a_second_restatement(house: House) -> None:
    original = change_price(house)
    first = run()
    change_price(house, original)
    second = run()
    there, back = restated(run=first), restated(run=second)
    assert there.keys() == back.keys()
    for row, changes in there.items():
        assert back[row] == {name: [new, old] for name, (old, new) in changes.items()}


def test_new_days_are_no_restatement_and_no_history_is_read_for_them(house: House) -> None:
    tomorrow = LAST_DAY + dt.timedelta(days=3)
    for asset in (house.market, house.acme, house.rhein):
        make.make_price(asset, tomorrow, 60)
    mark_assets_stale({house.acme.pk: tomorrow, house.rhein.pk: tomorrow}, ChangeCause.PRICE)
    planned = run_create()
    assert planned is not None
    assert [work.get("causes") for work in planned.chunks.values_list("work", flat=True)] == [{}, None, {}]
    with CaptureQueriesContext(connection) as captured:
        run_execute(planned)
    assert planned.rows["portfolio_performance_history"] == 2
    assert not Restatement.objects.exists()
    statements = [query["sql"] for query in captured]
    assert not any("restatements" in sql for sql in statements)
    assert not any("column_daily_return" in sql or "column_rsi_14" in sql for sql in statements)


def test_a_first_computation_is_no_restatement() -> None:
    make_house()
    run()
    run(from_date=BEGINNING)
    assert not Restatement.objects.exists()


@pytest.mark.parametrize(("factor", "count"), [(1 + 1e-12, 0), (1 + 1e-6, len(DAYS))])
def test_noise_is_no_restatement(house: House, factor: float, count: int) -> None:
    AssetPerformanceMetrics.objects.filter(asset=house.acme).update(close=F("close") * factor)
    run(from_date=BEGINNING)
    assert Restatement.objects.filter(asset=house.acme, changes__has_key="close").count() == count
    assert Restatement.objects.count() == count


def test_noise_of_a_difference_near_zero_is_measured_by_its_column(house: House) -> None:
    rows = AssetPerformanceMetrics.objects.filter(asset=house.acme, macd__isnull=False)
    rows.update(macd=F("macd") + 1e-14)
    run(from_date=BEGINNING)
    assert not Restatement.objects.exists()
    assert AssetPerformanceMetrics.objects.values("run").distinct().order_by("run").count() == 2


def test_without_a_known_change_no_cause_is_made_up(house: House) -> None:
    PortfolioRiskMetrics.objects.filter(portfolio=house.home, calculation_date=CHANGED).update(
        risk_level="low", risk_class=None, observations=3, volatility=None
    )
    true = PortfolioRiskMetrics.objects.get(portfolio=house.abroad, calculation_date=CHANGED)
    run(from_date=CHANGED)
    (row,) = Restatement.objects.all()
    assert row.cause == ""
    assert [cause["cause"] for cause in row.causes] == ["recomputed"]
    assert row.changes["risk_level"][0] == "low"
    assert row.changes["risk_class"][0] is None
    assert row.changes["observations"] == [3, true.observations]
    assert isinstance(row.changes["observations"][1], int)
    assert row.changes["volatility"][0] is None
    assert row.changes["volatility"][1] > 0


def test_rows_of_an_older_version_of_the_code_say_so(house: House) -> None:
    rows = AssetPerformanceMetrics.objects.filter(asset=house.acme, calculation_date__in=[CHANGED, LAST_DAY])
    rows.update(close=1.0)
    rows.filter(calculation_date=CHANGED).update(engine_version="0")
    run(from_date=CHANGED)
    older, same = Restatement.objects.order_by("row_date")
    assert older.cause == ChangeCause.CODE
    assert older.causes[0]["subject"] == f"computed by version 0, now by {ENGINE_VERSION}"
    assert same.cause == ""


def test_code_that_found_the_same_is_no_cause_of_a_later_change(house: House) -> None:
    rows = AssetPerformanceMetrics.objects.filter(asset=house.rhein)
    rows.update(engine_version="0")
    run(from_date=BEGINNING)
    assert not Restatement.objects.exists()
    assert set(rows.values_list("engine_version", flat=True)) == {ENGINE_VERSION}
    change_price(house)
    run()
    for row in Restatement.objects.filter(asset=house.rhein):
        assert row.causes == [because("price", "RHEIN")]
    assert Restatement.objects.filter(asset=house.rhein).exists()


def test_subjects_of_one_chunk_are_measured_and_explained_each_by_its_own(house: House) -> None:
    for asset, size in ((house.acme, 1.0), (house.rhein, 1e-6)):
        AssetPerformanceMetrics.objects.filter(asset=asset, calculation_date=CHANGED).update(
            macd=F("macd") + 1e-7 * size
        )
    mark_assets_stale({house.acme.pk: CHANGED}, ChangeCause.PRICE)
    mark_assets_stale({house.rhein.pk: CHANGED}, ChangeCause.CORPORATE_ACTION)
    AssetPerformanceMetrics.objects.filter(asset=house.rhein, calculation_date=LAST_DAY).update(close=1.0)
    run()
    causes = {str(row.asset): row.causes for row in Restatement.objects.filter(asset__isnull=False)}
    assert causes == {
        "ACME": [because("price", "ACME")],
        "RHEIN": [because("corporate_action", "RHEIN")],
    }
    assert days_of(asset=house.acme) == {CHANGED}


def test_what_becomes_unknown_and_what_becomes_known_is_restated(house: House) -> None:
    rates = list(ExchangeRate.objects.all())
    ExchangeRate.objects.all().delete()
    mark_currencies_stale({"EUR": FIRST_DAY})
    before = published()
    lost = run()
    known = before[PublishedTable.PERFORMANCE, house.abroad.pk, CHANGED]["total_value"]
    row: Row = (PublishedTable.PERFORMANCE, house.abroad.pk, CHANGED)
    assert restated(run=lost)[row]["total_value"] == [known, None]
    ExchangeRate.objects.bulk_create(rates)
    mark_currencies_stale({"EUR": FIRST_DAY})
    found = run()
    assert restated(run=found)[row]["total_value"] == [None, known]


def test_a_row_that_goes_takes_its_figures_with_it(house: House) -> None:
    before = published()
    PriceBar.objects.filter(date=CHANGED).delete()
    mark_assets_stale(
        dict.fromkeys([house.market.pk, house.acme.pk, house.rhein.pk], CHANGED), ChangeCause.PRICE
    )
    run()
    after = published()
    gone = before.keys() - after.keys()
    assert {(table, day) for table, _, day in gone} == {(table.value, CHANGED) for table in PublishedTable}
    found = restated()
    assert found == differences(before, after)
    for row in gone:
        assert found[row] == {name: [value, None] for name, value in before[row].items() if value is not None}


def test_a_chunk_that_fails_half_way_leaves_no_restatement_and_its_causes_for_the_next_try(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    book_late(house)
    change_price(house)
    write = risk_metrics.risk_metrics_write

    def fail_at_the_second(run: Any, panel: Any, *since_and_why: Any) -> int:
        if panel.portfolio == house.abroad:
            raise ZeroDivisionError
        return write(run, panel, *since_and_why)

    with monkeypatch.context() as patch:
        patch.setattr(portfolio_figures.risk_metrics, "risk_metrics_write", fail_at_the_second)
        failed = run()
    assert set(Restatement.objects.values_list("asset__symbol", flat=True)) == {"RHEIN"}
    chunk_execute(failed.chunks.get(kind=ChunkKind.PORTFOLIOS).pk)
    for portfolio, cause in ((house.home, ("transaction", "HOME")), (house.abroad, ("price", "RHEIN"))):
        rows = Restatement.objects.filter(portfolio=portfolio)
        assert {row.table_name for row in rows} == {PublishedTable.PERFORMANCE, PublishedTable.RISK}
        assert [row.causes for row in rows] == [[because(*cause)]] * len(rows)


def test_a_row_names_only_what_had_changed_by_its_day_its_own_first(house: House) -> None:
    change_price(house, day=DAYS[60])
    mark_portfolio_stale(house.abroad, CHANGED, ChangeCause.PARAMETER)
    mark_currencies_stale({"EUR": DAYS[62]})
    run()
    price, fx = because("price", "RHEIN", DAYS[60]), because("fx", "EUR", DAYS[62])
    rows = Restatement.objects.filter(portfolio=house.abroad)
    assert rows.get(row_date=DAYS[60], table_name=PublishedTable.PERFORMANCE).causes == [price]
    assert rows.get(row_date=DAYS[65], table_name=PublishedTable.PERFORMANCE).causes == [price, fx]
    later = rows.get(row_date=CHANGED, table_name=PublishedTable.PERFORMANCE)
    assert later.causes == [because("parameter", "ABROAD"), price, fx]
    assert later.cause == ChangeCause.PARAMETER


def test_a_change_of_the_market_explains_the_betas_of_all_assets(house: House) -> None:
    AssetPerformanceMetrics.objects.filter(calculation_date=CHANGED).update(beta_1y=9.0)
    mark_assets_stale({house.market.pk: CHANGED}, ChangeCause.PRICE)
    run()
    for asset in (house.acme, house.rhein):
        assert Restatement.objects.get(asset=asset).causes == [because("price", "SPX")]


def test_many_causes_are_cut_short(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MOST_CAUSES", 2)
    mark_series_stale(RATE_SERIES, DAYS[69])
    mark_assets_stale({house.acme.pk: DAYS[68], house.market.pk: DAYS[67]}, ChangeCause.PRICE)
    change_price(house, day=DAYS[66])
    planned = run_create()
    assert planned is not None
    work = RunChunk.objects.get(run=planned, kind=ChunkKind.PORTFOLIOS).work
    assert work["causes"][str(house.abroad.pk)] == [
        because("price", "RHEIN", DAYS[66]),
        because("price", "SPX", DAYS[67]),
        because("others", "2 more", DAYS[68]),
    ]
