"""When a proposal no longer holds: by its age, by what was booked since, by what the market did since, by
restrictions that came after it."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from analytics.models import EventStatus, ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services.event_moves import EventConflict, event_move
from analytics.services.event_state import restricted_events
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
# Events whose questions to the database are asked together.
EVENTS_PER_CHUNK = 500

Reasons = Mapping[int, str]


def events_expire() -> int:
    """Close the pending and approved events that no longer hold; returns how many."""
    found = RebalancingEvent.objects.filter(status__in=EXPIRING).order_by("pk").values_list("pk", flat=True)
    ids, closed = list(found), 0
    for start in range(0, len(ids), EVENTS_PER_CHUNK):
        events = list(
            RebalancingEvent.objects.filter(pk__in=ids[start : start + EVENTS_PER_CHUNK])
            .select_related("portfolio__rebalancing_policy")
            .order_by("pk")
        )
        reasons = expiry_reasons(events)
        closed += sum(_expire(event, reasons[event.pk]) for event in events if event.pk in reasons)
    return closed


def _expire(event: RebalancingEvent, reason: str) -> bool:
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
    return expiry_reasons([event]).get(event.pk, "")


def expiry_reasons(events: Sequence[RebalancingEvent]) -> dict[int, str]:
    """By its id why an event no longer holds, for those that do not; how many there are costs no query."""
    reasons: dict[int, str] = {}
    for find in FINDERS:
        left = [event for event in events if event.status in EXPIRING and event.pk not in reasons]
        if left:
            reasons |= find(left)
    return reasons


def policy_of(portfolio: Portfolio) -> RebalancingPolicy:
    """The policy stored for the portfolio, or the defaults."""
    try:
        return portfolio.rebalancing_policy
    except RebalancingPolicy.DoesNotExist:
        return RebalancingPolicy(portfolio=portfolio)


def has_moved(price: Decimal, close: Decimal, limit: Decimal) -> bool:
    """Whether the close lies further from the price than this fraction of it; exactly so far is not."""
    return abs(close - price) > limit * price


def _aged(events: Sequence[RebalancingEvent]) -> Reasons:
    now = clock.now()
    return {
        event.pk: f"it was valid until {event.expires_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
        for event in events
        if event.expires_at is not None and event.expires_at <= now
    }


def _booked_since(events: Sequence[RebalancingEvent]) -> Reasons:
    """Whether a line came into the books, or out of them by a reversal: each moves cash or a position."""
    made_at = ProposalVersion.objects.filter(event=OuterRef("pk"), version=OuterRef("version"))
    lines = Transaction.objects.filter(portfolio=OuterRef("portfolio"), status=TransactionStatus.SETTLED)
    # An import settles lines that were there before; by hand that is a move, which the audit trail dates.
    booked = lines.filter(
        Q(created_at__gt=OuterRef("made_at")) | Q(batch__created_at__gt=OuterRef("made_at"))
    )
    settled = AuditEvent.objects.filter(
        portfolio=OuterRef("portfolio"), action="transaction.settled", occurred_at__gt=OuterRef("made_at")
    )
    rows = (
        RebalancingEvent.objects.filter(pk__in=[event.pk for event in events])
        .annotate(made_at=Coalesce(Subquery(made_at.values("created_at")), F("created_at")))
        .annotate(
            booked=Subquery(booked.order_by("pk").values("pk")[:1]),
            settled=Subquery(settled.order_by("sequence").values("object_id")[:1]),
        )
    )
    reasons = {}
    for pk, booked_line, settled_line in rows.values_list("pk", "booked", "settled"):
        if booked_line is not None:
            reasons[pk] = f"transaction {booked_line} was booked since the proposal was made"
        elif settled_line is not None:
            reasons[pk] = f"transaction {settled_line} was settled since the proposal was made"
    return reasons


def _shares_changed(events: Sequence[RebalancingEvent]) -> Reasons:
    """Whether the number of shares to trade means something else by now."""
    changes = (
        CorporateAction.objects.filter(
            asset__in={asset for event in events for asset in _traded(event)},
            ex_date__gt=min(event.valuation_date for event in events),
            ex_date__lte=clock.today(),
        )
        .exclude(kind=CorporateActionKind.CASH_DIVIDEND)
        .select_related("asset")
        .order_by("-ex_date", "-pk")
    )
    return {
        event.pk: f"{change.asset.symbol}: {CorporateActionKind(change.kind).label.lower()} "
        f"on {change.ex_date} since the valuation"
        for change in changes  # the first comes last and stays
        for event in events
        if change.ex_date > event.valuation_date and change.asset_id in _traded(event)
    }


def _traded(event: RebalancingEvent) -> set[int]:
    return {action["asset"] for action in event.actions if "asset" in action}


def _price_moved(events: Sequence[RebalancingEvent]) -> Reasons:
    """Whether a traded asset's last close is further from its price in the proposal than allowed."""
    limits = {event.pk: policy_of(event.portfolio).price_move_limit for event in events}
    limited = [event for event in events if limits[event.pk] is not None]
    assets = {asset for event in limited for asset in _traded(event)}
    if not assets:
        return {}
    today = clock.today()
    since = min(event.valuation_date for event in limited)
    bars = recent_bars_of(assets, today, since=since, figures_since=today)
    closes = {
        asset: (found.dates[-1].item(), Decimal(repr(float(found.traded_close[-1]))))
        for asset, found in bars.items()
    }
    reasons = {}
    for event in limited:
        moved = _moved_price(event, closes, limits[event.pk] or Decimal(0))
        if moved:
            reasons[event.pk] = moved
    return reasons


def _moved_price(
    event: RebalancingEvent, closes: Mapping[int, tuple[dt.date, Decimal]], limit: Decimal
) -> str:
    for action in event.actions:
        day, close = closes.get(action.get("asset"), (dt.date.min, Decimal(0)))
        if action.get("local_price") is None or day < event.valuation_date:
            continue
        price = Decimal(action["local_price"])
        if has_moved(price, close, limit):
            return (
                f"{action['symbol']}: the close went from {decimal_text(price)} to {decimal_text(close)}, "
                f"more than {decimal_text(limit * 100)} %"
            )
    return ""


# Cheap and certain ones first: what one has found the next ones are not asked.
FINDERS: Sequence[Callable[[Sequence[RebalancingEvent]], Reasons]] = (
    _aged,
    _booked_since,
    _shares_changed,
    _price_moved,
    restricted_events,
)
