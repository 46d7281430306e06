"""What became of one order: its booked fills beside the estimates of the proposal."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from analytics.models import OrderFill, OrderSide, RebalancingOrder, RebalancingPolicy
from analytics.services.execution.orders import action_of, lots_part
from analytics.services.execution.prices import Market
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import TaxTreatment, Transaction

NOTHING = Decimal(0)
MONEY_PLACES = Decimal("0.000001")
PRICE_PLACES = Decimal("0.0000000001")


@dataclass(frozen=True)
class OrderResult:
    """Money in base currency. quantity: what stands in the books. price: the mean of the fills.

    cost: the fees. slippage: what the fills were dearer (a sale: cheaper) than the price of the proposal:
    spread, impact and the market's own moves together. tax: what the venue withheld (`is_withheld`), else
    that of the lots at these prices, negative for a loss.
    """

    order: RebalancingOrder
    quantity: Decimal
    price: Decimal | None
    cost: Decimal | None
    slippage: Decimal | None
    tax: Decimal | None
    untraded_value: Decimal
    is_withheld: bool = False
    reasons: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        action = action_of(self.order)
        amount = None if self.price is None else self.quantity * self.price
        return {
            "client_order_id": self.order.client_order_id,
            "symbol": self.order.asset.symbol,
            "exchange": self.order.asset.exchange,
            "side": self.order.side,
            "status": self.order.status,
            "estimated": {
                "quantity": action["quantity"],
                "price": action["price"],
                "amount": action["amount"],
                "cost": action.get("cost"),
                "tax": action.get("tax"),
            },
            "actual": {
                "quantity": decimal_text(self.quantity),
                "price": _text(self.price, PRICE_PLACES),
                "amount": _text(amount),
                "cost": _text(self.cost),
                "slippage": _text(self.slippage),
                "tax": _text(self.tax),
            },
        }


def order_result(order: RebalancingOrder, market: Market, policy: RebalancingPolicy) -> OrderResult:
    """From the fills whose transactions stand in the books; one that was reversed counts as not done."""
    booked = set(Transaction.objects.booked().filter(fill__order=order).values_list("pk", flat=True))
    fills = [fill for fill in order.fills.order_by("id") if fill.transaction_id in booked]
    action = action_of(order)
    estimate = Decimal(action["price"])
    quantity = sum((fill.quantity for fill in fills), NOTHING)
    untraded = max(order.quantity - quantity, NOTHING) * estimate
    if not fills:
        return OrderResult(order, NOTHING, None, NOTHING, NOTHING, NOTHING, untraded)
    rate = market.rates.get(order.asset.currency_id)
    if rate is None:
        reason = f"{order.asset.symbol}: no recent rate from {order.asset.currency_id} on {market.day}"
        return OrderResult(order, quantity, None, None, None, None, untraded, reasons=(reason,))
    amount = sum((fill.quantity * fill.price for fill in fills), NOTHING) * rate
    slippage = amount - quantity * estimate
    tax, reasons = _tax(order, fills, quantity, amount, rate, policy)
    return OrderResult(
        order=order,
        quantity=quantity,
        price=amount / quantity,
        cost=sum((fill.fee for fill in fills), NOTHING) * rate,
        slippage=-slippage if order.side == OrderSide.SELL else slippage,
        tax=tax,
        untraded_value=untraded,
        is_withheld=any(fill.tax for fill in fills),
        reasons=reasons,
    )


def _tax(
    order: RebalancingOrder,
    fills: list[OrderFill],
    quantity: Decimal,
    amount: Decimal,
    rate: Decimal,
    policy: RebalancingPolicy,
) -> tuple[Decimal | None, tuple[str, ...]]:
    withheld = sum((fill.tax for fill in fills), NOTHING)
    if withheld or order.side != OrderSide.SELL:
        return withheld * rate, ()
    tax, parts = NOTHING, lots_part(order, NOTHING, quantity)
    beyond = quantity - sum((taken for _, taken in parts), NOTHING)
    if order.lots and beyond > 0:
        return None, (f"{order.asset.symbol}: {decimal_text(beyond)} were sold beyond the lots of the order",)
    for lot, taken in parts:
        if lot.get("cost") is None:
            return None, (f"{order.asset.symbol}: the cost of lot {lot['lot']} is unknown",)
        cost = Decimal(lot["cost"]) * taken / Decimal(lot["quantity"])
        disallowed = Decimal(lot.get("disallowed") or 0) * taken / Decimal(lot["quantity"])
        tax += (amount * taken / quantity - cost + disallowed) * _tax_rate(lot, policy)
    return tax, ()


def _tax_rate(lot: Mapping[str, Any], policy: RebalancingPolicy) -> Decimal:
    if policy.portfolio.tax_treatment != TaxTreatment.TAXABLE:
        return NOTHING
    return policy.long_term_tax_rate if lot.get("term") == "long" else policy.short_term_tax_rate


def _text(value: Decimal | None, places: Decimal = MONEY_PLACES) -> str | None:
    return None if value is None else decimal_text(value.quantize(places))
