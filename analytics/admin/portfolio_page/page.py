"""The tabs of a portfolio."""

from collections.abc import Sequence
from typing import Any

from analytics.admin import pages
from analytics.admin.portfolio_page import (
    attribution,
    audit,
    fact_sheet,
    holdings,
    overview,
    rebalancing,
    risk,
    targets,
    transactions,
)
from analytics.admin.portfolio_page.content import Tab
from portfolios.models import Portfolio

TABS: Sequence[Tab] = (
    Tab("overview", "Overview", overview.show),
    Tab("holdings", "Holdings", holdings.show),
    Tab("targets", "Targets", targets.show),
    Tab("risk", "Risk", risk.show),
    Tab("attribution", "Attribution", attribution.show),
    Tab("transactions", "Transactions", transactions.show),
    Tab("rebalancing", "Rebalancing", rebalancing.show),
    Tab("audit", "Audit", audit.show),
    Tab("fact-sheet", "Fact sheet", fact_sheet.show),
)


class PortfolioPage(pages.ObjectPage[Portfolio]):
    """The tabs of the portfolios that an admin shows."""

    tabs = TABS

    def heading(self, portfolio: Portfolio) -> pages.Heading:
        subtitle = f"{portfolio.name}, in {portfolio.base_currency_id}"
        return pages.Heading(portfolio.code, subtitle, [self.list_link()])


def tab_links(portfolio: Portfolio, current: str) -> dict[str, Any]:
    """What the row of tabs shows, on the page of the record, too."""
    return pages.tab_links(TABS, portfolio, current, portfolio.code)
