"""Parqet's export of activities: amounts are gross, in the currency of the account."""

import re
from collections.abc import Iterable

from portfolios.imports.layouts.base import (
    COMMA,
    GERMAN_DAY,
    ColumnLayout,
    Item,
    Source,
    stated_price,
    unit_price,
)

KINDS = {
    "buy": "buy",
    "sell": "sell",
    "dividend": "dividend",
    "interest": "interest",
    "transferin": "transfer_in",
    "transferout": "transfer_out",
}
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d")


class ParqetLayout(ColumnLayout):
    name = "parqet"
    required = (
        "datetime",
        "date",
        "price",
        "shares",
        "amount",
        "tax",
        "fee",
        "type",
        "identifier",
        "currency",
    )
    optional = ("holdingname",)
    unused = (
        "time",
        "realizedgains",
        "broker",
        "assettype",
        "wkn",
        "originalcurrency",
        "fxrate",
        "holding",
        "holdingnickname",
        "exchange",
        "avgholdingperiod",
    )
    names = {
        "trade_date": "date",
        "kind": "type",
        "quantity": "shares",
        "symbol": "identifier",
        "isin": "identifier",
        "note": "holdingname",
    }
    style = COMMA

    def translate(self, source: Source) -> Iterable[Item]:
        kind = KINDS.get(source.text("type").lower())
        if kind is None:
            raise source.error("type", f"must be one of {', '.join(KINDS)}")
        # The local day, not the one of the UTC time stamp beside it, which ends hours later.
        day = source.day("date", GERMAN_DAY)
        quantity, tax = source.from_zero("shares"), source.number("tax")
        identifier = source.text("identifier")
        amount = source.from_zero("amount")
        common = {
            "isin": identifier if ISIN.fullmatch(identifier) else "",
            "symbol": "" if ISIN.fullmatch(identifier) else identifier,
            "currency": source.text("currency"),
            "note": source.text("holdingname"),
        }
        figures = {
            "amount": amount,
            "fee": source.from_zero("fee"),
            "tax": tax if tax and tax > 0 else None,
        }
        if kind in {"transfer_in", "transfer_out"}:
            figures["amount"] = None
            if kind == "transfer_in" and quantity and amount is not None:
                figures["price"] = unit_price(amount, quantity)
        elif kind != "interest" and quantity and amount is not None:
            figures["price"] = stated_price(source, "price", quantity, amount)
        figures["quantity"] = None if kind == "interest" else quantity
        yield source.booking(kind, day, **common, **figures)
        if tax and tax < 0:
            yield source.called(amount="tax").booking("tax_refund", day, **common, amount=-tax)
