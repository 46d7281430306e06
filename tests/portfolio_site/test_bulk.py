"""bulk_upsert writes what the ORM reads back, on both engines, and nothing that is there already."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection

from analytics.models import AnalyticsRun, AssetPerformanceMetrics, PortfolioPerformanceHistory
from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.models import Asset, ImportBatch, Portfolio, PriceBar
from tests.support import factories as make

pytestmark = pytest.mark.django_db

DAY = dt.date(2024, 3, 28)
NEXT_DAY = dt.date(2024, 4, 2)
KEY = ("asset", "date")
# What every computed row must have; the defaults of Django fields are not the database's.
COMPUTED = {"quality": {}, "inputs_hash": "", "engine_version": ""}


def write_bars(asset: Asset, closes: Any, **columns: Any) -> int:
    days = [DAY, NEXT_DAY][: len(closes)]
    given = {"asset": asset.pk, "date": days, "close": closes, "source": "", **columns}
    return bulk_upsert(PriceBar, given, key=KEY)


def stored_closes(asset: Asset) -> dict[dt.date, Decimal]:
    return dict(PriceBar.objects.filter(asset=asset).values_list("date", "close"))


def test_new_rows_are_inserted_and_read_back_by_the_orm() -> None:
    asset = make.make_asset()
    assert write_bars(asset, [Decimal("100.5"), Decimal("0.1234567891")], source=["one", ""]) == 2
    first, second = PriceBar.objects.filter(asset=asset)
    assert (first.date, first.close, first.source) == (DAY, Decimal("100.5"), "one")
    assert (second.date, second.close, second.source) == (NEXT_DAY, Decimal("0.1234567891"), "")


def test_changed_rows_are_updated_and_only_they_are_counted() -> None:
    asset = make.make_asset()
    write_bars(asset, [1.0, 2.0])
    kept = set(PriceBar.objects.values_list("pk", flat=True))
    assert write_bars(asset, [1.0, 2.5]) == 1
    assert stored_closes(asset) == {DAY: Decimal(1), NEXT_DAY: Decimal("2.5")}
    assert set(PriceBar.objects.values_list("pk", flat=True)) == kept


@pytest.mark.parametrize(
    "closes",
    [
        [100.1, 0.3333333333],
        [Decimal("100.10"), Decimal("0.33333333331")],
        np.array([100.1, 0.3333333333]),
        (100.1, Decimal("0.3333333333")),
    ],
    ids=["floats", "decimals", "array", "tuple"],
)
def test_what_is_stored_already_counts_nothing(closes: Any) -> None:
    asset = make.make_asset()
    write_bars(asset, [Decimal("100.1"), Decimal("0.3333333333")])
    assert write_bars(asset, closes) == 0


def test_null_against_null_is_no_change_and_against_a_value_is_one() -> None:
    asset = make.make_asset()
    write_bars(asset, [1.0, 2.0], volume=[None, 5])
    assert write_bars(asset, [1.0, 2.0], volume=[np.nan, 5.0]) == 0
    assert write_bars(asset, [1.0, 2.0], volume=[7, None]) == 2
    assert dict(PriceBar.objects.values_list("date", "volume")) == {DAY: Decimal(7), NEXT_DAY: None}


def test_a_difference_in_provenance_alone_changes_nothing() -> None:
    asset = make.make_asset()
    first, second = make.make_run(), make.make_run()

    def write(run: AnalyticsRun, closes: list[float]) -> int:
        return bulk_upsert(
            AssetPerformanceMetrics,
            {
                "asset": asset.pk,
                "calculation_date": [DAY, NEXT_DAY],
                "close": closes,
                "run": run.pk,
                **COMPUTED,
            },
            key=("asset", "calculation_date"),
            provenance=("run",),
        )

    assert write(first, [1.0, 2.0]) == 2
    assert write(second, [1.0, 2.0]) == 0
    assert set(AssetPerformanceMetrics.objects.values_list("run", flat=True)) == {first.pk}
    assert write(second, [1.0, 3.0]) == 1
    assert dict(AssetPerformanceMetrics.objects.values_list("calculation_date", "run")) == {
        DAY: first.pk,
        NEXT_DAY: second.pk,
    }


@pytest.mark.parametrize(
    "unknown",
    [
        [1.5, None, np.nan, np.inf],
        np.array([1.5, np.nan, np.inf, -np.inf]),
        np.array([1.5, None, np.nan, np.inf], dtype=object),
    ],
    ids=["list", "floats", "objects"],
)
def test_what_is_no_number_becomes_null(unknown: Any) -> None:
    asset = make.make_asset()
    days = np.arange(np.datetime64(DAY), np.datetime64(DAY) + 4)
    bulk_upsert(
        AssetPerformanceMetrics,
        {"asset": asset.pk, "calculation_date": days, "close": unknown, **COMPUTED},
        key=("asset", "calculation_date"),
    )
    rows = AssetPerformanceMetrics.objects.order_by("calculation_date")
    assert list(rows.values_list("close", flat=True)) == [1.5, None, None, None]


def test_days_of_numpy_in_a_list_are_days() -> None:
    asset = make.make_asset()
    days = [np.datetime64(DAY), np.datetime64(NEXT_DAY)]
    bulk_upsert(PriceBar, {"asset": asset.pk, "date": days, "close": [1.0, 2.0], "source": ""}, key=KEY)
    assert stored_closes(asset) == {DAY: Decimal(1), NEXT_DAY: Decimal(2)}


def test_no_date_becomes_null_and_dates_come_back_as_dates() -> None:
    asset = make.make_asset()
    known = np.array([NEXT_DAY, "NaT"], dtype="datetime64[D]")
    write_bars(asset, [1.0, 2.0], adjusted_through=known)
    rows = PriceBar.objects.order_by("date")
    assert list(rows.values_list("adjusted_through", flat=True)) == [NEXT_DAY, None]
    assert write_bars(asset, [1.0, 2.0], adjusted_through=[NEXT_DAY, None]) == 0


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("1.00000000005", "1.0000000000"),
        ("1.00000000015", "1.0000000002"),
        ("1.00000000006", "1.0000000001"),
    ],
)
def test_decimals_are_rounded_half_even_to_the_digits_of_the_column(given: str, stored: str) -> None:
    asset = make.make_asset()
    write_bars(asset, [Decimal(given)])
    assert stored_closes(asset) == {DAY: Decimal(stored)}
    assert write_bars(asset, [Decimal(stored)]) == 0


def test_all_digits_of_a_column_are_kept() -> None:
    asset = make.make_asset()
    volume = Decimal("123456789012345678.123456789012")
    write_bars(asset, [1.0], volume=[volume])
    stored = PriceBar.objects.get().volume
    assert stored is not None
    digits = 30 if connection.vendor == "postgresql" else 15
    assert f"{stored:.{digits - 1}e}" == f"{volume:.{digits - 1}e}"


def test_more_digits_than_the_column_has_are_refused() -> None:
    asset = make.make_asset()
    with pytest.raises(ArithmeticError):
        write_bars(asset, [Decimal("1e15")])
    assert not PriceBar.objects.exists()


def test_minus_zero_is_zero() -> None:
    portfolio = make.make_portfolio()
    columns = {"portfolio": portfolio.pk, "snapshot_date": [DAY], "net_flow": [-0.0], **COMPUTED}
    bulk_upsert(PortfolioPerformanceHistory, columns, key=("portfolio", "snapshot_date"))
    assert str(PortfolioPerformanceHistory.objects.get().net_flow) == "0.000000"


def test_json_booleans_moments_and_whole_numbers_come_back_as_given() -> None:
    moment = dt.datetime(2024, 3, 28, 22, 30, 1, 123456, tzinfo=dt.UTC)
    notes = [{"a": [1, None, "é"], "b": 0.1}, []]
    common = {"target": "prices", "file_name": "", "layout": "", "rejects": [[], []]}
    counts = {name: np.array([1, 2]) for name in ("read", "created", "unchanged", "updated", "rejected")}
    columns = {
        "id": [901, 902],
        "sha256": ["x", "y"],
        "notes": notes,
        "created_at": moment,
        **common,
        **counts,
    }
    assert bulk_upsert(ImportBatch, columns, key=("id",)) == 2
    assert list(ImportBatch.objects.order_by("id").values_list("id", "notes", "created_at", "read")) == [
        (901, notes[0], moment, 1),
        (902, notes[1], moment, 2),
    ]
    assert bulk_upsert(ImportBatch, columns, key=("id",)) == 0
    assets = [make.make_asset(), make.make_asset()]
    columns = {"id": [asset.pk for asset in assets], "is_active": np.array([False, True])}
    assert bulk_upsert(Asset, columns, key=("id",), insert=False) == 1
    assert [Asset.objects.get(pk=asset.pk).is_active for asset in assets] == [False, True]


def test_without_insert_only_what_exists_is_updated() -> None:
    one, other = make.make_portfolio(), make.make_portfolio()
    benchmark = make.make_benchmark(one, make.make_asset())
    run = make.make_run()

    def write(beta: float) -> int:
        return bulk_upsert(
            type(benchmark),
            {"portfolio": [one.pk, other.pk], "asset": benchmark.asset_id, "beta": beta, "run": run.pk},
            key=("portfolio", "asset"),
            provenance=("run",),
            insert=False,
        )

    assert write(1.1) == 1
    assert write(1.1) == 0
    assert list(type(benchmark).objects.values_list("portfolio", "beta", "run")) == [(one.pk, 1.1, run.pk)]


def test_a_key_without_other_columns_leaves_what_exists() -> None:
    asset = make.make_asset()
    rows = {"code": ["QQQ", "USD"], "name": ["new", "other"], "minor_units": 2}
    assert bulk_upsert(type(asset.currency), rows, key=("code",), provenance=("name", "minor_units")) == 1
    asset.currency.refresh_from_db()
    assert asset.currency.name != "other"


def test_unequal_columns_and_none_at_all_are_errors() -> None:
    asset = make.make_asset()
    with pytest.raises(ValueError, match=r"differ in length.*'date': 2.*'close': 1"):
        bulk_upsert(PriceBar, {"asset": asset.pk, "date": [DAY, NEXT_DAY], "close": [1.0]}, key=KEY)
    with pytest.raises(ValueError, match="at least one column"):
        bulk_upsert(PriceBar, {"asset": asset.pk, "date": DAY, "close": 1.0}, key=KEY)
    assert not PriceBar.objects.exists()


@pytest.mark.parametrize("nothing", [[], (), np.array([])], ids=["list", "tuple", "array"])
def test_no_rows_are_no_work(nothing: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert bulk_upsert(PriceBar, {"asset": 1, "date": nothing, "close": nothing}, key=KEY) == 0


def test_a_row_that_breaks_a_constraint_stops_all_of_them() -> None:
    asset = make.make_asset()
    with pytest.raises(IntegrityError, match=r"(?i)check"):
        write_bars(asset, [1.0, -1.0])
    assert not PriceBar.objects.exists()


def test_rows_of_other_keys_are_left_alone() -> None:
    one, other = make.make_asset(), make.make_asset()
    write_bars(other, [5.0])
    write_bars(one, [1.0, 2.0])
    assert stored_closes(other) == {DAY: Decimal(5)}
    assert Portfolio.objects.count() == 0
