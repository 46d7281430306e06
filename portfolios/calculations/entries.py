"""What goes into the books: transactions and corporate actions, and their order within a day."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from portfolios.calculations.lots import NamedLot

# The fixed order within a day: what opens a position comes before what closes one, so that a position may be
# opened and closed on one day. Corporate actions come before all of them.
_DAY_ORDER = [
    ("deposit", "transfer_in", "currency_exchange"),
    ("buy", "short"),
    ("sell", "cover"),
    ("dividend", "interest", "interest_charge"),
    ("fee", "fee_refund", "tax", "tax_refund"),
    ("withdrawal", "transfer_out"),
]
_PLACES = {kind: place for place, kinds in enumerate(_DAY_ORDER) for kind in kinds}
_BRINGS_CASH = {"deposit", "sell", "short", "dividend", "interest", "fee_refund", "tax_refund"}
_MOVES_NO_CASH = {"transfer_in", "transfer_out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One settled transaction. Amounts are gross and positive, the kind gives the direction.

    date: of the trade; from this day on it counts in the value. settle_date: from this day on its cash is
    settled; None when that is the day of the trade.
    fx_rate: base currency for one unit of `currency`, as booked; None when the day's rate holds.
    counter_amount, counter_currency: what a currency exchange paid.
    lots: the lots that a sale, cover or transfer out takes; None when the cost method chooses them.
    """

    id: int
    date: dt.date
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
    settle_date: dt.date | None = None
    lots: tuple[NamedLot, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateAction:
    """What a company did to its shares, effective before trading on `date`.

    ratio: new shares for one old. amount: cash per old share, in the asset's currency. new_asset: what the
    new shares are of. cost_allocation: the share of the old cost that goes to the new shares, as a fraction;
    None when it follows from market values.
    """

    asset: int
    date: dt.date
    kind: str
    ratio: Fraction | None = None
    amount: Decimal | None = None
    new_asset: int | None = None
    cost_allocation: Decimal | None = None


class LedgerError(ValueError):
    """A transaction that the books cannot take. `entry` is the transaction."""

    def __init__(self, entry: Entry, reason: str) -> None:
        super().__init__(f"transaction {entry.id} on {entry.date}: {reason}")
        self.entry = entry


def day_key(entry: Entry) -> tuple[object, ...]:
    """Sort key within a day: the kind's place, then the contents, and the id among equals.

    Sales that name their lots come before those that take what the cost method leaves them.
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
        entry.lots is None,
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


def signed_amount(entry: Entry) -> Decimal:
    """The gross amount as the cash account sees it: positive when received, negative when paid."""
    amount = gross_amount(entry)
    return amount if entry.kind in _BRINGS_CASH else -amount


def cash_moves(entry: Entry) -> list[tuple[str, Decimal]]:
    """All the cash that an entry moves, by currency; fees and taxes are paid in the entry's own."""
    moves = []
    if entry.kind == "currency_exchange":
        paid, currency = counter_of(entry)
        moves = [(entry.currency, gross_amount(entry)), (currency, -paid)]
    elif entry.kind not in _MOVES_NO_CASH:
        moves = [(entry.currency, signed_amount(entry))]
    return moves + [(entry.currency, -charge) for charge in (entry.fee, entry.tax) if charge]


def unsettled_cash(entries: Iterable[Entry], day: dt.date) -> dict[str, Decimal]:
    """By currency the cash of what was traded up to `day` and settles later; the rest of the cash is settled.

    Positive: still to come; negative: still to be paid.
    """
    waiting: dict[str, Decimal] = {}
    for entry in entries:
        if entry.settle_date is not None and entry.date <= day < entry.settle_date:
            for currency, amount in cash_moves(entry):
                waiting[currency] = waiting.get(currency, Decimal(0)) + amount
    return waiting
