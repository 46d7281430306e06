"""Which chunks a run is cut into, and what each of them is to do."""

import datetime as dt
from typing import Any

import pytest

from analytics.models import AssetPerformanceMetrics, ChunkKind
from analytics.selectors.archive import ARCHIVED
from analytics.selectors.planning import held_assets, week_ends
from analytics.services import planning
from analytics.services.planning import PlannedChunk, run_plan
from portfolios.models import AssetClass, ChangeCause, CorporateAction, Portfolio, PriceBar, TransactionKind
from portfolios.services.staleness import mark_assets_stale
from tests.support import factories as make
from tests.support.house import DAYS, FIRST_DAY, HOLIDAY, LAST_DAY, House, make_house, make_prices, run

pytestmark = pytest.mark.django_db
ONE_DAY = dt.timedelta(days=1)


@pytest.fixture
def house() -> House:
    return make_house()


def work_of(chunks: list[PlannedChunk], kind: ChunkKind, name: str) -> list[Any]:
    return [entry for chunk in chunks if chunk.kind == kind for entry in chunk.work[name]]


def first_day_of(chunks: list[PlannedChunk], portfolio: Portfolio) -> str:
    return dict(work_of(chunks, ChunkKind.PORTFOLIOS, "portfolios"))[portfolio.pk]


def test_a_fresh_house_is_planned_whole(house: House) -> None:
    plan = run_plan(LAST_DAY)
    start = FIRST_DAY.isoformat()
    assert work_of(plan.chunks, ChunkKind.ASSETS, "assets") == [
        [asset.pk, start] for asset in (house.market, house.acme, house.rhein)
    ]
    assert work_of(plan.chunks, ChunkKind.CORRELATIONS, "days") == [day.isoformat() for day in DAYS]
    assert work_of(plan.chunks, ChunkKind.PORTFOLIOS, "portfolios") == [
        [house.home.pk, start],
        [house.abroad.pk, start],
    ]
    assert plan.units == 3 + len(DAYS) + 2


