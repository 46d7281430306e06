"""What goes into the books: transactions and corporate actions, and their order within a day."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

# The fixed order within a day. Corporate actions come before all of them.
_DAY_ORDER = [
    ("deposit", "transfer_in", "currency_exchange"),
    ("buy", "cover"),
    ("sell", "short"),
    ("dividend", "interest", "interest_charge"),
    ("fee", "fee_refund", "tax", "tax_refund"),
    ("withdrawal", "transfer_out"),
]
_PLACES = {kind: place for place, kinds in enumerate(_DAY_ORDER) for kind in kinds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One settled transaction. Amounts are gross and positive, the kind gives the direction.

    fx_rate: base currency for one unit of `currency`, as booked; None when the day's rate holds.
    counter_amount, counter_currency: what a currency exchange paid.
    """

    id: int
    date: date
    kind: str
    currency: str
    asset: int | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    amount: Decimal | None = None
    fee: Decimal | None = None
    tax: Decimal | None = None
    fx_rate: Decimal | None = None
    counter_amount: Decimal | None = None
    counter_currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateAction:
    """What a company did to its shares, effective before trading on `date`. ratio: new shares for one old."""

    asset: int
    date: date
    kind: str
    ratio: Fraction | None = None
    amount: Decimal | None = None


class LedgerError(ValueError):
    """A transaction that the books cannot take. `entry` is the transaction."""

    def __init__(self, entry: Entry, reason: str) -> None:
        super().__init__(f"transaction {entry.id} on {entry.date}: {reason}")
        self.entry = entry


def day_key(entry: Entry) -> tuple[object, ...]:
    """Sort key within a day: the kind's place, then the contents, and the id among equals.

    Raises LedgerError for an unknown kind.
    """
    if entry.kind not in _PLACES:
        raise LedgerError(entry, f"unknown kind {entry.kind!r}")
    numbers = (
        entry.asset,
        entry.quantity,
        entry.price,
        entry.amount,
        entry.fee,
        entry.tax,
        entry.fx_rate,
        entry.counter_amount,
    )
    return (
        _PLACES[entry.kind],
        entry.kind,
        entry.currency,
        entry.counter_currency or "",
        *((number is not None, number or 0) for number in numbers),
        entry.id,
    )


def gross_amount(entry: Entry) -> Decimal:
    """The amount, or quantity x price where it is blank. Raises LedgerError when negative or missing."""
    if entry.amount is not None:
        amount = entry.amount
    elif entry.quantity is not None and entry.price is not None:
        amount = entry.quantity * entry.price
    else:
        raise LedgerError(entry, f"a {entry.kind} needs an amount, or a quantity and a price")
    if amount < 0:
        raise LedgerError(entry, f"the amount of a {entry.kind} cannot be negative: {amount:f}")
    return amount


def position_of(entry: Entry) -> tuple[int, Decimal]:
    """Asset and quantity of a trade or transfer. Raises LedgerError when one is missing."""
    if entry.asset is None or entry.quantity is None or entry.quantity <= 0:
        raise LedgerError(entry, f"a {entry.kind} needs an asset and a positive quantity")
    return entry.asset, entry.quantity


def counter_of(entry: Entry) -> tuple[Decimal, str]:
    """Amount and currency that a currency exchange paid. Raises LedgerError when one is missing."""
    if entry.counter_amount is None or entry.counter_currency is None:
        raise LedgerError(entry, "a currency_exchange needs a counter amount and its currency")
    return entry.counter_amount, entry.counter_currency
