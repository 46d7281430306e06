"""What the facts can be filtered and ordered by. A value that cannot be read is an error, never ignored."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from portfolios.models import AssetClass, PortfolioStatus, TransactionKind, TransactionStatus

ISO_DATE = "%Y-%m-%d"


def date_filter(field_name: str, lookup: str = "exact") -> filters.DateFilter:
    return filters.DateFilter(field_name=field_name, lookup_expr=lookup, input_formats=[ISO_DATE])


def moment_filter(field_name: str, lookup: str) -> filters.IsoDateTimeFilter:
    return filters.IsoDateTimeFilter(field_name=field_name, lookup_expr=lookup)


@extend_schema_field(OpenApiTypes.BOOL)
class TruthFilter(filters.TypedChoiceFilter):
    """`true` or `false`; the library's own boolean filter ignores a word that it does not know."""

    def __init__(self, **options: Any) -> None:
        words = ("true", "false", "True", "False")
        super().__init__(
            choices=[(word, word) for word in words], coerce=lambda word: word.lower() == "true", **options
        )


class AssetFilter(filters.FilterSet):
    symbol = filters.CharFilter()
    exchange = filters.CharFilter()
    name__icontains = filters.CharFilter(field_name="name", lookup_expr="icontains")
    asset_class = filters.ChoiceFilter(choices=AssetClass.choices)
    currency = filters.CharFilter(field_name="currency_id")
    isin = filters.CharFilter()
    sector = filters.CharFilter()
    country = filters.CharFilter()
    is_active = TruthFilter()
    ordering = filters.OrderingFilter(fields=["symbol", "name", "asset_class"])


class PriceBarFilter(filters.FilterSet):
    asset = filters.CharFilter(field_name="asset__symbol")
    exchange = filters.CharFilter(field_name="asset__exchange")
    date = date_filter("date")
    date__gte = date_filter("date", "gte")
    date__lte = date_filter("date", "lte")
    source = filters.CharFilter()
    ordering = filters.OrderingFilter(fields=["date"])


class ExchangeRateFilter(filters.FilterSet):
    base = filters.CharFilter(field_name="base_id")
    quote = filters.CharFilter(field_name="quote_id")
    date = date_filter("date")
    date__gte = date_filter("date", "gte")
    date__lte = date_filter("date", "lte")
    source = filters.CharFilter()
    ordering = filters.OrderingFilter(fields=["date"])


class PortfolioFilter(filters.FilterSet):
    code = filters.CharFilter()
    name__icontains = filters.CharFilter(field_name="name", lookup_expr="icontains")
    base_currency = filters.CharFilter(field_name="base_currency_id")
    status = filters.ChoiceFilter(choices=PortfolioStatus.choices)
    owner = filters.CharFilter(field_name="owner__username")
    ordering = filters.OrderingFilter(fields=["code", "name", "inception_date"])


class TransactionFilter(filters.FilterSet):
    portfolio = filters.CharFilter(field_name="portfolio__code")
    asset = filters.CharFilter(field_name="asset__symbol")
    kind = filters.ChoiceFilter(choices=TransactionKind.choices)
    status = filters.ChoiceFilter(choices=TransactionStatus.choices)
    currency = filters.CharFilter(field_name="currency_id")
    source = filters.CharFilter()
    external_id = filters.CharFilter()
    trade_date = date_filter("trade_date")
    trade_date__gte = date_filter("trade_date", "gte")
    trade_date__lte = date_filter("trade_date", "lte")
    settle_date__gte = date_filter("settle_date", "gte")
    settle_date__lte = date_filter("settle_date", "lte")
    ordering = filters.OrderingFilter(fields=["trade_date"])


class AuditEventFilter(filters.FilterSet):
    portfolio = filters.CharFilter(field_name="portfolio__code")
    actor = filters.CharFilter()
    action = filters.CharFilter()
    object_type = filters.CharFilter()
    object_id = filters.CharFilter()
    request_id = filters.CharFilter()
    occurred_at__gte = moment_filter("occurred_at", "gte")
    occurred_at__lte = moment_filter("occurred_at", "lte")
    ordering = filters.OrderingFilter(fields=["sequence"])
