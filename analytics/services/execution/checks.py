"""What stands against carrying out a proposal now: books and prices may have moved on since it was made."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from analytics.models import OrderSide, RebalancingEvent
from analytics.services.execution.costs import cost_of
from analytics.services.execution.orders import actions_in_order
from analytics.services.execution.prices import Market, execution_day, market_on
from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text
from portfolios.calculations.entries import LedgerError
from portfolios.models import Asset, CostMethod, Portfolio, PortfolioStatus
from portfolios.selectors.books import Book, actions_of, book_on
from portfolios.selectors.holdings import asset_groups, held_quantities

# Proposals count costs to the cent.
CENT = Decimal("0.01")
NOTHING = Decimal(0)


@dataclass(frozen=True)
class PlannedTrade:
    """One line of the proposal, read. Lots: how many units of each."""

    action: Mapping[str, Any]
    asset: Asset
    side: str
    quantity: Decimal
    lots: Mapping[int, Decimal]


def execution_conflicts(event: RebalancingEvent) -> list[str]:
    """Why the trades of the proposal cannot all be made now; empty when they can. The event is locked."""
    portfolio, day = event.portfolio, execution_day()
    if portfolio.status == PortfolioStatus.CLOSED:
        return ["the portfolio is closed"]
    if day is None:
        return ["there are no prices"]
    trades, faults = _planned_trades(event)
    if faults or not trades:
        return faults
    try:
        book = book_on(portfolio, clock.today())
        held = _held_from(portfolio.pk, trades, day)
    except LedgerError as error:
        return [f"the books cannot be walked: {error}"]
    market = market_on(portfolio, [trade.asset for trade in trades], day, book.cash)
    return [
        *_action_conflicts(trades, event.valuation_date),
        *_price_conflicts(trades, market, portfolio),
        *_sale_conflicts(trades, held),
        *_lot_conflicts(trades, book, portfolio),
        *_cash_conflicts(trades, book, market, portfolio),
    ]


def _planned_trades(event: RebalancingEvent) -> tuple[list[PlannedTrade], list[str]]:
    trades, faults = [], []
    assets = Asset.objects.in_bulk([action.get("asset") for action in event.actions])
    for place, action in enumerate(actions_in_order(event), start=1):
        asset = assets.get(action.get("asset"))
        try:
            if asset is None:
                raise ValueError("unknown asset")
            trades.append(_planned_trade(action, asset))
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            faults.append(f"trade {place} of the proposal cannot be read: {error!r}")
    names = [trade.asset for trade in trades]
    faults += [f"{asset}: traded twice" for asset in sorted(set(names), key=str) if names.count(asset) > 1]
    return trades, faults


def _planned_trade(action: Mapping[str, Any], asset: Asset) -> PlannedTrade:
    quantity = Decimal(action["quantity"])
    if action["side"] not in OrderSide.values:
        raise ValueError(f"side {action['side']}")
    if quantity <= 0 or Decimal(action["price"]) <= 0 or Decimal(action["local_price"]) <= 0:
        raise ValueError("quantity and price must be above 0")
    lots: dict[int, Decimal] = {}
    for lot in action.get("lots") or ():
        lots[lot["lot"]] = lots.get(lot["lot"], NOTHING) + Decimal(lot["quantity"])
    if lots and sum(lots.values()) != quantity:
        raise ValueError(f"its lots add up to {decimal_text(sum(lots.values(), NOTHING))}")
    return PlannedTrade(action, asset, action["side"], quantity, lots)


def _held_from(portfolio_id: int, trades: Iterable[PlannedTrade], day: dt.date) -> dict[int, Decimal]:
    """What is held of each asset all the time from the day on."""
    held: dict[int, Decimal] = {}
    for group in asset_groups(trade.asset.pk for trade in trades):
        for asset, changes in held_quantities(portfolio_id, group, clock.today()).items():
            before = [quantity for changed, quantity in changes if changed <= day]
            later = [quantity for changed, quantity in changes if changed > day]
            held[asset] = min([*before[-1:], *later]) if before else NOTHING
    return held


def _action_conflicts(trades: list[PlannedTrade], since: dt.date) -> list[str]:
    """After a split, so many shares are not what was decided on."""
    symbols = {trade.asset.pk: trade.asset.symbol for trade in trades}
    return [
        f"{symbols[action.asset]}: a {action.kind} on {action.date}, after the proposal"
        for action in actions_of(symbols, clock.today())
        if action.asset in symbols and action.date > since
    ]


def _price_conflicts(trades: list[PlannedTrade], market: Market, portfolio: Portfolio) -> list[str]:
    return [
        f"{trade.asset.symbol}: no recent price in {portfolio.base_currency_id} on {market.day}"
        for trade in trades
        if market.price(trade.asset) is None
    ]


def _sale_conflicts(trades: list[PlannedTrade], held: Mapping[int, Decimal]) -> list[str]:
    return [
        f"{trade.asset.symbol}: {decimal_text(trade.quantity)} to sell, "
        f"{decimal_text(held.get(trade.asset.pk, NOTHING))} held"
        for trade in trades
        if trade.side == OrderSide.SELL and trade.quantity > held.get(trade.asset.pk, NOTHING)
    ]


def _lot_conflicts(trades: list[PlannedTrade], book: Book, portfolio: Portfolio) -> list[str]:
    """At average cost there is one pool of units, and a sale names no lots in the books."""
    if portfolio.cost_method == CostMethod.AVERAGE:
        return []
    conflicts = []
    for trade in trades:
        open_lots: dict[int, Decimal] = {}
        for lot in book.lots.get(trade.asset.pk, ()):
            open_lots[lot.id] = open_lots.get(lot.id, NOTHING) + lot.quantity
        conflicts += [
            f"{trade.asset.symbol}: {decimal_text(quantity)} of lot {lot}, of which "
            f"{decimal_text(open_lots.get(lot, NOTHING))} are left"
            for lot, quantity in trade.lots.items()
            if quantity > open_lots.get(lot, NOTHING)
        ]
    return conflicts


def _cash_conflicts(
    trades: list[PlannedTrade], book: Book, market: Market, portfolio: Portfolio
) -> list[str]:
    """Buys are paid from the cash there is and what the sales bring, at the last prices."""
    unknown = [code for code, amount in sorted(book.cash.items()) if amount and code not in market.rates]
    if unknown:
        return [f"cash: no recent rate from {code} to {portfolio.base_currency_id}" for code in unknown]
    cash = sum((amount * market.rates[code] for code, amount in book.cash.items() if amount), NOTHING)
    needed = NOTHING
    for trade in trades:
        price = market.price(trade.asset)
        if price is None:
            return []
        amount = trade.quantity * price
        cash -= cost_of(trade.action, amount)
        if trade.side == OrderSide.SELL:
            cash += amount
        else:
            needed += amount
    if not needed or needed <= cash + CENT:
        return []
    return [
        f"cash: the buys need {needed:.2f} {portfolio.base_currency_id}, "
        f"after sales and costs there are {cash:.2f}"
    ]
