"""What benchmarks are made of, and the levels of their components."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analytics.models import BlendComponent, BlendedBenchmark, RebalanceFrequency


@dataclass(frozen=True)
class BlendRule:
    """The components by asset id with their shares, which add up to 1, and when these are restored."""

    asset_ids: tuple[int, ...]
    shares: tuple[float, ...]
    frequency: str
    start_date: dt.date | None = None

    @classmethod
    def of_one(cls, asset_id: int) -> "BlendRule":
        """A benchmark with prices of its own is the blend of itself alone."""
        return cls((asset_id,), (1.0,), RebalanceFrequency.DAILY.value)


def blend_rules(asset_ids: Iterable[int]) -> dict[int, BlendRule]:
    """The rule of each of these benchmarks by its asset id, in one query."""
    asset_ids = set(asset_ids)
    components: dict[int, list[BlendComponent]] = {}
    rows = BlendComponent.objects.filter(blend__asset__in=asset_ids).select_related("blend")
    for component in rows.order_by("asset_id"):
        components.setdefault(component.blend.asset_id, []).append(component)
    rules = {asset_id: BlendRule.of_one(asset_id) for asset_id in asset_ids}
    for asset_id, parts in components.items():
        blend = parts[0].blend
        rules[asset_id] = BlendRule(
            asset_ids=tuple(part.asset_id for part in parts),
            shares=tuple(float(part.weight_percentage) / 100 for part in parts),
            frequency=blend.rebalance_frequency,
            start_date=blend.start_date,
        )
    return rules


def carried_levels(dates: np.ndarray, own_dates: np.ndarray, own_levels: np.ndarray) -> np.ndarray:
    """The level of the last own date up to each of `dates`, known or not; NaN before the first."""
    levels = np.concatenate([[np.nan], own_levels])
    return np.asarray(levels[np.searchsorted(own_dates, dates, side="right")])


def blended_assets() -> dict[int, str]:
    """The assets that are blends: their returns are made of those of their components."""
    assets = BlendedBenchmark.objects.order_by().values_list("asset", flat=True)
    return dict.fromkeys(assets, "it is a blend of other assets")
