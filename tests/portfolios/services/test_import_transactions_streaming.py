"""Transactions in blocks: however long the file is, the books are checked as a whole."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolios.calculations.entries import CorporateAction as BookedAction
from portfolios.calculations.entries import Entry, LedgerError, day_key
from portfolios.calculations.ledger import book_walk
from portfolios.calculations.lots import InsufficientLotsError
from portfolios.models import (
    Asset,
    AuditEvent,
    CorporateAction,
    ImportBatch,
    Portfolio,
    StaleMark,
    Transaction,
)
from portfolios.selectors import holdings
from portfolios.services.audit import audit_verify
from portfolios.services.import_transactions import TransactionImport, booked, shortages, transactions_import
from portfolios.services.imports import flow, lines, spool
from tests.support.factories import make_asset, make_currency, make_portfolio, make_transaction, make_user
from tests.support.imports import counts, last_event, nothing_written, refusals, write_file
from tests.support.memory import peak_memory

HEADER = "portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id"
FLEX = Path(__file__).parents[1] / "imports" / "samples" / "ibkr_flex_trades.csv"
DAY = dt.date(2024, 1, 1)


class Line(NamedTuple):
    """A line of a file; it has the number of its place as its id."""

    kind: str
    day: int
    quantity: int
    symbol: str = "AAA"
    portfolio: str = "P1"
    status: str = "settled"

    def text(self, external_id: str) -> str:
        figures = f"{self.symbol},{self.quantity},10,,,,USD,{self.status},{external_id}"
        return f"{self.portfolio},2024-01-{self.day:02},{self.kind},{figures}"


def run(folder: Path, *lines: str, **options: Any) -> Any:
    return transactions_import(write_file(folder, HEADER, *lines), **options)


def trade(kind: str, day: int, quantity: int, number: str, **fields: str) -> str:
    return Line(kind, day, quantity, **fields).text(number)


def state() -> list[Any]:
    """What an import leaves, but for the file's name and the numbers of its rows."""
    names = ("portfolio__code", "external_id", "status", "kind", "trade_date", "quantity", "note")
    events = [
        (event.action, event.before, {**(event.after or {}), "file": "", "sha256": ""})
        for event in AuditEvent.objects.order_by("sequence")
    ]
    return [
        list(Transaction.objects.order_by("portfolio__code", "external_id").values_list(*names)),
        list(
            StaleMark.objects.order_by("portfolio__code", "from_date").values_list(
                "portfolio__code", "from_date"
            )
        ),
        list(Portfolio.objects.order_by("code").values_list("code", "inception_date")),
        list(ImportBatch.objects.order_by("pk").values_list("created", "updated", "unchanged")),
        events,
    ]


@contextmanager
def taken_back(block_rows: int = 50_000) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setattr(flow, "BLOCK_ROWS", block_rows)
        yield
        transaction.set_rollback(True)


@pytest.fixture
def books(db: None) -> None:
    make_asset("AAA")
    make_asset("BBB")
    make_portfolio("P1")
    make_portfolio("P2")


@pytest.fixture
def blocks_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "BLOCK_ROWS", 2)
    monkeypatch.setattr(spool, "SPOOL_MEMORY", 1)
    monkeypatch.setattr(shortages, "ROWS_A_READ", 2)
    monkeypatch.setattr(shortages, "GROUPS_A_QUERY", 1)
    monkeypatch.setattr(booked, "LINES_A_QUERY", 1)


LINES = st.lists(
    st.builds(
        Line,
        kind=st.sampled_from(["buy", "buy", "sell", "sell", "short", "cover", "transfer_out"]),
        day=st.integers(2, 6),
        quantity=st.integers(1, 4),
        symbol=st.sampled_from(["AAA", "BBB"]),
        portfolio=st.sampled_from(["P1", "P2"]),
        status=st.sampled_from(["settled", "settled", "settled", "pending"]),
    ),
    max_size=9,
)


def file_of(folder: Path, name: str, lines: list[Line], *, named: bool = True) -> Path:
    texts = [line.text(f"{name}{place}" if named else "") for place, line in enumerate(lines)]
    return write_file(folder, HEADER, *texts, name=f"{name}.csv")


def later_file(folder: Path, before: list[Line], rows: list[Line]) -> Path:
    """Some lines as they were, pending ones of them settled, and others."""
    again = [line._replace(status="settled").text(f"a{place}") for place, line in enumerate(before)]
    texts = [line.text(f"b{place}") for place, line in enumerate(rows)]
    return write_file(folder, HEADER, *again[::2], *texts, *again[1::2], name="b.csv")


