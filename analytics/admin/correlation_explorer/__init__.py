"""The correlation explorer: a clustered map of many assets, and one pair over time."""

from analytics.admin.correlation_explorer.page import explorer_view

__all__ = ["explorer_view"]
