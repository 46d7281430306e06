"""The commands of execution: what they answer, how they end, and what they say of bad arguments."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.models import EventStatus, RebalancingEvent
from portfolios.models import Portfolio, PortfolioRole
from tests.analytics.services.execution import stage
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio()


def answer(*arguments: Any) -> Any:
    output = StringIO()
    try:
        call_command("execute_rebalancing", *map(str, arguments), "--format", "json", stdout=output)
    finally:
        content = json.loads(output.getvalue() or "null")
    return content


def test_it_executes_and_says_what_came_of_it(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio)
    assert answer(event.pk) == [
        {
            "event": event.pk,
            "portfolio": "HOME",
            "status": "completed",
            "orders": ["filled", "filled"],
            "actual_cost": "2.000000",
            "residual": "0",
            "failure": "",
        }
    ]


def test_the_answer_for_people(portfolio: Portfolio, capsys: pytest.CaptureFixture[str]) -> None:
    event = stage.approved_event(portfolio)
    call_command("execute_rebalancing", str(event.pk))
    assert capsys.readouterr().out == f"{event.pk}  HOME  completed  2 of 2 orders filled\n"


def test_what_cannot_be_executed_ends_with_an_error(
    portfolio: Portfolio, capsys: pytest.CaptureFixture[str]
) -> None:
    event = stage.approved_event(portfolio, status=EventStatus.PENDING)
    with pytest.raises(CommandError, match="2 of 2 not executed"):
        call_command("execute_rebalancing", str(event.pk), str(event.pk + 1))
    assert capsys.readouterr().out.splitlines() == [
        f"{event.pk}  event {event.pk} of HOME is pending, not approved",
        f"{event.pk + 1}  there is no such event",
    ]


def test_a_failed_event_is_an_error_with_its_reason(
    portfolio: Portfolio, capsys: pytest.CaptureFixture[str]
) -> None:
    event = stage.approved_event(portfolio, stage.action("AAA", "sell", 61, 100))
    with pytest.raises(CommandError, match="1 of 1 not executed"):
        call_command("execute_rebalancing", str(event.pk))
    assert "failed  0 of 0 orders filled  AAA: 61 to sell, 60 held" in capsys.readouterr().out


def test_the_named_user_acts(portfolio: Portfolio) -> None:
    viewer = make.make_user("viewer")
    make.grant(viewer, portfolio, PortfolioRole.VIEWER)
    event = stage.approved_event(portfolio)
    with pytest.raises(CommandError, match="not executed"):
        call_command("execute_rebalancing", str(event.pk), "--user", "viewer", stdout=StringIO())
    event.refresh_from_db()
    assert event.status == EventStatus.APPROVED


def test_from_order_file_to_completion(
    portfolio: Portfolio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.RebalancingPolicy.objects.update(venue="order_file")
    event = stage.approved_event(portfolio)
    assert answer(event.pk)[0]["status"] == "executing"
    path = tmp_path / "orders.csv"
    call_command("export_orders", "--output", str(path))
    call_command("export_orders", str(event.pk))
    assert capsys.readouterr().out.encode() == path.read_bytes()
    fills = stage.write_file(
        tmp_path,
        f"RB-{event.pk}-1-1,f1,10,100,0,0,2024-03-28",
        f"RB-{event.pk}-1-2,f1,3,200,0,0,2024-03-28",
    )
    call_command("import_fills", str(fills))
    assert "2 read, 2 created" in capsys.readouterr().out
    assert answer("--resume")[0]["status"] == "executing"
    with pytest.raises(CommandError, match="1 of 1 not executed"):
        answer(event.pk, "--close-short", "the day is over")
    event.refresh_from_db()
    assert "4.0000% of the value untraded" in event.failure


def test_bad_fills_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="1 rejected, nothing was written"):
        call_command("import_fills", str(stage.write_file(tmp_path, "RB-1-1-1,f1,1,1,0,0,2024-03-28")))
    assert "line 2, column client_order_id: unknown order" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name at least one EVENT"),
        (["1", "2", "--key", "k"], "--key goes with one EVENT"),
        (["1", "--resume", "--close-short", "x"], "exclude each other"),
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("execute_rebalancing", *arguments)


def test_an_event_that_cannot_be_exported_is_said(portfolio: Portfolio, tmp_path: Path) -> None:
    event = stage.approved_event(portfolio)
    with pytest.raises(CommandError, match="has no orders to export"):
        call_command("export_orders", str(event.pk))
    with pytest.raises(CommandError, match="there is no such event"):
        call_command("export_orders", str(event.pk + 1))
    with pytest.raises(CommandError, match="No such file or directory"):
        call_command("export_orders", "--output", str(tmp_path / "nowhere" / "orders.csv"))
    assert RebalancingEvent.objects.get().status == EventStatus.APPROVED
