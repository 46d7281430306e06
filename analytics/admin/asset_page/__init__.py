"""The page of one asset: its prices with the stored indicators, and who holds it."""

from analytics.admin.asset_page.page import AssetPage, tab_links

__all__ = ["AssetPage", "tab_links"]
