"""The seven analytics tables, the runs that fill them, and the decisions taken on them."""

from analytics.models.allocations import BandRule, PortfolioAllocation, RebalanceFrequency
from analytics.models.approvals import Approval, Decision
from analytics.models.asset_metrics import AssetPerformanceMetrics
from analytics.models.benchmarks import PortfolioBenchmark
from analytics.models.blends import BlendComponent, BlendedBenchmark
from analytics.models.change_requests import ChangeKind, ChangeRequest, ChangeStatus
from analytics.models.correlations import AssetCorrelation
from analytics.models.orders import OrderFill, OrderSide, OrderStatus, RebalancingOrder
from analytics.models.performance import PortfolioPerformanceHistory
from analytics.models.policies import (
    BandDestination,
    LotMethod,
    MinimumTrade,
    ProposalGear,
    RebalanceMode,
    RebalancingPolicy,
    Venue,
    WashSaleMode,
)
from analytics.models.proposal_versions import ProposalVersion
from analytics.models.rebalancing import EventStatus, EventType, RebalancingEvent
from analytics.models.reserves import CashReserve, ReserveKind
from analytics.models.restatements import PublishedTable, Restatement
from analytics.models.restrictions import RestrictionKind, RestrictionUnit, TradingRestriction
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
    "BandRule",
    "BaselZone",
    "BlendComponent",
    "BlendedBenchmark",
    "CashReserve",
    "ChangeKind",
    "ChangeRequest",
    "ChangeStatus",
    "ChunkKind",
    "ChunkStatus",
    "Decision",
    "EventStatus",
    "EventType",
    "LotMethod",
    "MinimumTrade",
    "OrderFill",
    "OrderSide",
    "OrderStatus",
    "PortfolioAllocation",
    "PortfolioBenchmark",
    "PortfolioPerformanceHistory",
    "PortfolioRiskContribution",
    "PortfolioRiskMetrics",
    "PortfolioVarBacktest",
    "ProposalGear",
    "ProposalVersion",
    "PublishedTable",
    "RebalanceFrequency",
    "RebalanceMode",
    "RebalancingEvent",
    "RebalancingOrder",
    "RebalancingPolicy",
    "ReserveKind",
    "Restatement",
    "RestrictionKind",
    "RestrictionUnit",
    "RiskLevel",
    "RunChunk",
    "RunStatus",
    "TradingRestriction",
    "VarMethod",
    "Venue",
    "WashSaleMode",
]
