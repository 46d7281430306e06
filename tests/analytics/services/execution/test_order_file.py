"""Orders out and fills back in as files."""

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied

from analytics.models import EventStatus, OrderFill, OrderStatus, RebalancingEvent
from analytics.services.event_moves import EventConflict
from analytics.services.execution.import_fills import fills_import
from analytics.services.execution.order_file import exportable_events, orders_export
from analytics.services.execution.run import event_execute
from portfolios.models import Asset, ImportBatch, Portfolio, PortfolioRole
from tests.analytics.services.execution import stage
from tests.support import factories as make

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio(venue="order_file")


@pytest.fixture
def event(portfolio: Portfolio) -> RebalancingEvent:
    return event_execute(stage.approved_event(portfolio).pk, actor=None)


def test_orders_leave_as_csv_and_are_then_sent(event: RebalancingEvent) -> None:
    assert exportable_events() == [event.pk]
    assert orders_export([event.pk]) == (
        "client_order_id,portfolio,symbol,exchange,isin,side,quantity,price,currency\n"
        f"RB-{event.pk}-1-1,HOME,AAA,,,sell,10,100,USD\n"
        f"RB-{event.pk}-1-2,HOME,BBB,,,buy,5,200,USD\n"
    )
    assert {order.status for order in event.orders.all()} == {OrderStatus.SENT}
    assert stage.audit_actions().count("orders.sent") == 1


def test_exporting_twice_gives_the_same_bytes_and_sends_nothing_again(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path
) -> None:
    first = orders_export([event.pk])
    fills_import(stage.write_file(tmp_path, f"RB-{event.pk}-1-1,f1,4,100,0,0,2024-03-28"))
    before = stage.footprint(portfolio)
    assert orders_export([event.pk, event.pk]) == first
    assert stage.footprint(portfolio) == before


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(event: RebalancingEvent, start: str) -> None:
    text = f"{start}cmd|' /C calc'!A0"
    Asset.objects.filter(symbol="AAA").update(symbol=text, exchange=f"{start}X")
    rows = list(csv.DictReader(io.StringIO(orders_export([event.pk]))))
    assert (rows[0]["symbol"], rows[0]["exchange"]) == (f"'{text}", f"'{start}X")


