"""Lists and details of the facts."""

import datetime as dt
from decimal import Decimal

import pytest
from rest_framework.test import APIClient

from tests.support.api import ROWS, client_of, detail_url, list_url, queries_of
from tests.support.factories import (
    DAY,
    make_asset,
    make_audit_event,
    make_exchange_rate,
    make_portfolio,
    make_price,
    make_superuser,
    make_transaction,
    make_user,
)

pytestmark = pytest.mark.django_db
RESOURCES = ["assets", "prices", "exchange-rates", "portfolios", "transactions", "audit-events"]


@pytest.mark.parametrize("resource", RESOURCES)
def test_five_rows_take_as_many_queries_as_one(resource: str) -> None:
    user = make_user()
    ROWS[resource](make_portfolio(owner=user))
    one = queries_of(user, list_url(resource))
    for _ in range(4):
        ROWS[resource](make_portfolio(owner=user))
    assert queries_of(user, list_url(resource)) == one
    assert len(client_of(user).get(list_url(resource)).json()["results"]) >= 5


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_detail_is_the_row_of_the_list(resource: str) -> None:
    user = make_user()
    client = client_of(user)
    row = ROWS[resource](make_portfolio(owner=user))
    assert client.get(detail_url(resource, row)).json() in client.get(list_url(resource)).json()["results"]


@pytest.fixture
def client() -> APIClient:
    return client_of(make_superuser())


def test_a_price_in_full(client: APIClient) -> None:
    price = make_price(
        make_asset("AAPL"), close=Decimal("171.48"), high=Decimal("171.5"), volume=65672690, source="feed"
    )
    assert client.get(detail_url("prices", price)).json() == {
        "id": price.pk,
        "asset": "AAPL",
        "date": "2024-03-28",
        "open": None,
        "high": "171.5000000000",
        "low": None,
        "close": "171.4800000000",
        "volume": "65672690.000000000000",
        "source": "feed",
        "adjusted_through": None,
    }


def test_an_exchange_rate_in_full(client: APIClient) -> None:
    rate = make_exchange_rate("EUR", "USD", rate=Decimal("1.0811"))
    assert client.get(detail_url("exchange-rates", rate)).json() == {
        "id": rate.pk,
        "base": "EUR",
        "quote": "USD",
        "date": "2024-03-28",
        "rate": "1.0811000000",
        "source": "test",
    }


def test_a_portfolio_is_found_by_its_code(client: APIClient) -> None:
    portfolio = make_portfolio("GROWTH.1", owner=make_user("ann"), base_currency="EUR")
    answer = client.get(list_url("portfolios") + "GROWTH.1/").json()
    assert answer["code"] == portfolio.code
    assert answer["owner"] == "ann"
    assert answer["base_currency"] == "EUR"
    assert client.get(f"{list_url('portfolios')}{portfolio.pk}/").status_code == 404
    assert client.get(f"{list_url('portfolios')}%00/").status_code == 404


def test_a_transaction_names_its_relations(client: APIClient) -> None:
    portfolio = make_portfolio("GROWTH")
    row = make_transaction(
        portfolio, kind="buy", asset=make_asset("AAPL"), quantity=Decimal("1.5"), amount=Decimal("257.22")
    )
    answer = client.get(detail_url("transactions", row)).json()
    assert (answer["portfolio"], answer["asset"], answer["currency"]) == ("GROWTH", "AAPL", "USD")
    assert (answer["quantity"], answer["amount"]) == ("1.500000000000", "257.220000")


def test_series_show_the_latest_first(client: APIClient) -> None:
    asset = make_asset()
    for days in (1, 0, 2):
        make_price(asset, DAY + dt.timedelta(days=days))
    dates = [row["date"] for row in client.get(list_url("prices")).json()["results"]]
    assert dates == ["2024-03-30", "2024-03-29", "2024-03-28"]


def test_audit_events_without_a_portfolio_are_for_auditors(client: APIClient) -> None:
    event = make_audit_event()
    assert client.get(detail_url("audit-events", event)).json()["hash"] == event.hash
    assert client_of(make_user()).get(detail_url("audit-events", event)).status_code == 404
