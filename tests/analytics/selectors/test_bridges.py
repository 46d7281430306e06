"""What a bridge says of the lines it cannot know."""

import datetime as dt
from decimal import Decimal

from analytics.selectors.bridges import SNAPSHOT_FIELDS, Row, bridge_of_rows


def snapshot(day: int, **figures: Decimal | None) -> Row:
    return {**dict.fromkeys(SNAPSHOT_FIELDS, Decimal(0)), "snapshot_date": dt.date(2024, 1, day), **figures}


def test_an_unknown_transfer_is_the_reason_of_the_unrealised_line() -> None:
    found = bridge_of_rows(None, [snapshot(2), snapshot(3, transferred_pnl=None)], minor_units=2)
    assert found.bridge.lines["unrealized_pnl"] is None
    assert found.reasons == {"unrealized_pnl": "unknown on 2024-01-03"}


def test_a_known_day_covers_the_cash_of_the_unknown_ones_before_it() -> None:
    unknown = snapshot(2, total_value=None, cash_value=None, fx_on_cash=None)
    known = snapshot(3, total_value=Decimal(5), fx_on_cash=Decimal(5))
    found = bridge_of_rows(None, [unknown, known], minor_units=2)
    assert (found.bridge.lines["fx_on_cash"], found.reasons) == (5, {})


def test_an_unknown_gain_on_known_cash_is_a_gap() -> None:
    found = bridge_of_rows(None, [snapshot(2, fx_on_cash=None), snapshot(3)], minor_units=2)
    assert found.bridge.lines["fx_on_cash"] is None
    assert "fx_on_cash" in found.reasons
