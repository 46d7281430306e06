"""How the facts read from outside: relations by their natural key, decimals as strings."""

from rest_framework import serializers

from portfolios.models import Asset, AuditEvent, ExchangeRate, Portfolio, PriceBar, Transaction


def symbol_field(*, allow_null: bool = False) -> serializers.SlugRelatedField:
    return serializers.SlugRelatedField("symbol", read_only=True, allow_null=allow_null)


def code_field(*, allow_null: bool = False) -> serializers.SlugRelatedField:
    return serializers.SlugRelatedField("code", read_only=True, allow_null=allow_null)


def username_field() -> serializers.SlugRelatedField:
    return serializers.SlugRelatedField("username", read_only=True, allow_null=True)


class AssetSerializer(serializers.ModelSerializer):
    class Meta:
        model = Asset
        fields = [
            "id",
            "symbol",
            "exchange",
            "name",
            "asset_class",
            "currency",
            "isin",
            "sector",
            "country",
            "lot_size",
            "is_total_return",
            "is_active",
        ]


class PriceBarSerializer(serializers.ModelSerializer):
    asset = symbol_field()

    class Meta:
        model = PriceBar
        fields = [
            "id",
            "asset",
            "date",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "source",
            "adjusted_through",
        ]


class ExchangeRateSerializer(serializers.ModelSerializer):
    class Meta:
        model = ExchangeRate
        fields = ["id", "base", "quote", "date", "rate", "source"]


class PortfolioSerializer(serializers.ModelSerializer):
    owner = username_field()

    class Meta:
        model = Portfolio
        fields = [
            "code",
            "name",
            "base_currency",
            "inception_date",
            "cost_method",
            "status",
            "risk_free",
            "inflow_timing",
            "outflow_timing",
            "valuation_frequency",
            "large_flow_percentage",
            "owner",
        ]


class TransactionSerializer(serializers.ModelSerializer):
    portfolio = code_field()
    asset = symbol_field(allow_null=True)

    class Meta:
        model = Transaction
        fields = [
            "id",
            "portfolio",
            "kind",
            "status",
            "trade_date",
            "settle_date",
            "asset",
            "quantity",
            "price",
            "amount",
            "fee",
            "tax",
            "currency",
            "fx_rate",
            "counter_amount",
            "counter_currency",
            "source",
            "external_id",
            "note",
            "reverses",
            "created_at",
        ]


class AuditEventSerializer(serializers.ModelSerializer):
    portfolio = code_field(allow_null=True)

    class Meta:
        model = AuditEvent
        fields = [
            "sequence",
            "occurred_at",
            "actor",
            "action",
            "object_type",
            "object_id",
            "portfolio",
            "before",
            "after",
            "reason",
            "request_id",
            "previous_hash",
            "hash",
        ]
