"""The state that a proposal was made from, held against the books and the restrictions of now."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from analytics.calculations.rebalancing import Trade
from analytics.models import RebalancingEvent, RebalancingPolicy, TradingRestriction
from analytics.selectors.restrictions import restrictions_of
from analytics.services.allocation_analysis import (
    WORKING_DIGITS,
    AllocationLine,
    AllocationState,
    decision_day,
)
from analytics.services.execution.prices import market_on
from analytics.services.trading_limits import restriction_faults
from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text
from portfolios.calculations.entries import LedgerError
from portfolios.models import Asset
from portfolios.selectors.books import Book, book_on

CENT = Decimal("0.01")
NOTHING = Decimal(0)

Name = tuple[str, str]


def books_changed(event: RebalancingEvent) -> str:
    """Where the books say something else than the proposal was made from; empty where they do not.

    A line that was committed while the proposal was being made is older than it, and shows only here. What
    is traded must be held as it was, today; the cash is that of the valuation, since a proposal knows of no
    later day. The event is locked.
    """
    held = {_name(line): Decimal(line["quantity"] or 0) for line in event.pre_state.get("lines", ())}
    if not held:
        return ""
    try:
        then = book_on(event.portfolio, event.valuation_date)
        now = book_on(event.portfolio, max(event.valuation_date, clock.today()))
    except LedgerError as error:
        return f"the books cannot be walked: {error}"
    for action in event.actions:
        known = held.get(_name(action), NOTHING)
        booked = now.quantities.get(action["asset"], NOTHING)
        if booked != known:
            return (
                f"{action['symbol']}: the books hold {decimal_text(booked)}, "
                f"the proposal was made from {decimal_text(known)}"
            )
    return _cash_changed(event, then)


def _cash_changed(event: RebalancingEvent, book: Book) -> str:
    known = event.pre_state.get("cash")
    rates = market_on(event.portfolio, (), event.valuation_date, book.cash).rates
    amounts = {code: amount for code, amount in book.cash.items() if amount}
    if known is None or not amounts.keys() <= rates.keys():
        return ""
    with localcontext(prec=WORKING_DIGITS):
        booked = sum((amount * rates[code] for code, amount in amounts.items()), NOTHING)
    if abs(booked - Decimal(known)) <= CENT:
        return ""
    code = event.portfolio.base_currency_id
    return f"cash: {booked:.2f} {code} in the books, the proposal was made from {Decimal(known):.2f}"


def restricted_events(events: Sequence[RebalancingEvent]) -> dict[int, str]:
    """Of each event that trades against a restriction which came after it, what it does; by its id."""
    days = {event.portfolio_id: decision_day(event.valuation_date) for event in events}
    in_force = restrictions_of(days)
    concerned = [event for event in events if event.actions and in_force[event.portfolio_id]]
    if not concerned:
        return {}
    assets = _assets(concerned)
    faults = {
        event.pk: restriction_faults(_state(event, in_force[event.portfolio_id], assets), _trades(event))
        for event in concerned
    }
    return {event_id: "; ".join(found) for event_id, found in faults.items() if found}


def _assets(events: Sequence[RebalancingEvent]) -> dict[Name, Asset]:
    """Those of the states by their names, those that are traded also where they have another name by now."""
    lines = [line for event in events for line in event.pre_state.get("lines", ())]
    actions = [action for event in events for action in event.actions]
    traded = Asset.objects.in_bulk({action["asset"] for action in actions})
    named = Asset.objects.filter(symbol__in={line["symbol"] for line in lines})
    return {(asset.symbol, asset.exchange): asset for asset in named} | {
        _name(action): traded[action["asset"]] for action in actions if action["asset"] in traded
    }


def _state(
    event: RebalancingEvent, restrictions: Sequence[TradingRestriction], assets: Mapping[Name, Asset]
) -> AllocationState:
    lines = {_name(action): {"price": action["price"]} for action in event.actions}
    lines |= {_name(line): line for line in event.pre_state.get("lines", ())}
    return AllocationState(
        portfolio=event.portfolio,
        policy=RebalancingPolicy(portfolio=event.portfolio),
        day=event.valuation_date,
        lines=tuple(_line(assets[name], line) for name, line in lines.items() if name in assets),
        cash=_number(event.pre_state.get("cash")),
        value=_number(event.pre_state.get("value")),
        drift=None,
        reasons=(),
        restrictions=tuple(restrictions),
    )


def _line(asset: Asset, line: Mapping[str, str | None]) -> AllocationLine:
    return AllocationLine(
        asset=asset,
        quantity=_number(line.get("quantity")) or NOTHING,
        price=_number(line.get("price")),
        price_age=None,
        allocation=None,
        value=_number(line.get("value")),
        weight=None,
        drift=None,
    )


def _trades(event: RebalancingEvent) -> list[tuple[int, Trade]]:
    return [
        (
            action["asset"],
            Trade(
                symbol=action["symbol"],
                side=action["side"],
                quantity=Decimal(action["quantity"]),
                price=Decimal(action["price"]),
                amount=Decimal(action["amount"]),
                cost=Decimal(action.get("cost") or 0),
            ),
        )
        for action in event.actions
    ]


def _name(line: Mapping[str, Any]) -> Name:
    return line["symbol"], line.get("exchange", "")


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