@pytest.mark.usefixtures("books")
@pytest.mark.once
class TestSameAsInOnePiece:
    @given(before=LINES, rows=LINES, size=st.integers(1, 4), on_error=st.sampled_from(["abort", "skip"]))
    @settings(max_examples=15, deadline=None)
    def test_block_size_changes_nothing(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        before: Any,
        rows: Any,
        size: int,
        on_error: Any,
    ) -> None:
        folder = tmp_path_factory.mktemp("files")
        first, second = file_of(folder, "a", before), later_file(folder, before, rows)
        outcomes = []
        for block_rows in (size, 1000):
            with taken_back(block_rows):
                transactions_import(first, on_error="skip")
                report = transactions_import(second, on_error=on_error)
                outcomes.append((counts(report), refusals(report), state()))
        assert outcomes[0] == outcomes[1]

    @given(before=LINES, rows=LINES, size=st.integers(1, 4))
    @settings(max_examples=15, deadline=None)
    def test_skipped_rows_are_as_if_they_had_never_been_in(
        self, tmp_path_factory: pytest.TempPathFactory, before: Any, rows: Any, size: int
    ) -> None:
        folder = tmp_path_factory.mktemp("files")
        first, second = file_of(folder, "a", before), later_file(folder, before, rows)
        with taken_back(size):
            transactions_import(first, on_error="skip")
            refused = {reject.line for reject in transactions_import(second, on_error="skip").rejected}
            skipped = state()
        texts = second.read_text().splitlines()
        kept = [text for number, text in enumerate(texts, start=1) if number not in refused]
        with taken_back(size):
            transactions_import(first, on_error="skip")
            report = transactions_import(write_file(folder, *kept, name="kept.csv"))
            assert (report.rejected, state()) == ([], skipped)

    @given(before=LINES, rows=LINES, split=st.sampled_from([None, 2, 3]), size=st.integers(1, 4))
    @settings(max_examples=60, deadline=None)
    def test_blame_is_as_the_ledger_puts_it(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        before: list[Line],
        rows: list[Line],
        split: int | None,
        size: int,
    ) -> None:
        folder = tmp_path_factory.mktemp("files")
        before = [line._replace(status="settled") for line in before]
        with taken_back(size):
            if split:
                asset = Asset.objects.get(symbol="AAA")
                CorporateAction.objects.create(
                    asset=asset, ex_date="2024-01-04", kind="split", ratio_new=split, ratio_old=1
                )
            transactions_import(file_of(folder, "a", before), on_error="skip")
            stored = list(Transaction.objects.values_list("external_id", flat=True))
            booked = [line for place, line in enumerate(before) if f"a{place}" in stored]
            report = transactions_import(file_of(folder, "b", rows), on_error="skip")
        assert {(reject.line, reject.reason) for reject in report.rejected} == blamed(booked, rows, split)


def blamed(booked: list[Line], rows: list[Line], split: int | None) -> set[tuple[int, str]]:
    """The full ledger, one asset of one portfolio at a time and again without each row it stumbles over."""
    found = set()
    for portfolio, symbol in {(row.portfolio, row.symbol) for row in rows}:
        there = [
            entry_of(line, place) for place, line in enumerate(booked, 1) if line[3:5] == (symbol, portfolio)
        ]
        new = {
            -line: entry_of(row, -line)
            for line, row in enumerate(rows, start=2)
            if row[3:] == (symbol, portfolio, "settled")
        }
        actions = []
        if split and symbol == "AAA":
            actions = [BookedAction(asset=1, date=DAY.replace(day=4), kind="split", ratio=split)]  # type: ignore[arg-type]
        while error := stumble(there + list(new.values()), actions):
            shortfall, failed = error.__cause__, error.entry
            assert isinstance(shortfall, InsufficientLotsError)
            kinds = {"cover"} if failed.kind == "cover" else {"sell", "transfer_out"}
            place = (failed.date, day_key(failed))
            earlier = [e for e in new.values() if e.kind in kinds and (e.date, day_key(e)) < place]
            culprit = failed if failed.id < 0 else max(earlier, key=lambda e: (e.date, day_key(e)))
            held = f"{shortfall.held.normalize():f}"
            found.add(
                (-culprit.id, f"only {held} held on {failed.date}")
                if culprit is failed
                else (
                    -culprit.id,
                    f"leaves only {held} for the {failed.kind} of {failed.quantity} booked on {failed.date}",
                )
            )
            del new[culprit.id]
    return found


