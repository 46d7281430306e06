"""Files whose rows would take lots that booked sales name."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from portfolios.models import Asset, CorporateAction, Portfolio, Transaction, TransactionStatus
from portfolios.selectors.open_lots import named_lots_fault, open_lots
from portfolios.services.import_transactions import named_lots, transactions_import
from portfolios.services.transactions import transaction_create
from tests.support import factories as make
from tests.support.imports import Refusal, counts, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

HEADER = "portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id"


@pytest.fixture
def acme() -> Asset:
    return make.make_asset("ACME")


def make_book(cost_method: str = "fifo") -> Portfolio:
    return make.make_portfolio("P1", cost_method=cost_method)


def day(number: int) -> dt.date:
    return dt.date(2024, 1, number)


def book(
    portfolio: Portfolio, kind: str, on: int, quantity: int, *lots: tuple[Transaction, int], **more: Any
) -> Transaction:
    """A settled line in ACME on a day of January, with the lots that it takes."""
    given: dict[str, Any] = {
        "asset": Asset.objects.get(symbol="ACME"),
        "price": Decimal(100),
        "status": "settled",
    } | more
    named = [{"lot": lot.pk, "quantity": str(units)} for lot, units in lots]
    return transaction_create(
        portfolio, kind=kind, trade_date=day(on), quantity=Decimal(quantity), lots=named, **given
    )


def row(
    kind: str, on: int, quantity: int, number: str, *, symbol: str = "ACME", status: str = "settled"
) -> str:
    return f"P1,{day(on)},{kind},{symbol},{quantity},100,,,,USD,{status},{number}"


def run(folder: Path, *rows: str, **options: Any) -> Any:
    return transactions_import(write_file(folder, HEADER, *rows), **options)


def booked(portfolio: Portfolio) -> set[str]:
    return set(
        Transaction.objects.filter(portfolio=portfolio, source="own").values_list("external_id", flat=True)
    )


def names(line: int, quantity: int, sale_on: int, left: int, asked: int, kind: str = "sell") -> Refusal:
    reason = f"leaves only {left} of a lot of which the {kind} booked on {day(sale_on)} names {asked}"
    return line, "quantity", str(quantity), reason


@pytest.mark.parametrize("preview", [False, True])
def test_a_row_that_takes_a_named_lot_is_refused_and_nothing_is_stored(
    tmp_path: Path, acme: Asset, preview: bool
) -> None:
    portfolio = make_book()
    old = book(portfolio, "buy", 2, 10)
    book(portfolio, "buy", 3, 10)
    book(portfolio, "sell", 9, 10, (old, 10))
    with nothing_written():
        report = run(tmp_path, row("buy", 4, 1, "B1"), row("sell", 5, 4, "S1"), preview=preview)
    assert refusals(report) == [names(3, 4, 9, 6, 10)]


def test_a_lot_that_is_used_up_is_named(tmp_path: Path, acme: Asset) -> None:
    portfolio = make_book()
    old = book(portfolio, "buy", 2, 10)
    book(portfolio, "buy", 3, 10)
    book(portfolio, "sell", 9, 10, (old, 10))
    with nothing_written():
        report = run(tmp_path, row("transfer_out", 5, 10, "T1"))
    reason = f"leaves nothing of a lot that the sell booked on {day(9)} names: "
    ((*_, said),) = refusals(report)
    assert said == f"{reason}lot {old.pk} is not open"


def test_the_other_rows_of_the_file_are_stored_if_asked_for(tmp_path: Path, acme: Asset) -> None:
    portfolio = make_book()
    old, new = book(portfolio, "buy", 2, 10), book(portfolio, "buy", 3, 10)
    book(portfolio, "sell", 9, 8, (old, 8))
    rows = [row("sell", on, 1, f"S{on}") for on in (4, 5, 6, 7, 9, 12)]
    report = run(tmp_path, *rows, on_error="skip")
    assert refusals(report) == [names(line, 1, 9, 7, 8) for line in (4, 5)]
    assert counts(report) == (6, 4, 0, 0, 2)
    assert booked(portfolio) == {"S4", "S5", "S9", "S12"}
    # The sale of the same day comes after the one that names its lots, as the one after it does.
    assert {lot.id: lot.quantity for lot in open_lots(portfolio, day(12))[acme.pk]} == {new.pk: 8}
    assert named_lots_fault(portfolio) is None


def test_only_the_row_that_takes_the_lot_is_refused(tmp_path: Path, acme: Asset) -> None:
    """The last sale before the one that names its lots may have taken another lot."""
    portfolio = make_book("lifo")
    book(portfolio, "buy", 2, 10)
    named = book(portfolio, "buy", 3, 10)
    book(portfolio, "buy", 6, 10)
    book(portfolio, "sell", 9, 10, (named, 10))
    report = run(tmp_path, row("sell", 7, 5, "S7"), row("sell", 4, 3, "S4"), on_error="skip")
    assert refusals(report) == [names(3, 3, 9, 7, 10)]
    assert booked(portfolio) == {"S7"}


def test_the_cost_method_says_which_lot_a_row_takes(tmp_path: Path, acme: Asset) -> None:
    """Of the dearest first, and so not of the cheap one before that is used up."""
    portfolio = make_book("hifo")
    cheap = book(portfolio, "buy", 2, 10, price=Decimal(200))
    book(portfolio, "buy", 3, 10, price=Decimal(300))
    book(portfolio, "sell", 9, 5, (cheap, 5))
    report = run(
        tmp_path, row("sell", 4, 10, "S1"), row("sell", 5, 5, "S2"), row("buy", 8, 9, "B1"), on_error="skip"
    )
    assert counts(report) == (3, 3, 0, 0, 0)
    report = run(tmp_path, row("sell", 6, 1, "S3"), on_error="skip")
    assert refusals(report) == [names(2, 1, 9, 4, 5)]
    assert booked(portfolio) == {"S1", "S2", "B1"}


def test_covers_and_lots_that_became_another_asset_are_looked_at_too(tmp_path: Path, acme: Asset) -> None:
    portfolio = make_book()
    other = make.make_asset("OTHER")
    CorporateAction.objects.create(
        asset=acme, new_asset=other, ex_date=day(6), kind="symbol_change", ratio_new=1, ratio_old=1
    )
    lot = book(portfolio, "buy", 2, 10)
    book(portfolio, "sell", 9, 10, (lot, 10), asset=other)
    shorted = book(portfolio, "short", 10, 5, asset=other)
    book(portfolio, "short", 11, 5, asset=other)
    book(portfolio, "cover", 14, 5, (shorted, 5), asset=other)
    rows = [row("sell", 4, 2, "S1"), row("cover", 12, 1, "C1", symbol="OTHER")]
    with nothing_written():
        report = run(tmp_path, row("buy", 3, 2, "B1"), *rows)
    assert refusals(report) == [
        names(3, 2, 9, 8, 10),
        names(4, 1, 14, 4, 5, kind="cover"),
    ]


def test_a_row_that_settles_a_sale_whose_lot_is_gone_is_refused(tmp_path: Path, acme: Asset) -> None:
    portfolio = make_book()
    old, _ = book(portfolio, "buy", 2, 10), book(portfolio, "buy", 3, 10)
    sale = book(
        portfolio, "sell", 9, 10, (old, 10), status=TransactionStatus.PENDING, source="own", external_id="S1"
    )
    book(portfolio, "sell", 4, 1)
    with nothing_written():
        report = run(tmp_path, row("sell", 9, 10, "S1"))
    reason = "leaves only 9 of a lot of which it names 10"
    assert refusals(report) == [(2, "quantity", "10", reason)]
    sale.refresh_from_db()
    assert sale.status == TransactionStatus.PENDING


def test_rows_that_take_no_named_lot_are_stored(tmp_path: Path, acme: Asset) -> None:
    portfolio = make_book()
    make.make_asset("OTHER")
    book(portfolio, "buy", 2, 10)
    new = book(portfolio, "buy", 3, 10)
    book(portfolio, "sell", 9, 10, (new, 10))
    rows = [
        row("sell", 4, 9, "S1"),
        row("buy", 1, 5, "B1"),
        row("sell", 12, 6, "S2"),
        row("buy", 2, 5, "B2", symbol="OTHER"),
        row("sell", 3, 5, "S3", symbol="OTHER"),
        row("sell", 3, 15, "S4", status="pending"),
    ]
    assert counts(run(tmp_path, *rows)) == (6, 6, 0, 0, 0)
    assert named_lots_fault(portfolio) is None


def test_what_was_wrong_before_is_not_blamed_on_the_file(tmp_path: Path, acme: Asset) -> None:
    portfolio = make_book()
    book(portfolio, "buy", 2, 20)
    sale = book(portfolio, "sell", 9, 10)
    Transaction.objects.filter(pk=sale.pk).update(lots=[{"lot": sale.pk, "quantity": "10"}])
    assert named_lots_fault(portfolio) is not None
    assert counts(run(tmp_path, row("sell", 4, 1, "S1"))) == (1, 1, 0, 0, 0)


def test_a_sale_beyond_the_holding_is_refused_as_such(tmp_path: Path, acme: Asset) -> None:
    portfolio = make_book()
    old = book(portfolio, "buy", 2, 10)
    book(portfolio, "sell", 9, 10, (old, 10))
    with nothing_written():
        report = run(tmp_path, row("sell", 4, 11, "S1"), row("sell", 5, 10, "S2"))
    assert refusals(report) == [
        (2, "quantity", "11", "only 10 held on 2024-01-04"),
        (3, "quantity", "10", f"leaves only 0 for the sell of 10 booked on {day(9)}"),
    ]


def test_books_without_named_lots_are_not_walked(
    tmp_path: Path, acme: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[Portfolio] = []
    walk = named_lots.book_walked

    def counted(portfolio: Portfolio, *args: Any, **options: Any) -> Any:
        walks.append(portfolio)
        return walk(portfolio, *args, **options)

    monkeypatch.setattr(named_lots, "book_walked", counted)
    other, portfolio = make.make_asset("OTHER"), make_book()
    run(tmp_path, row("buy", 2, 10, "B1"), row("sell", 5, 1, "S1"))
    lot = book(portfolio, "buy", 2, 10, asset=other)
    book(portfolio, "sell", 9, 10, (lot, 10), asset=other)
    run(tmp_path, row("sell", 6, 1, "S2"))  # its lots are another asset's business
    assert booked(portfolio) == {"B1", "S1", "S2"}
    assert walks == []
    run(tmp_path, row("buy", 2, 10, "B2", symbol="OTHER"))
    assert walks == [portfolio]
