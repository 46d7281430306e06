"""The tabs of an asset."""

from collections.abc import Sequence
from typing import Any

from analytics.admin import pages
from analytics.admin.asset_page import overview
from portfolios.models import Asset

TABS: Sequence[pages.Tab[Asset]] = (pages.Tab("overview", "Overview", overview.show),)


class AssetPage(pages.ObjectPage[Asset]):
    """The tabs of the assets that an admin shows."""

    tabs = TABS

    def heading(self, asset: Asset) -> pages.Heading:
        traits = (asset.name, asset.get_asset_class_display(), asset.exchange, asset.currency_id)
        return pages.Heading(asset.symbol, ", ".join(filter(None, traits)), [self.list_link()])


def tab_links(asset: Asset, current: str) -> dict[str, Any]:
    """What the row of tabs shows, on the page of the record, too."""
    return pages.tab_links(TABS, asset, current, asset.symbol)
