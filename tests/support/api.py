"""What the tests of the REST interface share."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from portfolios.models import Portfolio
from tests.support import factories as make

API = "/api/v1/"
PROBLEM = "application/problem+json"
ANALYSES = (
    "summary",
    "allocation-analysis",
    "risk-analysis",
    "performance-analysis",
    "rebalancing-recommendation",
)
REQUESTS = ("recompute", "rebalance")

# One row of every resource, with relations of its own.
PUBLIC_ROWS: Mapping[str, Callable[[Portfolio], Model]] = {
    "assets": lambda portfolio: make.make_asset(),
    "prices": lambda portfolio: make.make_price(make.make_asset()),
    "exchange-rates": lambda portfolio: make.make_exchange_rate(base=_new_currency()),
    "asset-metrics": lambda portfolio: make.make_asset_metrics(make.make_asset()),
    "correlations": lambda portfolio: make.make_correlation(make.make_asset(), make.make_asset()),
}
PORTFOLIO_ROWS: Mapping[str, Callable[[Portfolio], Model]] = {
    "portfolios": lambda portfolio: portfolio,
    "transactions": lambda portfolio: make.make_transaction(portfolio, asset=make.make_asset()),
    "audit-events": lambda portfolio: make.make_audit_event(portfolio),
    "performance-history": lambda portfolio: make.make_performance(portfolio, benchmark=make.make_asset()),
    "allocations": lambda portfolio: make.make_allocation(portfolio, make.make_asset(), 50),
    "rebalancing-events": lambda portfolio: make.make_event(
        portfolio, requested_by=make.make_user(), approved_by=make.make_user()
    ),
    "risk-metrics": lambda portfolio: make.make_risk(portfolio),
    "benchmarks": lambda portfolio: make.make_benchmark(portfolio, make.make_asset()),
    "runs": lambda portfolio: make.make_run(portfolio.code, requested_by=make.make_user()),
}
ROWS = {**PUBLIC_ROWS, **PORTFOLIO_ROWS}


def _new_currency() -> str:
    taken = set(make.Currency.objects.values_list("code", flat=True))
    return next(code for letter in "QRSTUVWXYZ" if (code := f"Q{letter}Q") not in taken)


def client_of(user: User | None) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def list_url(resource: str) -> str:
    return f"{API}{resource}/"


def detail_url(resource: str, row: Model) -> str:
    return f"{API}{resource}/{row.code if isinstance(row, Portfolio) else row.pk}/"


def portfolio_url(portfolio: Portfolio, action: str) -> str:
    return f"{API}portfolios/{portfolio.code}/{action}/"


def queries_of(user: User, url: str) -> int:
    """How many queries an answer takes, for a user whose permissions are not read yet."""
    client = client_of(User.objects.get(pk=user.pk))
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    assert response.status_code == 200, response.content
    return len(captured)


def pointers(response: Any) -> list[str]:
    """Checks that the answer is a problem, and returns what it points to."""
    assert response["Content-Type"] == PROBLEM
    problem = response.json()
    assert problem["status"] == response.status_code
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    return [error["pointer"] for error in problem["errors"]]
