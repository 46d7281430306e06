"""How the computed tables read from outside: relations by their natural key, decimals as strings."""

from rest_framework import serializers

from analytics.models import (
    AnalyticsRun,
    Approval,
    AssetCorrelation,
    AssetPerformanceMetrics,
    EventStatus,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
    RebalancingEvent,
)
from analytics.services.approvals import REASON_LENGTH
from portfolios.api.serializers import code_field, symbol_field, username_field

NOTE_LENGTH: int = Approval._meta.get_field("note").max_length or 0


class PerformanceHistorySerializer(serializers.ModelSerializer):
    portfolio = code_field()
    benchmark = symbol_field(allow_null=True)

    class Meta:
        model = PortfolioPerformanceHistory
        fields = "__all__"


class AssetMetricsSerializer(serializers.ModelSerializer):
    asset = symbol_field()

    class Meta:
        model = AssetPerformanceMetrics
        exclude = ("average_move_14",)


class AllocationSerializer(serializers.ModelSerializer):
    portfolio = code_field()
    asset = symbol_field()

    class Meta:
        model = PortfolioAllocation
        fields = "__all__"


class RebalancingEventSerializer(serializers.ModelSerializer):
    portfolio = code_field()
    requested_by = username_field()
    approved_by = username_field()

    class Meta:
        model = RebalancingEvent
        fields = "__all__"


class ApprovalSerializer(serializers.Serializer):
    proposal_hash = serializers.RegexField(
        r"^[0-9a-f]{64}\Z", help_text="Of the proposal that was looked at: a later version is a conflict"
    )
    note = serializers.CharField(
        max_length=NOTE_LENGTH,
        required=False,
        allow_blank=True,
        help_text="Needed where the portfolio is not discretionary or the proposal needs review",
    )


class RejectionSerializer(ApprovalSerializer):
    note = serializers.CharField(max_length=NOTE_LENGTH, help_text="Why")


class CancellationSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=REASON_LENGTH)
    expected = serializers.ChoiceField(
        EventStatus.choices,
        required=False,
        help_text="The status that was looked at: another one by now is a conflict",
    )


class RiskMetricsSerializer(serializers.ModelSerializer):
    portfolio = code_field()

    class Meta:
        model = PortfolioRiskMetrics
        fields = "__all__"


class CorrelationSerializer(serializers.ModelSerializer):
    asset1 = symbol_field()
    asset2 = symbol_field()

    class Meta:
        model = AssetCorrelation
        fields = "__all__"


class BenchmarkSerializer(serializers.ModelSerializer):
    portfolio = code_field()
    asset = symbol_field()

    class Meta:
        model = PortfolioBenchmark
        fields = "__all__"


class AnalyticsRunSerializer(serializers.ModelSerializer):
    url = serializers.HyperlinkedIdentityField(view_name="run-detail")
    requested_by = username_field()
    progress = serializers.SerializerMethodField(help_text="Fraction done; empty while nothing is planned")
    seconds = serializers.FloatField(read_only=True, allow_null=True)

    class Meta:
        model = AnalyticsRun
        fields = [
            "id",
            "url",
            "status",
            "calculation_date",
            "from_date",
            "only",
            "portfolio_codes",
            "requested_by",
            "stage",
            "done",
            "total",
            "progress",
            "rows",
            "issues",
            "error",
            "seconds",
            "engine_version",
            "created_at",
            "started_at",
            "heartbeat_at",
            "finished_at",
        ]

    def get_progress(self, run: AnalyticsRun) -> float | None:
        return run.done / run.total if run.total else None
