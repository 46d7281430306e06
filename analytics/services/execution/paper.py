"""The paper venue: every order is filled at once and whole, at the last close."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN

from analytics.models import RebalancingOrder, Venue
from analytics.services.execution.costs import MONEY_PLACES, cost_of
from analytics.services.execution.orders import action_of
from analytics.services.execution.prices import Market, execution_day, market_on
from analytics.services.execution.protocol import VenueFill

# An order has one fill only.
FILL_ID = "paper"


class PaperVenue:
    """Fills are dated on the day of the close, with the cost of the proposal's model as their fee.

    What has no recent close stays open.
    """

    name = Venue.PAPER.value
    submits = True
    exchanges_cash = True

    def submit(self, orders: Sequence[RebalancingOrder]) -> list[VenueFill]:
        day = execution_day()
        if not orders or day is None:
            return []
        market = market_on(orders[0].event.portfolio, [order.asset for order in orders], day)
        return [self._fill(order, market) for order in orders if market.price(order.asset) is not None]

    def _fill(self, order: RebalancingOrder, market: Market) -> VenueFill:
        close, rate = market.closes[order.asset_id], market.rates[order.asset.currency_id]
        price = market.price(order.asset) or close
        fee = cost_of(action_of(order), order.quantity * price) / rate
        return VenueFill(
            client_order_id=order.client_order_id,
            fill_id=FILL_ID,
            quantity=order.quantity,
            price=close,
            fee=fee.quantize(MONEY_PLACES, rounding=ROUND_HALF_EVEN),
            filled_on=market.day,
        )
