"""What the lines of an explanation are called."""

from collections import Counter
from collections.abc import Sequence

from analytics.selectors.portfolio_panels import PortfolioPanel
from portfolios.models import Asset

GROUPINGS = ("asset", "sector", "currency")
CASH = "Cash"
NO_SECTOR = "No sector"


def line_labels(panel: PortfolioPanel, grouping: str) -> list[str]:
    """The label of each asset of the panel."""
    assets = [panel.assets[asset_id] for asset_id in panel.valuation.asset_ids]
    if grouping == "sector":
        return [sector_of(asset) for asset in assets]
    if grouping == "currency":
        return [asset.currency_id for asset in assets]
    return asset_labels(assets)


def asset_labels(assets: Sequence[Asset]) -> list[str]:
    """Symbols, with the exchange where several of the assets have the same."""
    listed = Counter(asset.symbol for asset in assets)
    return [
        asset.symbol if listed[asset.symbol] == 1 else f"{asset.symbol}@{asset.exchange}" for asset in assets
    ]


def sector_of(asset: Asset) -> str:
    return asset.sector or NO_SECTOR
