from rest_framework.routers import SimpleRouter

from analytics.api import decisions, summaries, views

router = SimpleRouter()
router.register("performance-history", views.PerformanceHistoryViewSet, basename="performance-history")
router.register("asset-metrics", views.AssetMetricsViewSet, basename="asset-metrics")
router.register("allocations", views.AllocationViewSet, basename="allocation")
router.register("rebalancing-events", decisions.EventDecisionsViewSet, basename="rebalancing-decision")
router.register("rebalancing-events", views.RebalancingEventViewSet, basename="rebalancing-event")
router.register("risk-metrics", views.RiskMetricsViewSet, basename="risk-metrics")
router.register("correlations", views.CorrelationViewSet, basename="correlation")
router.register("benchmarks", views.BenchmarkViewSet, basename="benchmark")
router.register("runs", views.AnalyticsRunViewSet, basename="run")
router.register("portfolios", summaries.PortfolioAnalyticsViewSet, basename="portfolio-analytics")
