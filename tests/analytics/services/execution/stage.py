"""A portfolio with an approved rebalancing: 10 of AAA to sell, 5 of BBB to buy."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction

from analytics.models import (
    Approval,
    Decision,
    EventStatus,
    OrderFill,
    RebalancingEvent,
    RebalancingOrder,
    RebalancingPolicy,
)
from analytics.services.execution.prices import market_on
from analytics.services.execution.protocol import VenueFill
from portfolios.models import Asset, AuditEvent, ExchangeRate, Portfolio, Transaction
from portfolios.selectors.books import Book, book_on
from portfolios.services.audit import audit_append
from tests.support import factories as make

DAY = make.DAY
DAY_BEFORE = DAY - dt.timedelta(days=1)
HASH = "a" * 64
HEADER = "client_order_id,fill_id,quantity,price,fee,tax,filled_on"


def make_portfolio(venue: str = "paper", cash: int = 10_000, **policy: Any) -> Portfolio:
    """60 of AAA at 100, 10 of BBB at 200, and 2,000 in cash."""
    portfolio = make.make_portfolio("HOME", owner=make.make_user("owner"))
    make.make_transaction(portfolio, kind="deposit", amount=cash, trade_date=DAY_BEFORE)
    for symbol, price, quantity in (("AAA", 100, 60), ("BBB", 200, 10)):
        asset = make.make_asset(symbol)
        make_prices(asset, price)
        buy(portfolio, asset, quantity, price)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", venue=venue, **policy)
    return portfolio


def make_prices(asset: Asset, price: Any, last: Any = None) -> None:
    make.make_price(asset, DAY_BEFORE, close=Decimal(price))
    make.make_price(asset, DAY, close=Decimal(last or price))


def buy(portfolio: Portfolio, asset: Asset, quantity: Any, price: Any) -> Transaction:
    return make.make_transaction(
        portfolio,
        kind="buy",
        asset=asset,
        quantity=quantity,
        price=price,
        amount=Decimal(price) * Decimal(quantity),
        currency=asset.currency,
        trade_date=DAY_BEFORE,
    )


def hold(portfolio: Portfolio, asset: Asset, quantity: Any, price: Any) -> None:
    """Bought with money of its currency, deposited for it."""
    amount = Decimal(price) * Decimal(quantity)
    make.make_transaction(
        portfolio, kind="deposit", amount=amount, currency=asset.currency, trade_date=DAY_BEFORE
    )
    buy(portfolio, asset, quantity, price)


def action(symbol: str, side: str, quantity: Any, price: Any, rate: Any = 1, **fields: Any) -> dict[str, Any]:
    asset = Asset.objects.get(symbol=symbol)
    base_price = Decimal(str(price)) * Decimal(str(rate))
    costs = {"commission": "0", "spread": "0", "impact": "0", "fx": "0", "fee": "1"}
    return {
        "asset": asset.pk,
        "symbol": symbol,
        "exchange": asset.exchange,
        "side": side,
        "quantity": str(quantity),
        "price": str(base_price),
        "currency": asset.currency_id,
        "local_price": str(price),
        "amount": str(base_price * Decimal(str(quantity))),
        "cost": "1",
        "costs": costs,
        "tax": None,
        "lots": [],
        "warnings": [],
        "reason": "to its target",
    } | fields


def line(symbol: str, quantity: Any, price: Any, target: Any = 40) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "exchange": "",
        "quantity": str(quantity),
        "price": str(price),
        "value": str(Decimal(str(quantity)) * Decimal(str(price))),
        "target": str(target),
        "min": "0",
        "max": "100",
        "lower": None,
        "upper": None,
        "lot_size": "1",
    }


def pre_state(portfolio: Portfolio) -> dict[str, Any]:
    """As the books have it on the day: AAA and BBB, and what else is held."""
    book, prices = book_on(portfolio, DAY), {"AAA": 100, "BBB": 200}
    symbols = dict(Asset.objects.values_list("pk", "symbol"))
    held = dict.fromkeys(prices, Decimal(0)) | {symbols[pk]: units for pk, units in book.quantities.items()}
    rates = market_on(portfolio, (), DAY, book.cash).rates
    return {
        "portfolio": portfolio.code,
        "date": DAY.isoformat(),
        "value": "10000",
        "cash": str(sum(amount * rates.get(code, 0) for code, amount in book.cash.items())),
        "lines": [line(symbol, units, prices.get(symbol, 50)) for symbol, units in held.items()],
    }


def approved_event(portfolio: Portfolio, *actions: dict[str, Any], **fields: Any) -> RebalancingEvent:
    """By default the buy stands before the sale."""
    defaults: dict[str, Any] = {
        "status": EventStatus.APPROVED,
        "proposal_hash": HASH,
        "actions": list(actions) or [action("BBB", "buy", 5, 200), action("AAA", "sell", 10, 100)],
        "pre_state": pre_state(portfolio),
        "estimated_cost": Decimal(2),
    }
    event = make.make_event(portfolio, **defaults | fields)
    Approval.objects.create(
        event=event, user=make.make_user(), decision=Decision.APPROVED, proposal_hash=HASH, level=2
    )
    with transaction.atomic():
        audit_append(
            action="rebalancing.approved",
            object_type="rebalancing_event",
            object_id=event.pk,
            portfolio=portfolio,
        )
    return event


def quantities(portfolio: Portfolio) -> dict[str, Decimal]:
    book = book_today(portfolio)
    symbols = dict(Asset.objects.values_list("pk", "symbol"))
    return {symbols[asset]: quantity for asset, quantity in book.quantities.items() if quantity}


def cash(portfolio: Portfolio) -> dict[str, Decimal]:
    return {code: amount for code, amount in book_today(portfolio).cash.items() if amount}


def book_today(portfolio: Portfolio) -> Book:
    return book_on(portfolio, dt.date(2030, 1, 1))


def booked() -> list[Transaction]:
    """What rebalancing has booked."""
    return list(Transaction.objects.filter(source="rebalancing").order_by("pk"))


def audit_actions() -> list[str]:
    """All that followed the approval."""
    rows = AuditEvent.objects.exclude(action="rebalancing.approved")
    return list(rows.order_by("sequence").values_list("action", flat=True))


def footprint(portfolio: Portfolio) -> dict[str, Any]:
    """All that an execution leaves behind, without ids and times."""
    return {
        "transactions": [
            (row.external_id, row.kind, row.quantity, row.price, row.amount, row.fee, row.trade_date)
            for row in booked()
        ],
        "orders": list(
            RebalancingOrder.objects.order_by("position").values_list(
                "client_order_id", "status", "filled_quantity"
            )
        ),
        "fills": list(OrderFill.objects.order_by("pk").values_list("venue_fill_id", "quantity", "is_excess")),
        "events": list(RebalancingEvent.objects.values_list("status", "actual_cost", "post_state", "venue")),
        "audit": audit_actions(),
        "quantities": quantities(portfolio),
        "cash": cash(portfolio),
    }


def fill(order: RebalancingOrder, fill_id: str, quantity: Any, **fields: Any) -> VenueFill:
    defaults = {"price": order.price, "filled_on": DAY, "fee": Decimal(0), "tax": Decimal(0)}
    return VenueFill(order.client_order_id, fill_id, Decimal(quantity), **defaults | fields)


def write_file(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "fills.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@contextmanager
def taken_back() -> Iterator[None]:
    """Nothing of what is done inside is kept."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def forget_rates() -> None:
    ExchangeRate.objects.all().delete()
