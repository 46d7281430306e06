"""The files of other programs, from their bytes to what the books hold of them."""

import csv
import datetime as dt
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from importlib.metadata import EntryPoint
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command
from openpyxl import Workbook

from portfolios.imports import layouts
from portfolios.imports.errors import FileError
from portfolios.imports.layouts.generic import GenericLayout
from portfolios.imports.report import ImportReport
from portfolios.models import Asset, CorporateAction, ImportBatch, Portfolio, Transaction
from portfolios.services.import_transactions import LAYOUTS, transactions_import
from tests.support.factories import make_asset, make_currency, make_portfolio, make_transaction
from tests.support.imports import counts, nothing_written, refusals, write_file

pytestmark = [pytest.mark.django_db, pytest.mark.once]

SAMPLES = Path(__file__).parents[1] / "imports" / "samples"
GENERIC = SAMPLES / "generic_broker.csv"
HISTORY = SAMPLES / "ibkr_transaction_history.csv"
FLEX = SAMPLES / "ibkr_flex_trades.csv"
SCHWAB = SAMPLES / "schwab_brokerage.csv"
PARQET = SAMPLES / "parqet_decimal_comma.csv"
ENGLISH = SAMPLES / "portfolio_performance_layout_en.csv"
GERMAN = SAMPLES / "portfolio_performance_layout_de.csv"
GHOSTFOLIO = SAMPLES / "ghostfolio_layout.json"
ALL = (GENERIC, HISTORY, FLEX, SCHWAB, PARQET, ENGLISH, GERMAN, GHOSTFOLIO)

SYMBOLS = (
    "META FB AMZN OPRA OTGLY BABA IBKR CNX1 SPY NFRIX FIHBX SWVXX SNSXX SNAXX VNQ GBDC ARCC TCPC TSLX NMFC "
    "FMGIX SCHB VEA VWO SCHF SCHE SLYV DGLRX IBN AVGO AMC TNXP LCID NEWH APE"
)
ISINS = {
    "AAPL": "US0378331005",
    "MSFT": "US5949181045",
    "JNJ": "US4781601046",
    "KO": "US1912161007",
    "VT": "US9220427424",
    "VALOR": "CH0111762537",
    "PRIME": "LU2089238203",
    "XTECH": "IE00BM67HT60",
    "O": "US7561091049",
    "GOOGL": "US02079K3059",
    "ALV": "DE0008404005",
    "SAP": "DE0007164600",
    "FVRR": "IL0011582033",
}
# Kinds that bring money; the others take it.
RECEIVED = {"deposit", "sell", "short", "dividend", "interest", "fee_refund", "tax_refund"}
NO_CASH = {"transfer_in", "transfer_out"}


@pytest.fixture(autouse=True)
def market() -> None:
    for code in ("USD", "EUR", "GBP", "CHF"):
        make_currency(code)
    names = {**dict.fromkeys(SYMBOLS.split(), ""), **ISINS}
    Asset.objects.bulk_create(
        Asset(symbol=symbol, isin=isin, name=symbol, asset_class="equity", currency_id="USD")
        for symbol, isin in names.items()
    )
    make_portfolio("P")


def run(path: Path, *, portfolio: str = "P", **options: Any) -> ImportReport:
    return transactions_import(path, portfolio=portfolio, **options)


def holdings(portfolio: str = "P") -> dict[str, Decimal]:
    """As bought and sold, whatever splits came between."""
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in Transaction.objects.filter(portfolio__code=portfolio, quantity__isnull=False):
        sign = {"buy": 1, "transfer_in": 1, "sell": -1, "transfer_out": -1}.get(line.kind, 0)
        held[str(line.asset)] += sign * (line.quantity or 0)
    return {symbol: quantity for symbol, quantity in sorted(held.items()) if quantity}


def cash(portfolio: str = "P") -> dict[str, Decimal]:
    balances: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in Transaction.objects.filter(portfolio__code=portfolio).exclude(kind__in=NO_CASH):
        amount = line.amount or Decimal(0)
        if line.kind == "currency_exchange":
            balances[line.currency_id] += amount
            balances[str(line.counter_currency_id)] -= line.counter_amount or 0
        else:
            balances[line.currency_id] += amount if line.kind in RECEIVED else -amount
        balances[line.currency_id] -= line.fee + line.tax
    return {code: balance.normalize() for code, balance in sorted(balances.items()) if balance}


def hold_before(*symbols: str, quantity: int = 1_000_000) -> None:
    """What was held before the file begins."""
    for symbol in symbols:
        make_transaction(
            Portfolio.objects.get(code="P"),
            kind="transfer_in",
            amount=None,
            asset=Asset.objects.get(symbol=symbol),
            quantity=quantity,
            trade_date=dt.date(2000, 1, 3),
        )


def action(symbol: str, day: str, kind: str, new: str = "", ratio: int | None = None) -> None:
    CorporateAction.objects.create(
        asset=Asset.objects.get(symbol=symbol),
        ex_date=dt.date.fromisoformat(day),
        kind=kind,
        new_asset=Asset.objects.get(symbol=new) if new else None,
        ratio_new=ratio,
        ratio_old=1 if ratio else None,
    )


