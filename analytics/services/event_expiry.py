"""When a proposal no longer holds: by its age, by what was booked since, by what the market did since."""

import datetime as dt
from decimal import Decimal

from django.db.models import Q

from analytics.models import EventStatus, ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services.event_moves import EventConflict, event_move
from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import (
    AuditEvent,
    CorporateAction,
    CorporateActionKind,
    Portfolio,
    Transaction,
    TransactionStatus,
)
from portfolios.selectors.market_data import recent_bars_of

# What is being executed is finished, however old it is.
EXPIRING = (EventStatus.PENDING, EventStatus.APPROVED)


def events_expire() -> int:
    """Close the pending and approved events that no longer hold; returns how many."""
    return sum(
        _expire(event)
        for event in RebalancingEvent.objects.filter(status__in=EXPIRING)
        .select_related("portfolio__rebalancing_policy")
        .order_by("pk")
    )


def _expire(event: RebalancingEvent) -> bool:
    reason = expiry_reason(event)
    if not reason:
        return False
    try:
        event_move(
            event.pk,
            EventStatus.EXPIRED,
            actor=None,
            expected=[EventStatus(event.status)],
            expected_version=event.version,
            reason=reason,
        )
    except EventConflict:
        return False  # approved, revised or taken into execution a moment ago: it keeps what it became
    return True


def expiry_reason(event: RebalancingEvent) -> str:
    """Why the proposal no longer holds; empty while it does, and for events that do not expire."""
    if event.status not in EXPIRING:
        return ""
    if event.expires_at is not None and event.expires_at <= clock.now():
        return f"it was valid until {event.expires_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
    return _booked_since(event) or _shares_changed(event) or _price_moved(event)


def policy_of(portfolio: Portfolio) -> RebalancingPolicy:
    """The policy stored for the portfolio, or the defaults."""
    try:
        return portfolio.rebalancing_policy
    except RebalancingPolicy.DoesNotExist:
        return RebalancingPolicy(portfolio=portfolio)


def has_moved(price: Decimal, close: Decimal, limit: Decimal) -> bool:
    """Whether the close lies further from the price than this fraction of it; exactly so far is not."""
    return abs(close - price) > limit * price


def _booked_since(event: RebalancingEvent) -> str:
    """Whether a line came into the books, or out of them by a reversal: each moves cash or a position."""
    made_at = _made_at(event)
    lines = Transaction.objects.filter(portfolio=event.portfolio_id, status=TransactionStatus.SETTLED)
    # An import settles lines that were there before; by hand that is a move, which the audit trail dates.
    booked = lines.filter(Q(created_at__gt=made_at) | Q(batch__created_at__gt=made_at)).order_by("pk").first()
    if booked is not None:
        return f"transaction {booked.pk} was booked since the proposal was made"
    settled = (
        AuditEvent.objects.filter(
            portfolio=event.portfolio_id, action="transaction.settled", occurred_at__gt=made_at
        )
        .order_by("sequence")
        .first()
    )
    return f"transaction {settled.object_id} was settled since the proposal was made" if settled else ""


def _made_at(event: RebalancingEvent) -> dt.datetime:
    """When the present version was made."""
    version = ProposalVersion.objects.filter(event=event.pk, version=event.version).first()
    return version.created_at if version is not None else event.created_at


def _shares_changed(event: RebalancingEvent) -> str:
    """Whether the number of shares to trade means something else by now."""
    change = (
        CorporateAction.objects.filter(
            asset__in=[action["asset"] for action in event.actions if "asset" in action],
            ex_date__gt=event.valuation_date,
            ex_date__lte=clock.today(),
        )
        .exclude(kind=CorporateActionKind.CASH_DIVIDEND)
        .select_related("asset")
        .order_by("ex_date", "pk")
        .first()
    )
    if change is None:
        return ""
    kind = CorporateActionKind(change.kind).label.lower()
    return f"{change.asset.symbol}: {kind} on {change.ex_date} since the valuation"


def _price_moved(event: RebalancingEvent) -> str:
    """Whether a traded asset's last close is further from its price in the proposal than allowed."""
    limit = policy_of(event.portfolio).price_move_limit
    proposed = {
        action["asset"]: (action["symbol"], Decimal(action["local_price"]))
        for action in event.actions
        if action.get("local_price") is not None
    }
    if limit is None or not proposed:
        return ""
    today = clock.today()
    bars = recent_bars_of(proposed, today, since=event.valuation_date, figures_since=today)
    for asset_id, (symbol, price) in proposed.items():
        if asset_id not in bars:
            continue
        close = Decimal(repr(float(bars[asset_id].traded_close[-1])))
        if has_moved(price, close, limit):
            return (
                f"{symbol}: the close went from {decimal_text(price)} to {decimal_text(close)}, "
                f"more than {decimal_text(limit * 100)} %"
            )
    return ""
