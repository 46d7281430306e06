"""What has happened to the lines of a proposal since it was made."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from portfolio_site.kernel import clock
from portfolios.models import Portfolio, Transaction, TransactionStatus
from portfolios.selectors.market_data import recent_bars_of


@dataclass(frozen=True)
class PriceMove:
    """A traded line's price in the proposal and its last close since, per share, in its own currency."""

    symbol: str
    currency: str
    proposed: Decimal
    close: Decimal
    day: dt.date

    @property
    def change(self) -> Decimal:
        """A fraction of the price in the proposal."""
        return self.close / self.proposed - 1


def price_moves(actions: Iterable[Mapping[str, Any]], since: dt.date) -> list[PriceMove]:
    """Of the trades that have a close on or after the day; in their order."""
    priced = [action for action in actions if action.get("asset") and action.get("local_price")]
    today = clock.today()
    bars = recent_bars_of([action["asset"] for action in priced], today, since=since, figures_since=today)
    return [
        PriceMove(
            symbol=action["symbol"],
            currency=action.get("currency", ""),
            proposed=Decimal(action["local_price"]),
            close=Decimal(repr(float(bars[action["asset"]].traded_close[-1]))),
            day=bars[action["asset"]].dates[-1].astype("datetime64[D]").item(),
        )
        for action in priced
        if action["asset"] in bars
    ]


def transactions_since(portfolio: Portfolio, moment: dt.datetime) -> QuerySet[Transaction]:
    """Booked after the moment: entered, or settled by an import, since then."""
    booked = Transaction.objects.filter(portfolio=portfolio, status=TransactionStatus.SETTLED)
    since = booked.filter(Q(created_at__gt=moment) | Q(batch__created_at__gt=moment))
    return since.select_related("asset", "currency").order_by("pk")
