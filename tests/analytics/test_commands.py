"""The commands of the nightly job: what they print, how they end, and what they say of bad arguments."""

import datetime as dt
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.models import AnalyticsRun, AssetPerformanceMetrics, PortfolioPerformanceHistory
from portfolios.models import TransactionKind
from tests.support import factories as make
from tests.support.house import (
    DAYS,
    FIRST_DAY,
    LAST_DAY,
    House,
    computed_tables,
    make_house,
    undisturbed_tables,
)

pytestmark = pytest.mark.django_db
HISTORY = PortfolioPerformanceHistory._meta.db_table


@pytest.fixture
def house() -> House:
    return make_house()


def answer(command: str, *arguments: str) -> Any:
    output = StringIO()
    call_command(command, *arguments, "--format", "json", stdout=output)
    return json.loads(output.getvalue())


def break_books(house: House) -> None:
    make.make_transaction(house.home, kind=TransactionKind.SELL, asset=house.rhein, quantity=1, price=1)


@pytest.mark.parametrize("command", ["run_analytics", "backfill_analytics"])
def test_the_answer_for_programs(house: House, command: str) -> None:
    expected = undisturbed_tables()
    result = answer(command)
    run = AnalyticsRun.objects.get()
    assert list(result) == ["date", "run", "rows", "seconds", "issues"]
    assert (result["date"], result["run"], result["issues"]) == (LAST_DAY.isoformat(), run.pk, [])
    assert result["rows"][HISTORY] == 2 * len(DAYS)
    assert result["seconds"] > 0
    assert computed_tables() == expected


def test_nothing_to_do_is_said_and_leaves_no_run(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    answer("run_analytics")
    assert answer("run_analytics") == {"date": None, "run": None, "rows": {}, "seconds": 0.0, "issues": []}
    call_command("run_analytics")
    assert capsys.readouterr().out == "Everything is up to date.\n"
    assert AnalyticsRun.objects.count() == 1


def test_a_backfill_after_a_run_changes_nothing(house: House) -> None:
    answer("run_analytics")
    assert set(answer("backfill_analytics")["rows"].values()) == {0}


def test_the_answer_for_people_names_tables_and_issues(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    break_books(house)
    with pytest.raises(CommandError, match="finished with 1 issues"):
        call_command("run_analytics")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Run {AnalyticsRun.objects.get().pk} up to {LAST_DAY}")
    assert any(line.split() == [str(len(DAYS)), "rows", "changed", "in", HISTORY] for line in lines)
    assert any("issue: HOME: " in line for line in lines)


def test_issues_are_in_the_answer_for_programs_too(house: House) -> None:
    break_books(house)
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("run_analytics", "--format", "json", stdout=output)
    (issue,) = json.loads(output.getvalue())["issues"]
    assert issue.startswith("HOME: ")


def test_one_day_computes_that_day_for_everything(house: House) -> None:
    day = DAYS[50]
    result = answer("run_analytics", "--date", day.isoformat())
    assert result["date"] == day.isoformat()
    assert result["rows"][HISTORY] == 2
    for model, field in (
        (PortfolioPerformanceHistory, "snapshot_date"),
        (AssetPerformanceMetrics, "calculation_date"),
    ):
        assert set(model._default_manager.values_list(field, flat=True)) == {day}


def test_a_span_computes_its_days(house: House) -> None:
    answer("run_analytics", "--from", DAYS[10].isoformat(), "--to", DAYS[19].isoformat())
    days = PortfolioPerformanceHistory.objects.filter(portfolio=house.home).values_list(
        "snapshot_date", flat=True
    )
    assert sorted(days) == DAYS[10:20]


def test_some_portfolios_and_some_sections(house: House) -> None:
    result = answer("run_analytics", "--portfolio", "HOME", "--only", "performance, risk")
    risk = {"portfolio_risk_metrics", "portfolio_risk_contributions", "portfolio_var_backtests"}
    assert set(result["rows"]) == {HISTORY, *risk}
    assert set(PortfolioPerformanceHistory.objects.values_list("portfolio", flat=True)) == {house.home.pk}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--portfolio", "HOME", "--portfolio", "NONE"], "portfolio: there is no NONE"),
        (["--only", "risk,luck"], "only: luck is not one of assets, correlations, performance"),
        (["--from", "2024-03-02", "--to", "2024-03-01"], "from: 2024-03-02 is later than 2024-03-01"),
        (["--date", "2024-03-01", "--to", "2024-03-01"], "--date goes without --from and --to"),
        (["--date", "1.3.2024"], "--date: '1.3.2024' is not a date like 2018-02-07"),
        (["--from", "2024-02-30"], "--from: '2024-02-30' is not a date"),
        (["--date", "2999-01-01"], "date: 2999-01-01 is in the future"),
        (["--format", "xml"], "--format: invalid choice: 'xml'"),
    ],
)
def test_bad_arguments_are_named_and_nothing_runs(arguments: list[str], message: str) -> None:
    make.make_portfolio("HOME")
    make.make_price(make.make_asset())
    with pytest.raises(CommandError, match=message):
        call_command("run_analytics", *arguments)
    assert not AnalyticsRun.objects.exists()


@pytest.mark.parametrize("command", ["run_analytics", "backfill_analytics"])
def test_without_prices_it_says_so(command: str) -> None:
    with pytest.raises(CommandError, match="there are no prices yet"):
        call_command(command)
    assert not AnalyticsRun.objects.exists()


def test_a_day_before_all_prices_has_nothing_to_do(house: House) -> None:
    result = answer("run_analytics", "--date", (FIRST_DAY - dt.timedelta(days=1)).isoformat())
    assert result["run"] is None
