"""Who may reach which address: every route of the interface is walked, so that none is forgotten."""

import re
from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest
from django.urls import URLPattern
from rest_framework.test import APIClient

from portfolio_site.urls import api_router
from portfolios.models import Portfolio
from tests.support.api import (
    ANALYSES,
    API,
    PORTFOLIO_ROWS,
    PUBLIC_ROWS,
    REQUESTS,
    ROWS,
    client_of,
    detail_url,
    list_url,
    pointers,
    portfolio_url,
)
from tests.support.factories import grant, make_auditor, make_portfolio, make_superuser, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.once]
DECISIONS = ("approve", "reject", "cancel", "execute", "evidence-pack")
OPEN = ("/healthz", f"{API}schema/", f"{API}docs/", f"{API}redoc/")


def routes() -> Iterator[str]:
    """Every address of the router, with a value in place of each parameter."""
    for pattern in api_router.urls:
        assert isinstance(pattern, URLPattern)
        address = re.sub(r"\(\?P<(\w+)>(?:\[[^]]*\]|[^)])*\)", "1", str(pattern.pattern))
        yield API + address.removeprefix("^").removesuffix("$").removesuffix(r"\Z")


def test_the_walk_meets_every_resource_and_action() -> None:
    expected = {API} | {list_url(resource) for resource in ROWS}
    expected |= {f"{list_url(resource)}1/" for resource in ROWS}
    expected |= {f"{API}portfolios/1/{action}/" for action in (*ANALYSES, *REQUESTS)}
    expected |= {f"{list_url('rebalancing-events')}1/{action}/" for action in DECISIONS}
    assert set(routes()) == expected


def test_strangers_are_turned_away_everywhere() -> None:
    client = APIClient()
    for address in [*routes(), f"{API}nothing/"]:
        for method in (client.get, client.post, client.put, client.delete):
            response = method(address)
            assert response.status_code in (401, 403), address
            assert pointers(response) == []


@pytest.mark.parametrize("address", OPEN)
def test_what_is_open_to_strangers(address: str) -> None:
    assert APIClient().get(address).status_code == 200


def test_the_front_door_leads_to_the_console() -> None:
    response = APIClient().get("/")
    assert response.status_code == 302
    assert response["Location"] == "/admin/"


def test_the_root_lists_every_resource() -> None:
    listed = client_of(make_user()).get(API).json()
    assert {name: address.removeprefix("http://testserver") for name, address in listed.items()} == {
        resource: list_url(resource) for resource in ROWS
    }


@pytest.mark.parametrize("resource", PORTFOLIO_ROWS)
def test_rows_of_other_peoples_portfolios_do_not_exist(resource: str) -> None:
    row = PORTFOLIO_ROWS[resource](make_portfolio(owner=make_user()))
    client = client_of(make_user())
    assert client.get(list_url(resource)).json()["results"] == []
    response = client.get(detail_url(resource, row))
    assert response.status_code == 404
    assert pointers(response) == []


def test_nothing_can_be_asked_of_other_peoples_portfolios() -> None:
    portfolio = make_portfolio(owner=make_user())
    client = client_of(make_user())
    with patch("analytics.api.summaries.run_request") as run_request:
        for action in ANALYSES:
            assert client.get(portfolio_url(portfolio, action)).status_code == 404
        for action in REQUESTS:
            assert client.post(portfolio_url(portfolio, action)).status_code == 404
    run_request.assert_not_called()


def test_filters_do_not_open_other_peoples_portfolios() -> None:
    portfolio = make_portfolio(owner=make_user())
    client = client_of(make_user())
    for resource in PORTFOLIO_ROWS.keys() - {"portfolios", "runs"}:
        PORTFOLIO_ROWS[resource](portfolio)
        response = client.get(list_url(resource), {"portfolio": portfolio.code})
        assert response.json()["results"] == [], resource


def _granted(portfolio: Portfolio) -> APIClient:
    user = make_user()
    grant(user, portfolio)
    return client_of(user)


def _owner(portfolio: Portfolio) -> APIClient:
    portfolio.owner = make_user()
    portfolio.save()
    return client_of(portfolio.owner)


@pytest.mark.parametrize("resource", PORTFOLIO_ROWS)
@pytest.mark.parametrize(
    "client_for",
    [_granted, _owner, lambda _: client_of(make_auditor()), lambda _: client_of(make_superuser())],
    ids=["viewer", "owner", "auditor", "superuser"],
)
def test_who_may_see_a_portfolio_sees_its_rows(
    resource: str, client_for: Callable[[Portfolio], APIClient]
) -> None:
    portfolio = make_portfolio()
    row = PORTFOLIO_ROWS[resource](portfolio)
    client = client_for(portfolio)
    assert len(client.get(list_url(resource)).json()["results"]) == 1
    assert client.get(detail_url(resource, row)).status_code == 200


@pytest.mark.parametrize("resource", PUBLIC_ROWS)
def test_market_data_is_for_every_user(resource: str) -> None:
    row = PUBLIC_ROWS[resource](make_portfolio())
    client = client_of(make_user())
    assert client.get(list_url(resource)).json()["results"]
    assert client.get(detail_url(resource, row)).status_code == 200


@pytest.mark.parametrize("resource", sorted(ROWS.keys() - {"portfolios"}))
@pytest.mark.parametrize("key", ["0", "none", "-1", "9" * 30, "%00"])
def test_a_row_that_does_not_exist_is_not_found(resource: str, key: str) -> None:
    response = client_of(make_superuser()).get(f"{list_url(resource)}{key}/")
    assert response.status_code == 404
    assert pointers(response) == []