def test_only_executing_events_of_this_venue_are_exported(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    with pytest.raises(EventConflict, match="is approved and has no orders to export"):
        orders_export([event.pk])
    RebalancingEvent.objects.update(status=EventStatus.EXECUTING, venue="paper")
    with pytest.raises(EventConflict, match="is executing at paper"):
        orders_export([event.pk])


def test_who_may_not_execute_may_not_export(portfolio: Portfolio, event: RebalancingEvent) -> None:
    viewer = make.make_user()
    make.grant(viewer, portfolio, PortfolioRole.VIEWER)
    with pytest.raises(PermissionDenied):
        orders_export([event.pk], actor=viewer)
    assert {order.status for order in event.orders.all()} == {OrderStatus.NEW}


def test_fills_come_back_and_close_the_event(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path
) -> None:
    path = stage.write_file(
        tmp_path,
        f"RB-{event.pk}-1-1,f1,4,100,1,0,2024-03-28",
        f"RB-{event.pk}-1-1,f2,6,100,1,0,2024-03-28",
        f"RB-{event.pk}-1-2,f1,5,200,2,0,2024-03-28",
    )
    report = fills_import(path)
    assert report.summary() == "3 read, 3 created, 0 updated, 0 unchanged, 0 rejected"
    assert report.notes == [f"rebalancing {event.pk} of HOME is completed"]
    event.refresh_from_db()
    assert (event.status, event.actual_cost) == (EventStatus.COMPLETED, 4)
    assert stage.quantities(portfolio) == {"AAA": 50, "BBB": 15}
    assert ImportBatch.objects.get().target == "fills"


def test_a_file_imported_twice_is_unchanged(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path
) -> None:
    path = stage.write_file(
        tmp_path,
        f"RB-{event.pk}-1-1,f1,4,100,1,0,2024-03-28",
        f"RB-{event.pk}-1-1,f2,9,100,1,0,2024-03-28",
    )
    first = fills_import(path)
    assert first.notes[0].startswith("line 3: AAA: 3 more than order")
    before = stage.footprint(portfolio)
    report = fills_import(path)
    assert (report.created, report.unchanged, report.rejected) == (0, 2, [])
    assert stage.footprint(portfolio) == before


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ("RB-0-1-1,f,4,100,0,0,2024-03-28,,", "client_order_id", "unknown order"),
        (",f,4,100,0,0,2024-03-28,,", "client_order_id", "must not be blank"),
        ("{sale},,4,100,0,0,2024-03-28,,", "fill_id", "must not be blank"),
        ("{sale},=f,4,100,0,0,2024-03-28,,", "fill_id", "a formula, not a text"),
        ("{sale},f:excess,4,100,0,0,2024-03-28,,", "fill_id", "not end in :excess"),
        ("{sale},f,0,100,0,0,2024-03-28,,", "quantity", "must be above 0"),
        ("{sale},f,-4,100,0,0,2024-03-28,,", "quantity", "must be above 0"),
        ("{sale},f,four,100,0,0,2024-03-28,,", "quantity", "not a number"),
        ("{sale},f,4,0,0,0,2024-03-28,,", "price", "must be above 0"),
        ("{sale},f,4,,0,0,2024-03-28,,", "price", "must not be blank"),
        ("{sale},f,4,100,-1,0,2024-03-28,,", "fee", "must not be negative"),
        ("{sale},f,4,100,0,-1,2024-03-28,,", "tax", "must not be negative"),
        ("{sale},f,4,100,0,0,2024-03-27,,", "filled_on", "before the proposal"),
        ("{sale},f,4,100,0,0,2124-03-28,,", "filled_on", "lies in the future"),
        ("{sale},f,4,100,0,0,2024-03-28,buy,", "side", "the order says sell"),
        ("{sale},f,4,100,0,0,2024-03-28,,BBB", "symbol", "the order says AAA"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_of_the_file_is_booked(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path, cells: str, column: str, reason: str
) -> None:
    sale, purchase = (f"RB-{event.pk}-1-{place}" for place in (1, 2))
    path = stage.write_file(
        tmp_path,
        f"{purchase},f,5,200,0,0,2024-03-28,buy,BBB",
        cells.format(sale=sale),
        header=f"{stage.HEADER},side,symbol",
    )
    before = stage.footprint(portfolio)
    report = fills_import(path)
    assert [(reject.line, reject.column) for reject in report.rejected] == [(3, column)]
    assert reason in report.rejected[0].reason
    assert stage.footprint(portfolio) == before
    good = fills_import(path, on_error="skip")
    assert (good.created, good.rejected_count) == (1, 1)
    assert stage.quantities(portfolio) == {"AAA": 60, "BBB": 15}


def test_a_fill_that_says_something_else_than_before_is_rejected(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path
) -> None:
    fills_import(stage.write_file(tmp_path, f"RB-{event.pk}-1-1,f1,4,100,0,0,2024-03-28"))
    before = stage.footprint(portfolio)
    report = fills_import(stage.write_file(tmp_path, f"RB-{event.pk}-1-1,f1,5,100,0,0,2024-03-28"))
    assert str(report.rejected[0]) == ("line 2, column quantity: this fill was delivered before, with 4 (5)")
    assert stage.footprint(portfolio) == before


def test_what_the_books_refuse_is_a_rejected_row(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path
) -> None:
    sold = stage.Asset.objects.get(symbol="AAA")
    make.make_transaction(
        portfolio, kind="sell", asset=sold, quantity=55, price=100, amount=5500, trade_date=stage.DAY
    )
    path = stage.write_file(
        tmp_path,
        f"RB-{event.pk}-1-1,f1,10,100,0,0,2024-03-28",
        f"RB-{event.pk}-1-2,f1,5,200,0,0,2024-03-28",
    )
    before = stage.footprint(portfolio)
    report = fills_import(path)
    assert [(reject.line, reject.column) for reject in report.rejected] == [(2, "quantity")]
    assert stage.footprint(portfolio) == before
    assert fills_import(path, on_error="skip").created == 1
    assert stage.quantities(portfolio) == {"AAA": 5, "BBB": 15}


def test_a_preview_books_nothing(portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path) -> None:
    before = stage.footprint(portfolio)
    path = stage.write_file(tmp_path, f"RB-{event.pk}-1-1,f1,10,100,0,0,2024-03-28")
    assert fills_import(path, preview=True).created == 1
    assert stage.footprint(portfolio) == before
    assert not OrderFill.objects.exists()


def test_orders_of_others_are_unknown_and_viewers_may_not_book(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path
) -> None:
    path = stage.write_file(tmp_path, f"RB-{event.pk}-1-1,f1,10,100,0,0,2024-03-28")
    stranger, viewer = make.make_user("stranger"), make.make_user("viewer")
    make.grant(viewer, portfolio, PortfolioRole.VIEWER)
    assert fills_import(path, actor=stranger).rejected[0].reason == "unknown order"
    assert "viewer may not execute" in fills_import(path, actor=viewer).rejected[0].reason
    assert not OrderFill.objects.exists()


def test_fractions_and_small_prices_are_booked_exactly(
    portfolio: Portfolio, event: RebalancingEvent, tmp_path: Path
) -> None:
    rows = [f"RB-{event.pk}-1-1,f{n},{q},100.01,0,0,2024-03-28" for n, q in enumerate(("3.333", "6.667"))]
    fills_import(stage.write_file(tmp_path, *rows))
    sale = event.orders.get(side="sell")
    assert (sale.status, sale.filled_quantity) == (OrderStatus.FILLED, 10)
    assert stage.cash(portfolio)["USD"] == 2000 + Decimal("1000.10")
