"""What went beyond an order: booked when somebody with a reason says so, refused for good, decided once."""

import json
from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command

from analytics.models import EventStatus, OrderFill, OrderStatus, RebalancingEvent, RebalancingOrder
from analytics.services.event_moves import EventConflict
from analytics.services.execution.completion import event_close_short
from analytics.services.execution.excess_fills import (
    excess_fill_accept,
    excess_fill_refuse,
    excess_fills_waiting,
)
from analytics.services.execution.fills import FillOutcome, fill_book
from analytics.services.execution.run import event_execute
from portfolios.models import AuditEvent, Portfolio, PortfolioRole
from portfolios.services.audit import audit_verify
from portfolios.services.transactions import transaction_create
from tests.analytics.services.execution import stage
from tests.support import factories as make
from tests.support.imports import nothing_written
from tests.support.threads import together

pytestmark = pytest.mark.django_db
BOTH = pytest.mark.parametrize("decide", [excess_fill_accept, excess_fill_refuse], ids=["accept", "refuse"])
Decide = Callable[..., OrderFill]


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio(venue="order_file")


@pytest.fixture
def checker(portfolio: Portfolio) -> User:
    user = make.make_user("checker")
    make.grant(user, portfolio, PortfolioRole.CHECKER)
    return user


@pytest.fixture
def event(portfolio: Portfolio) -> RebalancingEvent:
    return event_execute(stage.approved_event(portfolio).pk, actor=None)


@pytest.fixture
def sale(event: RebalancingEvent) -> RebalancingOrder:
    return event.orders.get(side="sell")


@pytest.fixture
def excess(sale: RebalancingOrder) -> OrderFill:
    """12 of the 10 that were to be sold."""
    fill_book(stage.fill(sale, "f1", 12, fee=Decimal(6)))
    return sale.fills.get(is_excess=True)


def last_row(action: str) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).latest("sequence")


def test_what_is_accepted_is_booked_with_who_said_so_and_why(
    portfolio: Portfolio, sale: RebalancingOrder, excess: OrderFill, checker: User
) -> None:
    assert stage.quantities(portfolio)["AAA"] == 50
    fill = excess_fill_accept(excess.pk, actor=checker, reason="the broker will not take it back")
    assert stage.quantities(portfolio)["AAA"] == 48
    line = stage.booked()[-1]
    assert (line.quantity, line.price, line.fee) == (2, 100, 1)
    assert line.external_id == f"{sale.client_order_id}/f1:excess"
    fill.refresh_from_db()
    assert (fill.transaction, fill.is_excess) == (line, True)
    sale.refresh_from_db()
    assert (sale.status, sale.filled_quantity) == (OrderStatus.FILLED, 10)
    row = last_row("order.excess_accepted")
    assert (row.actor, row.reason) == ("checker", "the broker will not take it back")
    assert row.after is not None
    assert (row.after["fill"], row.after["transaction"]) == ("f1:excess", line.pk)
    event = RebalancingEvent.objects.get()
    assert [warning for warning in event.warnings if "not booked" in warning] == []
    assert event.warnings[-1].endswith("asked for were filled and accepted by checker")
    assert excess_fills_waiting() == []
    assert audit_verify().is_intact


def test_what_is_refused_is_never_booked(portfolio: Portfolio, excess: OrderFill, checker: User) -> None:
    before = stage.footprint(portfolio)
    excess_fill_refuse(excess.pk, actor=checker, reason="an error of the broker")
    after = stage.footprint(portfolio)
    assert after.pop("audit") == [*before.pop("audit"), "order.excess_refused"]
    assert after == before
    assert excess_fills_waiting() == []
    for decide in (excess_fill_accept, excess_fill_refuse):
        with nothing_written(), pytest.raises(EventConflict, match="was refused already"):
            decide(excess.pk, actor=checker, reason="again")


@BOTH
def test_what_is_accepted_is_decided(excess: OrderFill, checker: User, decide: Decide) -> None:
    excess_fill_accept(excess.pk, actor=checker, reason="yes")
    with nothing_written(), pytest.raises(EventConflict, match="was accepted already"):
        decide(excess.pk, actor=checker, reason="again")


@BOTH
def test_a_fill_within_its_order_is_nothing_to_decide_about(
    sale: RebalancingOrder, checker: User, decide: Decide
) -> None:
    fill_book(stage.fill(sale, "f1", 4))
    with nothing_written(), pytest.raises(EventConflict, match="is within its order"):
        decide(sale.fills.get().pk, actor=checker, reason="yes")


@BOTH
@pytest.mark.parametrize("role", [None, PortfolioRole.VIEWER, PortfolioRole.MAKER])
def test_only_who_may_approve_decides(
    portfolio: Portfolio, excess: OrderFill, decide: Decide, role: PortfolioRole | None
) -> None:
    user = make.make_user("other")
    if role is not None:
        make.grant(user, portfolio, role)
    for actor in (user, None):
        with nothing_written(), pytest.raises(PermissionDenied, match="may not decide"):
            decide(excess.pk, actor=actor, reason="yes")


@BOTH
def test_who_asked_for_the_event_does_not_decide(
    event: RebalancingEvent, excess: OrderFill, checker: User, decide: Decide
) -> None:
    RebalancingEvent.objects.update(requested_by=checker)
    with nothing_written(), pytest.raises(PermissionDenied, match="a second person decides"):
        decide(excess.pk, actor=checker, reason="yes")


