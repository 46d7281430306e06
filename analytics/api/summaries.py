"""What one portfolio's rows say taken together, and the two requests to compute them again."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from analytics.api import summary_serializers as shapes
from analytics.api.serializers import AnalyticsRunSerializer
from analytics.selectors import summaries
from analytics.services.rebalancing_recommendation import rebalancing_recommend
from analytics.services.runs import RunError, run_request
from portfolios.api.views import CODE_PATTERN
from portfolios.models import Portfolio, PortfolioRole
from portfolios.selectors.visibility import has_role, visible_to

REBALANCING_SECTION = "rebalancing"


def _as_of(request: Request) -> dt.date | None:
    query = shapes.AsOfSerializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    return query.validated_data.get("date")


class PortfolioAnalyticsViewSet(GenericViewSet):
    queryset = Portfolio.objects.all()
    lookup_field = "code"
    lookup_value_regex = CODE_PATTERN
    pagination_class = None

    def get_queryset(self) -> QuerySet[Portfolio]:
        return visible_to(self.request.user)

    @extend_schema(parameters=[shapes.AsOfSerializer], responses=shapes.PortfolioAnalyticsSummarySerializer)
    @action(detail=True)
    def summary(self, request: Request, code: str) -> Response:
        answer = summaries.portfolio_summary(self.get_object(), _as_of(request))
        return self._show(shapes.PortfolioAnalyticsSummarySerializer, answer)

    @extend_schema(parameters=[shapes.AsOfSerializer], responses=shapes.PortfolioAllocationAnalysisSerializer)
    @action(detail=True, url_path="allocation-analysis")
    def allocation_analysis(self, request: Request, code: str) -> Response:
        answer = summaries.allocation_analysis(self.get_object(), _as_of(request))
        return self._show(shapes.PortfolioAllocationAnalysisSerializer, answer)

    @extend_schema(parameters=[shapes.AsOfSerializer], responses=shapes.PortfolioRiskAnalysisSerializer)
    @action(detail=True, url_path="risk-analysis")
    def risk_analysis(self, request: Request, code: str) -> Response:
        answer = summaries.risk_analysis(self.get_object(), _as_of(request))
        return self._show(shapes.PortfolioRiskAnalysisSerializer, answer)

    @extend_schema(
        parameters=[shapes.AsOfSerializer], responses=shapes.PortfolioPerformanceAnalysisSerializer
    )
    @action(detail=True, url_path="performance-analysis")
    def performance_analysis(self, request: Request, code: str) -> Response:
        answer = summaries.performance_analysis(self.get_object(), _as_of(request))
        return self._show(shapes.PortfolioPerformanceAnalysisSerializer, answer)

    @extend_schema(
        parameters=[shapes.AsOfSerializer], responses=shapes.PortfolioRebalancingRecommendationSerializer
    )
    @action(detail=True, url_path="rebalancing-recommendation")
    def rebalancing_recommendation(self, request: Request, code: str) -> Response:
        portfolio, day = self.get_object(), _as_of(request)
        recommendation = rebalancing_recommend(portfolio, day=day).as_json()
        answer = recommendation | summaries.recommendation_context(portfolio, day)
        return self._show(shapes.PortfolioRebalancingRecommendationSerializer, answer)

    @extend_schema(request=shapes.RecomputeSerializer, responses={202: AnalyticsRunSerializer})
    @action(detail=True, methods=["post"])
    def recompute(self, request: Request, code: str) -> Response:
        portfolio = self._portfolio_to_change()
        wish = shapes.RecomputeSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        return self._start_run(portfolio, **wish.validated_data)

    @extend_schema(request=None, responses={202: AnalyticsRunSerializer})
    @action(detail=True, methods=["post"])
    def rebalance(self, request: Request, code: str) -> Response:
        return self._start_run(self._portfolio_to_change(), only=[REBALANCING_SECTION])

    def _show(self, serializer: Callable[..., Any], answer: summaries.Figures) -> Response:
        return Response(serializer(answer, context=self.get_serializer_context()).data)

    def _portfolio_to_change(self) -> Portfolio:
        portfolio = self.get_object()
        if not has_role(self.request.user, portfolio, PortfolioRole.MAKER):
            raise PermissionDenied(f"You are neither maker nor manager of {portfolio.code}.")
        return portfolio

    def _start_run(
        self, portfolio: Portfolio, from_date: dt.date | None = None, only: Sequence[str] = ()
    ) -> Response:
        try:
            run = run_request(
                actor=self.request.user, portfolio_codes=[portfolio.code], from_date=from_date, only=only
            )
        except RunError as error:
            raise ValidationError(str(error)) from error
        data = AnalyticsRunSerializer(run, context=self.get_serializer_context()).data
        return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": data["url"]})
