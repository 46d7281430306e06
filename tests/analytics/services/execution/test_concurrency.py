"""Executions and fills that arrive in the same instant, in real threads with connections of their own."""

from collections.abc import Callable
from typing import Any

import pytest

from analytics.models import EventStatus, OrderFill, RebalancingEvent
from analytics.services.approvals import event_cancel
from analytics.services.event_moves import EventConflict
from analytics.services.execution import run
from analytics.services.execution.completion import event_close_short
from analytics.services.execution.fills import fill_book
from analytics.services.execution.run import event_execute, event_resume
from portfolios.models import Portfolio
from portfolios.services.audit import audit_verify
from tests.analytics.services.execution import stage
from tests.support.threads import together

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio()


def outcome_of(call: Callable[[], RebalancingEvent]) -> Callable[[], str]:
    def run() -> str:
        try:
            return str(call().status)
        except EventConflict as conflict:
            return f"conflict: {conflict}"

    return run


def executed_once(portfolio: Portfolio) -> bool:
    moves = [action for action in stage.audit_actions() if action.startswith("rebalancing.")]
    return (
        moves == ["rebalancing.executing", "rebalancing.completed"]
        and stage.audit_actions().count("order.filled") == 2
        and len(stage.booked()) == 2
        and stage.quantities(portfolio) == {"AAA": 50, "BBB": 15}
        and audit_verify().is_intact
    )


def test_of_four_who_execute_at_once_one_wins(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    outcomes = together(*[outcome_of(lambda: event_execute(event.pk, actor=None))] * 4)
    assert outcomes.count("completed") == 1
    others = [outcome for outcome in outcomes if outcome != "completed"]
    assert len(others) == 3
    assert all("not approved" in outcome for outcome in others)
    assert executed_once(portfolio)


def test_the_same_key_at_once_executes_once_and_conflicts_with_nobody(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    outcomes = together(*[outcome_of(lambda: event_execute(event.pk, actor=None, key="k"))] * 3)
    assert set(outcomes) <= {"completed", "executing"}
    assert "completed" in outcomes
    assert executed_once(portfolio)


def test_execute_against_cancel_ends_in_one_of_them(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    outcomes = together(
        outcome_of(lambda: event_execute(event.pk, actor=None)),
        outcome_of(lambda: event_cancel(event.pk, actor=portfolio.owner, reason="too late?")),
    )
    event.refresh_from_db()
    assert sum(outcome.startswith("conflict") for outcome in outcomes) == 1
    if event.status == EventStatus.COMPLETED:
        assert executed_once(portfolio)
    else:
        assert event.status == EventStatus.CANCELLED
        assert not stage.booked()


def test_several_workers_that_take_up_one_event_finish_it_once(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = stage.approved_event(portfolio)
    with monkeypatch.context() as patch:
        patch.setattr(run, "fill_book", _die)
        with pytest.raises(SystemExit):
            event_execute(event.pk, actor=None)
    outcomes = together(*[outcome_of(lambda: event_resume(event.pk))] * 3)
    assert "completed" in outcomes
    assert executed_once(portfolio)


def _die(*arguments: Any, **options: Any) -> None:
    raise SystemExit


def test_one_fill_delivered_by_four_is_booked_once(portfolio: Portfolio) -> None:
    stage.RebalancingPolicy.objects.update(venue="order_file")
    order = event_execute(stage.approved_event(portfolio).pk, actor=None).orders.get(side="sell")
    outcomes = together(*[lambda: fill_book(stage.fill(order, "f1", 6))] * 4)
    assert sorted(outcome.is_known for outcome in outcomes) == [False, True, True, True]
    assert OrderFill.objects.count() == len(stage.booked()) == 1


def test_fills_that_together_go_beyond_the_order_are_booked_up_to_it(portfolio: Portfolio) -> None:
    stage.RebalancingPolicy.objects.update(venue="order_file")
    order = event_execute(stage.approved_event(portfolio).pk, actor=None).orders.get(side="sell")
    outcomes = together(*[lambda n=n: fill_book(stage.fill(order, f"f{n}", 4)) for n in range(4)])
    assert sum(outcome.booked for outcome in outcomes) == 10
    assert sum(outcome.excess for outcome in outcomes) == 6
    assert stage.quantities(portfolio)["AAA"] == 50
    assert stage.audit_actions().count("order.overfilled") == 2


def test_a_fill_against_closing_short_is_booked_or_kept_but_not_lost(portfolio: Portfolio) -> None:
    stage.RebalancingPolicy.objects.update(venue="order_file")
    event = event_execute(stage.approved_event(portfolio).pk, actor=None)
    order = event.orders.get(side="sell")
    together(
        lambda: str(fill_book(stage.fill(order, "f1", 10))),
        outcome_of(lambda: event_close_short(event.pk, actor=None, reason="enough")),
    )
    fill = OrderFill.objects.get()
    assert fill.is_excess == (fill.transaction_id is None)
    assert stage.quantities(portfolio)["AAA"] == (60 if fill.is_excess else 50)
