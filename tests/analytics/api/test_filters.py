"""Filters and orders of the computed tables."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.db.models import Model
from rest_framework.test import APIClient

from analytics.api import filters
from tests.support.api import client_of, list_url, pointers
from tests.support.factories import (
    make_allocation,
    make_asset,
    make_asset_metrics,
    make_benchmark,
    make_correlation,
    make_event,
    make_performance,
    make_portfolio,
    make_risk,
    make_run,
    make_superuser,
    make_user,
)
from tests.support.filter_cases import check_bad_values, check_filters, check_ordering

pytestmark = pytest.mark.django_db
EARLY, LATE = dt.date(2024, 1, 2), dt.date(2024, 3, 4)
EARLY_NOON = dt.datetime(2024, 1, 2, 12, tzinfo=dt.UTC)
LATE_NOON = dt.datetime(2024, 3, 4, 12, tzinfo=dt.UTC)
Pair = tuple[Model, Model]

FILTERSETS = {
    "performance-history": filters.PerformanceHistoryFilter,
    "asset-metrics": filters.AssetMetricsFilter,
    "allocations": filters.AllocationFilter,
    "rebalancing-events": filters.RebalancingEventFilter,
    "risk-metrics": filters.RiskMetricsFilter,
    "correlations": filters.CorrelationFilter,
    "benchmarks": filters.BenchmarkFilter,
    "runs": filters.AnalyticsRunFilter,
}


def two_performances() -> Pair:
    return make_performance(make_portfolio("GROWTH"), LATE), make_performance(make_portfolio(), EARLY)


def two_asset_metrics() -> Pair:
    return make_asset_metrics(make_asset("AAPL"), LATE), make_asset_metrics(make_asset(), EARLY)


def two_allocations() -> Pair:
    wanted = make_allocation(
        make_portfolio("GROWTH"),
        make_asset("AAPL"),
        60,
        rebalance_frequency="monthly",
        is_breached=True,
        current_percentage=70.0,
        drift_percentage=10.0,
        calculation_date=LATE,
    )
    other = make_allocation(
        make_portfolio(),
        make_asset(),
        40,
        is_active=False,
        is_breached=False,
        current_percentage=30.0,
        drift_percentage=-10.0,
        calculation_date=EARLY,
    )
    return wanted, other


def two_events() -> Pair:
    wanted = make_event(
        make_portfolio("GROWTH"),
        event_type="threshold",
        status="approved",
        mode="bands",
        valuation_date=LATE,
        created_at=LATE_NOON,
    )
    return wanted, make_event(make_portfolio(), valuation_date=EARLY, created_at=EARLY_NOON)


def two_risks() -> Pair:
    wanted = make_risk(make_portfolio("GROWTH"), LATE, risk_level="high", risk_class=6)
    return wanted, make_risk(make_portfolio(), EARLY, risk_level="low", risk_class=2)


def two_correlations() -> Pair:
    wanted = make_correlation(make_asset("AAPL"), make_asset("MSFT"), LATE, is_significant=True)
    return wanted, make_correlation(make_asset(), make_asset(), EARLY, is_significant=False)


def two_benchmarks() -> Pair:
    wanted = make_benchmark(
        make_portfolio("GROWTH"), make_asset("SPX"), is_primary=True, start_date=LATE, calculation_date=LATE
    )
    other = make_benchmark(
        make_portfolio(), make_asset(), is_active=False, start_date=EARLY, calculation_date=EARLY
    )
    return wanted, other


def two_runs() -> Pair:
    wanted = make_run(
        status="running",
        stage="assets",
        requested_by=make_user("ann"),
        calculation_date=LATE,
        created_at=LATE_NOON,
    )
    return wanted, make_run(calculation_date=EARLY, created_at=EARLY_NOON)


MAKERS: dict[str, Callable[[], Pair]] = {
    "performance-history": two_performances,
    "asset-metrics": two_asset_metrics,
    "allocations": two_allocations,
    "rebalancing-events": two_events,
    "risk-metrics": two_risks,
    "correlations": two_correlations,
    "benchmarks": two_benchmarks,
    "runs": two_runs,
}
CALCULATED_LATE = {"calculation_date": "2024-03-04", "calculation_date__gte": "2024-03-04"}
CREATED_LATE = {"created_at__gte": "2024-03-04T12:00:00Z"}
VALUES = {
    "performance-history": {
        "portfolio": "GROWTH",
        "snapshot_date": "2024-03-04",
        "snapshot_date__gte": "2024-03-04",
    },
    "asset-metrics": {"asset": "AAPL", **CALCULATED_LATE},
    "allocations": {
        "portfolio": "GROWTH",
        "asset": "AAPL",
        "rebalance_frequency": "monthly",
        "is_active": "true",
        "is_breached": "True",
    },
    "rebalancing-events": {
        "portfolio": "GROWTH",
        "event_type": "threshold",
        "status": "approved",
        "mode": "bands",
        "valuation_date": "2024-03-04",
        "valuation_date__gte": "2024-03-04",
        **CREATED_LATE,
    },
    "risk-metrics": {"portfolio": "GROWTH", "risk_level": "high", "risk_class": "6", **CALCULATED_LATE},
    "correlations": {
        "asset": "MSFT",
        "asset1": "AAPL",
        "asset2": "MSFT",
        "is_significant": "true",
        **CALCULATED_LATE,
    },
    "benchmarks": {"portfolio": "GROWTH", "asset": "SPX", "is_primary": "true", "is_active": "true"},
    "runs": {
        "status": "running",
        "stage": "assets",
        "requested_by": "ann",
        **CALCULATED_LATE,
        **CREATED_LATE,
    },
}
CALCULATED_EARLY = {"calculation_date__lte": "2024-03-03"}
CREATED_EARLY = {"created_at__lte": "2024-03-04T11:59:59Z"}
# What only the earlier row has.
EARLIER = {
    "performance-history": {"snapshot_date__lte": "2024-03-03"},
    "asset-metrics": CALCULATED_EARLY,
    "rebalancing-events": {"valuation_date__lte": "2024-03-03", **CREATED_EARLY},
    "risk-metrics": CALCULATED_EARLY,
    "correlations": CALCULATED_EARLY,
    "runs": {**CALCULATED_EARLY, **CREATED_EARLY},
}


@pytest.fixture
def client() -> APIClient:
    return client_of(make_superuser())


@pytest.mark.parametrize("resource", FILTERSETS)
def test_every_filter_keeps_what_it_names(client: APIClient, resource: str) -> None:
    wanted, other = MAKERS[resource]()
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
        ("performance-history", "snapshot_date__gte", "2024-13-01"),
        ("asset-metrics", "ordering", "rsi_14"),
        ("allocations", "is_breached", "perhaps"),
        ("rebalancing-events", "status", "open"),
        ("risk-metrics", "risk_class", "8"),
        ("risk-metrics", "risk_level", "extreme"),
        ("correlations", "calculation_date", "today"),
        ("runs", "created_at__lte", "soon"),
    ],
)
def test_nothing_is_guessed(client: APIClient, resource: str, name: str, value: str) -> None:
    response = client.get(list_url(resource), {name: value})
    assert response.status_code == 400
    assert pointers(response) == [f"#/{name}"]
