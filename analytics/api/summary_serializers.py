"""The five analyses of one portfolio."""

from typing import Any

from rest_framework import serializers
from rest_framework.reverse import reverse

from analytics.models import (
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    RebalanceMode,
)
from analytics.selectors.summaries import (
    BENCHMARK_FIGURES,
    BOOKKEEPING,
    CONTRIBUTION_FIGURES,
    HEADLINES,
    VAR_METHOD_FIGURES,
)
from analytics.services.planning import SECTIONS
from portfolio_site.kernel import clock
from portfolio_site.kernel.fields import MONEY_DIGITS, MONEY_PLACES, PERCENT_DIGITS, PERCENT_PLACES
from portfolios.api.serializers import symbol_field

RECOMMENDATION_STATUSES = ("ready", "needs_review", "blocked", "in_balance")


def _money() -> serializers.DecimalField:
    return serializers.DecimalField(MONEY_DIGITS, MONEY_PLACES, allow_null=True)


def _percent(**options: Any) -> serializers.DecimalField:
    return serializers.DecimalField(PERCENT_DIGITS, PERCENT_PLACES, **options)


class AsOfSerializer(serializers.Serializer):
    date = serializers.DateField(required=False, help_text="As of this day; the latest rows without it")


class ComputedAnswerSerializer(serializers.Serializer):
    """What every analysis says of itself."""

    portfolio = serializers.CharField()
    calculation_date = serializers.DateField(allow_null=True)
    run = serializers.IntegerField(allow_null=True, help_text="The run that computed it")
    run_url = serializers.SerializerMethodField()
    quality = serializers.DictField(help_text="Why a figure is missing or to be read with care")

    def get_run_url(self, answer: dict[str, Any]) -> str | None:
        if answer["run"] is None:
            return None
        return reverse("run-detail", kwargs={"pk": answer["run"]}, request=self.context["request"])


class PortfolioAnalyticsSummarySerializer(ComputedAnswerSerializer, serializers.ModelSerializer):
    """The headlines: value, returns, risk and drift, each as of its own last computed day."""

    name = serializers.CharField()
    base_currency = serializers.CharField()
    benchmark = symbol_field(allow_null=True)
    risk_date = serializers.DateField(allow_null=True)
    risk_level = serializers.CharField(allow_null=True)
    risk_class = serializers.IntegerField(allow_null=True)
    var_95_1d = serializers.FloatField(allow_null=True)
    cvar_95_1d = serializers.FloatField(allow_null=True)
    allocation_date = serializers.DateField(allow_null=True)
    drift = serializers.FloatField(allow_null=True, help_text="Percent of the portfolio's value")
    breached_lines = serializers.IntegerField()
    open_event = serializers.IntegerField(allow_null=True, help_text="Id of the open rebalancing event")

    class Meta:
        model = PortfolioPerformanceHistory
        fields = [
            "portfolio",
            "name",
            "base_currency",
            "calculation_date",
            *HEADLINES,
            "risk_date",
            "risk_level",
            "risk_class",
            "var_95_1d",
            "cvar_95_1d",
            "allocation_date",
            "drift",
            "breached_lines",
            "open_event",
            "run",
            "run_url",
            "quality",
        ]


class BandSerializer(serializers.Serializer):
    absolute = _percent(allow_null=True, help_text="Percentage points")
    relative = _percent(allow_null=True, help_text="Percent of the target")


class AllocationLineSerializer(serializers.Serializer):
    symbol = serializers.CharField()
    name = serializers.CharField()
    target = _percent()
    min = _percent()
    max = _percent()
    band = BandSerializer(help_text="The tighter of the two holds")
    current = serializers.FloatField(allow_null=True)
    drift = serializers.FloatField(allow_null=True, help_text="Current minus target, percentage points")
    breached = serializers.BooleanField(allow_null=True)
    value = _money()


class CashLineSerializer(serializers.Serializer):
    target = _percent()
    current = serializers.FloatField(allow_null=True)
    drift = serializers.FloatField(allow_null=True, help_text="Current minus target, percentage points")
    value = _money()


