"""A new price for one asset: that asset and the portfolios that hold it are computed, nothing else."""

import datetime as dt
from typing import Any

import pytest

from analytics.models import AnalyticsRun, ChunkKind
from analytics.services.runs import run_create, run_execute
from portfolios.models import ChangeCause, PriceBar
from portfolios.services.staleness import mark_assets_stale
from tests.support.house import (
    COMPUTED,
    DAYS,
    LAST_DAY,
    House,
    computed_tables,
    make_house,
    run,
    undisturbed_tables,
)

pytestmark = pytest.mark.django_db
CHANGED_DAY = DAYS[60]


@pytest.fixture
def house() -> House:
    """One of its two portfolios holds the German share."""
    return make_house()


def change_price(house: House) -> None:
    PriceBar.objects.filter(asset=house.rhein, date=CHANGED_DAY).update(close=60)
    mark_assets_stale({house.rhein.pk: CHANGED_DAY}, ChangeCause.PRICE)


def planned() -> AnalyticsRun:
    found = run_create(keep_empty=False)
    assert found is not None
    return found


def work_of(planned: AnalyticsRun, kind: ChunkKind, name: str) -> list[Any]:
    return [entry for chunk in planned.chunks.filter(kind=kind) for entry in chunk.work[name]]


def test_only_the_asset_and_its_holders_are_planned_from_that_day_on(house: House) -> None:
    run()
    change_price(house)
    found = planned()
    day = CHANGED_DAY.isoformat()
    assert work_of(found, ChunkKind.ASSETS, "assets") == [[house.rhein.pk, day]]
    assert work_of(found, ChunkKind.PORTFOLIOS, "portfolios") == [[house.abroad.pk, day]]
    assert work_of(found, ChunkKind.CORRELATIONS, "days")[0] == day


def test_only_their_rows_from_that_day_on_are_written(house: House) -> None:
    run()
    change_price(house)
    again = run_execute(planned())
    written = {model: list(model._default_manager.filter(run=again).values()) for model in COMPUTED}
    for rows in written.values():
        for row in rows:
            assert row.get("portfolio_id", house.abroad.pk) == house.abroad.pk
            assert house.rhein.pk in {row.get(name, house.rhein.pk) for name in ("asset1_id", "asset2_id")}
            assert row.get("calculation_date", row.get("snapshot_date", LAST_DAY)) >= CHANGED_DAY
    assert {row["asset_id"] for row in written[COMPUTED[1]]} == {house.rhein.pk}
    assert all(written[model] for model in COMPUTED[:2])
    assert computed_tables() == undisturbed_tables(from_date=DAYS[0])


def test_a_new_day_of_an_asset_makes_only_its_holders_due(house: House) -> None:
    run()
    new_day = LAST_DAY + dt.timedelta(days=1)
    PriceBar.objects.create(asset=house.rhein, date=new_day, close=61)
    found = run_create(calculation_date=new_day, keep_empty=False)
    assert found is not None
    assert work_of(found, ChunkKind.ASSETS, "assets") == [[house.rhein.pk, new_day.isoformat()]]
    assert work_of(found, ChunkKind.PORTFOLIOS, "portfolios") == [[house.abroad.pk, new_day.isoformat()]]
