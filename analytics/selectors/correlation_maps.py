"""Stored correlations as a matrix in a telling order, and those of one pair over time."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Max, OuterRef, Q, QuerySet, Subquery

from analytics.calculations.clustering import clustered_order
from analytics.calculations.correlation_tests import SIGNIFICANCE_LEVEL, false_discovery
from analytics.models import (
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioAllocation,
    PortfolioRiskContribution,
)
from portfolio_site.kernel.columns import read_columns
from portfolios.models import Asset, Portfolio, PriceBar

# By window: the field of the coefficient, and how its companions end.
WINDOWS = {
    "20d": ("rolling_20d", "20 days"),
    "60d": ("rolling_60d", "60 days"),
    "1m": ("correlation_1m", "1 month"),
    "3m": ("correlation_3m", "3 months"),
    "6m": ("correlation_6m", "6 months"),
    "1y": ("correlation_1y", "1 year"),
    "3y": ("correlation_3y", "3 years"),
}
ADJUSTED_WINDOW = "1y"
MOST_ASSETS = 40
# Pairs that nobody holds together are kept once a week.
LOOK_BACK = dt.timedelta(days=7)


@dataclass(frozen=True)
class CorrelationMap:
    """Matrices (N, N) in the order of `assets`; NaN off the diagonal where nothing is stored.

    `q`: p-values adjusted for the number of pairs, of the whole run for one year, else of those shown.
    """

    day: dt.date | None
    assets: list[Asset]
    r: np.ndarray
    p: np.ndarray
    q: np.ndarray
    observations: np.ndarray

    @property
    def is_significant(self) -> np.ndarray:
        return self.q < SIGNIFICANCE_LEVEL


def latest_day() -> dt.date | None:
    rows = AssetCorrelation.objects.order_by("-calculation_date")
    return rows.values_list("calculation_date", flat=True).first()


def assets_of(portfolio: Portfolio) -> list[Asset]:
    """What a portfolio holds or has a target for."""
    contributions = PortfolioRiskContribution.objects.filter(portfolio=portfolio)
    last = contributions.aggregate(last=Max("calculation_date"))["last"]
    held = contributions.filter(calculation_date=last).order_by().values("asset")
    wanted = PortfolioAllocation.objects.filter(portfolio=portfolio, is_active=True).order_by()
    return list(Asset.objects.filter(Q(pk__in=held) | Q(pk__in=wanted.values("asset"))))


def assets_with_most_data(day: dt.date | None) -> list[Asset]:
    """Of the active assets that are computed on that day, those with the longest history."""
    if day is None:
        return []
    first = PriceBar.objects.filter(asset=OuterRef("pk")).order_by("date").values("date")
    computed = AssetPerformanceMetrics.objects.filter(calculation_date=day).order_by().values("asset")
    rows = Asset.objects.filter(is_active=True, pk__in=computed).annotate(first_bar=Subquery(first[:1]))
    return list(rows.filter(first_bar__isnull=False).order_by("first_bar", "symbol")[:MOST_ASSETS])


def correlation_map(assets: Sequence[Asset], window: str) -> CorrelationMap:
    """Of the day, within the last week, on which most of these pairs are stored."""
    field = WINDOWS[window][0]
    ids = np.array(sorted(asset.pk for asset in assets), dtype=np.int64)
    by_id = {asset.pk: asset for asset in assets}
    rows = _rows(ids.tolist())
    names = (field, f"p_value_{window}", f"observations_{window}", "q_value_1y")
    found = list(rows.values_list("calculation_date", "asset1", "asset2", *names))
    counts = Counter(row[0] for row in found)
    day = max(counts, key=lambda known: (counts[known], known), default=None)
    matrices = np.full((4, len(ids), len(ids)), np.nan)
    for known, first, second, *figures in found:
        if known == day:
            one, other = np.searchsorted(ids, [first, second])
            values = [np.nan if figure is None else figure for figure in figures]
            matrices[:, one, other] = matrices[:, other, one] = values
    r, p, observations, q = matrices
    if window != ADJUSTED_WINDOW:
        q = _adjusted(p)
    np.fill_diagonal(r, 1.0)
    order = clustered_order(r)
    r, p, q, observations = (matrix[np.ix_(order, order)] for matrix in (r, p, q, observations))
    return CorrelationMap(day, [by_id[int(ids[place])] for place in order], r, p, q, observations)


def _rows(ids: Collection[int]) -> QuerySet[AssetCorrelation]:
    last = latest_day()
    rows = AssetCorrelation.objects.filter(asset1__in=ids, asset2__in=ids).order_by()
    if last is None:
        return rows.none()
    return rows.filter(calculation_date__gt=last - LOOK_BACK, calculation_date__lte=last)


def _adjusted(p: np.ndarray) -> np.ndarray:
    upper = np.triu_indices(len(p), 1)
    q = np.full(p.shape, np.nan)
    q[upper] = false_discovery(p[upper])
    return np.fmax(q, q.T)


@dataclass(frozen=True)
class PairHistory:
    """Days, ascending, by window the coefficients of each, and the newest row."""

    days: np.ndarray
    r: dict[str, np.ndarray]
    latest: AssetCorrelation | None


def pair_history(one: Asset, other: Asset) -> PairHistory:
    first, second = sorted((one.pk, other.pk))
    rows = AssetCorrelation.objects.filter(asset1=first, asset2=second)
    fields = [field for field, _ in WINDOWS.values()]
    data = read_columns(rows.order_by("calculation_date"), "calculation_date", *fields)
    return PairHistory(
        data["calculation_date"],
        {window: data[field] for window, (field, _) in WINDOWS.items()},
        rows.order_by("-calculation_date").first(),
    )
