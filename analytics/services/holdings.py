"""What a portfolio holds at the end of a day beside what it should hold, with the lots it is made of."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from analytics.selectors.portfolio_panels import PanelFault, portfolio_standings
from analytics.services.allocation_analysis import AllocationLine, AllocationState, allocation_analyse
from portfolios.calculations.lots import Lot
from portfolios.models import Portfolio


class HoldingsError(Exception):
    """There is nothing to show, and why."""


@dataclass(frozen=True)
class Holdings:
    """`costs` and `lots` by asset; `cash` by currency, in base currency. All of it at the end of `state.day`.

    An asset of unknown cost has none; cash in a currency without a rate is None.
    """

    state: AllocationState
    costs: Mapping[int, Decimal]
    lots: Mapping[int, tuple[Lot, ...]]
    cash: Mapping[str, Decimal | None]

    def gain(self, line: AllocationLine) -> Decimal | None:
        """What the line is worth beyond what it cost."""
        cost = self.costs.get(line.asset.pk)
        return None if cost is None or line.value is None else line.value - cost


def holdings_on(portfolio: Portfolio, day: dt.date) -> Holdings:
    """At the end of the last trading day up to `day`. Raises HoldingsError."""
    standing = next(portfolio_standings([portfolio], day), None)
    if standing is None:
        raise HoldingsError("there are no settled transactions")
    if isinstance(standing, PanelFault):
        raise HoldingsError(standing.reason)
    book = next((book for book in reversed(standing.books) if book.date <= standing.last_day), None)
    state = allocation_analyse(standing)
    if book is None:
        return Holdings(state, {}, {}, {})
    rates = {
        currency: standing.rate_on_last_day(currency) for currency, amount in book.cash.items() if amount
    }
    cash = {
        currency: None if rate is None else book.cash[currency] * rate for currency, rate in rates.items()
    }
    return Holdings(state, book.costs, book.lots, cash)
