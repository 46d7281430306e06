"""The facts, to be read. Whatever belongs to a portfolio is limited to those the caller may see."""

from django.db.models import QuerySet
from rest_framework.viewsets import ReadOnlyModelViewSet

from portfolio_site.kernel.pagination import DatedCursor
from portfolios.api import filters, serializers
from portfolios.models import Asset, AuditEvent, ExchangeRate, Portfolio, PriceBar, Transaction
from portfolios.selectors.visibility import limited_to, visible_audit_events, visible_to

# The characters a portfolio's code may have; anything else in its place is no such address.
CODE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"


class AssetViewSet(ReadOnlyModelViewSet):
    queryset = Asset.objects.order_by("symbol", "exchange")
    serializer_class = serializers.AssetSerializer
    filterset_class = filters.AssetFilter


class PriceBarViewSet(ReadOnlyModelViewSet):
    queryset = PriceBar.objects.select_related("asset").order_by("-date")
    serializer_class = serializers.PriceBarSerializer
    filterset_class = filters.PriceBarFilter
    pagination_class = DatedCursor


class ExchangeRateViewSet(ReadOnlyModelViewSet):
    queryset = ExchangeRate.objects.order_by("-date")
    serializer_class = serializers.ExchangeRateSerializer
    filterset_class = filters.ExchangeRateFilter
    pagination_class = DatedCursor


class PortfolioViewSet(ReadOnlyModelViewSet):
    queryset = Portfolio.objects.all()
    serializer_class = serializers.PortfolioSerializer
    filterset_class = filters.PortfolioFilter
    lookup_field = "code"
    lookup_value_regex = CODE_PATTERN

    def get_queryset(self) -> QuerySet[Portfolio]:
        return visible_to(self.request.user).select_related("owner").order_by("code")


class TransactionViewSet(ReadOnlyModelViewSet):
    queryset = Transaction.objects.select_related("portfolio", "asset").order_by("-trade_date")
    serializer_class = serializers.TransactionSerializer
    filterset_class = filters.TransactionFilter
    pagination_class = DatedCursor

    def get_queryset(self) -> QuerySet[Transaction]:
        return limited_to(self.request.user, super().get_queryset())


class AuditEventViewSet(ReadOnlyModelViewSet):
    queryset = AuditEvent.objects.all()
    serializer_class = serializers.AuditEventSerializer
    filterset_class = filters.AuditEventFilter
    pagination_class = DatedCursor

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return visible_audit_events(self.request.user).order_by("-sequence")