def entry_of(line: Line, number: int) -> Entry:
    return Entry(
        id=number,
        date=DAY.replace(day=line.day),
        kind=line.kind,
        currency="USD",
        asset=1,
        quantity=Decimal(line.quantity),
        amount=Decimal(1),
    )


def stumble(entries: list[Entry], actions: list[BookedAction]) -> LedgerError | None:
    try:
        book_walk(
            entries,
            actions,
            base_currency="USD",
            cost_method="fifo",
            rate=lambda currency, day: None,
            market_price=lambda asset, day: None,
        )
    except LedgerError as error:
        return error
    return None


@pytest.mark.usefixtures("books", "blocks_of_two")
class TestBooks:
    BUYS = (trade("buy", 2, 10, "1"), trade("buy", 3, 10, "2"), trade("buy", 3, 1, "3", symbol="BBB"))

    def test_sale_of_the_first_block_is_covered_by_the_last(self, tmp_path: Path) -> None:
        assert run(tmp_path, trade("sell", 5, 20, "s"), *self.BUYS).created == 4

    def test_all_bad_rows_of_all_blocks_are_named_at_once(self, tmp_path: Path) -> None:
        run(tmp_path, *self.BUYS)
        rows = [
            trade("buy", 2, 11, "1"),
            trade("sell", 4, 21, "4"),
            *self.BUYS[1:],
            trade("sell", 4, 2, "5", symbol="BBB"),
        ]
        with nothing_written():
            report = run(tmp_path, *rows)
        assert [reject.line for reject in report.rejected] == [2, 3, 6]
        assert counts(report) == (5, 0, 0, 0, 3)

    def test_booked_sale_may_be_starved_by_several_rows(self, tmp_path: Path) -> None:
        run(tmp_path, *self.BUYS, trade("sell", 9, 19, "s"))
        sales = [trade("sell", day, 1, f"t{day}") for day in (4, 5, 6, 7)]
        report = run(tmp_path, *sales, on_error="skip")
        assert [(reject.line, reject.reason) for reject in report.rejected] == [
            (3, "leaves only 18 for the sell of 19 booked on 2024-01-09"),
            (4, "leaves only 17 for the sell of 19 booked on 2024-01-09"),
            (5, "leaves only 16 for the sell of 19 booked on 2024-01-09"),
        ]
        assert report.created == 1

    def test_books_that_were_broken_before_blame_no_row(self, tmp_path: Path) -> None:
        portfolio, asset = Portfolio.objects.get(code="P1"), Asset.objects.get(symbol="AAA")
        make_transaction(portfolio, kind="sell", asset=asset, quantity=5, trade_date=dt.date(2024, 1, 2))
        assert run(tmp_path, trade("buy", 3, 1, "1"), trade("sell", 4, 1, "2")).created == 2

    def test_settling_sale_that_is_refused_stays_pending(self, tmp_path: Path) -> None:
        run(tmp_path, *self.BUYS, trade("sell", 5, 21, "s", status="pending"))
        with nothing_written():
            report = run(tmp_path, *self.BUYS, trade("sell", 5, 21, "s"), on_error="skip")
        assert counts(report) == (4, 0, 0, 3, 1)
        assert refusals(report) == [(5, "quantity", "21", "only 20 held on 2024-01-05")]

    def test_file_of_nothing_but_oversold_rows_leaves_no_trace(self, tmp_path: Path) -> None:
        sales = [trade("sell", day, 1, f"s{day}", portfolio="NEW") for day in (2, 3, 4)]
        with nothing_written():
            report = run(tmp_path, *sales, on_error="skip", create_portfolios=True, base_currency="USD")
        assert (counts(report), report.batch_id) == ((3, 0, 0, 0, 3), None)

    def test_chain_of_audit_rows_holds_after_rows_were_taken_back(self, tmp_path: Path) -> None:
        report = run(tmp_path, trade("sell", 1, 1, "s"), *self.BUYS, on_error="skip")
        assert counts(report) == (4, 3, 0, 0, 1)
        assert audit_verify().is_intact
        batch = ImportBatch.objects.get()
        assert (batch.created, batch.rejected, report.batch_id) == (3, 1, batch.pk)
        assert set(Transaction.objects.values_list("batch", flat=True)) == {batch.pk}
        assert list(StaleMark.objects.values_list("from_date", flat=True)) == [dt.date(2024, 1, 2)]
        assert last_event()[2]["first_day"] == "2024-01-02"

    def test_shares_of_a_merger_are_followed(self, tmp_path: Path) -> None:
        CorporateAction.objects.create(
            asset=Asset.objects.get(symbol="AAA"),
            new_asset=Asset.objects.get(symbol="BBB"),
            ex_date="2024-01-04",
            kind="merger",
            ratio_new=1,
            ratio_old=2,
        )
        sales = [trade("sell", 5, quantity, f"s{quantity}", symbol="BBB") for quantity in (11, 12)]
        report = run(tmp_path, *self.BUYS, *sales, trade("sell", 5, 1, "t"), on_error="skip")
        assert refusals(report) == [
            (6, "quantity", "12", "only 0 held on 2024-01-05"),
            (7, "quantity", "1", "only 0 held on 2024-01-05"),
        ]

    def test_books_are_walked_once_when_nothing_is_wrong(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        walked: Counter[int] = Counter()

        def count(entries: Any, actions: Any) -> Any:
            def seen() -> Iterator[Entry]:
                for entry in entries:
                    walked[entry.id] += 1
                    yield entry

            return holdings.shortages(seen(), actions)

        monkeypatch.setattr(shortages, "shortages", count)
        run(tmp_path, *self.BUYS, trade("sell", 5, 20, "s"))
        assert walked == {-2: 1, -3: 1, -4: 1, -5: 1}

    def test_line_that_is_refused_in_the_books_takes_its_other_legs_along(self, tmp_path: Path) -> None:
        make_currency("CHF")
        make_asset("VT", isin="US9220427424")
        header, _, bought, *_ = FLEX.read_text().splitlines()
        sold = bought.replace("BUY", "SELL").replace('"95"', '"-96"').replace('"8909.1"', '"-9002.88"')
        lines = [header, bought, sold.replace('"-1","USD"', '"-0.9","CHF"')]
        report = transactions_import(write_file(tmp_path, *lines), portfolio="P1", on_error="skip")
        assert refusals(report) == [(3, "quantity", "96", "only 95 held on 2023-05-22")]
        assert counts(report) == (2, 1, 0, 0, 1)
        assert Transaction.objects.get().kind == "buy"
        lines.insert(2, bought.replace('"95"', '"1"').replace('"8909.1"', '"93.78"'))
        report = transactions_import(write_file(tmp_path, *lines), portfolio="P1", on_error="skip")
        assert counts(report) == (3, 3, 0, 1, 0)
        assert Transaction.objects.filter(kind="fee", currency="CHF").count() == 1


@pytest.mark.usefixtures("books", "blocks_of_two")
class TestNewPortfolios:
    OPTIONS = {"create_portfolios": True, "base_currency": "USD"}

    def test_are_opened_once_on_the_earliest_day_in_the_file(self, tmp_path: Path) -> None:
        rows = [
            trade("buy", day, 1, f"{code}{day}", portfolio=code) for day in (9, 5, 7) for code in ("X", "Y")
        ]
        assert run(tmp_path, *rows, trade("buy", 4, 1, "X4", portfolio="X"), **self.OPTIONS).created == 7
        days = dict(Portfolio.objects.filter(code__in="XY").values_list("code", "inception_date"))
        assert days == {"X": dt.date(2024, 1, 4), "Y": dt.date(2024, 1, 5)}
        assert AuditEvent.objects.filter(action="portfolio.created").count() == 2

    def test_refused_rows_open_none_and_are_no_first_day(self, tmp_path: Path) -> None:
        report = run(
            tmp_path,
            trade("sell", 2, 1, "1", portfolio="X"),
            trade("buy", 3, 1, "2", portfolio="X"),
            trade("buy", 4, 1, "3", portfolio="X"),
            trade("sell", 2, 1, "4", portfolio="Y"),
            on_error="skip",
            **self.OPTIONS,
        )
        assert counts(report) == (4, 2, 0, 0, 2)
        assert Portfolio.objects.get(code="X").inception_date == dt.date(2024, 1, 3)
        assert not Portfolio.objects.filter(code="Y").exists()
        [event] = AuditEvent.objects.filter(action="portfolio.created")
        assert event.after is not None
        assert event.after["inception_date"] == "2024-01-03"

    def test_opened_by_another_while_the_file_is_read_belongs_to_the_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        survey = TransactionImport.survey

        def survey_late(self: TransactionImport, records: Any) -> None:
            if not Portfolio.objects.filter(code="X").exists():
                make_portfolio("X")
            survey(self, records)

        monkeypatch.setattr(TransactionImport, "survey", survey_late)
        row = trade("buy", 3, 1, "2", portfolio="X")
        report = run(tmp_path, row, actor=make_user("ann"), **self.OPTIONS)
        assert refusals(report) == [(2, "portfolio", "X", "unknown portfolio")]
        assert not Transaction.objects.exists()


@pytest.mark.usefixtures("books", "blocks_of_two")
class TestRows:
    def test_equal_rows_are_counted_over_the_whole_file(self, tmp_path: Path) -> None:
        rows = [trade("buy", day, 1, "") for day in (2, 2, 3, 2, 3, 2)]
        assert counts(run(tmp_path, *rows)) == (6, 6, 0, 0, 0)
        endings = Counter(
            text.rpartition("-")[2] for text in Transaction.objects.values_list("external_id", flat=True)
        )
        assert endings == {"1": 2, "2": 2, "3": 1, "4": 1}
        with nothing_written():
            assert run(tmp_path, *reversed(rows)).unchanged == 6

    def test_audit_row_names_the_first_changes_and_counts_the_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(booked, "MAX_CHANGED", 2)
        days = (2, 3, 4, 5)
        run(tmp_path, *(trade("buy", day, 1, f"n{day}", status="pending") for day in days))
        assert run(tmp_path, *(trade("buy", day, 1, f"n{day}") for day in days)).updated == 4
        _, before, after = last_event()
        assert before == {"n2": {"status": "pending"}, "n3": {"status": "pending"}}
        assert after["changed"] == {"n2": {"status": "settled"}, "n3": {"status": "settled"}}
        assert (after["updated"], after["changed_unlisted"]) == (4, 2)

    def test_preview_shows_what_would_be_and_leaves_no_trace(self, tmp_path: Path) -> None:
        run(tmp_path, trade("buy", 2, 5, "1"), trade("buy", 2, 5, "2", status="pending"))
        rows = [
            trade("buy", 2, 5, "1"),
            trade("buy", 2, 5, "2"),
            trade("sell", 3, 11, "3"),
            trade("sell", 3, 10, "4"),
        ]
        with nothing_written():
            preview = run(tmp_path, *rows, on_error="skip", preview=True)
        assert (counts(preview), preview.batch_id) == ((4, 1, 1, 1, 1), None)
        shown = {kind: [row["external_id"] for row in rows] for kind, rows in preview.samples.items()}
        assert shown == {"created": ["4"], "updated": ["2"], "unchanged": ["1"]}
        assert refusals(preview) == [(4, "quantity", "11", "only 0 held on 2024-01-03")]
        report = run(tmp_path, *rows, on_error="skip")
        assert (counts(report), refusals(report)) == (counts(preview), refusals(preview))


@pytest.mark.django_db
@pytest.mark.once
class TestMemory:
    """A row on its way takes some kilobytes; what is remembered of it when it is through, 40 to 60 bytes."""

    SMALL, LARGE = 200, 800

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for symbol in "ABCDE":
            make_asset(symbol)
        monkeypatch.setattr(flow, "BLOCK_ROWS", 40)
        monkeypatch.setattr(lines, "MERGED_ROWS", 160)
        monkeypatch.setattr(spool, "SPOOL_MEMORY", 1_000)
        monkeypatch.setattr(shortages, "ROWS_A_READ", 40)

    def growth(self, folder: Path) -> float:
        """Bytes that each further row of a file takes at the peak of its import."""

        def peak(code: str, rows: int) -> int:
            path = write_trades(folder / "file.csv", code, rows)
            importer = TransactionImport(
                path,
                actor=None,
                on_error="abort",
                portfolio="",
                layout="own",
                create_portfolios=True,
                base_currency="USD",
                owner=None,
            )
            used = peak_memory(importer)
            assert Transaction.objects.filter(portfolio__code=code).count() == rows
            return used

        peak("P0", self.LARGE)  # fills the caches of texts that were read
        small, large = peak("P1", self.SMALL), peak("P2", self.LARGE)
        return (large - small) / (self.LARGE - self.SMALL)

    def test_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        assert self.growth(tmp_path) < 100

    def test_grows_when_all_rows_are_taken_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TransactionImport, "is_streamed", False)
        assert self.growth(tmp_path) > 1_000

    def test_grows_when_the_books_are_read_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shortages, "ROWS_A_READ", 1_000_000)
        assert self.growth(tmp_path) > 300


def write_trades(path: Path, code: str, rows: int) -> Path:
    """Everything is bought, then sold; every other row has no id."""
    with path.open("w") as file:
        file.write(HEADER + "\n")
        for number in range(rows):
            kind = "buy" if number < rows // 2 else "sell"
            day = dt.date(2015, 1, 1) + dt.timedelta(number * 1000 // rows)
            named = f"x{number}" if number % 2 else ""
            symbol = "ABCDE"[number % 5]
            file.write(f"{code},{day},{kind},{symbol},{1 + number % 5},10,,,,USD,,{named}\n")
    return path
