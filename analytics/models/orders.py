from django.db import models
from django.db.models import Q

from analytics.models.rebalancing import RebalancingEvent
from portfolio_site.kernel import clock
from portfolio_site.kernel.fields import money_field, price_field, quantity_field
from portfolios.models import Asset, Transaction


class OrderSide(models.TextChoices):
    BUY = "buy", "Buy"
    SELL = "sell", "Sell"


class OrderStatus(models.TextChoices):
    NEW = "new", "New"
    SENT = "sent", "Sent"
    PARTLY_FILLED = "partly", "Partly filled"
    FILLED = "filled", "Filled"
    CANCELLED = "cancelled", "Cancelled"
    REJECTED = "rejected", "Rejected"


class RebalancingOrder(models.Model):
    """A line of an approved proposal on its way to the market; venues know it by `client_order_id`."""

    event = models.ForeignKey(RebalancingEvent, on_delete=models.PROTECT, related_name="orders")
    position = models.PositiveSmallIntegerField(help_text="Order of execution, from 1")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    side = models.CharField(max_length=4, choices=OrderSide.choices)
    quantity = quantity_field()
    filled_quantity = quantity_field(default=0)
    price = price_field(help_text="Price of the proposal, in the currency of the asset")
    lots = models.JSONField(default=list, help_text="The lots a sale takes")
    venue = models.CharField(max_length=16)
    client_order_id = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=9, choices=OrderStatus.choices, default=OrderStatus.NEW)
    created_at = models.DateTimeField(default=clock.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        db_table = "rebalancing_orders"
        ordering = ["event", "position"]
        constraints = [
            models.UniqueConstraint(fields=["event", "position"], name="rebalancing_orders_position"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0) & Q(filled_quantity__gte=0), name="rebalancing_orders_quantity"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client_order_id}: {self.side} {self.quantity} {self.asset}"


class OrderFill(models.Model):
    """What a venue reports as done: booked once; what goes beyond the order is kept and marked."""

    order = models.ForeignKey(RebalancingOrder, on_delete=models.PROTECT, related_name="fills")
    venue_fill_id = models.CharField(max_length=128)
    quantity = quantity_field()
    price = price_field(help_text="In the currency of the asset")
    fee = money_field(default=0)
    tax = money_field(default=0)
    filled_on = models.DateField()
    received_at = models.DateTimeField(default=clock.now)
    is_excess = models.BooleanField(default=False, help_text="More than was ordered; needs a decision")
    transaction = models.OneToOneField(
        Transaction, on_delete=models.PROTECT, null=True, blank=True, related_name="fill"
    )

    class Meta:
        db_table = "order_fills"
        ordering = ["order", "id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "venue_fill_id"], name="order_fills_once"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0) & Q(price__gt=0) & Q(fee__gte=0) & Q(tax__gte=0),
                name="order_fills_figures",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order.client_order_id}: {self.quantity} at {self.price}"
