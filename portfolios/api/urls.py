from rest_framework.routers import SimpleRouter

from portfolios.api import views

router = SimpleRouter()
router.register("assets", views.AssetViewSet, basename="asset")
router.register("prices", views.PriceBarViewSet, basename="price")
router.register("exchange-rates", views.ExchangeRateViewSet, basename="exchange-rate")
router.register("portfolios", views.PortfolioViewSet, basename="portfolio")
router.register("transactions", views.TransactionViewSet, basename="transaction")
router.register("audit-events", views.AuditEventViewSet, basename="audit-event")
