"""Asking for a computation: who may, what is asked of the service, and what is answered."""

import datetime as dt
from typing import Any
from unittest.mock import patch

import pytest

from analytics.models import AnalyticsRun
from analytics.services.runs import BEGINNING
from portfolios.models import Portfolio, PortfolioRole
from tests.support.api import REQUESTS, client_of, detail_url, pointers, portfolio_url
from tests.support.factories import (
    DAY,
    grant,
    make_asset,
    make_auditor,
    make_portfolio,
    make_price,
    make_superuser,
    make_transaction,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio() -> Portfolio:
    portfolio = make_portfolio("GROWTH", owner=make_user("ann"))
    make_price(make_asset())
    make_transaction(portfolio)
    return portfolio


def request(portfolio: Portfolio, action: str, user: Any = None, body: Any = None) -> Any:
    client = client_of(user or portfolio.owner)
    return client.post(portfolio_url(portfolio, action), body, format="json")


@pytest.mark.parametrize(
    ("action", "body", "only", "from_date"),
    [
        ("recompute", None, [], BEGINNING),
        ("recompute", {}, [], BEGINNING),
        ("recompute", {"from_date": None}, [], BEGINNING),
        (
            "recompute",
            {"from_date": "2024-03-01", "only": ["risk", "benchmarks"]},
            ["risk", "benchmarks"],
            dt.date(2024, 3, 1),
        ),
        ("rebalance", None, ["rebalancing"], None),
        ("rebalance", {"only": ["risk"]}, ["rebalancing"], None),
    ],
)
def test_a_request_is_answered_with_its_run(
    portfolio: Portfolio, action: str, body: Any, only: list[str], from_date: dt.date | None
) -> None:
    response = request(portfolio, action, body=body)
    assert response.status_code == 202
    run = AnalyticsRun.objects.get()
    assert (run.portfolio_codes, run.only, run.from_date) == (["GROWTH"], only, from_date)
    assert run.requested_by == portfolio.owner
    assert run.calculation_date == DAY
    assert response["Location"] == f"http://testserver{detail_url('runs', run)}"
    assert response.json()["url"] == response["Location"]
    assert client_of(portfolio.owner).get(response["Location"]).json() == response.json()


@pytest.mark.parametrize("action", REQUESTS)
@pytest.mark.parametrize("role", [PortfolioRole.MAKER, PortfolioRole.MANAGER])
def test_makers_and_managers_may_ask(portfolio: Portfolio, action: str, role: PortfolioRole) -> None:
    user = make_user()
    grant(user, portfolio, role)
    assert request(portfolio, action, user).status_code == 202
    assert AnalyticsRun.objects.get().requested_by == user


@pytest.mark.parametrize("action", REQUESTS)
def test_superusers_may_ask(portfolio: Portfolio, action: str) -> None:
    assert request(portfolio, action, make_superuser()).status_code == 202


@pytest.mark.parametrize("action", REQUESTS)
@pytest.mark.parametrize("role", [PortfolioRole.VIEWER, PortfolioRole.CHECKER, None])
def test_who_only_looks_on_may_not(portfolio: Portfolio, action: str, role: PortfolioRole | None) -> None:
    user = make_auditor()
    if role is not None:
        grant(user, portfolio, role)
    response = request(portfolio, action, user)
    assert response.status_code == 403
    assert pointers(response) == []
    assert not AnalyticsRun.objects.exists()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"from_date": "2024-02-30"}, "#/from_date"),
        ({"from_date": "2999-01-01"}, "#/from_date"),
        ({"only": ["risk", "everything"]}, "#/only/1"),
        ({"only": "risk"}, "#/only"),
        (["risk"], "#"),
    ],
)
def test_a_request_that_makes_no_sense_starts_nothing(portfolio: Portfolio, body: Any, pointer: str) -> None:
    response = request(portfolio, "recompute", body=body)
    assert response.status_code == 400
    assert pointers(response) == [pointer]
    assert not AnalyticsRun.objects.exists()


def test_a_body_that_is_no_json_starts_nothing(portfolio: Portfolio) -> None:
    response = client_of(portfolio.owner).post(
        portfolio_url(portfolio, "recompute"), "{not json", content_type="application/json"
    )
    assert response.status_code == 400
    assert pointers(response) == []
    assert not AnalyticsRun.objects.exists()


def test_what_the_service_refuses_is_a_bad_request(portfolio: Portfolio) -> None:
    after_all_prices = (DAY + dt.timedelta(days=1)).isoformat()
    response = request(portfolio, "recompute", body={"from_date": after_all_prices})
    assert response.status_code == 400
    assert pointers(response) == ["#"]
    assert "later than 2024-03-28" in response.json()["errors"][0]["detail"]
    assert not AnalyticsRun.objects.exists()


@pytest.mark.parametrize("action", REQUESTS)
def test_asking_is_not_reading(portfolio: Portfolio, action: str) -> None:
    with patch("analytics.api.summaries.run_request") as run_request:
        assert client_of(portfolio.owner).get(portfolio_url(portfolio, action)).status_code == 405
    run_request.assert_not_called()
