import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from portfolios.models import Asset, CorporateAction, StaleMark
from portfolios.services.import_corporate_actions import corporate_actions_import
from tests.support.factories import make_asset
from tests.support.imports import Refusal, counts, nothing_written, refusals, write_file

pytestmark = [pytest.mark.django_db, pytest.mark.once]

HEADER = "symbol,ex_date,kind,ratio,amount,new_symbol"
GOOD = (
    HEADER,
    "AAA,2014-06-09,split,7:1,,",
    "AAA,2014-05-08,CASH_DIVIDEND,,3.29,",
    "BBB,2014-06-09,split,1:3,,",
    "BBB,2014-07-01,symbol_change,,,AAA",
)


@pytest.fixture(autouse=True)
def assets() -> list[Asset]:
    return [make_asset("AAA"), make_asset("BBB")]


def test_actions_are_stored_with_exact_ratios(tmp_path: Path) -> None:
    assert counts(corporate_actions_import(write_file(tmp_path, *GOOD))) == (4, 4, 0, 0, 0)
    third = CorporateAction.objects.get(asset__symbol="BBB", kind="split")
    assert (third.ratio_new, third.ratio_old, third.ratio) == (1, 3, Decimal("0.333333333333"))
    dividend = CorporateAction.objects.get(kind="cash_dividend")
    assert (dividend.amount, dividend.ratio_new) == (Decimal("3.29"), None)
    assert CorporateAction.objects.get(kind="symbol_change").new_asset.symbol == "AAA"  # type: ignore[union-attr]
    assert list(StaleMark.objects.values_list("asset__symbol", "from_date", "cause")) == [
        ("AAA", dt.date(2014, 5, 8), "corporate_action"),
        ("BBB", dt.date(2014, 6, 9), "corporate_action"),
    ]


@pytest.mark.parametrize(
    ("ratio", "new", "old"),
    [
        ("7:1", 7, 1),
        ("14 : 2", 7, 1),
        ("0.5", 1, 2),
        ("1.05", 21, 20),
        ("3.5:1", 7, 2),
        ("0.333333333333", 333333333333, 10**12),
    ],
)
def test_ratio_is_an_exact_fraction(tmp_path: Path, ratio: str, new: int, old: int) -> None:
    corporate_actions_import(write_file(tmp_path, HEADER, f"AAA,2014-06-09,split,{ratio},,"))
    action = CorporateAction.objects.get()
    assert (action.ratio_new, action.ratio_old) == (new, old)


def test_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    corporate_actions_import(path)
    with nothing_written():
        assert counts(corporate_actions_import(path)) == (4, 0, 0, 4, 0)
        same_without_last_column = write_file(tmp_path, HEADER[: -len(",new_symbol")], GOOD[1][:-1])
        assert counts(corporate_actions_import(same_without_last_column)) == (1, 0, 0, 1, 0)


def test_correction(tmp_path: Path) -> None:
    corporate_actions_import(write_file(tmp_path, *GOOD))
    report = corporate_actions_import(write_file(tmp_path, HEADER, "AAA,2014-05-08,cash_dividend,,3.30,"))
    assert counts(report) == (1, 0, 1, 0, 0)
    assert CorporateAction.objects.get(kind="cash_dividend").amount == Decimal("3.3")


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("CCC,2014-06-10,split,2:1,,", (3, "symbol", "CCC", "unknown symbol")),
        ("AAA,2014-6-10,split,2:1,,", (3, "ex_date", "2014-6-10", "not a date as YYYY-MM-DD")),
        (
            "AAA,2014-06-10,bonus,2:1,,",
            (3, "kind", "bonus", "must be one of split, cash_dividend, spin_off, merger, symbol_change"),
        ),
        ("AAA,2014-06-10,split,,,", (3, "ratio", "", "must not be blank for a split")),
        ("AAA,2014-06-10,split,2:1,5,", (3, "amount", "5", "must be blank for a split")),
        ("AAA,2014-06-10,split,0:1,,", (3, "ratio", "0:1", "must be above 0")),
        ("AAA,2014-06-10,split,2:0,,", (3, "ratio", "2:0", "must be above 0")),
        ("AAA,2014-06-10,split,2:1:1,,", (3, "ratio", "2:1:1", "must be new:old, such as 7:1, or a decimal")),
        ("AAA,2014-06-10,split,a:1,,", (3, "ratio", "a:1", "not a number")),
        ("AAA,2014-06-10,split,1:99999999999999,,", (3, "ratio", "1:99999999999999", "would round to 0")),
        (
            "AAA,2014-06-10,split,123456789.12345678911:1,,",
            (3, "ratio", "123456789.12345678911:1", "too many digits"),
        ),
        ("AAA,2014-06-10,cash_dividend,,,", (3, "amount", "", "must not be blank for a cash_dividend")),
        ("AAA,2014-06-10,cash_dividend,,-1,", (3, "amount", "-1", "must be above 0")),
        ("AAA,2014-06-10,spin_off,1:4,,", (3, "new_symbol", "", "must not be blank for a spin_off")),
        ("AAA,2014-06-10,merger,,,BBB", (3, "ratio", "", "a merger needs a ratio or an amount")),
        ("AAA,2014-06-10,merger,1:2,,", (3, "new_symbol", "", "must not be blank for a merger into shares")),
        ("AAA,2014-06-10,symbol_change,,,AAA", (3, "new_symbol", "AAA", "the same as symbol")),
        ("AAA,2014-06-09,split,2:1,,", (3, "kind", "split", "repeats symbol and ex_date and kind of line 2")),
    ],
)
def test_bad_row_stops_the_file_and_skip_leaves_it_out(tmp_path: Path, line: str, refusal: Refusal) -> None:
    path = write_file(tmp_path, *GOOD[:2], line)
    with nothing_written():
        [found] = refusals(corporate_actions_import(path))
    assert found[:3] == refusal[:3]
    assert found[3].startswith(refusal[3])
    assert counts(corporate_actions_import(path, on_error="skip")) == (2, 1, 0, 0, 1)


def test_a_spin_off_may_state_how_its_cost_is_divided(tmp_path: Path) -> None:
    make_asset("OLD")
    make_asset("NEW")
    header = "symbol,ex_date,kind,ratio,amount,new_symbol,cost_allocation"
    path = write_file(tmp_path, header, "OLD,2020-01-02,spin_off,1:4,,NEW,0.125")
    assert counts(corporate_actions_import(path)) == (1, 1, 0, 0, 0)
    assert CorporateAction.objects.get().cost_allocation == Decimal("0.125")
    assert counts(corporate_actions_import(path)) == (1, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("OLD,2020-01-02,spin_off,1:4,,NEW,1.5", "must be a share from 0 to 1"),
        ("OLD,2020-01-02,spin_off,1:4,,NEW,-1", "must not be negative"),
        ("OLD,2020-01-02,split,4:1,,,0.5", "must be blank for a split"),
    ],
)
def test_an_impossible_division_of_cost_is_refused(tmp_path: Path, row: str, reason: str) -> None:
    make_asset("OLD")
    make_asset("NEW")
    path = write_file(tmp_path, "symbol,ex_date,kind,ratio,amount,new_symbol,cost_allocation", row)
    with nothing_written():
        report = corporate_actions_import(path)
    assert [(reject.column, reject.reason) for reject in report.rejected] == [("cost_allocation", reason)]
