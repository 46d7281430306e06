import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from portfolios.models import Asset, StaleMark
from portfolios.services.import_assets import assets_import
from tests.support.factories import make_price
from tests.support.imports import Refusal, counts, last_event, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

HEADER = "symbol,name,asset_class,currency,exchange,isin,sector,country,lot_size,is_total_return"
GOOD = (
    HEADER,
    "BRK.B,Berkshire Hathaway,Equity,USD,XNYS,US0846707026,Financials,US,,",
    "SPYTR,SPY with dividends,index,USD,,,,,1,1",
    "BTC,Bitcoin,crypto,USD,,,,,,",
    "UST,Treasury,bond,USD,,,,,,",
)


def test_assets_are_stored_with_the_lot_size_of_their_class(tmp_path: Path) -> None:
    assert counts(assets_import(write_file(tmp_path, *GOOD))) == (4, 4, 0, 0, 0)
    assert dict(Asset.objects.values_list("symbol", "lot_size")) == {
        "BRK.B": 1,
        "SPYTR": 1,
        "BTC": Decimal("0.00000001"),
        "UST": Decimal("0.0001"),
    }
    stock = Asset.objects.get(symbol="BRK.B")
    assert (stock.asset_class, stock.exchange, stock.isin, stock.country) == (
        "equity",
        "XNYS",
        "US0846707026",
        "US",
    )
    assert Asset.objects.get(symbol="SPYTR").is_total_return
    assert last_event()[2]["created"] == ["BRK.B", "SPYTR", "BTC", "UST"]


def test_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    assets_import(path)
    with nothing_written():
        assert counts(assets_import(path)) == (4, 0, 0, 4, 0)


def test_short_layout_and_blank_cells_leave_what_is_stored(tmp_path: Path) -> None:
    assets_import(write_file(tmp_path, *GOOD))
    with nothing_written():
        short = write_file(
            tmp_path, "symbol,name,asset_class,currency", "BRK.B,Berkshire Hathaway,equity,USD"
        )
        assert assets_import(short).unchanged == 1
        blank = write_file(tmp_path, HEADER, "BTC,Bitcoin,crypto,USD,,,,,,")
        assert assets_import(blank).unchanged == 1


def test_change_is_audited_with_before_and_after(tmp_path: Path) -> None:
    assets_import(write_file(tmp_path, *GOOD))
    path = write_file(tmp_path, HEADER, "BTC,Bitcoin,crypto,USD,,,Coins,,0.01,")
    assert counts(assets_import(path)) == (1, 0, 1, 0, 0)
    _, before, after = last_event()
    assert before == {"BTC": {"lot_size": "0.00000001", "sector": ""}}
    assert after["changed"] == {"BTC": {"lot_size": "0.01", "sector": "Coins"}}
    assert not StaleMark.objects.exists()


def test_change_of_currency_makes_all_prices_stale(tmp_path: Path) -> None:
    assets_import(write_file(tmp_path, *GOOD))
    make_price(Asset.objects.get(symbol="UST"), dt.date(2024, 1, 2))
    make_price(Asset.objects.get(symbol="UST"), dt.date(2024, 1, 3))
    assets_import(write_file(tmp_path, HEADER, "UST,Treasury,bond,EUR,,,,,,"))
    marks = StaleMark.objects.values_list("asset__symbol", "from_date")
    assert list(marks) == [("UST", dt.date(2024, 1, 2))]


def test_one_symbol_may_trade_on_two_exchanges(tmp_path: Path) -> None:
    lines = (HEADER, "TWO,Two,equity,USD,XNYS,,,,,", "TWO,Two,equity,GBP,XLON,,,,,")
    assert assets_import(write_file(tmp_path, *lines)).created == 2
    with nothing_written():
        report = assets_import(write_file(tmp_path, HEADER, "TWO,Two,equity,GBP,,,,,,"))
    assert refusals(report) == [(2, "exchange", "", "must be one of XLON, XNYS")]


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (",Name,equity,USD,,,,,,", (3, "symbol", "", "must not be blank")),
        ("A B,Name,equity,USD,,,,,,", (3, "symbol", "A B", "must not hold a blank")),
        ("A,,equity,USD,,,,,,", (3, "name", "", "must not be blank")),
        ("A,=HYPERLINK(),equity,USD,,,,,,", (3, "name", "=HYPERLINK()", "a formula, not a text")),
        (
            "A,Name,share,USD,,,,,,",
            (
                3,
                "asset_class",
                "share",
                "must be one of equity, etf, fund, bond, crypto, commodity, index, cash",
            ),
        ),
        ("A,Name,equity,XXX,,,,,,", (3, "currency", "XXX", "unknown currency")),
        (
            "A,Name,equity,USD,nyse1,,,,,",
            (3, "exchange", "nyse1", "not a market identifier code of four letters"),
        ),
        ("A,Name,equity,USD,,US123,,,,", (3, "isin", "US123", "not an ISIN")),
        ("A,Name,equity,USD,,,,USA,,", (3, "country", "USA", "not a country code of two letters")),
        ("A,Name,equity,USD,,,,,0,", (3, "lot_size", "0", "must be above 0")),
        ("A,Name,equity,USD,,,,,,perhaps", (3, "is_total_return", "perhaps", "must be 1 or 0")),
        ("SPYTR,Name,equity,USD,,,,,,", (3, "exchange", "", "repeats symbol and exchange of line 2")),
    ],
)
def test_bad_row_stops_the_file_and_skip_leaves_it_out(tmp_path: Path, line: str, refusal: Refusal) -> None:
    path = write_file(tmp_path, HEADER, GOOD[2], line)
    with nothing_written():
        assert refusals(assets_import(path)) == [refusal]
    assert counts(assets_import(path, on_error="skip")) == (2, 1, 0, 0, 1)
