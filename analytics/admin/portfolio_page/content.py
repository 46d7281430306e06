"""What a tab consists of."""

from analytics.admin.pages import Content, Section
from analytics.admin.pages import Tab as AnyTab
from portfolios.models import Portfolio

Tab = AnyTab[Portfolio]

__all__ = ["Content", "Section", "Tab"]
