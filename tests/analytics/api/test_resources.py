"""Lists and details of the computed tables."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db.models import Model

from analytics.models import RunStatus
from portfolios.models import PortfolioRole
from tests.support.api import ROWS, client_of, detail_url, list_url, queries_of
from tests.support.factories import (
    grant,
    make_asset,
    make_auditor,
    make_event,
    make_performance,
    make_portfolio,
    make_run,
    make_superuser,
    make_user,
)

pytestmark = pytest.mark.django_db
RESOURCES = [
    "performance-history",
    "asset-metrics",
    "allocations",
    "rebalancing-events",
    "risk-metrics",
    "correlations",
    "benchmarks",
    "runs",
]


@pytest.mark.parametrize("resource", RESOURCES)
def test_five_rows_take_as_many_queries_as_one(resource: str) -> None:
    user = make_user()
    ROWS[resource](make_portfolio(owner=user))
    one = queries_of(user, list_url(resource))
    for _ in range(4):
        ROWS[resource](make_portfolio(owner=user))
    assert queries_of(user, list_url(resource)) == one
    assert len(client_of(user).get(list_url(resource)).json()["results"]) == 5


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_detail_is_the_row_of_the_list(resource: str) -> None:
    user = make_user()
    client = client_of(user)
    row = ROWS[resource](make_portfolio(owner=user))
    assert client.get(detail_url(resource, row)).json() in client.get(list_url(resource)).json()["results"]


def test_a_performance_row_tells_unknown_from_zero() -> None:
    row = make_performance(
        make_portfolio("GROWTH"),
        total_value="1234.5",
        cash_value=0,
        daily_return=0.0,
        var_95=None,
        quality={"var_95": "insufficient data: 61 of 100"},
        benchmark=make_asset("SPX"),
        run=make_run("GROWTH"),
    )
    answer = client_of(make_superuser()).get(detail_url("performance-history", row)).json()
    assert answer["portfolio"] == "GROWTH"
    assert answer["benchmark"] == "SPX"
    assert answer["run"] == row.run_id
    assert (answer["total_value"], answer["cash_value"]) == ("1234.500000", "0.000000")
    assert (answer["daily_return"], answer["var_95"]) == (0.0, None)
    assert answer["quality"] == {"var_95": "insufficient data: 61 of 100"}


def test_an_event_names_its_people() -> None:
    event = make_event(
        make_portfolio("GROWTH"),
        requested_by=make_user("ann"),
        approved_by=make_user("bob"),
        actions=[{"symbol": "AAPL", "side": "buy"}],
    )
    answer = client_of(make_superuser()).get(detail_url("rebalancing-events", event)).json()
    assert (answer["portfolio"], answer["requested_by"], answer["approved_by"]) == ("GROWTH", "ann", "bob")
    assert answer["actions"] == [{"symbol": "AAPL", "side": "buy"}]


def test_a_run_in_full() -> None:
    start = dt.datetime(2024, 3, 28, 20, tzinfo=dt.UTC)
    run = make_run(
        "GROWTH",
        status=RunStatus.PARTIAL,
        stage="finished",
        done=3,
        total=4,
        rows={"portfolio_risk_metrics": 3},
        issues=["LOST: no price"],
        error="1 of 4 chunks failed.",
        requested_by=make_user("ann"),
        created_at=start,
        started_at=start,
        heartbeat_at=start + dt.timedelta(seconds=2),
        finished_at=start + dt.timedelta(seconds=2.5),
    )
    assert client_of(make_superuser()).get(detail_url("runs", run)).json() == {
        "id": run.pk,
        "url": f"http://testserver{detail_url('runs', run)}",
        "status": "partial",
        "calculation_date": "2024-03-28",
        "from_date": None,
        "only": [],
        "portfolio_codes": ["GROWTH"],
        "requested_by": "ann",
        "stage": "finished",
        "done": 3,
        "total": 4,
        "progress": 0.75,
        "rows": {"portfolio_risk_metrics": 3},
        "issues": ["LOST: no price"],
        "error": "1 of 4 chunks failed.",
        "seconds": 2.5,
        "engine_version": "test",
        "created_at": "2024-03-28T20:00:00Z",
        "started_at": "2024-03-28T20:00:00Z",
        "heartbeat_at": "2024-03-28T20:00:02Z",
        "finished_at": "2024-03-28T20:00:02.500000Z",
    }


def test_a_run_that_is_not_planned_yet_has_no_progress() -> None:
    answer = client_of(make_superuser()).get(detail_url("runs", make_run())).json()
    assert (answer["progress"], answer["seconds"]) == (None, None)


def sees(user: User, run: Model) -> bool:
    listed = client_of(user).get(list_url("runs")).json()["results"]
    found = client_of(user).get(detail_url("runs", run)).status_code == 200
    assert found == (run.pk in {row["id"] for row in listed})
    return found


def test_a_run_is_seen_by_who_sees_all_of_its_portfolios() -> None:
    user, one, other = make_user(), make_portfolio(), make_portfolio()
    grant(user, one, PortfolioRole.VIEWER)
    grant(user, one, PortfolioRole.MAKER)
    assert sees(user, make_run(one.code))
    assert not sees(user, make_run(other.code))
    both = make_run(one.code, other.code)
    assert not sees(user, both)
    assert not sees(user, make_run(one.code, "GONE"))
    grant(user, other)
    assert sees(user, both)


def test_a_run_over_the_whole_house_is_its_requesters() -> None:
    user = make_user()
    grant(user, make_portfolio())
    assert sees(user, make_run(requested_by=user))
    assert not sees(user, make_run(requested_by=make_user()))
    assert not sees(user, make_run())


def test_asking_for_a_run_does_not_open_it_for_ever() -> None:
    user, portfolio = make_user(), make_portfolio()
    access = grant(user, portfolio)
    run = make_run(portfolio.code, requested_by=user)
    assert sees(user, run)
    access.delete()
    assert not sees(user, run)


@pytest.mark.parametrize("make_supervisor", [make_auditor, make_superuser])
def test_supervisors_see_every_run(make_supervisor: Callable[[], User]) -> None:
    supervisor = make_supervisor()
    assert sees(supervisor, make_run())
    assert sees(supervisor, make_run(make_portfolio().code))