@BOTH
def test_a_decision_needs_a_reason(excess: OrderFill, checker: User, decide: Decide) -> None:
    with nothing_written(), pytest.raises(ValidationError, match="needs a reason"):
        decide(excess.pk, actor=checker, reason=" ")


def test_what_the_books_do_not_bear_stays_undecided(
    portfolio: Portfolio, sale: RebalancingOrder, excess: OrderFill, checker: User
) -> None:
    transaction_create(
        portfolio,
        status="settled",
        kind="sell",
        trade_date=stage.DAY,
        asset=sale.asset,
        quantity=Decimal(49),
        price=Decimal(100),
    )
    with nothing_written(), pytest.raises(ValidationError):
        excess_fill_accept(excess.pk, actor=checker, reason="yes")
    assert excess_fills_waiting() == [excess]


@pytest.mark.parametrize("decided_first", [True, False])
def test_delivered_again_it_is_known_whatever_was_decided(
    portfolio: Portfolio, sale: RebalancingOrder, excess: OrderFill, checker: User, decided_first: bool
) -> None:
    if decided_first:
        excess_fill_accept(excess.pk, actor=checker, reason="yes")
    before = stage.footprint(portfolio)
    assert fill_book(stage.fill(sale, "f1", 12, fee=Decimal(6))) == FillOutcome(is_known=True)
    assert stage.footprint(portfolio) == before


def test_a_fill_after_closing_short_is_booked_late_and_the_event_tells_of_it(
    portfolio: Portfolio, event: RebalancingEvent, sale: RebalancingOrder, checker: User
) -> None:
    lots = [{"lot": stage.Transaction.objects.get(asset=sale.asset).pk, "quantity": "10", "cost": "1000"}]
    RebalancingOrder.objects.filter(pk=sale.pk).update(lots=lots)
    fill_book(stage.fill(sale, "f1", 4))
    event_close_short(event.pk, actor=None, reason="enough")
    fill_book(stage.fill(sale, "f2", 6))
    event.refresh_from_db()
    assert event.status == EventStatus.FAILED
    before: dict[str, Any] = event.post_state or {}
    excess_fill_accept(sale.fills.get(is_excess=True).pk, actor=checker, reason="it came late")
    event.refresh_from_db()
    after: dict[str, Any] = event.post_state or {}
    assert event.status == EventStatus.FAILED
    sold = [trade["actual"]["quantity"] for trade in (before["trades"][0], after["trades"][0])]
    assert sold == ["4", "10"]
    assert [line.lots for line in stage.booked()] == [
        [{"lot": lots[0]["lot"], "quantity": quantity}] for quantity in ("4", "6")
    ]
    row = last_row("rebalancing.outcome_restated")
    assert (row.actor, row.reason) == ("checker", "it came late")


def test_the_tax_of_what_was_sold_beyond_the_lots_is_unknown(
    sale: RebalancingOrder, event: RebalancingEvent, checker: User
) -> None:
    lots = [{"lot": stage.Transaction.objects.get(asset=sale.asset).pk, "quantity": "10", "cost": "1000"}]
    RebalancingOrder.objects.filter(pk=sale.pk).update(lots=lots)
    fill_book(stage.fill(sale, "f1", 12))
    excess_fill_accept(sale.fills.get(is_excess=True).pk, actor=checker, reason="yes")
    event = event_close_short(event.pk, actor=None, reason="enough")
    assert event.actual_tax is None
    assert event.post_state is not None
    assert "AAA: 2 were sold beyond the lots of the order" in event.post_state["reasons"]


# The command


def test_the_command_lists_and_decides(excess: OrderFill, checker: User) -> None:
    def answer(*arguments: str) -> Any:
        output = StringIO()
        call_command("decide_fills", *arguments, "--format", "json", stdout=output)
        return json.loads(output.getvalue())

    (waiting,) = answer("list")
    assert (waiting["fill"], waiting["quantity"], waiting["transaction"]) == (excess.pk, "2", None)
    (done,) = answer("accept", str(excess.pk), "--user", "checker", "--reason", "yes")
    assert (done["decision"], done["transaction"]) == ("accept", stage.booked()[-1].pk)
    assert answer("list") == []


def test_of_several_all_are_decided_or_none(excess: OrderFill, checker: User) -> None:
    with nothing_written(), pytest.raises(CommandError, match=f"there is no fill {excess.pk + 1}"):
        call_command(
            "decide_fills", "refuse", excess.pk, excess.pk + 1, "--user", "checker", "--reason", "no"
        )
    with pytest.raises(CommandError, match="the --user who decides"):
        call_command("decide_fills", "refuse", excess.pk, "--reason", "no")


# In the same instant


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_of_four_decisions_in_one_instant_one_wins(
    portfolio: Portfolio, excess: OrderFill, checker: User
) -> None:
    def outcome(decide: Decide) -> Callable[[], str]:
        def run() -> str:
            try:
                decide(excess.pk, actor=checker, reason="mine")
            except EventConflict as conflict:
                return str(conflict)
            return "done"

        return run

    outcomes = together(*[outcome(decide) for decide in (excess_fill_accept, excess_fill_refuse)] * 2)
    assert outcomes.count("done") == 1
    assert len([told for told in outcomes if told.endswith("already")]) == 3
    decisions = [action for action in stage.audit_actions() if action.startswith("order.excess_")]
    assert len(decisions) == 1
    is_booked = stage.quantities(portfolio)["AAA"] == 48
    assert is_booked == (decisions == ["order.excess_accepted"])
    assert audit_verify().is_intact