def notes_of_lines(report: ImportReport) -> list[int]:
    return [int(note.split(":")[0].split()[1]) for note in report.notes if note.startswith("line ")]


def rejected_lines(report: ImportReport) -> list[int]:
    return [reject.line for reject in report.rejected]


def booked(portfolio: str = "P") -> set[tuple[str, str]]:
    return set(Transaction.objects.filter(portfolio__code=portfolio).values_list("source", "external_id"))


# --- the samples, one by one


@pytest.mark.parametrize("path", [ENGLISH, GERMAN])
def test_portfolio_performance_gives_the_same_book_in_both_languages(path: Path) -> None:
    report = run(path)
    assert (counts(report), refusals(report)) == ((13, 13, 0, 0, 0), [])
    assert holdings() == {"AAPL": 40, "JNJ": 25, "KO": Decimal("120.5"), "MSFT": 100}
    assert cash() == {"USD": Decimal("12096.63")}
    assert ImportBatch.objects.get().layout == "portfolio_performance"
    # Value -6,380.50 with fees of 4.90 inside, and 26.35 after taxes of 4.65.
    buy = Transaction.objects.get(kind="buy", asset__symbol="AAPL")
    assert (buy.amount, buy.fee, buy.price, buy.note) == (Decimal("6375.6"), Decimal("4.9"), None, "")
    dividend = Transaction.objects.get(kind="dividend", asset__symbol="MSFT")
    assert (dividend.amount, dividend.tax, dividend.note) == (31, Decimal("4.65"), "0.31 per share")


def test_portfolio_performance_in_the_other_language_adds_nothing() -> None:
    run(ENGLISH)
    with nothing_written():
        assert counts(run(GERMAN)) == (13, 0, 0, 13, 0)


def test_rule_of_numbers_is_said() -> None:
    rule = (
        "layout portfolio_performance: numbers have a comma before the decimals and points between thousands"
    )
    assert rule in run(GERMAN).notes


def test_portfolio_performance_deliveries_move_no_money(tmp_path: Path) -> None:
    header = ENGLISH.read_text(encoding="utf-8-sig").splitlines()[0]
    inbound = '2015-01-06T15:31,Delivery (Inbound),"1,010.00",USD,,,,10.00,,40,,,AAPL,,'
    outbound = "2015-02-06T15:31,Delivery (Outbound),-500.00,USD,,,,1.00,,20,,,AAPL,,"
    between = "2015-02-07T15:31,Transfer (Inbound),500.00,USD,,,,,,,,,,,"
    report = run(write_file(tmp_path, header, inbound, outbound, between), on_error="skip")
    assert (counts(report), rejected_lines(report), notes_of_lines(report)) == ((3, 2, 0, 0, 1), [4], [3])
    moved = Transaction.objects.values_list("kind", "quantity", "price", "amount", "fee")
    assert set(moved) == {("transfer_in", 40, Decimal("25.25"), None, 0), ("transfer_out", 20, None, None, 0)}


def test_ghostfolio_has_the_same_holdings_and_no_deposits() -> None:
    report = run(GHOSTFOLIO)
    assert (counts(report), refusals(report)) == ((10, 10, 0, 0, 0), [])
    assert holdings() == {"AAPL": 40, "JNJ": 25, "KO": Decimal("120.5"), "MSFT": 100}
    dividend = Transaction.objects.get(kind="dividend", asset__symbol="KO")
    assert (dividend.quantity, dividend.amount, dividend.tax) == (Decimal("120.5"), Decimal("39.76994"), 0)
    fee = Transaction.objects.get(kind="fee")
    assert (fee.amount, fee.fee, fee.note) == (12, 0, "custody fee")
    assert any("no accounts, balances, deposits and withdrawals" in note for note in report.notes)


def test_generic_broker_with_the_renaming_and_the_split_known() -> None:
    action("AMZN", "2022-06-06", "split", ratio=20)
    action("FB", "2022-06-09", "symbol_change", new="META")
    report = run(GENERIC)
    assert (counts(report), refusals(report)) == ((16, 15, 0, 0, 0), [])
    assert notes_of_lines(report) == [10]
    assert "stock split of AMZN: known since 2022-06-06" in report.notes[-1]
    # As the file names them: 104 FB became META, of which 105 more were bought and 90 sold.
    assert holdings() == {"AMZN": 1, "BABA": 30, "FB": 104, "META": 15, "OPRA": 120}
    assert Transaction.objects.get(asset__symbol="OTGLY").amount == Decimal("9.679785")


def test_generic_broker_without_them_says_what_to_import() -> None:
    with nothing_written():
        report = run(GENERIC)
    reason = (
        "stock split of AMZN: not known within 5 days of 2022-06-06; import it first, as split, "
        "with import_corporate_actions"
    )
    assert (10, "symbol", "AMZN", reason) in refusals(report)


@pytest.mark.parametrize(
    ("day", "is_known"), [("2022-06-01", True), ("2022-06-11", True), ("2022-06-12", False)]
)
def test_action_is_known_within_five_days(day: str, is_known: bool) -> None:
    action("AMZN", day, "split", ratio=20)
    action("AMZN", "2022-06-06", "spin_off", new="APE")
    assert (10 not in rejected_lines(run(GENERIC))) is is_known


