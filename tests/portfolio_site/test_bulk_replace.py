"""bulk_replace makes a range of rows what it is given, and touches nothing that is so already."""

import datetime as dt
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.models import AnalyticsRun, AssetPerformanceMetrics
from portfolio_site.kernel.bulk import bulk_insert
from portfolio_site.kernel.bulk_replace import Range, bulk_replace
from portfolios.models import Asset
from tests.support import factories as make

pytestmark = pytest.mark.django_db

START = dt.date(2024, 3, 4)
Table = dict[tuple[int, int], float]


def day(number: int) -> dt.date:
    return START + dt.timedelta(days=number)


@pytest.fixture
def assets() -> list[Asset]:
    return [make.make_asset() for _ in range(3)]


@pytest.fixture
def run() -> AnalyticsRun:
    return make.make_run()


def columns(run: AnalyticsRun, assets: list[Asset], rows: Table, **others: Any) -> dict[str, Any]:
    """`rows`: close by asset and day, both by number."""
    keys = sorted(rows)
    return {
        "asset": np.array([assets[asset].pk for asset, _ in keys], dtype=np.int64),
        "calculation_date": np.array([day(number) for _, number in keys], dtype="datetime64[D]"),
        "close": np.array([rows[key] for key in keys], dtype=float),
        "quality": [{}] * len(keys),
        "run": run.pk,
        "inputs_hash": np.array([b"0123456789abcdef0123456789abcdef"] * len(keys), dtype="S32"),
        "engine_version": "1",
        **others,
    }


def replace(
    run: AnalyticsRun, assets: list[Asset], rows: Table, first: list[int], through: int, **options: Any
) -> int:
    firsts = {asset.pk: day(number) for asset, number in zip(assets, first, strict=False)}
    return bulk_replace(
        AssetPerformanceMetrics,
        columns(run, assets, rows),
        Range("asset", "calculation_date", firsts, day(through)),
        provenance=("run",),
        **options,
    )


def stored(assets: list[Asset]) -> Table:
    numbers = {asset.pk: number for number, asset in enumerate(assets)}
    rows = AssetPerformanceMetrics.objects.values_list("asset", "calculation_date", "close")
    return {(numbers[asset], (date - START).days): close for asset, date, close in rows}


def test_into_an_empty_range_rows_go_without_being_compared(assets: list[Asset], run: AnalyticsRun) -> None:
    bulk_insert(AssetPerformanceMetrics, columns(run, assets, {(0, 1): 1.0, (1, 1): 2.0}))
    seen: list[Any] = []
    new = {(0, 2): 3.0, (1, 2): 4.0}
    with CaptureQueriesContext(connection) as captured:
        assert replace(run, assets, new, [2, 2], 9, before=seen.append) == 2
    assert not any("TEMPORARY" in query["sql"] for query in captured)
    assert not seen
    assert stored(assets) == {(0, 1): 1.0, (1, 1): 2.0, **new}


def test_only_what_differs_is_written_and_shown_before(assets: list[Asset], run: AnalyticsRun) -> None:
    old = {(0, 0): 0.0, (0, 1): 1.0, (0, 2): 2.0, (1, 1): 5.0, (1, 3): 6.0, (2, 1): 7.0}
    bulk_insert(AssetPerformanceMetrics, columns(run, assets, old))
    later = make.make_run()
    shown: list[Any] = []

    def note(rows: Any) -> None:
        assert stored(assets) == old
        shown.extend(rows.order_by("asset", "calculation_date").values_list("close", flat=True))

    new = {(0, 1): 1.0, (0, 2): 2.5, (0, 3): 3.0, (1, 3): 6.0}
    changed = replace(later, assets, new, [1, 1], 3, watched=["close"], before=note)
    assert changed == 3  # one changed, one is new, one went
    assert shown == [2.0, 5.0]
    assert stored(assets) == {(0, 0): 0.0, (2, 1): 7.0, **new}
    writers = AssetPerformanceMetrics.objects.filter(run=later).values_list("calculation_date", flat=True)
    assert sorted(writers) == [day(2), day(3)]


def test_the_same_again_writes_nothing(assets: list[Asset], run: AnalyticsRun) -> None:
    rows = {(0, 1): 1.0, (0, 2): float("nan"), (1, 1): 5.0}
    assert replace(run, assets, rows, [0, 0], 3) == 3
    ids = set(AssetPerformanceMetrics.objects.values_list("pk", flat=True))
    shown: list[Any] = []
    assert replace(make.make_run(), assets, rows, [0, 0], 3, before=shown.append) == 0
    assert not shown
    assert set(AssetPerformanceMetrics.objects.values_list("pk", "run")) == {(pk, run.pk) for pk in ids}


def test_a_change_that_is_not_watched_is_written_and_not_shown(
    assets: list[Asset], run: AnalyticsRun
) -> None:
    bulk_insert(AssetPerformanceMetrics, columns(run, assets, {(0, 1): 1.0}, engine_version="0"))
    shown: list[Any] = []
    assert replace(run, assets, {(0, 1): 1.0}, [0], 1, watched=["close"], before=shown.extend) == 1
    assert not shown
    assert AssetPerformanceMetrics.objects.get().engine_version == "1"


def test_what_lies_outside_the_range_stays(assets: list[Asset], run: AnalyticsRun) -> None:
    old = {(0, 0): 1.0, (0, 1): 2.0, (0, 2): 3.0, (1, 1): 4.0}
    bulk_insert(AssetPerformanceMetrics, columns(run, assets, old))
    assert replace(run, assets, {}, [1], 1) == 1
    assert stored(assets) == {key: close for key, close in old.items() if key != (0, 1)}
    assert replace(run, assets, {}, [], 1) == 0


def test_an_ordinary_day_takes_few_statements_however_many_subjects(
    assets: list[Asset], run: AnalyticsRun
) -> None:
    old = {(asset, number): 1.0 for asset in range(3) for number in range(3)}
    bulk_insert(AssetPerformanceMetrics, columns(run, assets, old))
    counts = []
    for size in (1, 3):
        rows = {(asset, 2): 2.0 + size for asset in range(size)}
        with CaptureQueriesContext(connection) as captured:
            assert replace(run, assets[:size], rows, [2] * size, 2, watched=["close"]) == size
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 15


CLOSES = st.sampled_from([1.0, 2.0, 3.0])
KEYS = st.tuples(st.integers(0, 2), st.integers(0, 5))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=40,
)
@given(
    old=st.dictionaries(KEYS, CLOSES, max_size=12),
    new=st.dictionaries(KEYS, CLOSES, max_size=12),
    first=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    through=st.integers(3, 5),
)
def test_the_range_becomes_what_it_is_given(
    assets: list[Asset], run: AnalyticsRun, old: Table, new: Table, first: list[int], through: int
) -> None:
    AssetPerformanceMetrics.objects.all().delete()
    bulk_insert(AssetPerformanceMetrics, columns(run, assets, old))

    def inside(key: tuple[int, int]) -> bool:
        asset, number = key
        return asset < len(first) and first[asset] <= number <= through

    was = {key: close for key, close in old.items() if inside(key)}
    new = {key: close for key, close in new.items() if inside(key)}
    different = {key for key in was.keys() | new.keys() if was.get(key) != new.get(key)}
    assert replace(run, assets, new, first, through) == len(different)
    kept = {key: close for key, close in old.items() if not inside(key)}
    assert stored(assets) == kept | new
