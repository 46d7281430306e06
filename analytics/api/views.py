"""The computed tables, to be read. Whatever belongs to a portfolio is limited to those the caller may see."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.viewsets import ReadOnlyModelViewSet

from analytics.api import filters, serializers
from analytics.models import (
    AnalyticsRun,
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    RebalancingEvent,
)
from analytics.selectors.visible_runs import visible_runs
from portfolio_site.kernel.pagination import DatedCursor
from portfolios.selectors.visibility import limited_to


class PortfolioRowsViewSet(ReadOnlyModelViewSet):
    """Rows of portfolios that the caller may see."""

    def get_queryset(self) -> QuerySet[Any]:
        return limited_to(self.request.user, super().get_queryset())


class PerformanceHistoryViewSet(PortfolioRowsViewSet):
    queryset = PortfolioPerformanceHistory.objects.select_related("portfolio", "benchmark").order_by(
        "-snapshot_date"
    )
    serializer_class = serializers.PerformanceHistorySerializer
    filterset_class = filters.PerformanceHistoryFilter
    pagination_class = DatedCursor


class AssetMetricsViewSet(ReadOnlyModelViewSet):
    queryset = AssetPerformanceMetrics.objects.select_related("asset").order_by("-calculation_date")
    serializer_class = serializers.AssetMetricsSerializer
    filterset_class = filters.AssetMetricsFilter
    pagination_class = DatedCursor


class AllocationViewSet(PortfolioRowsViewSet):
    queryset = PortfolioAllocation.objects.select_related("portfolio", "asset").order_by(
        "portfolio__code", "-target_percentage"
    )
    serializer_class = serializers.AllocationSerializer
    filterset_class = filters.AllocationFilter


class RebalancingEventViewSet(PortfolioRowsViewSet):
    queryset = RebalancingEvent.objects.select_related("portfolio", "requested_by", "approved_by").order_by(
        "-id"
    )
    serializer_class = serializers.RebalancingEventSerializer
    filterset_class = filters.RebalancingEventFilter


class RiskMetricsViewSet(PortfolioRowsViewSet):
    queryset = PortfolioRiskMetrics.objects.select_related("portfolio").order_by("-calculation_date")
    serializer_class = serializers.RiskMetricsSerializer
    filterset_class = filters.RiskMetricsFilter
    pagination_class = DatedCursor


class CorrelationViewSet(ReadOnlyModelViewSet):
    queryset = AssetCorrelation.objects.select_related("asset1", "asset2").order_by("-calculation_date")
    serializer_class = serializers.CorrelationSerializer
    filterset_class = filters.CorrelationFilter
    pagination_class = DatedCursor


class BenchmarkViewSet(PortfolioRowsViewSet):
    queryset = PortfolioBenchmark.objects.select_related("portfolio", "asset").order_by(
        "portfolio__code", "-is_primary"
    )
    serializer_class = serializers.BenchmarkSerializer
    filterset_class = filters.BenchmarkFilter


class AnalyticsRunViewSet(ReadOnlyModelViewSet):
    queryset = AnalyticsRun.objects.all()
    serializer_class = serializers.AnalyticsRunSerializer
    filterset_class = filters.AnalyticsRunFilter

    def get_queryset(self) -> QuerySet[AnalyticsRun]:
        return visible_runs(self.request.user).order_by("-id")
