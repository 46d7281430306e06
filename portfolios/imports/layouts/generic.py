"""The plainest of broker files: date, action, symbol, quantity, price, fees, currency."""

from collections.abc import Iterable

from portfolios.imports.cells import EXACT
from portfolios.imports.layouts.base import ISO_DAY, POINT, ColumnLayout, Item, NumberStyle, Source

TRADES = {"buy", "sell", "short", "cover", "dividend"}
TRANSFERS = {"transfer_in", "transfer_out"}
# Money alone; the price is the amount, times the quantity where one is given.
MONEY = {
    "deposit",
    "withdrawal",
    "interest",
    "interest_charge",
    "fee",
    "fee_refund",
    "tax",
    "tax_refund",
}
KINDS = TRADES | TRANSFERS | MONEY
ACTIONS = {
    "stock_split": ("split",),
    "split": ("split",),
    "spin_off": ("spin_off",),
    "merger": ("merger",),
    "symbol_change": ("symbol_change",),
}


class GenericLayout(ColumnLayout):
    name = "generic"
    required: tuple[str, ...] = (
        "date",
        "action",
        "symbol",
        "quantity",
        "price",
        "fees",
        "currency",
    )
    optional = ("isin", "exchange", "external_id", "note")
    names = {
        "trade_date": "date",
        "kind": "action",
        "amount": "price",
        "fee": "fees",
    }

    def __init__(self, style: NumberStyle = POINT) -> None:
        self.style = style

    def translate(self, source: Source) -> Iterable[Item]:
        kind = source.text("action").lower().replace(" ", "_")
        day = source.day("date", ISO_DAY)
        symbol = source.text("symbol")
        if kind in ACTIONS:
            yield source.announced(ACTIONS[kind], day, [symbol], f"{kind.replace('_', ' ')} of {symbol}")
            return
        if kind not in KINDS:
            raise source.error("action", f"must be one of {', '.join(sorted(KINDS | set(ACTIONS)))}")
        quantity, price, fees = source.number("quantity"), source.number("price"), source.from_zero("fees")
        amount = None
        if kind in MONEY:
            if kind == "fee" and not price:
                price, fees = fees, None
            amount = EXACT.multiply(1 if quantity is None else quantity, source.row.given("price", price))
            quantity = price = None
        yield source.booking(
            kind,
            day,
            quantity=quantity,
            price=price,
            amount=amount,
            fee=fees,
            currency=source.text("currency"),
            **{name: source.text(name) for name in ("symbol", *self.optional)},
        )
