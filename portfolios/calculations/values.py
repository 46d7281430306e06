"""Amounts that may be unknown, and the rates and prices that make them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from portfolios.calculations.entries import Entry

RateOn = Callable[[str, date], Decimal | None]
PriceOn = Callable[[int, date], Decimal | None]
TradedOn = Callable[[int, date], bool]


def always_traded(asset: int, day: date) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Value:
    """An amount, or why it is unknown. What is made with an unknown is unknown."""

    amount: Decimal | None
    reason: str = ""

    def __neg__(self) -> "Value":
        return self if self.amount is None else Value(-self.amount)

    def __add__(self, other: "Value") -> "Value":
        if self.amount is None:
            return self
        return other if other.amount is None else Value(self.amount + other.amount)

    def __sub__(self, other: "Value") -> "Value":
        return self + -other


@dataclass(frozen=True)
class Market:
    """What the books ask the market: rates into the base currency and prices, as carried up to a day.

    rate(currency, date): base currency per unit, None when unknown. price(asset, date): in the asset's
    currency, None when it never had one. currencies: of the assets; where one is missing, an asset is taken
    to be in the currency it is booked in. names: how assets are called in reasons and errors.
    traded(asset, date): whether the price is of that very day and not carried to it.
    """

    base_currency: str
    rate: RateOn
    price: PriceOn
    currencies: Mapping[int, str]
    names: Mapping[int, str]
    traded: TradedOn = always_traded

    def name(self, asset: int) -> str:
        return self.names.get(asset, f"asset {asset}")

    def currency_of(self, asset: int, default: str = "") -> str:
        return self.currencies.get(asset, default or self.base_currency)

    def converted(self, amount: Decimal, currency: str, day: date) -> Value:
        """An amount in base currency at the day's rate."""
        if currency == self.base_currency or not amount:
            return Value(amount)
        rate = self.rate(currency, day)
        if rate is None:
            return Value(None, f"no {self.base_currency} rate for {currency} on {day.isoformat()}")
        return Value(amount * rate)

    def booked(self, entry: Entry, amount: Decimal) -> Value:
        """An amount in the entry's currency, in base currency at the rate it was booked at."""
        if entry.currency == self.base_currency or not amount:
            return Value(amount)
        if entry.fx_rate is not None:
            return Value(amount * entry.fx_rate)
        if entry.counter_currency == self.base_currency and entry.counter_amount and entry.amount:
            return Value(amount * entry.counter_amount / entry.amount)
        return self.converted(amount, entry.currency, entry.date)

    def worth(self, asset: int, quantity: Decimal, day: date, currency: str = "") -> Value:
        """Units at the market, in base currency; unknown without a price or a rate."""
        price = self.price(asset, day)
        if price is None:
            return Value(None, f"{self.name(asset)}: no price up to {day.isoformat()}")
        return self.converted(quantity * price, self.currency_of(asset, currency), day)

    def local(self, asset: int, value: Decimal | None, day: date, currency: str = "") -> Decimal | None:
        """An amount in base currency, in the asset's currency at the day's rate; None when unknown."""
        if value is None:
            return None
        currency = self.currency_of(asset, currency)
        if currency == self.base_currency:
            return value
        rate = self.rate(currency, day)
        return None if not rate else value / rate
