"""What the computed tables can be filtered and ordered by."""

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from analytics.models import (
    AssetCorrelation,
    EventStatus,
    EventType,
    RebalanceFrequency,
    RebalanceMode,
    RiskLevel,
    RunStatus,
)
from portfolios.api.filters import TruthFilter, date_filter, moment_filter

RISK_CLASSES = [(number, str(number)) for number in range(1, 8)]


class PerformanceHistoryFilter(filters.FilterSet):
    portfolio = filters.CharFilter(field_name="portfolio__code")
    snapshot_date = date_filter("snapshot_date")
    snapshot_date__gte = date_filter("snapshot_date", "gte")
    snapshot_date__lte = date_filter("snapshot_date", "lte")
    ordering = filters.OrderingFilter(fields=["snapshot_date"])


class AssetMetricsFilter(filters.FilterSet):
    asset = filters.CharFilter(field_name="asset__symbol")
    calculation_date = date_filter("calculation_date")
    calculation_date__gte = date_filter("calculation_date", "gte")
    calculation_date__lte = date_filter("calculation_date", "lte")
    ordering = filters.OrderingFilter(fields=["calculation_date"])


class AllocationFilter(filters.FilterSet):
    portfolio = filters.CharFilter(field_name="portfolio__code")
    asset = filters.CharFilter(field_name="asset__symbol")
    rebalance_frequency = filters.ChoiceFilter(choices=RebalanceFrequency.choices)
    is_active = TruthFilter()
    is_breached = TruthFilter()
    ordering = filters.OrderingFilter(
        fields=["target_percentage", "current_percentage", "drift_percentage", "calculation_date"]
    )


class RebalancingEventFilter(filters.FilterSet):
    portfolio = filters.CharFilter(field_name="portfolio__code")
    event_type = filters.ChoiceFilter(choices=EventType.choices)
    status = filters.ChoiceFilter(choices=EventStatus.choices)
    mode = filters.ChoiceFilter(choices=RebalanceMode.choices)
    valuation_date = date_filter("valuation_date")
    valuation_date__gte = date_filter("valuation_date", "gte")
    valuation_date__lte = date_filter("valuation_date", "lte")
    created_at__gte = moment_filter("created_at", "gte")
    created_at__lte = moment_filter("created_at", "lte")
    ordering = filters.OrderingFilter(fields=["created_at", "valuation_date", "status"])


class RiskMetricsFilter(filters.FilterSet):
    portfolio = filters.CharFilter(field_name="portfolio__code")
    calculation_date = date_filter("calculation_date")
    calculation_date__gte = date_filter("calculation_date", "gte")
    calculation_date__lte = date_filter("calculation_date", "lte")
    risk_level = filters.ChoiceFilter(choices=RiskLevel.choices)
    risk_class = filters.TypedChoiceFilter(choices=RISK_CLASSES, coerce=int)
    ordering = filters.OrderingFilter(fields=["calculation_date"])


class CorrelationFilter(filters.FilterSet):
    asset = filters.CharFilter(method="filter_either", help_text="Symbol of either side")
    asset1 = filters.CharFilter(field_name="asset1__symbol")
    asset2 = filters.CharFilter(field_name="asset2__symbol")
    calculation_date = date_filter("calculation_date")
    calculation_date__gte = date_filter("calculation_date", "gte")
    calculation_date__lte = date_filter("calculation_date", "lte")
    is_significant = TruthFilter()
    ordering = filters.OrderingFilter(fields=["calculation_date"])

    def filter_either(
        self, rows: QuerySet[AssetCorrelation], name: str, symbol: str
    ) -> QuerySet[AssetCorrelation]:
        return rows.filter(Q(asset1__symbol=symbol) | Q(asset2__symbol=symbol))


class BenchmarkFilter(filters.FilterSet):
    portfolio = filters.CharFilter(field_name="portfolio__code")
    asset = filters.CharFilter(field_name="asset__symbol")
    is_primary = TruthFilter()
    is_active = TruthFilter()
    ordering = filters.OrderingFilter(fields=["start_date", "calculation_date"])


class AnalyticsRunFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=RunStatus.choices)
    stage = filters.CharFilter()
    requested_by = filters.CharFilter(field_name="requested_by__username")
    calculation_date = date_filter("calculation_date")
    calculation_date__gte = date_filter("calculation_date", "gte")
    calculation_date__lte = date_filter("calculation_date", "lte")
    created_at__gte = moment_filter("created_at", "gte")
    created_at__lte = moment_filter("created_at", "lte")
    ordering = filters.OrderingFilter(fields=["created_at", "calculation_date"])
