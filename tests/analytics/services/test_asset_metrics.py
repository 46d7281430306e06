"""An ordinary day goes on from the rows of the day before, and ends in the same rows as a backfill."""

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest

from analytics.models import AnalyticsRun, AssetPerformanceMetrics, RunStatus
from analytics.services import asset_metrics
from analytics.services.runs import BEGINNING, run_create, run_execute
from portfolio_site.kernel.bulk import bulk_insert
from portfolios.models import Asset, ChangeCause, CorporateAction, InterestRate, PriceBar
from portfolios.services.staleness import mark_assets_stale
from tests.support import factories as make

pytestmark = pytest.mark.django_db

WEEKDAYS = np.arange("2013-01-02", "2019-01-01", dtype="datetime64[D]")
DAYS = WEEKDAYS[np.is_busday(WEEKDAYS)][:1330]
NEW_DAYS = 3
FIGURES = [field.name for field in AssetPerformanceMetrics._meta.fields if field.name not in {"id", "run"}]


def store_bars(asset: Asset, seed: int, days: np.ndarray = DAYS, **changed: Any) -> None:
    rng = np.random.default_rng(seed)
    close = 40 * np.cumprod(1 + rng.normal(0.0003, 0.012, len(days)))
    bars = {
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": rng.integers(0, 9_000, len(days)).astype(float),
    }
    bulk_insert(PriceBar, {"asset": asset.pk, "date": days, "source": "", **bars, **changed})


@pytest.fixture
def assets(settings: Any) -> dict[str, Asset]:
    """Everything is stored; nothing is computed."""
    names = ("SPX", "PLAIN", "SPLIT", "CLOSES", "GAPS", "YOUNG", "LISTED")
    made = {name: make.make_asset(name) for name in names}
    settings.MARKET_ASSET = "SPX"
    for seed, name in enumerate(("SPX", "PLAIN", "SPLIT")):
        store_bars(made[name], seed)
    CorporateAction.objects.create(
        asset=made["SPLIT"], kind="split", ex_date=DAYS[-100].item(), ratio_new=2, ratio_old=1
    )
    store_bars(made["CLOSES"], 3, high=None, low=None, volume=None)
    store_bars(made["GAPS"], 4)
    PriceBar.objects.filter(asset=made["GAPS"], date__in=[DAYS[-9].item(), DAYS[-2].item()]).update(low=None)
    PriceBar.objects.filter(asset=made["GAPS"], date=DAYS[-1].item()).update(volume=None)
    store_bars(made["YOUNG"], 5, DAYS[-200:])
    store_bars(made["LISTED"], 6, DAYS[-700:])
    InterestRate.objects.bulk_create(
        InterestRate(name="DTB3", date=day.item(), annual_rate=0.01) for day in DAYS[::7]
    )
    return made


def compute(day: np.datetime64, **options: Any) -> AnalyticsRun:
    run = run_create(calculation_date=day.astype(dt.date), only=["assets"], **options)
    assert run is not None
    run = run_execute(run)
    assert (run.status, run.error) == (RunStatus.SUCCEEDED, "")
    return run


def stored() -> dict[tuple[int, dt.date], dict[str, Any]]:
    return {
        (row["asset"], row["calculation_date"]): row
        for row in AssetPerformanceMetrics.objects.values(*FIGURES)
    }


def is_close(found: float | None, expected: float) -> bool:
    """As `pytest.approx` has it, which would take most of the time for so many figures."""
    return found is not None and math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-10)


def assert_equal(found: dict[Any, dict[str, Any]], expected: dict[Any, dict[str, Any]]) -> None:
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        for name, value in row.items():
            if isinstance(value, float):
                assert is_close(found[key][name], value), (key, name)
            else:
                assert found[key][name] == value, (key, name)


