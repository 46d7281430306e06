"""What a venue is: it takes orders, and says what was done of them."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from analytics.models import RebalancingOrder

NOTHING = Decimal(0)


@dataclass(frozen=True)
class VenueFill:
    """A trade, or a part of one, as a venue reports it: price, fee and tax in the asset's currency.

    fill_id: the venue's name of it, one for each fill of an order; under it the fill is booked once.
    """

    client_order_id: str
    fill_id: str
    quantity: Decimal
    price: Decimal
    filled_on: dt.date
    fee: Decimal = NOTHING
    tax: Decimal = NOTHING


class ExecutionVenue(Protocol):
    """Where orders are carried out.

    submits: whether `submit` sends the orders; if not, they leave in another way (an order file).
    exchanges_cash: whether foreign cash is exchanged here, at the rate of the day, so that a purchase leaves
    no overdraft behind; others report their exchanges themselves.
    """

    @property
    def name(self) -> str: ...

    @property
    def submits(self) -> bool: ...

    @property
    def exchanges_cash(self) -> bool: ...

    def submit(self, orders: Sequence[RebalancingOrder]) -> list[VenueFill]:
        """Take the open orders of one event, and return the fills that are known of them, if any.

        May be called again with the same orders, after a crash or for news: `client_order_id` says which are
        known already, and a fill may be reported any number of times.
        """
