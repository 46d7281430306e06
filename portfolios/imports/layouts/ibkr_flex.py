"""Trades of an Interactive Brokers Flex query, as CSV. A query has the columns that its owner chose."""

import datetime as dt
import re
from collections.abc import Iterable
from decimal import Decimal

from portfolios.imports.layouts.base import (
    COMPACT_DAY,
    ENGLISH,
    ColumnLayout,
    Item,
    Note,
    Source,
    stated_price,
)

PAIR = re.compile(r"([A-Z]{3})[./]([A-Z]{3})")
# The first of these that a query has is the broker's own id of the row.
ID_COLUMNS = ("tradeid", "transactionid", "ibexecid")


class IbkrFlexLayout(ColumnLayout):
    name = "ibkr_flex"
    required = (
        "buy/sell",
        "tradedate",
        "isin",
        "quantity",
        "tradeprice",
        "trademoney",
        "currencyprimary",
        "ibcommission",
        "ibcommissioncurrency",
    )
    optional = ("symbol", "description", "levelofdetail", *ID_COLUMNS)
    names = {
        "trade_date": "tradedate",
        "kind": "buy/sell",
        "price": "tradeprice",
        "amount": "trademoney",
        "fee": "ibcommission",
        "currency": "currencyprimary",
        "note": "description",
    }
    style = ENGLISH

    def translate(self, source: Source) -> Iterable[Item]:
        level = source.text("levelofdetail").lower()
        if level not in {"", "execution"}:
            yield Note(source.line, f"{level.replace('_', ' ')}: only executions are booked")
            return
        side = source.text("buy/sell").lower()
        if side not in {"buy", "sell"}:
            raise source.error("buy/sell", "must be BUY or SELL; a cancelled trade is not imported")
        day = source.day("tradedate", COMPACT_DAY)
        sign = 1 if side == "buy" else -1
        quantity = source.signed("quantity", sign, side)
        money = source.signed("trademoney", sign, side)
        pair = PAIR.fullmatch(source.text("symbol"))
        commission, commission_currency = _commission(source)
        identity = next((source.text(name) for name in ID_COLUMNS if source.text(name)), "")
        trade: dict[str, str | Decimal | None] = {"external_id": identity, "note": source.text("description")}
        if pair and not source.text("isin"):
            booked_in = pair[1] if side == "buy" else pair[2]
            trade |= _exchange(source, side, pair, quantity, money)
            kind = "currency_exchange"
        else:
            _refuse_nameless(source)
            booked_in = source.text("currencyprimary")
            trade |= {
                **_asset(source),
                "currency": booked_in,
                "quantity": quantity,
                "price": stated_price(source, "tradeprice", quantity, money),
                "amount": money,
            }
            kind = side
        is_apart = commission < 0 or commission_currency != booked_in
        yield source.booking(kind, day, **trade, fee=None if is_apart else commission)
        if is_apart and commission:
            yield _fee(source, day, commission, commission_currency, identity)


def _commission(source: Source) -> tuple[Decimal, str]:
    """What was paid, positive, and its currency. The file has it negative; a rebate is positive there."""
    commission = source.number("ibcommission")
    currency = source.text("ibcommissioncurrency") or source.text("currencyprimary")
    return -commission if commission else Decimal(0), currency


def _fee(source: Source, day: dt.date, commission: Decimal, currency: str, identity: str) -> Item:
    return source.called(amount="ibcommission", currency="ibcommissioncurrency").booking(
        "fee" if commission > 0 else "fee_refund",
        day,
        **({} if PAIR.fullmatch(source.text("symbol")) else _asset(source)),
        amount=abs(commission),
        currency=currency,
        external_id=f"{identity}-fee" if identity else "",
        note="commission",
    )


def _asset(source: Source) -> dict[str, str]:
    return {"isin": source.text("isin"), "symbol": source.text("symbol")}


def _exchange(
    source: Source, side: str, pair: re.Match[str], quantity: Decimal, money: Decimal
) -> dict[str, str | Decimal | None]:
    """The quantity is in the first currency of the pair, the money in the second."""
    first, second = pair[1], pair[2]
    if source.text("currencyprimary") != second:
        raise source.error("currencyprimary", f"must be {second}, the second currency of the symbol")
    legs = [(quantity, first), (money, second)]
    bought, paid = legs if side == "buy" else legs[::-1]
    return {
        "amount": bought[0],
        "currency": bought[1],
        "counter_amount": paid[0],
        "counter_currency": paid[1],
    }


def _refuse_nameless(source: Source) -> None:
    if not source.text("isin") and not source.text("symbol"):
        reason = (
            "must not be blank; for an exchange of currencies the query must have the column Symbol "
            "(such as CHF.USD), because nothing else says which currency the quantity is in"
        )
        raise source.error("isin", reason)
