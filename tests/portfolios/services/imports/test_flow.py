"""What holds for the import of every file: blocks, repeats, rejects, previews, and two at the same time."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolios.imports.report import Reject
from portfolios.models import (
    Asset,
    AuditEvent,
    ExchangeRate,
    ImportBatch,
    Portfolio,
    PriceBar,
    StaleMark,
    Transaction,
)
from portfolios.services.import_assets import assets_import
from portfolios.services.import_corporate_actions import corporate_actions_import
from portfolios.services.import_exchange_rates import ExchangeRateImport, exchange_rates_import
from portfolios.services.import_interest_rates import interest_rates_import
from portfolios.services.import_prices import PriceImport, prices_import
from portfolios.services.import_transactions import TransactionImport
from portfolios.services.imports import flow, lines, reports, spool
from portfolios.services.imports.flow import ImportWatch
from portfolios.services.imports.reports import FileReport
from tests.support.factories import make_asset, make_currency, make_price
from tests.support.imports import counts, nothing_written, refusals, write_file
from tests.support.memory import peak_memory
from tests.support.threads import together

HEADER = "symbol,date,open,high,low,close,volume"
FX_HEADER = "date,base,quote,rate"
# Two assets, days in no order, each asset in more than one block of two.
BARS = (
    HEADER,
    "AAA,2024-01-05,,,,10,",
    "BBB,2024-01-04,,,,20,",
    "AAA,2024-01-02,,,,11,",
    "BBB,2024-01-09,,,,21,",
    "AAA,2024-01-08,,,,12,",
)


@pytest.fixture
def blocks_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "BLOCK_ROWS", 2)
    monkeypatch.setattr(spool, "SPOOL_MEMORY", 1)


@pytest.fixture
def assets(db: None) -> None:
    make_asset("AAA")
    make_asset("BBB")


def price_state() -> list[Any]:
    names = ("asset__symbol", "date", "close", "source", "adjusted_through")
    return [
        list(PriceBar.objects.order_by("asset__symbol", "date").values_list(*names)),
        list(StaleMark.objects.order_by("pk").values_list("asset__symbol", "from_date", "cause")),
        list(ImportBatch.objects.values_list("read", "created", "updated", "unchanged", "rejected")),
        [event.after for event in AuditEvent.objects.all()],
    ]


@pytest.mark.usefixtures("assets", "blocks_of_two")
class TestBlocks:
    def test_file_has_one_batch_one_audit_row_and_one_mark_an_asset(self, tmp_path: Path) -> None:
        assert counts(prices_import(write_file(tmp_path, *BARS))) == (5, 5, 0, 0, 0)
        batch = ImportBatch.objects.get()
        assert (batch.read, batch.created, AuditEvent.objects.count()) == (5, 5, 1)
        marks = StaleMark.objects.order_by("asset__symbol").values_list("asset__symbol", "from_date")
        assert list(marks) == [("AAA", dt.date(2024, 1, 2)), ("BBB", dt.date(2024, 1, 4))]

    def test_adjustment_reaches_to_the_last_day_in_the_whole_file(self, tmp_path: Path) -> None:
        prices_import(write_file(tmp_path, *BARS), split_adjusted=True)
        through = dict(PriceBar.objects.values_list("asset__symbol", "adjusted_through"))
        assert through == {"AAA": dt.date(2024, 1, 8), "BBB": dt.date(2024, 1, 9)}
        assert PriceBar.objects.values("asset", "adjusted_through").distinct().count() == 2

    def test_rejected_day_is_not_the_last_one(self, tmp_path: Path) -> None:
        rows = (*BARS, "AAA,2024-01-10,,,,0,", "AAA,2024-01-08,,,,13,")
        prices_import(write_file(tmp_path, *rows), on_error="skip", split_adjusted=True)
        assert set(PriceBar.objects.filter(asset__symbol="AAA").values_list("adjusted_through")) == {
            (dt.date(2024, 1, 8),)
        }

    def test_repeat_in_a_later_block_names_the_first_line(self, tmp_path: Path) -> None:
        rows = (*BARS, "BBB,2024-01-04,,,,99,", "BBB,2024-01-04,,,,98,")
        with nothing_written():
            report = prices_import(write_file(tmp_path, *rows))
        words = "repeats symbol and date of line 3"
        assert refusals(report) == [
            (7, "date", "2024-01-04", words),
            (8, "date", "2024-01-04", words),
        ]

    def test_bad_row_in_the_last_block_stops_the_first(self, tmp_path: Path) -> None:
        path = write_file(tmp_path, *BARS, "AAA,2024-01-10,,,,0,")
        with nothing_written():
            assert counts(prices_import(path)) == (6, 0, 0, 0, 1)
        assert counts(prices_import(path, on_error="skip")) == (6, 5, 0, 0, 1)
        assert PriceBar.objects.count() == 5

    def test_row_refused_by_the_tables_takes_back_the_blocks_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compare = PriceImport.compare

        def refuse_last(self: PriceImport, records: list[Any]) -> Any:
            if records[0].line == 6:
                self.reject(6, "close", "12", "no")
            return compare(self, records)

        monkeypatch.setattr(PriceImport, "compare", refuse_last)
        with nothing_written():
            assert counts(prices_import(write_file(tmp_path, *BARS))) == (5, 0, 0, 0, 1)

    def test_failure_in_the_last_block_takes_back_the_blocks_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(self: PriceImport) -> None:
            raise RuntimeError("the disk is full")

        monkeypatch.setattr(PriceImport, "finish", fail)
        with nothing_written(), pytest.raises(RuntimeError):
            prices_import(write_file(tmp_path, *BARS))

    def test_again_changes_nothing(self, tmp_path: Path) -> None:
        path = write_file(tmp_path, *BARS)
        prices_import(path, split_adjusted=True)
        with nothing_written():
            assert counts(prices_import(path, split_adjusted=True)) == (5, 0, 0, 5, 0)

    def test_rates_are_stale_from_their_first_change(self, tmp_path: Path) -> None:
        for code in ("EUR", "CHF"):
            make_currency(code)
        rows = [f"2024-01-{day:02},EUR,{quote},1.1" for quote in ("USD", "CHF") for day in (5, 3, 4)]
        path = write_file(tmp_path, FX_HEADER, *rows)
        assert counts(exchange_rates_import(path)) == (6, 6, 0, 0, 0)
        assert dict(StaleMark.objects.values_list("currency", "from_date")) == dict.fromkeys(
            ["EUR", "USD", "CHF"], dt.date(2024, 1, 3)
        )
        assert StaleMark.objects.count() == 3
        assert exchange_rates_import(path).unchanged == 6

    def test_series_is_stale_from_its_first_change(self, tmp_path: Path) -> None:
        rows = [f"2024-01-{day:02},0.0{day}" for day in (5, 3, 4)]
        path = write_file(tmp_path, "date,annual_rate", *rows)
        assert counts(interest_rates_import(path, name="DTB3")) == (3, 3, 0, 0, 0)
        assert list(StaleMark.objects.values_list("series", "from_date")) == [("DTB3", dt.date(2024, 1, 3))]
        assert interest_rates_import(path, name="DTB3").unchanged == 3

    def test_watch_is_told_of_every_block(self, tmp_path: Path) -> None:
        told = []

        class Watch(ImportWatch):
            def progress(self, done: int, total: int | None) -> None:
                told.append((done, total))

        path = write_file(tmp_path, *BARS)
        PriceImport(path, actor=None, on_error="abort", source="", split_adjusted=False).run(watch=Watch())
        assert told == [(2, None), (4, None), (2, 5), (4, 5), (5, 5)]


ROWS = st.lists(
    st.tuples(st.sampled_from(["AAA", "BBB", "CCC"]), st.integers(1, 6), st.sampled_from(["1", "2", "0"])),
    max_size=12,
)


@pytest.mark.usefixtures("assets")
@given(before=ROWS, rows=ROWS, size=st.integers(1, 4), on_error=st.sampled_from(["abort", "skip"]))
@settings(max_examples=60, deadline=None)
def test_block_size_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, before: Any, rows: Any, size: int, on_error: Any
) -> None:
    folder = tmp_path_factory.mktemp("files")
    files = [
        write_file(folder, HEADER, *(f"{symbol},2024-01-0{day},,,,{close}," for symbol, day, close in lines))
        for lines in (before, rows)
    ]
    write_file(folder, HEADER, *(f"{s},2024-01-0{d},,,,{c}," for s, d, c in before), name="before.csv")
    outcomes = []
    for block_rows in (size, 1000):
        with pytest.MonkeyPatch.context() as patch, transaction.atomic():
            prices_import(folder / "before.csv", on_error="skip")
            StaleMark.objects.all().delete()
            patch.setattr(flow, "BLOCK_ROWS", block_rows)
            report = prices_import(files[1], on_error=on_error, split_adjusted=True)
            outcomes.append((counts(report), refusals(report), price_state()))
            transaction.set_rollback(True)
    assert outcomes[0] == outcomes[1]


class TestRejects:
    def test_first_of_them_are_kept_and_the_others_counted(
        self, tmp_path: Path, assets: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reports, "MAX_REJECTS", 3)
        monkeypatch.setattr(flow, "BLOCK_ROWS", 2)
        bad = [f"AAA,2024-01-0{day},,,,{close}," for day in (2, 3, 4, 5) for close in (0, -1)]
        report = prices_import(write_file(tmp_path, *BARS, *bad), on_error="skip")
        assert [reject.line for reject in report.rejected] == [7, 8, 9]
        assert (report.rejected_count, report.unlisted) == (8, 5)
        assert "only the first 3 of 8 rejected rows are listed" in report.notes
        assert "8 rejected" in report.summary()
        batch = ImportBatch.objects.get()
        assert (batch.rejected, len(batch.rejects), batch.notes) == (8, 3, report.notes)

    @given(lines=st.lists(st.integers(1, 50), max_size=40))
    def test_kept_are_the_first_by_line_in_whatever_order_they_come(self, lines: list[int]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reports, "MAX_REJECTS", 4)
            report = FileReport()
            for line in lines:
                report.keep_reject(Reject(line, "a", "b", "c"))
                assert len(report.rejected) < 8
            report.sort_rejects()
        assert [reject.line for reject in report.rejected] == sorted(lines)[:4]
        assert report.rejected_count == len(lines)

    def test_long_value_is_cut(self, tmp_path: Path, assets: None) -> None:
        report = prices_import(write_file(tmp_path, HEADER, f"{'x' * 5000},2024-01-02,,,,1,"))
        assert len(report.rejected[0].value) == 200


def write_rates(path: Path, rows: int) -> Path:
    """Days in blocks of a hundred pairs, as a source would send them; few different numbers."""
    codes = [f"X{a}{b}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ"]
    day = dt.date(1990, 1, 1)
    with path.open("w") as lines:
        lines.write(FX_HEADER + "\n")
        for number in range(rows):
            if number % 100 == 0:
                day += dt.timedelta(1)
            lines.write(f"{day},USD,{codes[number % 100]},1.{number % 97}\n")
    return path


@pytest.mark.once
class TestMemory:
    """A row on its way takes some 500 bytes; what is remembered of it when it is through, 20 to 40."""

    SMALL, LARGE = 300, 1_500

    @pytest.fixture(autouse=True)
    def small_blocks(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for a in "ABCDEFGHIJ":
            for b in "ABCDEFGHIJ":
                make_currency(f"X{a}{b}")
        monkeypatch.setattr(flow, "BLOCK_ROWS", 75)
        monkeypatch.setattr(lines, "MERGED_ROWS", 300)
        monkeypatch.setattr(spool, "SPOOL_MEMORY", 10_000)

    def growth(self, folder: Path) -> float:
        """Bytes that each further row of a file takes at the peak of its import."""

        def peak(rows: int) -> int:
            path = write_rates(folder / "rates.csv", rows)
            importer = ExchangeRateImport(path, actor=None, on_error="abort", source=str(rows))
            return peak_memory(importer)

        peak(self.LARGE)  # fills the caches of texts that were read
        small, large = peak(self.SMALL), peak(self.LARGE)
        assert ExchangeRate.objects.count() == self.LARGE
        return (large - small) / (self.LARGE - self.SMALL)

    def test_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        assert self.growth(tmp_path) < 60

    def test_grows_when_all_rows_are_taken_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ExchangeRateImport, "is_streamed", False)
        assert self.growth(tmp_path) > 300


TRANSACTIONS_HEADER = (
    "portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id"
)

PREVIEWS: list[tuple[str, Callable[..., FileReport], tuple[str, ...], dict[str, Any], tuple[int, ...]]] = [
    ("prices", prices_import, BARS, {"split_adjusted": True}, (5, 4, 1, 0, 0)),
    (
        "assets",
        assets_import,
        (
            "symbol,name,asset_class,currency",
            "AAA,AAA Inc.,equity,USD",
            "BBB,Other,equity,USD",
            "C,C,equity,USD",
        ),
        {},
        (3, 1, 1, 1, 0),
    ),
    (
        "exchange rates",
        exchange_rates_import,
        (FX_HEADER, "2024-01-02,EUR,USD,1.1", "2024-01-03,EUR,XXX,1.1"),
        {"on_error": "skip"},
        (2, 1, 0, 0, 1),
    ),
    (
        "interest rates",
        interest_rates_import,
        ("date,annual_rate", "2024-01-02,0.05", "2024-01-03,5"),
        {"name": "DTB3"},
        (2, 0, 0, 0, 1),
    ),
    (
        "corporate actions",
        corporate_actions_import,
        ("symbol,ex_date,kind,ratio,amount", "AAA,2024-01-04,split,2:1,"),
        {},
        (1, 1, 0, 0, 0),
    ),
]


class TestPreview:
    @pytest.fixture(autouse=True)
    def stored(self, assets: None) -> None:
        make_currency("EUR")
        make_price(Asset.objects.get(symbol="AAA"), dt.date(2024, 1, 5), 9)

    @pytest.mark.parametrize(
        ("importer", "lines", "options", "expected"),
        [case[1:] for case in PREVIEWS],
        ids=[c[0] for c in PREVIEWS],
    )
    def test_says_what_the_import_does_and_leaves_no_trace(
        self, tmp_path: Path, importer: Any, lines: Any, options: Any, expected: Any
    ) -> None:
        path = write_file(tmp_path, *lines)
        with nothing_written():
            preview = importer(path, preview=True, **options)
        assert (counts(preview), preview.batch_id) == (expected, None)
        report = importer(path, **options)
        assert (counts(report), refusals(report)) == (expected, refusals(preview))
        assert report.samples == {}
        assert report.batch_id == (ImportBatch.objects.get().pk if expected[1] else None)

    def test_shows_rows_as_a_person_reads_them(self, tmp_path: Path) -> None:
        preview = prices_import(write_file(tmp_path, *BARS), preview=True)
        assert {kind: len(rows) for kind, rows in preview.samples.items()} == {
            "created": 4,
            "updated": 1,
            "unchanged": 0,
        }
        assert preview.samples["updated"] == [
            {
                "line": "2",
                "symbol": "AAA",
                "date": "2024-01-05",
                "open": "",
                "high": "",
                "low": "",
                "close": "10",
                "volume": "",
            }
        ]

    def test_shows_the_first_rows_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(flow, "SAMPLE_ROWS", 3)
        monkeypatch.setattr(flow, "BLOCK_ROWS", 2)
        path = write_file(tmp_path, *BARS)
        preview = prices_import(path, preview=True)
        assert [row["line"] for row in preview.samples["created"]] == ["3", "4", "5"]
        prices_import(path)
        preview = prices_import(path, preview=True)
        assert [row["line"] for row in preview.samples["unchanged"]] == ["2", "3", "4"]

    def test_of_corporate_actions_and_assets_has_no_ids(self, tmp_path: Path) -> None:
        lines = ("symbol,ex_date,kind,ratio,amount,new_symbol", "AAA,2024-01-04,spin_off,1:2,,BBB")
        preview = corporate_actions_import(write_file(tmp_path, *lines), preview=True)
        [row] = preview.samples["created"]
        assert (row["asset"], row["new_asset"], row["ratio"]) == ("AAA", "BBB", "0.5")
        preview = assets_import(write_file(tmp_path, *PREVIEWS[1][2]), preview=True)
        assert preview.samples["created"] == [
            {
                "line": "4",
                "symbol": "C",
                "exchange": "",
                "name": "C",
                "asset_class": "equity",
                "currency_id": "USD",
            }
        ]

    def test_of_transactions_opens_no_portfolio(self, tmp_path: Path) -> None:
        path = write_file(tmp_path, TRANSACTIONS_HEADER, "NEW,2024-01-02,deposit,,,,100,,,USD,settled,D1")
        with nothing_written():
            preview = transaction_import(path).run(preview=True)
        assert counts(preview) == (1, 1, 0, 0, 0)
        assert preview.samples["created"][0]["amount"] == "100"


def transaction_import(path: Path) -> TransactionImport:
    return TransactionImport(
        path,
        actor=None,
        on_error="abort",
        portfolio="",
        layout="own",
        create_portfolios=True,
        base_currency="USD",
        owner=None,
    )


class TestTwoAtOnce:
    @pytest.mark.django_db
    def test_file_is_judged_anew_when_another_import_was_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_currency()
        path = write_file(tmp_path, TRANSACTIONS_HEADER, "NEW,2024-01-02,deposit,,,,100,,,USD,settled,D1")
        importer = transaction_import(path)
        importer.file_name = "as it was called.csv"
        write, attempts = TransactionImport.write, []

        def write_late(self: TransactionImport, changes: Any) -> None:
            attempts.append(self)
            if len(attempts) == 1:
                raise IntegrityError
            write(self, changes)

        monkeypatch.setattr(TransactionImport, "write", write_late)
        assert counts(importer.run()) == (1, 1, 0, 0, 0)
        assert attempts[0] is not attempts[1]
        assert ImportBatch.objects.get().file_name == "as it was called.csv"

    @pytest.mark.django_db
    def test_what_fails_twice_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_asset("AAA")
        make_asset("BBB")
        attempts = []

        def fail(self: PriceImport, changes: Any) -> None:
            attempts.append(self)
            raise IntegrityError

        monkeypatch.setattr(PriceImport, "write", fail)
        with nothing_written(), pytest.raises(IntegrityError):
            prices_import(write_file(tmp_path, *BARS))
        assert len(attempts) == 2

    @pytest.mark.servers
    @pytest.mark.django_db(transaction=True)
    def test_new_portfolio_of_two_files_is_opened_once(self, tmp_path: Path) -> None:
        make_currency()
        paths = [
            write_file(
                tmp_path,
                TRANSACTIONS_HEADER,
                f"NEW,2024-01-02,deposit,,,,100,,,USD,settled,D{number}",
                name=f"{number}.csv",
            )
            for number in range(4)
        ]
        reports = together(*[lambda path=path: transaction_import(path).run() for path in paths])
        assert [counts(report) for report in reports] == [(1, 1, 0, 0, 0)] * 4
        assert Transaction.objects.filter(portfolio=Portfolio.objects.get()).count() == 4
        assert AuditEvent.objects.filter(action="portfolio.created").count() == 1