def test_sale_under_the_new_name_needs_the_renaming() -> None:
    report = run(GENERIC, on_error="skip")
    assert (8, "quantity", "50", "only 0 held on 2022-08-10") in refusals(report)


def test_interactive_brokers_history() -> None:
    report = run(HISTORY)
    assert (counts(report), refusals(report)) == ((12, 11, 0, 0, 0), [])
    assert notes_of_lines(report) == [13, 16, 2, 5]
    assert holdings() == {"CNX1": 2}
    # All net amounts but the translation of 0.55 and the difference of the exchange, and its two legs.
    assert cash() == {"GBP": Decimal("3027.65"), "USD": Decimal("-1.056")}
    taxes = Transaction.objects.filter(note__contains="Credit Interest for Feb").exclude(kind="interest")
    assert sorted(taxes.values_list("kind", "amount")) == [
        ("tax", Decimal("3.9")),
        ("tax_refund", Decimal("3.9")),
    ]
    in_lieu = Transaction.objects.get(kind="dividend", asset__symbol="IBKR")
    assert (in_lieu.amount, in_lieu.currency_id) == (1, "GBP")
    # The dividend names an ISIN, and no asset has the symbol beside it in another listing.
    assert Transaction.objects.get(kind="dividend", amount=20).asset == Asset.objects.get(symbol="VT")


def test_interactive_brokers_flex_books_trades_and_refuses_exchanges_of_unknown_currencies() -> None:
    report = run(FLEX, on_error="skip")
    assert counts(report) == (11, 8, 0, 0, 3)
    assert rejected_lines(report) == [10, 11, 12]
    assert all("must have the column Symbol" in reject.reason for reject in report.rejected)
    assert holdings() == {"VALOR": 7, "VT": 323}
    assert cash() == {"CHF": Decimal("-1983.9"), "USD": Decimal("-31583.529")}
    assert Transaction.objects.get(quantity=1).fee == Decimal("0.979")


def test_flex_exchange_with_its_pair_has_both_legs_and_its_commission_apart(tmp_path: Path) -> None:
    lines = FLEX.read_text().splitlines()
    header = lines[0] + ',"Symbol","TradeID"'
    report = run(write_file(tmp_path, header, lines[9] + ',"CHF.USD","77"', lines[1] + ',"","78"'))
    assert (counts(report), refusals(report)) == ((2, 3, 0, 0, 0), [])
    exchange = Transaction.objects.get(external_id="77")
    assert (exchange.amount, exchange.currency_id) == (Decimal("8938.4"), "USD")
    assert (exchange.counter_amount, exchange.counter_currency_id) == (8000, "CHF")
    fee = Transaction.objects.get(external_id="77-fee")
    assert (fee.kind, fee.amount, fee.currency_id) == ("fee", Decimal("1.79924"), "CHF")
    assert Transaction.objects.get(external_id="78").kind == "buy"


def test_flex_commission_in_another_currency_is_a_fee_of_the_asset(tmp_path: Path) -> None:
    lines = FLEX.read_text().splitlines()
    run(write_file(tmp_path, lines[0], lines[2].replace('"-1","USD"', '"-0.9","CHF"')))
    fee = Transaction.objects.get(kind="fee")
    assert (fee.amount, fee.currency_id, str(fee.asset)) == (Decimal("0.9"), "CHF", "VT")
    assert Transaction.objects.get(kind="buy").fee == 0


def test_legs_of_a_refused_line_are_refused_with_it(tmp_path: Path) -> None:
    lines = FLEX.read_text().splitlines()
    path = write_file(tmp_path, lines[0], lines[2].replace('"-1","USD"', '"-1","XXX"'))
    with nothing_written():
        report = run(path, on_error="skip")
    assert refusals(report) == [(2, "ibcommissioncurrency", "XXX", "unknown currency")]
    assert report.read == 1


def test_flex_orders_and_lots_are_said_and_not_booked_twice(tmp_path: Path) -> None:
    lines = FLEX.read_text().splitlines()
    rows = [f'{lines[1]},"{level}"' for level in ("ORDER", "EXECUTION", "CLOSED_LOT")]
    report = run(write_file(tmp_path, lines[0] + ',"LevelOfDetail"', *rows))
    assert counts(report) == (3, 1, 0, 0, 0)
    assert notes_of_lines(report) == [2, 4]