def test_work_is_cut_into_chunks_of_bounded_size(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_plan(LAST_DAY)
    monkeypatch.setattr(planning, "ASSETS_PER_CHUNK", 2)
    monkeypatch.setattr(planning, "DAYS_PER_CHUNK", 30)
    monkeypatch.setattr(planning, "PORTFOLIOS_PER_CHUNK", 1)
    plan = run_plan(LAST_DAY)
    assert [chunk.units for chunk in plan.chunks] == [2, 1, 30, 30, len(DAYS) - 60, 1, 1]
    for kind, name in (("assets", "assets"), ("correlations", "days"), ("portfolios", "portfolios")):
        assert work_of(plan.chunks, ChunkKind(kind), name) == work_of(whole.chunks, ChunkKind(kind), name)


def test_assets_that_go_on_by_a_day_are_many_to_a_chunk(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(calculation_date=DAYS[-2])
    AssetPerformanceMetrics.objects.filter(asset=house.rhein).delete()
    monkeypatch.setattr(planning, "ASSETS_PER_CHUNK", 1)
    chunks = run_plan(LAST_DAY, only=["assets"]).chunks
    assert [[asset_id for asset_id, _ in chunk.work["assets"]] for chunk in chunks] == [
        [house.rhein.pk],
        [house.market.pk, house.acme.pk],
    ]


def test_a_new_trading_day_is_all_there_is_to_do(house: House) -> None:
    run(calculation_date=DAYS[-2])
    plan = run_plan(LAST_DAY)
    last = LAST_DAY.isoformat()
    assert {entry[1] for entry in work_of(plan.chunks, ChunkKind.ASSETS, "assets")} == {last}
    assert work_of(plan.chunks, ChunkKind.CORRELATIONS, "days") == [last]
    assert {entry[1] for entry in work_of(plan.chunks, ChunkKind.PORTFOLIOS, "portfolios")} == {last}


def test_over_a_weekend_the_last_day_is_looked_at_again_for_all_pairs(house: House) -> None:
    thursday, monday = HOLIDAY - ONE_DAY, HOLIDAY + 3 * ONE_DAY
    run(calculation_date=thursday)
    days = work_of(run_plan(monday).chunks, ChunkKind.CORRELATIONS, "days")
    assert days == [thursday.isoformat(), monday.isoformat()]


def test_named_portfolios_bring_their_assets_and_benchmarks_but_no_correlations(house: House) -> None:
    plan = run_plan(LAST_DAY, portfolio_codes=["HOME"])
    assets = {entry[0] for entry in work_of(plan.chunks, ChunkKind.ASSETS, "assets")}
    assert assets == {house.acme.pk, house.market.pk}
    assert {chunk.kind for chunk in plan.chunks} == {ChunkKind.ASSETS, ChunkKind.PORTFOLIOS}
    asked = run_plan(LAST_DAY, portfolio_codes=["HOME"], only=["correlations"])
    assert {chunk.kind for chunk in asked.chunks} == {ChunkKind.CORRELATIONS}


@pytest.mark.parametrize(
    ("only", "kinds", "sections"),
    [
        (["assets"], {"assets"}, None),
        (["correlations"], {"correlations"}, None),
        (["risk", "performance"], {"portfolios"}, ["performance", "risk"]),
        ([], {"assets", "correlations", "portfolios"}, ["benchmarks", "performance", "rebalancing", "risk"]),
    ],
)
def test_sections(house: House, only: list[str], kinds: set[str], sections: list[str] | None) -> None:
    plan = run_plan(LAST_DAY, only=only)
    assert {chunk.kind.value for chunk in plan.chunks} == kinds
    for chunk in plan.chunks:
        if chunk.kind == ChunkKind.PORTFOLIOS:
            assert chunk.work["sections"] == sections
        if chunk.kind == ChunkKind.CORRELATIONS:
            assert chunk.work["all_pairs"] is ("correlations" in only)


def test_correlations_asked_for_are_of_the_day_even_when_it_is_done(house: House) -> None:
    run()
    assert run_plan(LAST_DAY).chunks == []
    plan = run_plan(LAST_DAY, only=["correlations"])
    assert work_of(plan.chunks, ChunkKind.CORRELATIONS, "days") == [LAST_DAY.isoformat()]


def test_closed_portfolios_drafts_and_inactive_assets_are_left_out(house: House) -> None:
    Portfolio.objects.filter(pk=house.home.pk).update(status="closed")
    drafts = make.make_portfolio("DRAFTS")
    make.make_transaction(drafts, status="draft")
    house.market.is_active = False
    house.market.save()
    plan = run_plan(LAST_DAY)
    assert [entry[0] for entry in work_of(plan.chunks, ChunkKind.PORTFOLIOS, "portfolios")] == [
        house.abroad.pk
    ]
    assert house.market.pk not in [entry[0] for entry in work_of(plan.chunks, ChunkKind.ASSETS, "assets")]


def test_a_portfolio_that_begins_later_than_the_run_is_left_out(house: House) -> None:
    later = make.make_portfolio("LATER")
    make.make_transaction(later, trade_date=LAST_DAY)
    planned = work_of(run_plan(DAYS[-2], from_date=FIRST_DAY).chunks, ChunkKind.PORTFOLIOS, "portfolios")
    assert later.pk not in dict(planned)
    assert first_day_of(run_plan(LAST_DAY).chunks, later) == LAST_DAY.isoformat()


def test_a_late_bar_of_an_old_day_is_stale_for_who_depends_on_it_only(house: House) -> None:
    run()
    make_prices(make.make_asset("NEW"), 10, 9, DAYS[:3])
    plan = run_plan(LAST_DAY)
    assert {chunk.kind for chunk in plan.chunks} == {ChunkKind.ASSETS}
    assert len(work_of(plan.chunks, ChunkKind.ASSETS, "assets")) == 1


@pytest.mark.parametrize(
    ("through", "ends"),
    [
        ("2024-03-27", ["2024-03-22"]),
        ("2024-03-28", ["2024-03-22"]),
        ("2024-03-29", ["2024-03-22", "2024-03-28"]),
        ("2024-04-01", ["2024-03-22", "2024-03-28"]),
    ],
    ids=["within the week", "Thursday", "Good Friday", "Monday"],
)
def test_a_week_ends_with_its_last_session_once_it_is_over(through: str, ends: list[str]) -> None:
    last = dt.date.fromisoformat(through)
    days = [day for day in DAYS if dt.date(2024, 3, 18) <= day <= last]
    assert week_ends(days, last) == {dt.date.fromisoformat(day) for day in ends}


def test_assets_held_together_follow_the_books_through_a_split(house: House) -> None:
    CorporateAction.objects.create(asset=house.acme, ex_date=DAYS[50], kind="split", ratio_new=3, ratio_old=1)
    make.make_transaction(
        house.abroad, kind=TransactionKind.SELL, asset=house.acme, quantity=900, price=40, trade_date=DAYS[80]
    )
    pair = (house.acme.pk, house.rhein.pk)
    held = held_assets(LAST_DAY)
    assert held.together_on(DAYS[1]) == set()
    assert held.together_on(DAYS[2]) == {pair}
    assert held.together_on(DAYS[79]) == {pair}
    assert held.together_on(DAYS[80]) == set()


def test_nothing_booked_is_nothing_held() -> None:
    assert held_assets(LAST_DAY).together_on(LAST_DAY) == set()


def test_prices_alone_are_enough_for_asset_metrics() -> None:
    asset = make.make_asset(asset_class=AssetClass.CRYPTO)
    make_prices(asset, 100, 1, DAYS[:5])
    plan = run_plan(DAYS[4])
    assert work_of(plan.chunks, ChunkKind.ASSETS, "assets") == [[asset.pk, FIRST_DAY.isoformat()]]
    assert work_of(plan.chunks, ChunkKind.PORTFOLIOS, "portfolios") == []
    assert PriceBar.objects.count() == 5


def causes_of(chunks: list[PlannedChunk], kind: ChunkKind) -> dict[str, Any]:
    return {number: causes for c in chunks if c.kind == kind for number, causes in c.work["causes"].items()}


def test_a_plan_carries_why_stored_figures_are_computed_again(house: House) -> None:
    run()
    mark_assets_stale({house.rhein.pk: DAYS[70]}, ChangeCause.PRICE)
    mark_assets_stale({house.rhein.pk: DAYS[60]}, ChangeCause.PRICE)
    plan = run_plan(LAST_DAY)
    why = [{"cause": "price", "subject": "RHEIN", "from_date": DAYS[60].isoformat()}]
    assert causes_of(plan.chunks, ChunkKind.ASSETS) == {str(house.rhein.pk): why}
    assert causes_of(plan.chunks, ChunkKind.PORTFOLIOS) == {str(house.abroad.pk): why}


def test_what_is_computed_for_the_first_time_needs_no_cause(house: House) -> None:
    mark_assets_stale({house.rhein.pk: FIRST_DAY}, ChangeCause.PRICE)
    plan = run_plan(LAST_DAY)
    assert causes_of(plan.chunks, ChunkKind.ASSETS) == {}
    assert causes_of(plan.chunks, ChunkKind.PORTFOLIOS) == {}


def test_archived_years_are_not_computed_again(house: House) -> None:
    after = dt.date(LAST_DAY.year + 1, 1, 2)
    for table in ("asset_performance_metrics", "portfolio_performance_history", "asset_correlations"):
        make.make_audit_event(action=ARCHIVED, object_type=table, object_id=str(LAST_DAY.year))
    make_prices(house.rhein, 60, 1, [after])
    plan = run_plan(after, from_date=FIRST_DAY)
    begin = dt.date(LAST_DAY.year + 1, 1, 1).isoformat()
    assert work_of(plan.chunks, ChunkKind.ASSETS, "assets") == [[house.rhein.pk, begin]]
    assert work_of(plan.chunks, ChunkKind.CORRELATIONS, "days") == [after.isoformat()]
    assert work_of(plan.chunks, ChunkKind.PORTFOLIOS, "portfolios") == [
        [house.home.pk, begin],
        [house.abroad.pk, begin],
    ]
