"""The seven tables, the runs and the decisions in the console. Computed rows are read-only."""

from analytics.admin import (
    allocations,
    asset_metrics,
    benchmarks,
    blends,
    change_requests,
    correlations,
    orders,
    performance,
    portfolios,
    rebalancing,
    reserves,
    restatements,
    restrictions,
    risk,
    risk_models,
    runs,
)

__all__ = [
    "allocations",
    "asset_metrics",
    "benchmarks",
    "blends",
    "change_requests",
    "correlations",
    "orders",
    "performance",
    "portfolios",
    "rebalancing",
    "reserves",
    "restatements",
    "restrictions",
    "risk",
    "risk_models",
    "runs",
]