def test_schwab_history() -> None:
    hold_before("FIHBX", "SNAXX", "DGLRX")
    action("AVGO", "2024-07-15", "split", ratio=10)
    action("AMC", "2023-08-24", "split", ratio=1)
    action("AMC", "2022-08-22", "spin_off", new="APE")
    action("APE", "2023-08-25", "merger", new="AMC")
    report = run(SCHWAB, on_error="skip")
    # Its splits and mergers are known but three; a dividend of no asset is no dividend of ours.
    assert rejected_lines(report) == [104, 111, 112, 114, 115, 116, 117]
    assert counts(report) == (120, 107, 0, 0, 7)
    assert notes_of_lines(report) == [108, 110, 113, 118, 119, 120, 121]
    with SCHWAB.open(newline="") as stream:
        amounts = {
            line: Decimal(row["Amount"].replace("$", "").replace(",", "") or 0)
            for line, row in enumerate(csv.DictReader(stream), start=2)
        }
    assert cash() == {"USD": sum((amounts[line] for line in amounts if line not in {104, 121}), Decimal(0))}
    assert holdings()["SNAXX"] == 1_000_000 + Decimal("3706.38") - 500_135
    assert holdings()["DGLRX"] == 1_000_000 + Decimal("4.546") - 877
    sale = Transaction.objects.get(kind="sell", asset__symbol="FIHBX")
    assert (sale.amount, sale.fee) == (5010, 10)
    in_lieu = Transaction.objects.get(asset__symbol="SCHB", amount=Decimal("5.49"))
    assert (in_lieu.trade_date, in_lieu.kind) == (dt.date(2024, 10, 10), "dividend")


def test_schwab_pair_is_known_by_either_of_its_names() -> None:
    """The old shares stand under their CUSIP, which is the middle of their ISIN."""
    make_asset("CCIV", isin="US1714391026")
    action("CCIV", "2021-07-26", "merger", new="LCID")
    report = run(SCHWAB, on_error="skip")
    assert {114, 115} <= set(notes_of_lines(report))
    assert not {114, 115} & set(rejected_lines(report))


def test_schwab_rounded_price_is_left_out_and_a_wrong_amount_refused(tmp_path: Path) -> None:
    lines = SCHWAB.read_text().splitlines()
    wrong = lines[1].replace("-$694.48", "-$695.48")
    report = run(write_file(tmp_path, lines[0], lines[1], wrong), on_error="skip")
    bought = Transaction.objects.get()
    assert (bought.amount, bought.price) == (Decimal("694.48"), None)
    assert report.rejected[0].column == "price"
    assert "column price: left out where it does not give the amount to the cent: 1 rows" in report.notes


def test_parqet() -> None:
    hold_before("ALV", "FVRR", quantity=100)
    report = run(PARQET)
    # Its last row lacks only the blank that ends the others: every named column is there.
    assert (counts(report), refusals(report)) == ((27, 28, 0, 0, 0), [])
    assert holdings() == {
        "ALV": 94,
        "FVRR": 86,
        "PRIME": Decimal("105.232424"),
        "XTECH": Decimal("3.112570"),
    }
    assert cash() == {"EUR": Decimal("-1284.21")}
    refund = Transaction.objects.get(kind="tax_refund")
    assert (refund.amount, refund.trade_date, str(refund.asset)) == (
        Decimal("12.64"),
        dt.date(2024, 5, 16),
        "FVRR",
    )
    sale = Transaction.objects.get(kind="sell", asset__symbol="ALV")
    assert (sale.amount, sale.tax, sale.fee) == (1578, Decimal("14.83"), 1)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_same_file_again_and_its_first_half_before_add_nothing_twice(path: Path, tmp_path: Path) -> None:
    hold_before("META", "FIHBX", "SNAXX", "DGLRX", "ALV", "FVRR", "CNX1", "JNJ", "AAPL")
    half = tmp_path / path.name
    half.write_bytes(first_half(path))
    first = run(half, on_error="skip")
    whole = run(path, on_error="skip")
    assert first.created
    assert whole.created
    assert whole.unchanged == first.created
    apart = {entry for entry in booked() if entry[0] != "manual"}
    with nothing_written():
        again = run(path, on_error="skip")
    assert (again.created, again.unchanged) == (0, len(apart))
    Transaction.objects.exclude(source="manual").delete()
    run(path, on_error="skip")
    assert {entry for entry in booked() if entry[0] != "manual"} == apart


