"""The profit bridge of the demo: to the cent on every day, and over the years."""

from decimal import Decimal
from itertools import groupby

import pytest

from analytics.selectors.bridges import SNAPSHOT_FIELDS, Row, bridge_of_rows
from tests.support.demo_files import CODES
from tests.support.demo_house import DEMO_MARKS, DemoHouse

pytestmark = DEMO_MARKS

CENT = Decimal("0.01")
# Nine figures are rounded, by half a cent at most.
LARGEST_ROUNDING = Decimal("0.045")


def snapshots(demo_house: DemoHouse, code: str) -> list[Row]:
    stored = demo_house.of("performance", portfolio=code).reset_index()
    rows = stored[list(SNAPSHOT_FIELDS)].to_dict("records")
    return [{**row, "snapshot_date": row["snapshot_date"].date()} for row in rows]


@pytest.mark.parametrize("code", CODES)
def test_every_day_adds_up_to_the_cent(demo_house: DemoHouse, code: str) -> None:
    rows = snapshots(demo_house, code)
    assert len(rows) > 100
    for before, row in zip([None, *rows], rows, strict=False):
        bridge = bridge_of_rows(before, [row], minor_units=2).bridge
        lines = {name: amount or Decimal(0) for name, amount in bridge.lines.items()}
        total = (
            (bridge.opening or 0)
            + lines["net_flow"]
            + lines["realized_pnl"]
            + lines["unrealized_pnl"]
            + lines["income"]
            + lines["fx_on_cash"]
            - lines["fees"]
            - lines["taxes"]
            + (bridge.rounding or 0)
        )
        assert None not in bridge.lines.values()
        assert bridge.rounding is not None
        assert abs(bridge.rounding) <= LARGEST_ROUNDING
        assert total == bridge.closing == (row["total_value"] or Decimal("NaN")).quantize(CENT)


@pytest.mark.parametrize("code", CODES)
def test_years_join_to_the_whole(demo_house: DemoHouse, code: str) -> None:
    rows = snapshots(demo_house, code)
    whole = bridge_of_rows(None, rows, minor_units=2)
    assert (whole.opened, whole.reasons) == (None, {})
    assert whole.bridge.opening == 0
    before: Row | None = None
    closing, profits = Decimal(0), [Decimal(0)]
    for _, of_year in groupby(rows, key=lambda row: row["snapshot_date"].year):
        year = list(of_year)
        bridge = bridge_of_rows(before, year, minor_units=2).bridge
        assert bridge.opening == closing
        before, closing = year[-1], bridge.closing or Decimal("NaN")
        profits.append(bridge.profit or Decimal(0))
    assert closing == whole.bridge.closing
    missed = sum(profits) - (whole.bridge.profit or Decimal(0))
    assert abs(missed) <= CENT * len(profits)


def test_the_euro_portfolio_has_gains_from_rates(demo_house: DemoHouse) -> None:
    stored = demo_house.of("performance", portfolio="EURO")
    assert float(stored["realized_fx_pnl"].abs().sum()) > 0
    assert float(stored["fx_on_cash"].abs().sum()) > 0
    for code in ("TECH", "NEW"):
        assert float(demo_house.of("performance", portfolio=code)["realized_fx_pnl"].abs().sum()) == 0