@pytest.fixture
def recomputed(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The assets of which all bars were read, by each reading."""
    calls: list[set[int]] = []
    read = asset_metrics.bars_of

    def noted(ids: Any, through: dt.date) -> Any:
        calls.append(set(ids))
        return read(ids, through)

    monkeypatch.setattr(asset_metrics, "bars_of", noted)
    return calls


def test_days_one_by_one_equal_a_backfill(assets: dict[str, Asset], recomputed: list[set[int]]) -> None:
    compute(DAYS[-1 - NEW_DAYS])
    recomputed.clear()
    for day in DAYS[-NEW_DAYS:]:
        compute(day)
    # Only the one without a year of bars is computed from its first one; the market is there to measure it.
    assert recomputed == [{assets["YOUNG"].pk, assets["SPX"].pk}] * NEW_DAYS
    found = stored()
    AssetPerformanceMetrics.objects.all().delete()
    compute(DAYS[-1], from_date=BEGINNING)
    assert_equal(found, stored())


def test_a_few_days_at_once_equal_a_backfill(assets: dict[str, Asset]) -> None:
    compute(DAYS[-1 - NEW_DAYS])
    compute(DAYS[-1])
    found = stored()
    AssetPerformanceMetrics.objects.all().delete()
    compute(DAYS[-1], from_date=BEGINNING)
    assert_equal(found, stored())


def forget_state(assets: dict[str, Asset]) -> None:
    AssetPerformanceMetrics.objects.filter(asset=assets["PLAIN"]).update(average_move_14=None)


def older_code(assets: dict[str, Asset]) -> None:
    AssetPerformanceMetrics.objects.filter(asset=assets["PLAIN"]).update(engine_version="0")


@pytest.mark.parametrize("spoil", [forget_state, older_code])
def test_without_a_row_to_go_on_from_the_asset_is_computed_anew(
    assets: dict[str, Asset], recomputed: list[set[int]], spoil: Any
) -> None:
    compute(DAYS[-2])
    spoil(assets)
    recomputed.clear()
    compute(DAYS[-1])
    assert recomputed == [{assets[name].pk for name in ("PLAIN", "YOUNG", "SPX")}]
    found = stored()
    AssetPerformanceMetrics.objects.all().delete()
    compute(DAYS[-1], from_date=BEGINNING)
    last = DAYS[-1].item()
    assert_equal(
        {key: row for key, row in found.items() if key[1] == last},
        {key: row for key, row in stored().items() if key[1] == last},
    )


def test_a_new_price_of_one_asset_writes_that_asset_alone(assets: dict[str, Asset]) -> None:
    compute(DAYS[-1])
    before = stored()
    day = DAYS[-400].item()
    PriceBar.objects.filter(asset=assets["GAPS"], date=day).update(close=77)
    mark_assets_stale({assets["GAPS"].pk: day}, ChangeCause.PRICE)
    run = compute(DAYS[-1])
    entries = [entry for chunk in run.chunks.all() for entry in chunk.work["assets"]]
    assert entries == [[assets["GAPS"].pk, day.isoformat()]]
    changed = {key for key, row in stored().items() if row != before[key]}
    assert changed == {(assets["GAPS"].pk, later.item()) for later in DAYS[-400:]}


def test_what_has_lost_its_bars_loses_its_rows(assets: dict[str, Asset]) -> None:
    compute(DAYS[-1])
    PriceBar.objects.filter(asset=assets["LISTED"], date=DAYS[-1].item()).delete()
    mark_assets_stale({assets["LISTED"].pk: DAYS[-3].item()}, ChangeCause.PRICE)
    compute(DAYS[-1])
    rows = AssetPerformanceMetrics.objects.filter(asset=assets["LISTED"])
    assert rows.order_by("-calculation_date").values_list("calculation_date", flat=True)[0] == DAYS[-2].item()
    assert rows.count() == 699


@pytest.mark.parametrize("bars", [1, 900, 3_000])
def test_blocks_of_any_size_give_the_same_rows(
    assets: dict[str, Asset], monkeypatch: pytest.MonkeyPatch, bars: int
) -> None:
    compute(DAYS[-1])
    expected = stored()
    AssetPerformanceMetrics.objects.all().delete()
    monkeypatch.setattr(asset_metrics, "BARS_PER_BLOCK", bars)
    compute(DAYS[-1])
    assert stored() == expected
