"""The stored bars and indicators of one asset as arrays, for its chart."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.models import AssetPerformanceMetrics
from portfolio_site.kernel.columns import read_columns
from portfolios.models import Asset, PriceBar
from portfolios.selectors.market_data import splits_of

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class AssetBars:
    """Days, ascending; the bars, adjusted for splits; by name the indicators of the same days.

    NaN: not published, or not computed.
    """

    days: np.ndarray
    bars: dict[str, np.ndarray]
    indicators: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.days)


def last_bar_day(asset: Asset) -> dt.date | None:
    bars = PriceBar.objects.filter(asset=asset).order_by("-date")
    return bars.values_list("date", flat=True).first()


def latest_metrics(asset: Asset) -> AssetPerformanceMetrics | None:
    return AssetPerformanceMetrics.objects.filter(asset=asset).order_by("-calculation_date").first()


def asset_bars(asset: Asset, since: dt.date, indicators: Sequence[str]) -> AssetBars:
    rows = PriceBar.objects.filter(asset=asset, date__gte=since).order_by("date")
    data = read_columns(rows, "date", *PRICES, "volume", "adjusted_through")
    days, known = data["date"], data["adjusted_through"]
    divisor = np.ones(len(days))
    for split in splits_of([asset.pk]).get(asset.pk, []):
        # NaT: prices as traded contain no split.
        divisor[(days < split.ex_date) & ~(known >= split.ex_date)] *= split.ratio
    bars = {name: data[name] / divisor for name in PRICES} | {"volume": data["volume"] * divisor}
    return AssetBars(days, bars, _indicators(asset, days, since, indicators))


def _indicators(
    asset: Asset, days: np.ndarray, since: dt.date, names: Sequence[str]
) -> dict[str, np.ndarray]:
    rows = AssetPerformanceMetrics.objects.filter(asset=asset, calculation_date__gte=since)
    data = read_columns(rows.order_by("calculation_date"), "calculation_date", *names)
    common, of_days, of_rows = np.intersect1d(days, data["calculation_date"], return_indices=True)
    placed = {name: np.full(len(days), np.nan) for name in names}
    if len(common):
        for name in names:
            placed[name][of_days] = data[name][of_rows]
    return placed
