"""The seven analytics tables, the runs that fill them, and the decisions taken on them."""

from analytics.models.allocations import PortfolioAllocation, RebalanceFrequency
from analytics.models.approvals import Approval, Decision
from analytics.models.asset_metrics import AssetPerformanceMetrics
from analytics.models.benchmarks import PortfolioBenchmark
from analytics.models.blends import BlendComponent, BlendedBenchmark
from analytics.models.correlations import AssetCorrelation
from analytics.models.performance import PortfolioPerformanceHistory
from analytics.models.policies import BandDestination, RebalanceMode, RebalancingPolicy
from analytics.models.rebalancing import EventStatus, EventType, RebalancingEvent
from analytics.models.restatements import PublishedTable, Restatement
from analytics.models.risk import PortfolioRiskMetrics, RiskLevel
from analytics.models.risk_models import (
    BaselZone,
    PortfolioRiskContribution,
    PortfolioVarBacktest,
    VarMethod,
)
from analytics.models.runs import AnalyticsRun, ChunkKind, ChunkStatus, RunChunk, RunStatus

__all__ = [
    "AnalyticsRun",
    "Approval",
    "AssetCorrelation",
    "AssetPerformanceMetrics",
    "BandDestination",
    "BaselZone",
    "BlendComponent",
    "BlendedBenchmark",
    "ChunkKind",
    "ChunkStatus",
    "Decision",
    "EventStatus",
    "EventType",
    "PortfolioAllocation",
    "PortfolioBenchmark",
    "PortfolioPerformanceHistory",
    "PortfolioRiskContribution",
    "PortfolioRiskMetrics",
    "PortfolioVarBacktest",
    "PublishedTable",
    "RebalanceFrequency",
    "RebalanceMode",
    "RebalancingEvent",
    "RebalancingPolicy",
    "Restatement",
    "RiskLevel",
    "RunChunk",
    "RunStatus",
    "VarMethod",
]
