"""The command and the task that check the prices."""

import datetime as dt
import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from portfolios.models import AuditEvent, DataFinding, FindingSeverity
from portfolios.tasks import check_data
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db

DAYS = [dt.date(2024, 1, day) for day in (2, 3, 4)]


@pytest.fixture(autouse=True)
def prices() -> None:
    """One halved, one with a close above its high, one beyond reproach."""
    for symbol, closes, high in [("HALF", (10, 5, 5), 10), ("HIGH", (8, 8, 9), 8), ("FINE", (7, 7, 7), 7)]:
        asset = make.make_asset(symbol)
        for day, close in zip(DAYS, closes, strict=True):
            make.make_price(asset, day, close, high=high, low=1)


def run(*arguments: str) -> tuple[str, str]:
    out, failure = StringIO(), ""
    try:
        call_command("check_data", *arguments, stdout=out, stderr=StringIO())
    except CommandError as error:
        failure = str(error)
    return out.getvalue(), failure


def test_counts_by_kind_and_the_newest() -> None:
    make.make_user("ann")
    out, failure = run("--user", "ann")
    assert out.splitlines() == [
        "2 new, 0 changed, 0 reopened, 0 resolved, 0 unchanged",
        "open                    info   warning     error",
        "missing_ohlc               0         0         0",
        "inconsistent_ohlc          0         0         1",
        "missing_session            0         0         0",
        "suspect_close              0         0         0",
        "unadjusted_action          0         0         1",
        "stale_price                0         0         0",
        "2024-01-04  HIGH        inconsistent_ohlc   error     "
        "close outside low to high: open blank, high 8, low 1, close 9",
        "2024-01-03  HALF        unadjusted_action   error     "
        "close 10 on 2024-01-02, then 5: -50.00% against the market, not undone, and no corporate action is "
        "known; near a split of 2:1",
    ]
    assert failure == ""
    assert AuditEvent.objects.get().actor == "ann"


def test_for_programs() -> None:
    answer = json.loads(run("--format", "json", "--symbol", "HALF", "--symbol", "FINE")[0])
    assert answer["check"] == {"created": 1, "changed": 0, "reopened": 0, "resolved": 0, "unchanged": 0}
    assert answer["open"]["unadjusted_action"] == {"info": 0, "warning": 0, "error": 1}
    [newest] = answer["newest"]
    assert (newest["symbol"], newest["date"], newest["related_date"]) == ("HALF", "2024-01-03", "2024-01-02")
    assert newest["measure"] == -0.5
    assert DataFinding.objects.get().asset.symbol == "HALF"


def test_from_a_day_on() -> None:
    out, _ = run("--from", "2024-01-04")
    assert out.startswith("1 new, ")
    assert DataFinding.objects.get().asset.symbol == "HIGH"
    assert run("--from", "2024-01-05", "--fail-on", "info")[1] == ""


def test_fail_on_what_is_open_and_grave_enough() -> None:
    assert run("--fail-on", "error")[1] == "2 open findings of severity error"
    assert DataFinding.objects.count() == 2  # kept all the same
    assert run("--symbol", "FINE", "--fail-on", "info")[1] == ""
    DataFinding.objects.update(severity=FindingSeverity.WARNING, status="accepted", note="known")
    assert run("--fail-on", "info")[1] == ""


def test_wrong_arguments_write_nothing() -> None:
    with nothing_written():
        assert run("--symbol", "NONE", "--symbol", "FINE")[1] == "unknown symbol: NONE"
        assert run("--from", "yesterday")[1].endswith("not a date: 'yesterday' (write 2024-01-31)")
        assert run("--user", "nobody")[1] == "there is no active user nobody"


def test_the_task_checks_everything_and_may_come_twice() -> None:
    assert check_data()["created"] == 2
    with nothing_written():
        assert check_data()["unchanged"] == 2
