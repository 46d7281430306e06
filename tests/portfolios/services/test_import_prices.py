import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
from django.db import connection

from portfolios.models import Asset, AuditEvent, CorporateAction, ImportBatch, PriceBar, StaleMark
from portfolios.services.audit import audit_verify
from portfolios.services.import_prices import prices_import
from tests.support.factories import make_asset
from tests.support.imports import Refusal, counts, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

HEADER = "symbol,date,open,high,low,close,volume"
GOOD = (
    HEADER,
    "AAA,2024-01-03,10,11,9,10.5,1000",
    "AAA,2024-01-02,,,,10.25,",
    "BBB,2024-01-02,5,4,6,7.1234567891,0",
)


@pytest.fixture(autouse=True)
def assets() -> list[Asset]:
    return [
        make_asset("AAA"),
        make_asset("BBB"),
        make_asset("TWO", exchange="XNYS"),
        make_asset("TWO", exchange="XLON"),
    ]


def marks() -> list[tuple[str, dt.date, str]]:
    return list(StaleMark.objects.values_list("asset__symbol", "from_date", "cause"))


def test_rows_are_stored_with_batch_marks_and_audit(tmp_path: Path) -> None:
    report = prices_import(write_file(tmp_path, *GOOD), source="TEST")
    assert counts(report) == (3, 3, 0, 0, 0)
    bar = PriceBar.objects.get(asset__symbol="AAA", date=dt.date(2024, 1, 2))
    assert (bar.close, bar.open, bar.volume) == (Decimal("10.25"), None, None)
    assert (bar.source, bar.adjusted_through) == ("TEST", None)
    # Contradictory bars are facts about their source.
    crossed = PriceBar.objects.get(asset__symbol="BBB")
    assert (crossed.high, crossed.low, crossed.close) == (4, 6, Decimal("7.1234567891"))
    assert marks() == [("AAA", dt.date(2024, 1, 2), "price"), ("BBB", dt.date(2024, 1, 2), "price")]
    batch = ImportBatch.objects.get()
    assert (batch.target, batch.file_name, batch.layout, batch.read, batch.created) == (
        "prices",
        "file.csv",
        "own",
        3,
        3,
    )
    assert len(batch.sha256) == 64
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.object_id) == ("prices.imported", "system", str(batch.pk))
    assert event.after == {"file": "file.csv", "sha256": batch.sha256, "created": 3, "updated": 0}
    assert audit_verify().is_intact


@pytest.mark.parametrize("split_adjusted", [False, True])
def test_same_file_again_changes_nothing(tmp_path: Path, split_adjusted: bool) -> None:
    path = write_file(tmp_path, *GOOD)
    prices_import(path, split_adjusted=split_adjusted)
    with nothing_written():
        assert counts(prices_import(path, split_adjusted=split_adjusted)) == (3, 0, 0, 3, 0)


def test_changed_price_is_corrected_and_stale_from_its_day(tmp_path: Path) -> None:
    prices_import(write_file(tmp_path, *GOOD))
    StaleMark.objects.all().delete()
    changed = [line.replace("10.5", "10.6") for line in GOOD]
    report = prices_import(write_file(tmp_path, *changed, "BBB,2024-01-05,1,1,1,1,1"))
    assert counts(report) == (4, 1, 1, 2, 0)
    assert report.as_json() == {"read": 4, "created": 1, "unchanged": 2, "updated": 1, "rejected": []}
    assert PriceBar.objects.get(asset__symbol="AAA", date="2024-01-03").close == Decimal("10.6")
    assert marks() == [("AAA", dt.date(2024, 1, 3), "price"), ("BBB", dt.date(2024, 1, 5), "price")]


REFUSED: list[tuple[str, Refusal]] = [
    ("CCC,2024-01-02,1,1,1,1,1", (3, "symbol", "CCC", "unknown symbol")),
    (",2024-01-02,1,1,1,1,1", (3, "symbol", "", "must not be blank")),
    ("TWO,2024-01-02,1,1,1,1,1", (3, "symbol", "TWO", "ambiguous symbol: XLON, XNYS")),
    ("AAA,02.01.2024,1,1,1,1,1", (3, "date", "02.01.2024", "not a date as YYYY-MM-DD")),
    ("AAA,2024-02-30,1,1,1,1,1", (3, "date", "2024-02-30", "no such day")),
    ("AAA,,1,1,1,1,1", (3, "date", "", "must not be blank")),
    ("AAA,2999-01-01,1,1,1,1,1", (3, "date", "2999-01-01", "lies in the future")),
    ("AAA,2024-01-02,1,1,1,,1", (3, "close", "", "must not be blank")),
    ("AAA,2024-01-02,1,1,1,0,1", (3, "close", "0", "must be above 0")),
    ("AAA,2024-01-02,1,1,1,-3,1", (3, "close", "-3", "must be above 0")),
    ("AAA,2024-01-02,-1,1,1,1,1", (3, "open", "-1", "must be above 0")),
    ("AAA,2024-01-02,1,1,1,1,-5", (3, "volume", "-5", "must not be negative")),
    ("AAA,2024-01-02,1,NaN,1,1,1", (3, "high", "NaN", "not a finite number")),
    ("AAA,2024-01-02,1,1,1,1e30,1", (3, "close", "1e30", "an exponent that hides digits")),
    ("AAA,2024-01-02,1,1,=A1,1,1", (3, "low", "=A1", "a formula, not a number")),
    (
        "AAA,2024-01-02,1,1,1,0.00000000001,1",
        (3, "close", "0.00000000001", "would round to 0 at 10 decimals"),
    ),
    ("AAA,2024-01-03,1,1,1,9,1", (3, "date", "2024-01-03", "repeats symbol and date of line 2")),
    ("AAA,2024-01-02,1,1,1", (3, "close", "", "5 cells, but the header has 7 columns")),
]