def first_half(path: Path) -> bytes:
    if path.suffix == ".json":
        document = json.loads(path.read_bytes())
        document["activities"] = document["activities"][:5]
        return json.dumps(document).encode()
    lines = path.read_bytes().splitlines(keepends=True)
    # The bookings of the statement begin in its second half.
    share = 3 if path == HISTORY else 2
    return b"".join(lines[: len(lines) * share // 4])


# --- recognition


def test_every_sample_is_known_by_its_header() -> None:
    for path in ALL:
        run(path, on_error="skip")
    expected = {
        "generic",
        "ibkr_statement",
        "ibkr_flex",
        "schwab",
        "parqet",
        "portfolio_performance",
        "ghostfolio",
    }
    assert set(ImportBatch.objects.values_list("layout", flat=True)) == expected
    assert set(LAYOUTS) == {"auto", "own", *expected}


def test_unknown_header_says_why_no_layout_has_it(tmp_path: Path) -> None:
    report = run(write_file(tmp_path, "When,What,How much", "2024-01-02,buy,1"))
    (line, column, value, reason) = refusals(report)[0]
    assert (line, column, value) == (1, "", "when,what,how much")
    for name in set(LAYOUTS) - {"auto"}:
        assert f"{name} " in reason
    assert "generic lacks date, action, symbol" in reason


def test_own_layout_with_a_fault_is_still_recognised(tmp_path: Path) -> None:
    header = "trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,ext"
    assert refusals(run(write_file(tmp_path, header))) == [
        (1, "external_id", "", "this column is missing"),
        (1, "ext", "ext", "unknown column"),
    ]


def test_layout_asked_for_names_what_is_missing() -> None:
    report = run(GENERIC, layout="schwab")
    assert [(reject.column, reject.reason) for reject in report.rejected] == [
        ("description", "this column is missing"),
        ("fees & comm", "this column is missing"),
        ("amount", "this column is missing"),
    ]


def test_layouts_without_portfolios_need_one() -> None:
    with nothing_written():
        report = run(GENERIC, portfolio="")
    reason = "the layout generic names no portfolio: say which one the rows belong to"
    assert refusals(report) == [(1, "portfolio", "", reason)]


def test_unknown_layout_is_an_error() -> None:
    with pytest.raises(FileError, match="unknown layout etrade; there are auto, own, generic"):
        run(GENERIC, layout="etrade")


class _Added(GenericLayout):
    name = "added"
    required = (*GenericLayout.required, "desk")


def add(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    points = [EntryPoint(f"point{place}", value, layouts.GROUP) for place, value in enumerate(values)]
    monkeypatch.setattr(layouts, "entry_points", lambda group: points)


def test_entry_point_adds_a_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "their_layouts", SimpleNamespace(Added=_Added))
    add(monkeypatch, "their_layouts:Added")
    lines = GENERIC.read_text().splitlines()
    path = write_file(tmp_path, lines[0] + ",desk", lines[-1] + ",7")
    assert refusals(run(path)) == [
        (1, "", "", "the header fits the layouts generic, added: say which it is"),
    ]
    assert counts(run(path, layout="added")) == (1, 1, 0, 0, 0)
    assert Transaction.objects.get().source == "added"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:Layout", "cannot be loaded: ModuleNotFoundError"),
        ("portfolios.imports.layouts.generic:NoSuchLayout", "cannot be loaded: AttributeError"),
        ("portfolios.imports.layouts.generic:GenericLayout", "there is a layout generic already"),
        ("decimal:Decimal", "is no layout"),
    ],
)
def test_broken_entry_point_is_named(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    add(monkeypatch, value)
    with nothing_written(), pytest.raises(FileError, match="entry point point0") as caught:
        run(GENERIC)
    assert reason in str(caught.value)
    assert value in str(caught.value)


def test_command_takes_layout_and_decimal_comma(tmp_path: Path) -> None:
    lines = ["date;action;symbol;quantity;price;fees;currency", "2023-05-01;BUY;META;1,5;100,25;0,5;USD"]
    path = str(write_file(tmp_path, *lines))
    with pytest.raises(CommandError):
        call_command("import_transactions", path, "--portfolio", "P", stderr=StringIO(), stdout=StringIO())
    with pytest.raises(CommandError, match="unknown layout x"):
        call_command("import_transactions", path, "--portfolio", "P", "--layout", "x")
    out = StringIO()
    options = ["--portfolio", "P", "--layout", "generic", "--decimal-comma"]
    call_command("import_transactions", path, *options, stdout=out)
    line = Transaction.objects.get()
    assert (line.quantity, line.price, line.amount) == (Decimal("1.5"), Decimal("100.25"), Decimal("150.375"))
    assert "numbers have a comma before the decimals and nothing between thousands" in out.getvalue()


def test_decimal_comma_of_our_own_layout_is_a_rule_for_every_number(tmp_path: Path) -> None:
    header = "trade_date;kind;symbol;quantity;price;amount;fee;tax;currency;status;external_id"
    good = "2024-01-02;deposit;;;;1500,25;;;;;a"
    path = write_file(tmp_path, header, good, "2024-01-03;deposit;;;;1.500;;;;;b")
    report = run(path, decimal_comma=True, on_error="skip")
    reason = "not a number: this layout has a comma before the decimals and nothing between thousands"
    assert refusals(report) == [(3, "amount", "1.500", reason)]
    assert Transaction.objects.get().amount == Decimal("1500.25")
    assert "layout own: numbers have a comma" in report.notes[0]


def test_decimal_comma_is_refused_where_the_layout_has_its_rule() -> None:
    with nothing_written(), pytest.raises(FileError, match="schwab has its own rule for numbers"):
        run(SCHWAB, decimal_comma=True)


# --- names


def test_isin_goes_before_symbol_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    header = "date,action,symbol,quantity,price,fees,currency,isin,exchange"
    make_asset("SAP", exchange="XNYS", isin="US8030542042")
    report = run(
        write_file(
            tmp_path,
            header,
            "2023-05-01,BUY,XX,1,1,,EUR,DE0007164600,",
            "2023-05-01,BUY,MSFT,1,1,,USD,US0000000000,",
            "2023-05-01,BUY,META,1,1,,USD,US0000000000,",
            "2023-05-01,BUY,SAP,2,1,,USD,,XNYS",
            "2023-05-01,BUY,SAP,2,1,,USD,,",
            "2023-05-01,BUY,NONE,2,1,,USD,,",
            "2023-05-01,BUY,,2,1,,USD,US0000000000,",
        ),
        on_error="skip",
    )
    assert refusals(report) == [
        (3, "isin", "US0000000000", "unknown ISIN; MSFT has US5949181045 here"),
        (6, "symbol", "SAP", "ambiguous symbol: no exchange, XNYS"),
        (7, "symbol", "NONE", "unknown symbol"),
        (8, "isin", "US0000000000", "unknown ISIN"),
    ]
    assert {(asset.symbol, asset.exchange) for asset in Asset.objects.filter(transactions__isnull=False)} == {
        ("SAP", ""),
        ("META", ""),
        ("SAP", "XNYS"),
    }


# --- bad files, for each kind of layout


class Kind(NamedTuple):
    """A good row of a layout by column; `quoted` cells are what a bad number has to stand in."""

    row: dict[str, str]
    number: str
    quantity: str
    day: str
    currency: str
    future: str
    separator: str = ","


KINDS = {
    "generic": Kind(
        {
            "date": "2023-05-01",
            "action": "BUY",
            "symbol": "META",
            "quantity": "2",
            "price": "10",
            "fees": "1",
            "currency": "USD",
        },
        number="price",
        quantity="quantity",
        day="date",
        currency="currency",
        future="2999-05-01",
    ),
    "portfolio_performance": Kind(
        {
            "Datum": "2023-05-01T10:00",
            "Typ": "Kauf",
            "Wert": "-21,00",
            "Buchungswährung": "USD",
            "Gebühren": "1,00",
            "Steuern": "",
            "Stück": "2",
            "ISIN": "",
            "Ticker-Symbol": "META",
            "Notiz": "",
        },
        number="wert",
        quantity="stück",
        day="datum",
        currency="buchungswährung",
        future="2999-05-01T10:00",
        separator=";",
    ),
    "ibkr_flex": Kind(
        {
            "Buy/Sell": "BUY",
            "TradeDate": "20230501",
            "ISIN": "US9220427424",
            "Quantity": "2",
            "TradePrice": "10",
            "TradeMoney": "20",
            "CurrencyPrimary": "USD",
            "IBCommission": "-1",
            "IBCommissionCurrency": "USD",
        },
        number="trademoney",
        quantity="quantity",
        day="tradedate",
        currency="currencyprimary",
        future="29990501",
    ),
    "schwab": Kind(
        {
            "Date": "05/01/2023",
            "Action": "Buy",
            "Symbol": "META",
            "Description": "",
            "Quantity": "2",
            "Price": "$10.00",
            "Fees & Comm": "$1.00",
            "Amount": "-$21.00",
        },
        number="amount",
        quantity="quantity",
        day="date",
        currency="",
        future="05/01/2999",
    ),
    "parqet": Kind(
        {
            "datetime": "2023-05-01T10:00:00Z",
            "date": "01.05.2023",
            "price": "10",
            "shares": "2",
            "amount": "20",
            "tax": "0",
            "fee": "1",
            "type": "Buy",
            "identifier": "US9220427424",
            "currency": "EUR",
        },
        number="amount",
        quantity="shares",
        day="date",
        currency="currency",
        future="01.05.2999",
        separator=";",
    ),
}
EVERY_KIND = pytest.mark.parametrize("name", KINDS)


def lines_of(name: str, **changes: str) -> list[str]:
    """Header and one row; the changes are by what they change."""
    kind = KINDS[name]
    changed = {getattr(kind, what): value for what, value in changes.items()}
    cells = {column: changed.get(column.lower(), cell) for column, cell in kind.row.items()}
    return [kind.separator.join(cells), kind.separator.join(cells.values())]


def sole_refusal(path: Path, **options: Any) -> tuple[int, str, str, str]:
    with nothing_written():
        report = run(path, **options)
    assert len(report.rejected) == 1, report.rejected
    return refusals(report)[0]


@EVERY_KIND
def test_row_that_is_right_is_booked(name: str, tmp_path: Path) -> None:
    assert counts(run(write_file(tmp_path, *lines_of(name)))) == (1, 1, 0, 0, 0)
    line = Transaction.objects.get()
    assert (line.source, line.quantity, line.amount, line.fee) == (name, 2, 20, 1)


@EVERY_KIND
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "not a finite number"),
        ("=1+1", "a formula, not a number"),
        ("1e30", None),
        ("abc", "not a number"),
        ("1'000", "not a number: this layout has"),
    ],
)
def test_bad_number_is_named_as_the_file_has_it(
    name: str, text: str, reason: str | None, tmp_path: Path
) -> None:
    line, column, value, why = sole_refusal(write_file(tmp_path, *lines_of(name, number=text)))
    assert (line, column, value) == (2, KINDS[name].number, text)
    assert why.startswith(reason or ("an exponent that hides digits", "not a number"))


