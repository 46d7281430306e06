"""Values, costs, flows and gains of every portfolio on every day, against a ledger of their own."""

from decimal import Decimal

import pandas as pd
import pytest

from tests.support import demo_files
from tests.support.demo_files import CODES
from tests.support.demo_house import DEMO_MARKS, DemoHouse
from tests.support.oracle_ledger import LEVELS, SUMS, calendar, walk

pytestmark = DEMO_MARKS

# Six decimals, one of them lost to floats at the border.
TOLERANCE = Decimal("0.000002")


@pytest.mark.parametrize("code", CODES)
def test_a_row_on_every_day_on_which_an_asset_or_a_benchmark_traded(demo_house: DemoHouse, code: str) -> None:
    stored = demo_house.of("performance", portfolio=code)
    assert stored.index.tolist() == calendar(code).tolist()


@pytest.mark.parametrize("code", CODES)
def test_every_line_is_booked_on_a_day_of_the_calendar(code: str) -> None:
    booked = {pd.Timestamp(row["trade_date"]) for row in demo_files.settled(code)}
    assert booked <= set(calendar(code))


@pytest.mark.parametrize("figure", [*LEVELS, *SUMS])
@pytest.mark.parametrize("code", CODES)
def test_money_of_every_day(demo_house: DemoHouse, code: str, figure: str) -> None:
    stored = demo_house.of("performance", portfolio=code)[figure].to_dict()
    wrong = {
        close.date: (stored[close.date], close.figures[figure])
        for close in walk(code)
        if abs(stored[close.date] - close.figures[figure]) > TOLERANCE
    }
    assert wrong == {}


@pytest.mark.parametrize("code", CODES)
def test_the_bridge_from_value_to_value_closes_every_day(demo_house: DemoHouse, code: str) -> None:
    """value = value before + flow + realised + change of unrealised + income - fees - taxes + FX on cash."""
    stored = demo_house.of("performance", portfolio=code)
    change = stored[["total_value", "unrealized_pnl"]].diff()
    change.iloc[0] = stored[["total_value", "unrealized_pnl"]].iloc[0]
    explained = (
        stored["net_flow"]
        + stored["realized_pnl"]
        + change["unrealized_pnl"]
        + stored["income"]
        - stored["fees"]
        - stored["taxes"]
        + stored["fx_on_cash"]
    )
    # Ten rounded figures on one line.
    assert (change["total_value"] - explained).abs().max() <= 5 * TOLERANCE
    if code != "EURO":
        assert set(stored["fx_on_cash"]) == {Decimal(0)}


def test_the_split_moves_shares_and_nothing_else() -> None:
    before, after = (
        next(close for close in walk("TECH") if close.date == day)
        for day in (pd.Timestamp("2014-06-06"), pd.Timestamp("2014-06-09"))
    )
    assert after.quantities["AAPL"] == 7 * before.quantities["AAPL"]
    assert after.figures["cost_basis"] == before.figures["cost_basis"]
    assert after.figures["realized_pnl"] == 0


@pytest.mark.parametrize("code", ["BALANCED", "TECH"])
@pytest.mark.parametrize("day", ["2017-08-07", "2017-11-08"])
def test_a_carried_price_is_marked(demo_house: DemoHouse, code: str, day: str) -> None:
    quality = demo_house.of("performance", portfolio=code).loc[day, "quality"]
    assert quality["prices"].startswith("AAPL: price of 2017-")


def test_an_overdraft_is_marked_and_only_there(demo_house: DemoHouse) -> None:
    for code in CODES:
        quality = demo_house.of("performance", portfolio=code)["quality"]
        below_zero = {close.date for close in walk(code) if any(amount < 0 for amount in close.cash.values())}
        assert {day for day, reasons in quality.items() if "overdraft" in reasons} == below_zero


def test_a_rate_older_than_the_day_is_marked(demo_house: DemoHouse) -> None:
    published = demo_files.units_per_euro("USD")
    quality = demo_house.of("performance", portfolio="EURO")["quality"]
    exposed = {close.date for close in walk("EURO") if close.quantities or close.cash.get("USD")}
    carried = {day for day in exposed if day not in published}
    assert {day for day, reasons in quality.items() if "fx" in reasons} == carried
    assert len(carried) > 0