class PortfolioAllocationAnalysisSerializer(ComputedAnswerSerializer):
    """Where every line and the cash stand against their targets, in percent of the portfolio's value."""

    total_value = _money()
    lines = AllocationLineSerializer(many=True)
    cash = CashLineSerializer()
    unassigned_percentage = serializers.FloatField(allow_null=True, help_text="Held without a target")
    drift = serializers.FloatField(allow_null=True, help_text="Half the sum of all absolute deviations")
    breached_lines = serializers.IntegerField()


class VarMethodSerializer(serializers.ModelSerializer):
    """One-day value at risk of today's positions by one method, tested on the days before."""

    class Meta:
        model = PortfolioVarBacktest
        fields = VAR_METHOD_FIGURES


class RiskContributionSerializer(serializers.ModelSerializer):
    """What one position adds to the one-day value at risk at 95 % and to the volatility."""

    symbol = serializers.CharField()

    class Meta:
        model = PortfolioRiskContribution
        fields = ["symbol", *CONTRIBUTION_FIGURES]


class PortfolioRiskAnalysisSerializer(ComputedAnswerSerializer, serializers.ModelSerializer):
    """Risk over the last three years of returns; losses are positive fractions."""

    methods = VarMethodSerializer(many=True)
    contributions = RiskContributionSerializer(many=True)

    class Meta:
        model = PortfolioRiskMetrics
        exclude = [*BOOKKEEPING]


class BenchmarkComparisonSerializer(serializers.ModelSerializer):
    symbol = serializers.CharField()

    class Meta:
        model = PortfolioBenchmark
        fields = ["symbol", *BENCHMARK_FIGURES]


class PortfolioPerformanceAnalysisSerializer(ComputedAnswerSerializer, serializers.ModelSerializer):
    """Performance since inception as of the day, and the comparison with every active benchmark."""

    benchmark = symbol_field(allow_null=True)
    benchmarks = BenchmarkComparisonSerializer(many=True)

    class Meta:
        model = PortfolioPerformanceHistory
        exclude = [*BOOKKEEPING, "snapshot_date"]


class ProposedTradeSerializer(serializers.Serializer):
    symbol = serializers.CharField()
    side = serializers.ChoiceField(["buy", "sell"])
    quantity = serializers.CharField()
    price = serializers.CharField()
    amount = serializers.CharField()
    cost = serializers.CharField()
    reason = serializers.CharField()


class SkippedLineSerializer(serializers.Serializer):
    symbol = serializers.CharField()
    reason = serializers.CharField()


class PortfolioRebalancingRecommendationSerializer(ComputedAnswerSerializer):
    """Amounts are strings in the base currency; nothing is stored by asking."""

    date = serializers.DateField(allow_null=True)
    status = serializers.ChoiceField(RECOMMENDATION_STATUSES)
    mode = serializers.ChoiceField(RebalanceMode.choices)
    value = serializers.CharField(allow_null=True)
    cash_before = serializers.CharField(allow_null=True)
    cash_after = serializers.CharField(allow_null=True)
    tracking_distance = serializers.CharField(allow_null=True)
    turnover = serializers.CharField(allow_null=True)
    drift_before = serializers.CharField(allow_null=True)
    drift_after = serializers.CharField(allow_null=True)
    estimated_cost = serializers.CharField(allow_null=True)
    estimated_tax = serializers.CharField(allow_null=True, help_text="Null where it is unknown")
    actions = ProposedTradeSerializer(many=True)
    skipped = SkippedLineSerializer(many=True)
    reasons = serializers.ListField(child=serializers.CharField())
    reason_codes = serializers.ListField(child=serializers.CharField(), help_text="Why nothing is proposed")
    warnings = serializers.ListField(child=serializers.CharField(), help_text="To look at before approving")
    open_event = serializers.IntegerField(allow_null=True, help_text="Id of the open rebalancing event")


class RecomputeSerializer(serializers.Serializer):
    from_date = serializers.DateField(
        required=False, allow_null=True, help_text="Compute again from this day; without it, what is stale"
    )
    only = serializers.ListField(child=serializers.ChoiceField(SECTIONS), required=False)

    def validate_from_date(self, day: Any) -> Any:
        if day is not None and day > clock.today():
            raise serializers.ValidationError("This day is yet to come.")
        return day
