"""Filters and orders of the facts."""

import datetime as dt
from typing import Any

import pytest
from django.db.models import Model
from rest_framework.test import APIClient

from portfolio_site.kernel import clock
from portfolios.api import filters
from tests.support.api import client_of, list_url, pointers
from tests.support.factories import (
    make_asset,
    make_audit_event,
    make_exchange_rate,
    make_portfolio,
    make_price,
    make_superuser,
    make_transaction,
    make_user,
)
from tests.support.filter_cases import check_bad_values, check_filters, check_ordering

pytestmark = pytest.mark.django_db
EARLY, LATE = dt.date(2024, 1, 2), dt.date(2024, 3, 4)

FILTERSETS = {
    "assets": filters.AssetFilter,
    "prices": filters.PriceBarFilter,
    "exchange-rates": filters.ExchangeRateFilter,
    "portfolios": filters.PortfolioFilter,
    "transactions": filters.TransactionFilter,
    "audit-events": filters.AuditEventFilter,
}


@pytest.fixture
def client() -> APIClient:
    return client_of(make_superuser())


def two_assets() -> tuple[Model, Model]:
    wanted = make_asset(
        "AAPL",
        name="Apple",
        exchange="XNAS",
        isin="US0378331005",
        sector="Technology",
        country="US",
        is_active=False,
        asset_class="equity",
    )
    return wanted, make_asset("ZZZ", name="Zebra", asset_class="fund", currency="EUR")


def two_prices() -> tuple[Model, Model]:
    wanted = make_price(make_asset("AAPL", exchange="XNAS"), LATE, source="feed")
    return wanted, make_price(make_asset("ZZZ"), EARLY)


def two_exchange_rates() -> tuple[Model, Model]:
    other = make_exchange_rate("CHF", "EUR", EARLY)
    other.source = "elsewhere"
    other.save()
    return make_exchange_rate("EUR", "USD", LATE), other


def two_portfolios() -> tuple[Model, Model]:
    wanted = make_portfolio(
        "GROWTH",
        name="Growing",
        base_currency="EUR",
        status="closed",
        owner=make_user("ann"),
        inception_date=LATE,
    )
    return wanted, make_portfolio("ABC", name="Alphabet", inception_date=EARLY)


def two_transactions() -> tuple[Model, Model]:
    wanted = make_transaction(
        make_portfolio("GROWTH", base_currency="EUR"),
        kind="buy",
        status="pending",
        asset=make_asset("AAPL"),
        quantity=1,
        source="broker",
        external_id="b-1",
        trade_date=LATE,
        settle_date=LATE,
    )
    return wanted, make_transaction(make_portfolio(), trade_date=EARLY)


def two_audit_events(monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Model]:
    monkeypatch.setattr(clock, "now", lambda: dt.datetime(2024, 1, 2, 12, tzinfo=dt.UTC))
    other = make_audit_event()
    monkeypatch.setattr(clock, "now", lambda: dt.datetime(2024, 3, 4, 12, tzinfo=dt.UTC))
    monkeypatch.setattr("portfolios.services.audit.appending.request_id", lambda: "request-1")
    wanted = make_audit_event(
        make_portfolio("GROWTH"),
        actor=make_user("ann"),
        action="portfolio.changed",
        object_type="portfolio",
        object_id="77",
    )
    return wanted, other


MAKERS: dict[str, Any] = {
    "assets": two_assets,
    "prices": two_prices,
    "exchange-rates": two_exchange_rates,
    "portfolios": two_portfolios,
    "transactions": two_transactions,
}
VALUES = {
    "assets": {
        "symbol": "AAPL",
        "exchange": "XNAS",
        "name__icontains": "pPL",
        "asset_class": "equity",
        "currency": "USD",
        "isin": "US0378331005",
        "sector": "Technology",
        "country": "US",
        "is_active": "false",
    },
    "prices": {
        "asset": "AAPL",
        "exchange": "XNAS",
        "source": "feed",
        "date": "2024-03-04",
        "date__gte": "2024-03-04",
    },
    "exchange-rates": {
        "base": "EUR",
        "quote": "USD",
        "source": "test",
        "date": "2024-03-04",
        "date__gte": "2024-03-04",
    },
    "portfolios": {
        "code": "GROWTH",
        "name__icontains": "grow",
        "base_currency": "EUR",
        "status": "closed",
        "owner": "ann",
    },
    "transactions": {
        "portfolio": "GROWTH",
        "asset": "AAPL",
        "kind": "buy",
        "status": "pending",
        "currency": "EUR",
        "source": "broker",
        "external_id": "b-1",
        "trade_date": "2024-03-04",
        "trade_date__gte": "2024-03-04",
        "settle_date__gte": "2024-03-04",
        "settle_date__lte": "2024-03-04",
    },
    "audit-events": {
        "portfolio": "GROWTH",
        "actor": "ann",
        "action": "portfolio.changed",
        "object_type": "portfolio",
        "object_id": "77",
        "request_id": "request-1",
        "occurred_at__gte": "2024-03-04T12:00:00Z",
    },
}
# What only the earlier row has.
EARLIER = {
    "prices": {"date__lte": "2024-03-03"},
    "exchange-rates": {"date__lte": "2024-03-03"},
    "transactions": {"trade_date__lte": "2024-03-03"},
    "audit-events": {"occurred_at__lte": "2024-03-04T11:59:59Z"},
}


@pytest.mark.parametrize("resource", FILTERSETS)
def test_every_filter_keeps_what_it_names(
    client: APIClient, resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = MAKERS.get(resource, lambda: two_audit_events(monkeypatch))
    wanted, other = maker()
    check_filters(
        client, resource, FILTERSETS[resource], VALUES[resource], EARLIER.get(resource, {}), wanted, other
    )
    check_ordering(client, resource, FILTERSETS[resource])


@pytest.mark.parametrize("resource", FILTERSETS)
def test_a_value_that_is_none_is_a_bad_request(client: APIClient, resource: str) -> None:
    check_bad_values(client, resource, FILTERSETS[resource])


@pytest.mark.parametrize(
    ("resource", "name", "value"),
    [
        ("prices", "date", "2024-02-30"),
        ("prices", "date__gte", "yesterday"),
        ("prices", "date__lte", "03/04/2024"),
        ("assets", "is_active", "maybe"),
        ("assets", "asset_class", "shares"),
        ("transactions", "kind", "gift"),
        ("transactions", "status", "done"),
        ("portfolios", "ordering", "owner__password"),
        ("transactions", "ordering", "-id"),
        ("audit-events", "occurred_at__gte", "noon"),
    ],
)
def test_nothing_is_guessed(client: APIClient, resource: str, name: str, value: str) -> None:
    response = client.get(list_url(resource), {name: value})
    assert response.status_code == 400
    assert pointers(response) == [f"#/{name}"]


def test_every_bad_field_is_named_at_once(client: APIClient) -> None:
    response = client.get(list_url("prices"), {"date": "x", "ordering": "y"})
    assert sorted(pointers(response)) == ["#/date", "#/ordering"]