@EVERY_KIND
def test_negative_quantity_is_refused(name: str, tmp_path: Path) -> None:
    line, column, value, reason = sole_refusal(write_file(tmp_path, *lines_of(name, quantity="-2")))
    assert (line, column, value) == (2, KINDS[name].quantity, "-2")
    assert reason.startswith(("must not be negative", "must be above 0"))


@EVERY_KIND
def test_day_to_come_is_refused(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    line, column, value, reason = sole_refusal(write_file(tmp_path, *lines_of(name, day=kind.future)))
    assert (line, column, value) == (2, kind.day, kind.future)
    assert reason.startswith("lies in the future")


@EVERY_KIND
@pytest.mark.parametrize("day", ["31/31/2023", "1.5.23", "yesterday", ""])
def test_bad_day_is_refused(name: str, day: str, tmp_path: Path) -> None:
    line, column, value, _ = sole_refusal(write_file(tmp_path, *lines_of(name, day=day)))
    assert (line, column, value) == (2, KINDS[name].day, day)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.currency])
def test_unknown_currency_is_refused(name: str, tmp_path: Path) -> None:
    refused = sole_refusal(write_file(tmp_path, *lines_of(name, currency="XXX")))
    assert refused == (2, KINDS[name].currency, "XXX", "unknown currency")