@pytest.mark.parametrize(("line", "refusal"), REFUSED)
def test_bad_row_stops_the_file(tmp_path: Path, line: str, refusal: Refusal) -> None:
    with nothing_written():
        report = prices_import(write_file(tmp_path, HEADER, GOOD[1], line))
    assert refusals(report) == [refusal]
    assert counts(report) == (2, 0, 0, 0, 1)


def test_skip_writes_the_good_rows_and_keeps_the_list(tmp_path: Path) -> None:
    path = write_file(tmp_path, HEADER, *(line for line, _ in REFUSED[:5]), GOOD[1])
    report = prices_import(path, on_error="skip")
    assert counts(report) == (6, 1, 0, 0, 5)
    assert [reject.line for reject in report.rejected] == [2, 3, 4, 5, 6]
    assert PriceBar.objects.count() == 1
    batch = ImportBatch.objects.get()
    assert batch.rejected == 5
    assert batch.rejects[0] == {"line": 2, "column": "symbol", "value": "CCC", "reason": "unknown symbol"}
    with nothing_written():
        assert counts(prices_import(path, on_error="skip")) == (6, 0, 0, 1, 5)


def test_skip_cannot_help_a_file_without_its_columns(tmp_path: Path) -> None:
    with nothing_written():
        report = prices_import(write_file(tmp_path, "symbol,date,close", "AAA,2024-01-02,1"), on_error="skip")
    assert [reject.column for reject in report.rejected] == ["open", "high", "low", "volume"]
    assert report.read == 0


def test_rounding_is_said_in_the_batch(tmp_path: Path) -> None:
    prices_import(write_file(tmp_path, HEADER, "AAA,2024-01-02,,,,1.00000000015,"))
    assert PriceBar.objects.get().close == Decimal("1.0000000002")
    assert "column close: 1 rounded half-even to 10 decimals" in ImportBatch.objects.get().notes[0]


def test_more_digits_than_sqlite_keeps_are_not_a_change_each_time(tmp_path: Path) -> None:
    path = write_file(tmp_path, HEADER, "AAA,2024-01-02,,,,12345678901.1234567891,123456789012345678")
    report = prices_import(path)
    assert bool(report.notes) == (connection.vendor == "sqlite")
    with nothing_written():
        assert prices_import(path).unchanged == 1


def test_parquet_is_the_same_file(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    prices_import(path)
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), tmp_path / "prices.parquet")
    with nothing_written():
        assert prices_import(tmp_path / "prices.parquet").unchanged == 3


class TestSplitAdjusted:
    @staticmethod
    def known_through() -> list[dt.date | None]:
        return list(
            PriceBar.objects.filter(asset__symbol="AAA")
            .order_by("date")
            .values_list("adjusted_through", flat=True)
        )

    def test_file_knows_the_splits_up_to_its_last_day_of_each_symbol(self, tmp_path: Path) -> None:
        prices_import(write_file(tmp_path, *GOOD), split_adjusted=True)
        assert self.known_through() == [dt.date(2024, 1, 3)] * 2
        assert PriceBar.objects.get(asset__symbol="BBB").adjusted_through == dt.date(2024, 1, 2)

    def test_longer_file_moves_that_day_on_but_makes_no_old_day_stale(self, tmp_path: Path) -> None:
        prices_import(write_file(tmp_path, *GOOD), split_adjusted=True)
        StaleMark.objects.all().delete()
        longer = write_file(tmp_path, *GOOD, "AAA,2024-01-04,,,,11,")
        assert counts(prices_import(longer, split_adjusted=True)) == (4, 1, 2, 1, 0)
        assert self.known_through() == [dt.date(2024, 1, 4)] * 3
        assert marks() == [("AAA", dt.date(2024, 1, 4), "price")]

    def test_shorter_file_does_not_move_it_back(self, tmp_path: Path) -> None:
        prices_import(write_file(tmp_path, *GOOD), split_adjusted=True)
        with nothing_written():
            assert prices_import(write_file(tmp_path, HEADER, GOOD[2]), split_adjusted=True).unchanged == 1

    def test_same_figures_mean_other_prices_when_a_split_lies_between(
        self, tmp_path: Path, assets: list[Asset]
    ) -> None:
        path = write_file(tmp_path, *GOOD)
        prices_import(path)
        StaleMark.objects.all().delete()
        CorporateAction.objects.create(
            asset=assets[0], ex_date="2024-01-03", kind="split", ratio_new=2, ratio_old=1, ratio=2
        )
        assert counts(prices_import(path, split_adjusted=True)) == (3, 0, 3, 0, 0)
        assert marks() == [("AAA", dt.date(2024, 1, 2), "price")]
