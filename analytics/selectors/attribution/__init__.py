"""Where the return of a portfolio came from: its lines, its currencies, its choices against a benchmark."""

from analytics.selectors.attribution.benchmarks import (
    SectorBenchmark,
    StatedWeight,
    primary_components,
    stated_benchmark,
)
from analytics.selectors.attribution.contributions import ContributionLine
from analytics.selectors.attribution.explanation import Explanation, performance_explanation
from analytics.selectors.attribution.labels import CASH, GROUPINGS, NO_SECTOR
from analytics.selectors.attribution.sectors import SectorAttribution, SectorEffect
from analytics.selectors.attribution.window import AttributionError, panel_through

__all__ = [
    "CASH",
    "GROUPINGS",
    "NO_SECTOR",
    "AttributionError",
    "ContributionLine",
    "Explanation",
    "SectorAttribution",
    "SectorBenchmark",
    "SectorEffect",
    "StatedWeight",
    "panel_through",
    "performance_explanation",
    "primary_components",
    "stated_benchmark",
]