@EVERY_KIND
def test_cut_row_is_refused(name: str, tmp_path: Path) -> None:
    header, row = lines_of(name)
    separator = KINDS[name].separator
    cut = separator.join(row.split(separator)[:3])
    line, column, _, reason = sole_refusal(write_file(tmp_path, header, cut))
    assert (line, column) == (2, header.lower().split(separator)[3])
    assert reason.startswith("3 cells, but the header has")


@EVERY_KIND
def test_column_that_stands_there_twice_is_refused(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    header, row = lines_of(name)
    path = write_file(tmp_path, header + kind.separator + kind.number.title(), row + kind.separator + "1")
    assert sole_refusal(path)[1::2] == (kind.number, "this column stands there twice")


@EVERY_KIND
def test_other_encodings_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    header, row = lines_of(name)
    path.write_bytes((header + "\n").encode() + row.encode() + b"\xfc\n")
    line, _, _, reason = sole_refusal(path)
    assert (line, reason) == (2, "not UTF-8")
    path.write_text(header + "ä\n" + row + "\n", encoding="utf-16")
    assert sole_refusal(path)[3] == "the text is UTF-16; save it as UTF-8"


@EVERY_KIND
def test_header_repeated_below_is_said(name: str, tmp_path: Path) -> None:
    header, row = lines_of(name)
    report = run(write_file(tmp_path, header, row, header))
    assert counts(report) == (2, 1, 0, 0, 0)
    assert "line 3: the header again" in report.notes


@EVERY_KIND
def test_columns_that_are_not_read_are_named(name: str, tmp_path: Path) -> None:
    header, row = lines_of(name)
    separator = KINDS[name].separator
    report = run(write_file(tmp_path, f"{header}{separator}Mood", f"{row}{separator}good"))
    assert "columns that are not read: mood" in report.notes


@EVERY_KIND
def test_sheet_of_typed_cells_reads_alike(name: str, tmp_path: Path) -> None:
    """Numbers with a type have no language; a text among them is held to our own way of writing."""
    kind = KINDS[name]
    header, row = (line.split(kind.separator) for line in lines_of(name))
    typed = [_typed(cell) for cell in row]
    path = write_sheet(tmp_path, header, typed)
    assert counts(run(path)) == (1, 1, 0, 0, 0)
    line = Transaction.objects.get()
    assert (line.source, line.quantity, line.amount, line.fee) == (name, 2, 20, 1)
    assert f"layout {name}: numbers are typed cells" in run(path).notes


@EVERY_KIND
def test_formula_in_a_sheet_is_refused(name: str, tmp_path: Path) -> None:
    header, row = (line.split(KINDS[name].separator) for line in lines_of(name, number="=SUM(A1:A3)"))
    refused = sole_refusal(write_sheet(tmp_path, header, row))
    assert refused == (2, KINDS[name].number, "=SUM(A1:A3)", "a formula, not a value")


def _typed(cell: str) -> Any:
    number = cell.replace("$", "").replace(",", ".")
    try:
        return float(number)
    except ValueError:
        return cell


def write_sheet(folder: Path, *rows: Iterable[Any]) -> Path:
    book = Workbook()
    sheet: Any = book.active
    for row in rows:
        sheet.append(list(row))
    path = folder / "file.xlsx"
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"quantity": "NaN"}, "quantity", "not a finite number"),
        ({"unitPrice": "1e30"}, "unitprice", "an exponent that hides digits"),
        ({"quantity": "-1"}, "quantity", "must not be negative"),
        ({"fee": '"=1"'}, "fee", "a formula, not a number"),
        ({"date": '"2999-01-01T00:00:00.000Z"'}, "date", "lies in the future"),
        ({"currency": '"XXX"'}, "currency", "unknown currency"),
        ({"symbol": '"NONE"'}, "symbol", "unknown symbol"),
        ({"type": '"LIABILITY"'}, "type", "a liability moves neither money nor shares"),
        ({"type": '"GIFT"'}, "type", "must be one of buy, sell, dividend, fee, interest"),
    ],
)
def test_bad_activity_is_refused(changes: dict[str, str], column: str, reason: str, tmp_path: Path) -> None:
    activity = {
        "currency": '"USD"',
        "date": '"2023-05-01T00:00:00.000Z"',
        "symbol": '"META"',
        "type": '"BUY"',
        "quantity": "2",
        "unitPrice": "10",
        "fee": "1",
    }
    cells = ", ".join(f'"{name}": {value}' for name, value in {**activity, **changes}.items())
    line, named, _, why = sole_refusal(write_file(tmp_path, '{"activities": [', f"{{{cells}}}]}}"))
    assert (line, named) == (2, column)
    assert why.startswith(reason)


