"""Currency exchanges: what the trades of an event overdraw is paid from the cash of other currencies."""

import datetime as dt
from collections import defaultdict
from decimal import ROUND_HALF_EVEN, ROUND_UP, Decimal

from django.db import transaction

from analytics.models import OrderFill, OrderSide, RebalancingEvent
from analytics.services.event_moves import event_lock
from analytics.services.execution.fills import SOURCE
from analytics.services.execution.permissions import booking_actor
from analytics.services.execution.prices import Market, market_on
from portfolios.models import Currency, Transaction, TransactionKind, TransactionStatus
from portfolios.models.transactions import TransactionQuerySet
from portfolios.selectors.books import book_on
from portfolios.services.audit import Actor
from portfolios.services.transactions import transaction_create

CENT = Decimal("0.01")
NOTHING = Decimal(0)


@transaction.atomic
def overdrafts_cover(event_id: int, *, actor: Actor = None) -> int:
    """Exchange, at the rate of the day, what the trades of the event have overdrawn; returns how often.

    A currency other than the base is paid for from the base currency, an overdraft in the base currency from
    what there is of others, the largest first. What was overdrawn before the event stays so. A second call
    finds nothing to do. Without a recent rate the overdraft stays.
    """
    event = event_lock(event_id)
    day = _last_day(event)
    if day is None:
        return 0
    base = event.portfolio.base_currency_id
    cash = defaultdict(lambda: NOTHING, book_on(event.portfolio, day).cash)
    moved = _cash_moved(event)
    market = market_on(event.portfolio, (), day, {*cash, *moved})
    done = 0
    for code in sorted(moved.keys() - {base}):
        lacking = _lacking(code, cash, moved)
        if lacking and code in market.rates:
            paid = (lacking * market.rates[code]).quantize(CENT, rounding=ROUND_HALF_EVEN)
            done += _exchange(event, day, (code, lacking), (base, paid), cash, moved, actor)
    for code in sorted(cash.keys() - {base}, key=lambda code: (-_worth(code, cash, market), code)):
        lacking = _lacking(base, cash, moved)
        available = min(lacking, _worth(code, cash, market).quantize(CENT, rounding="ROUND_DOWN"))
        if available > 0:
            paid = (available / market.rates[code]).quantize(CENT, rounding=ROUND_HALF_EVEN)
            done += _exchange(
                event, day, (base, available), (code, min(paid, cash[code])), cash, moved, actor
            )
    return done


def _last_day(event: RebalancingEvent) -> dt.date | None:
    fills = OrderFill.objects.filter(order__event=event, transaction__isnull=False).order_by("-filled_on")
    return fills.values_list("filled_on", flat=True).first()


def _cash_moved(event: RebalancingEvent) -> dict[str, Decimal]:
    """By currency what the trades and exchanges of the event brought, less what they took."""
    moved: defaultdict[str, Decimal] = defaultdict(lambda: NOTHING)
    fills = OrderFill.objects.filter(order__event=event, transaction__in=Transaction.objects.booked())
    for fill in fills.select_related("order", "transaction"):
        line = fill.transaction
        if line is not None:
            gross = line.amount or NOTHING
            signed = gross if fill.order.side == OrderSide.SELL else -gross
            moved[line.currency_id] += signed - line.fee - line.tax
    for line in _exchanges(event).booked():
        moved[line.currency_id] += line.amount or NOTHING
        if line.counter_currency_id is not None:
            moved[line.counter_currency_id] -= line.counter_amount or NOTHING
    return moved


def _exchanges(event: RebalancingEvent) -> TransactionQuerySet:
    lines = Transaction.objects.filter(
        portfolio=event.portfolio, source=SOURCE, kind=TransactionKind.CURRENCY_EXCHANGE
    )
    return lines.filter(external_id__startswith=_reference(event))


def _reference(event: RebalancingEvent) -> str:
    return f"RB-{event.pk}-{event.version}/exchange-"


def _lacking(code: str, cash: dict[str, Decimal], moved: dict[str, Decimal]) -> Decimal:
    """What is overdrawn because of the event, in whole cents."""
    return max(min(-cash[code], -moved[code]), NOTHING).quantize(CENT, rounding=ROUND_UP)


def _worth(code: str, cash: dict[str, Decimal], market: Market) -> Decimal:
    return max(cash[code], NOTHING) * market.rates.get(code, NOTHING)


def _exchange(
    event: RebalancingEvent,
    day: dt.date,
    bought: tuple[str, Decimal],
    paid: tuple[str, Decimal],
    cash: dict[str, Decimal],
    moved: dict[str, Decimal],
    actor: Actor,
) -> int:
    if not (bought[1] > 0 and paid[1] > 0):
        return 0
    transaction_create(
        event.portfolio,
        actor=booking_actor(event.portfolio, actor),
        status=TransactionStatus.SETTLED,
        source=SOURCE,
        external_id=f"{_reference(event)}{_exchanges(event).count() + 1}",
        kind=TransactionKind.CURRENCY_EXCHANGE,
        trade_date=day,
        amount=bought[1],
        currency=Currency.objects.get(pk=bought[0]),
        counter_amount=paid[1],
        counter_currency=Currency.objects.get(pk=paid[0]),
        note=f"pays for the trades of rebalancing {event.pk}",
    )
    for code, amount in (bought, (paid[0], -paid[1])):
        cash[code] += amount
        moved[code] += amount
    return 1
