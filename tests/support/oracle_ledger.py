"""A second ledger, day by day in Decimal, that shares nothing with the product's but the files.

Calendar: the days, from the first settled line on, on which at least one asset the book ever traded, or one
of its benchmarks, has a price. A line between two such days belongs to the later one; the demo has none.
Cost and realised gain: first in, first out, in base currency at the rate of the trade date, without fees
and taxes. A split multiplies the open lots before the first trade of its ex-date.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cache

import pandas as pd

from tests.support import demo_files

DIGITS = 50
ZERO = Decimal(0)
# The fixed order within a day.
ORDER = {
    "split": 0,
    "deposit": 1,
    "currency_exchange": 1,
    "buy": 2,
    "sell": 3,
    "dividend": 4,
    "interest": 4,
    "fee": 5,
    "fee_refund": 5,
    "tax": 5,
    "tax_refund": 5,
    "withdrawal": 6,
}
LEVELS = (
    "total_value",
    "cash_value",
    "invested_value",
    "cost_basis",
    "unrealized_pnl",
    "cumulative_net_flow",
)
SUMS = ("net_flow", "realized_pnl", "income", "fees", "taxes")


@dataclass
class Lot:
    quantity: Decimal
    cost: Decimal


@dataclass
class Book:
    """What one portfolio owns, and what has been booked since the last close."""

    code: str
    base: str
    cash: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    lots: dict[str, list[Lot]] = field(default_factory=lambda: defaultdict(list))
    inflow: Decimal = ZERO
    outflow: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    income: Decimal = ZERO
    fees: Decimal = ZERO
    taxes: Decimal = ZERO

    def quantities(self) -> dict[str, Decimal]:
        held = {symbol: sum((lot.quantity for lot in lots), ZERO) for symbol, lots in self.lots.items()}
        return {symbol: quantity for symbol, quantity in sorted(held.items()) if quantity}

    def post(self, row: demo_files.Row) -> None:
        kind, currency, symbol = row["kind"], row["currency"], row["symbol"]
        fee, tax = (Decimal(row[name] or 0) for name in ("fee", "tax"))
        rate = demo_files.rate_to_base(currency, self.base, pd.Timestamp(row["trade_date"]))
        amount = Decimal(row["amount"]) if row["amount"] else Decimal(row["quantity"]) * Decimal(row["price"])
        if kind == "deposit":
            self.cash[currency] += amount
            self.inflow += amount * rate
        elif kind == "withdrawal":
            self.cash[currency] -= amount
            self.outflow += amount * rate
        elif kind == "currency_exchange":
            self.cash[currency] += amount
            self.cash[row["counter_currency"]] -= Decimal(row["counter_amount"])
        elif kind == "buy":
            self.cash[currency] -= amount
            self.lots[symbol].append(Lot(Decimal(row["quantity"]), amount * rate))
        elif kind == "sell":
            self.cash[currency] += amount
            self.realized_pnl += amount * rate - self._take(symbol, Decimal(row["quantity"]))
        elif kind in ("dividend", "interest"):
            self.cash[currency] += amount
            self.income += amount * rate
        elif kind in ("fee", "fee_refund"):
            signed = amount if kind == "fee" else -amount
            self.cash[currency] -= signed
            self.fees += signed * rate
        elif kind in ("tax", "tax_refund"):
            signed = amount if kind == "tax" else -amount
            self.cash[currency] -= signed
            self.taxes += signed * rate
        else:
            raise ValueError(f"{self.code}: {kind} is not a kind of the demo")
        self.cash[currency] -= fee + tax
        self.fees += fee * rate
        self.taxes += tax * rate

    def split(self, symbol: str, ratio: str) -> None:
        new, old = (Decimal(part) for part in ratio.split(":"))
        for lot in self.lots[symbol]:
            lot.quantity = lot.quantity * new / old

    def _take(self, symbol: str, quantity: Decimal) -> Decimal:
        """Remove shares from the oldest lots and return what they cost."""
        cost = ZERO
        lots = self.lots[symbol]
        while quantity:
            if not lots:
                raise ValueError(f"{self.code}: sells more {symbol} than it holds")
            taken = min(quantity, lots[0].quantity)
            part = lots[0].cost * taken / lots[0].quantity
            lots[0] = Lot(lots[0].quantity - taken, lots[0].cost - part)
            if not lots[0].quantity:
                lots.pop(0)
            quantity -= taken
            cost += part
        return cost


@dataclass(frozen=True)
class Close:
    """A portfolio at the end of one calendar day, in base currency."""

    date: pd.Timestamp
    figures: dict[str, Decimal]
    inflow: Decimal
    outflow: Decimal
    quantities: dict[str, Decimal]
    values: dict[str, Decimal]
    cash: dict[str, Decimal]


def traded_symbols(code: str) -> set[str]:
    return {row["symbol"] for row in demo_files.settled(code) if row["symbol"]}


@cache
def calendar(code: str) -> pd.DatetimeIndex:
    symbols = traded_symbols(code) | set(demo_files.benchmark_symbols(code))
    first = min(pd.Timestamp(row["trade_date"]) for row in demo_files.settled(code))
    days = set().union(*(demo_files.bars()[symbol].index for symbol in symbols))
    return pd.DatetimeIndex(sorted(day for day in days if first <= day <= demo_files.LAST_DAY))


@cache
def walk(code: str) -> list[Close]:
    """Every calendar day of one portfolio."""
    with localcontext(prec=DIGITS):
        return _walk(code)


def _walk(code: str) -> list[Close]:
    book = Book(code, demo_files.base_currency(code))
    events = sorted(_events(code), key=lambda event: (event["trade_date"], ORDER[event["kind"]]))
    closes: list[Close] = []
    flows = ZERO
    for day in calendar(code):
        while events and pd.Timestamp(events[0]["trade_date"]) <= day:
            event = events.pop(0)
            if event["kind"] == "split":
                book.split(event["symbol"], event["ratio"])
            else:
                book.post(event)
        flows += book.inflow - book.outflow
        closes.append(_close(book, day, flows))
        book.inflow = book.outflow = book.realized_pnl = book.income = book.fees = book.taxes = ZERO
    if events:
        raise ValueError(f"{code}: lines after the last day of prices")
    return closes


def _events(code: str) -> list[demo_files.Row]:
    splits = [
        {"kind": "split", "trade_date": row["ex_date"], "symbol": row["symbol"], "ratio": row["ratio"]}
        for row in demo_files.read_rows("corporate_actions.csv")
        if row["kind"] == "split"
    ]
    return demo_files.settled(code) + splits


def _close(book: Book, day: pd.Timestamp, flows: Decimal) -> Close:
    quantities = book.quantities()
    rate = demo_files.rate_to_base("USD", book.base, day)
    values = {symbol: quantity * _price(symbol, day) * rate for symbol, quantity in quantities.items()}
    cash = sum(
        (
            amount * demo_files.rate_to_base(currency, book.base, day)
            for currency, amount in book.cash.items()
        ),
        ZERO,
    )
    invested = sum(values.values(), ZERO)
    cost = sum((lot.cost for lots in book.lots.values() for lot in lots), ZERO)
    figures = {
        "total_value": invested + cash,
        "cash_value": cash,
        "invested_value": invested,
        "cost_basis": cost,
        "unrealized_pnl": invested - cost,
        "net_flow": book.inflow - book.outflow,
        "cumulative_net_flow": flows,
        "realized_pnl": book.realized_pnl,
        "income": book.income,
        "fees": book.fees,
        "taxes": book.taxes,
    }
    return Close(day, figures, book.inflow, book.outflow, quantities, values, dict(book.cash))


def _price(symbol: str, day: pd.Timestamp) -> Decimal:
    """The close of the day, or the last one before it however old."""
    closes = demo_files.traded_closes()[symbol]
    while day not in closes:
        day -= pd.Timedelta(days=1)
    return closes[day]