# --- the statement of Interactive Brokers, whose sections have headers of their own


def statement(folder: Path, old: str, new: str) -> Path:
    text = HISTORY.read_text()
    assert old in text
    return write_file(folder, text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("CNX1,4.0", "CNX1,-4.0", (18, "quantity", "must not be negative for a buy")),
        (
            "-4000.0,-3.0,-4003.0",
            "4000.0,-3.0,3997.0",
            (18, "gross amount", "must not be positive for a buy"),
        ),
        ("-4003.0", "-4004.0", (18, "net amount", "differs from gross amount + commission")),
        ("-4000.0,", "NaN,", (18, "gross amount", "not a finite number")),
        ("13.0,-,13.0", "1e30,-,1e30", (21, "gross amount", "an exponent that hides digits")),
        ("2025-03-15,", "2999-03-15,", (18, "date", "lies in the future")),
        ("2025-03-15,", "15.03.2025,", (18, "date", "not a date as YYYY-MM-DD")),
        ("Buy,CNX1", "Buy,NONE", (18, "symbol", "unknown symbol")),
        ("Buy,CNX1", "Gift,CNX1", (18, "transaction type", "unknown type")),
        ("GBP.USD,0.8", "GBPUSD,0.8", (16, "symbol", "must be two currencies")),
        (",5000.0,-,5000.0", ",5000.0", (22, "commission", "8 cells, but the header has 10 columns")),
        ("Summary,Data,Base Currency,GBP\n", "", (10, "base currency", "no section before this one names")),
        ("Commission,Net", "Net Amount,Net", (10, "commission", "this column is missing")),
        ("Transaction History,Header,", "History,Header,", (11, "", "stands before the header")),
    ],
)
def test_bad_statement_is_refused(old: str, new: str, expected: tuple[int, str, str], tmp_path: Path) -> None:
    with nothing_written():
        report = run(statement(tmp_path, old, new))
    line, column, _, reason = refusals(report)[0]
    assert (line, column) == expected[:2]
    assert reason.startswith(expected[2])


def test_statement_without_bookings_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path, "Statement,Header,Field Name,Field Value", "Statement,Data,Title,Nothing")
    assert sole_refusal(path)[3].startswith("holds none of the sections transaction history, trades")


ACTIVITY = """Statement,Header,Field Name,Field Value
Statement,Data,Title,Activity Statement
Account Information,Header,Field Name,Field Value
Account Information,Data,Base Currency,EUR
Net Asset Value,Header,Asset Class,Total
Net Asset Value,Data,Cash,100
Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,T. Price,Proceeds,Comm/Fee
Trades,Data,Order,Stocks,USD,META,"2023-05-01, 10:00:00","1,000",10.5,-10500,-1
Trades,Data,Trade,Stocks,USD,META,"2023-05-01, 10:00:00","1,000",10.5,-10500,-1
Trades,Data,Order,Stocks,USD,META,"2023-05-02, 10:00:00",-400,11,4400,-1.5
Trades,SubTotal,,Stocks,USD,META,,600,,-6100,-2.5
Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,T. Price,Proceeds,Comm EUR
Trades,Data,Order,Forex,USD,EUR.USD,"2023-05-01, 09:00:00","-6,000",1.1,6600,-2
Dividends,Header,Currency,Date,Description,Amount
Dividends,Data,USD,2023-06-01,VT(US9220427424) Cash Dividend USD 0.50 per Share,20
Dividends,Data,Total,,,20
Withholding Tax,Header,Currency,Date,Description,Amount,Code
Withholding Tax,Data,USD,2023-06-01,VT(US9220427424) Cash Dividend - US Tax,-3,
Deposits & Withdrawals,Header,Currency,Settle Date,Description,Amount
Deposits & Withdrawals,Data,EUR,2023-04-28,Electronic Fund Transfer,"10,000"
Fees,Header,Subtitle,Currency,Date,Description,Amount
Fees,Data,Other Fees,USD,2023-05-03,Snapshot,-4.5
Corporate Actions,Header,Asset Category,Currency,Report Date,Date/Time,Description,Quantity
Corporate Actions,Data,Stocks,USD,2022-06-06,"2022-06-03, 20:25:00",AMZN(US0231351067) Split 20 for 1,19
"""


def test_activity_statement_books_each_section(tmp_path: Path) -> None:
    action("AMZN", "2022-06-06", "split", ratio=20)
    path = write_file(tmp_path, ACTIVITY.rstrip())
    report = run(path)
    assert (counts(report), refusals(report)) == ((11, 8, 0, 0, 0), [])
    assert notes_of_lines(report) == [9, 11, 16, 24, 2, 3, 5]
    assert holdings() == {"META": 600}
    # -6000 + 10000 - 2 in euros; -10501 + 4398.5 + 6600 + 20 - 3 - 4.5 in dollars.
    assert cash() == {"EUR": 3998, "USD": 510}
    with nothing_written():
        assert run(path).unchanged == 8
