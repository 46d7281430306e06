"""A portfolio after its trades, in the shape of the state before them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from analytics.models import RebalancingEvent
from analytics.services.execution.prices import Market
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import Asset
from portfolios.selectors.books import Book

NOTHING = Decimal(0)
AssetNames = Mapping[tuple[str, str], Asset]


def post_state(
    event: RebalancingEvent, book: Book | None, market: Market, assets: AssetNames, reasons: list[str]
) -> dict[str, Any]:
    """Targets and bands are those of the state before; what is unknown is None, and `reasons` says why."""
    before = event.pre_state
    known = {(line["symbol"], line.get("exchange", "")): line for line in before.get("lines", ())}
    blank = dict.fromkeys(next(iter(known.values()), ()))
    lines = [
        _line(known.get(name, blank), name, assets.get(name), book, market, reasons)
        for name in sorted(known.keys() | assets.keys())
    ]
    cash = _cash(event, book, market, reasons)
    values = [None if line["value"] is None else Decimal(line["value"]) for line in lines]
    value = None
    if cash is not None and None not in values:
        value = sum((part for part in values if part is not None), cash)
    return {
        **before,
        "portfolio": event.portfolio.code,
        "date": market.day.isoformat(),
        "value": _text(value),
        "cash": _text(cash),
        "lines": lines,
    }


def _line(
    before: Mapping[str, Any],
    name: tuple[str, str],
    asset: Asset | None,
    book: Book | None,
    market: Market,
    reasons: list[str],
) -> dict[str, Any]:
    quantity = book.quantities.get(asset.pk, NOTHING) if book is not None and asset is not None else None
    price = market.price(asset) if asset is not None else None
    value = NOTHING if quantity == 0 else None
    if quantity and price is not None:
        value = quantity * price
    if value is None and quantity is not None:
        reasons.append(f"{name[0]}: no recent price on {market.day}")
    return {
        **before,
        "symbol": name[0],
        "exchange": name[1],
        "quantity": _text(quantity),
        "price": _text(price),
        "value": _text(value),
    }


def _cash(event: RebalancingEvent, book: Book | None, market: Market, reasons: list[str]) -> Decimal | None:
    if book is None:
        return None
    unknown = [code for code, amount in sorted(book.cash.items()) if amount and code not in market.rates]
    reasons += [f"cash: no recent rate from {code} to {event.portfolio.base_currency_id}" for code in unknown]
    if unknown:
        return None
    return sum((amount * market.rates[code] for code, amount in book.cash.items() if amount), NOTHING)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
