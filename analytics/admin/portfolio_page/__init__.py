"""The page of one portfolio: tabs that show what is stored, in charts and tables that can be downloaded."""

from analytics.admin.portfolio_page.page import PortfolioPage

__all__ = ["PortfolioPage"]
