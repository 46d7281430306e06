"""A worker that dies anywhere leaves an event that can be taken up again, and nothing is done twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from analytics.models import EventStatus, RebalancingEvent
from analytics.services.event_moves import EventConflict
from analytics.services.execution import run
from analytics.services.execution.run import event_execute, event_resume
from portfolios.models import Portfolio
from tests.analytics.services.execution import stage

pytestmark = pytest.mark.django_db
STEPS = ("open_orders", "orders_mark_sent", "fill_book", "overdrafts_cover", "event_settle")


class Killed(BaseException):
    """Nobody catches this on the way."""


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio()


@contextmanager
def killed_at(statement: int) -> Iterator[list[int]]:
    """Die at the n-th statement to the database; counts how many there were."""
    seen = [0]

    def kill(execute: Callable[..., Any], *arguments: Any) -> Any:
        seen[0] += 1
        if seen[0] == statement:
            raise Killed
        return execute(*arguments)

    with connection.execute_wrapper(kill):
        yield seen


def finish(event: RebalancingEvent) -> None:
    """What an operator does after a crash."""
    event.refresh_from_db()
    if event.status == EventStatus.APPROVED:
        event_execute(event.pk, actor=None)
    elif event.status == EventStatus.EXECUTING:
        event_resume(event.pk)


def undisturbed(portfolio: Portfolio, event: RebalancingEvent) -> tuple[dict[str, Any], int]:
    """What one execution leaves and how many statements it takes; nothing is kept of it."""
    with stage.taken_back():
        with killed_at(0) as seen:
            event_execute(event.pk, actor=None)
        return stage.footprint(portfolio), seen[0]


def test_killed_at_any_statement_it_is_finished_as_if_nothing_had_happened(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    expected, statements = undisturbed(portfolio, event)
    assert statements > 50
    deaths, chosen = 0, range(1, statements + 1, max(statements // 8, 1))
    for statement in chosen:
        with stage.taken_back():
            with killed_at(statement):
                try:
                    event_execute(event.pk, actor=None)
                except Killed:
                    deaths += 1
            finish(event)
            assert stage.footprint(portfolio) == expected, f"killed at statement {statement}"
    assert deaths == len(chosen)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_its_transactions_it_goes_on_where_it_stopped(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    event = stage.approved_event(portfolio)
    expected, _ = undisturbed(portfolio, event)
    whole = getattr(run, step)

    def die(*arguments: Any, **options: Any) -> None:
        if after:
            whole(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run, step, die)
        for attempt in (event_execute, event_resume):
            try:
                attempt(event.pk, actor=None)
            except (Killed, EventConflict):
                event.refresh_from_db()
        assert event.status in (EventStatus.EXECUTING, EventStatus.COMPLETED)
    finish(event)
    assert stage.footprint(portfolio) == expected


def test_a_venue_that_fails_leaves_the_event_executing(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = stage.approved_event(portfolio)

    def refuse(orders: Any) -> Any:
        raise ConnectionError("the broker does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(run.VENUES["paper"], "submit", refuse)
        with pytest.raises(ConnectionError):
            event_execute(event.pk, actor=None)
    event.refresh_from_db()
    assert event.status == EventStatus.EXECUTING
    assert not stage.booked()
    assert event_resume(event.pk).status == EventStatus.COMPLETED


def test_a_fill_that_is_reported_on_every_call_is_booked_once(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers answer with all fills of the day, each time."""
    event = stage.approved_event(portfolio)
    expected, _ = undisturbed(portfolio, event)
    submit = run.VENUES["paper"].submit
    monkeypatch.setattr(run.VENUES["paper"], "submit", lambda orders: submit(orders) * 3)
    event_execute(event.pk, actor=None)
    assert stage.footprint(portfolio) == expected
