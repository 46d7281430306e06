"""One row of the own transaction layout: which cells each kind needs, and what they must say."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from portfolio_site.kernel.canonical import sha256_of
from portfolios.imports.cells import EXACT, MONEY, PRICE, QUANTITY, Row, round_number
from portfolios.models import Asset, TransactionKind, TransactionStatus

REQUIRED = (
    "portfolio",
    "trade_date",
    "kind",
    "symbol",
    "quantity",
    "price",
    "amount",
    "fee",
    "tax",
    "currency",
    "status",
    "external_id",
)
OPTIONAL = ("settle_date", "fx_rate", "counter_amount", "counter_currency", "note")

# Asked for on every row, and worked out anew by each question to the enumeration.
KINDS, STATUSES = tuple(TransactionKind.values), tuple(TransactionStatus.values)
TRADES = {"buy", "sell", "short", "cover"}
TRANSFERS = {"transfer_in", "transfer_out"}
WITH_QUANTITY = TRADES | TRANSFERS | {"dividend"}
WITHOUT_ASSET = {"deposit", "withdrawal", "currency_exchange"}
UNSETTLED = {TransactionStatus.DRAFT, TransactionStatus.PENDING}
# Two statements of one amount may differ by this much.
CENT = Decimal("0.01")


class TransactionRow(NamedTuple):
    line: int
    portfolio: str
    kind: str
    status: str
    trade_date: dt.date
    settle_date: dt.date | None
    asset: Asset | None
    quantity: Decimal | None
    price: Decimal | None
    amount: Decimal | None
    fee: Decimal
    tax: Decimal
    currency: str
    fx_rate: Decimal | None
    counter_amount: Decimal | None
    counter_currency: str | None
    external_id: str
    note: str

    def content_hash(self) -> str:
        """What the row says, without its status and note: a row that settles later stays the same row.

        Stored as the external id of rows that have none, so a change here would book such rows again.
        """
        asset = [self.asset.symbol, self.asset.exchange] if self.asset else None
        return sha256_of(
            [
                self.portfolio,
                self.kind,
                self.trade_date,
                self.settle_date,
                asset,
                self.quantity,
                self.price,
                self.amount,
                self.fee,
                self.tax,
                self.currency,
                self.fx_rate,
                self.counter_amount,
                self.counter_currency,
            ]
        )[:40]


def read_transaction(
    row: Row,
    *,
    portfolio: str,
    base_currency: str,
    today: dt.date,
    asset: Callable[[], Asset],
    currency: Callable[[str, str], str],
) -> TransactionRow:
    """`asset()` finds what the symbol means, `currency(column, default)` the currency. Raises CellError."""
    kind = row.choice("kind", KINDS)
    status = row.choice("status", STATUSES, default=TransactionStatus.SETTLED)
    trade_date = row.given("trade_date", row.date("trade_date"))
    if trade_date > today and status not in UNSETTLED:
        raise row.error("trade_date", "lies in the future, which only a pending or draft row may")
    settle_date = row.date("settle_date")
    if settle_date is not None and settle_date < trade_date:
        raise row.error("settle_date", "before the trade date")
    _refuse_misplaced(row, kind)
    is_named = row.cell("symbol") or row.cell("isin")
    held = asset() if is_named or kind in WITH_QUANTITY else None
    quantity, price, amount = _figures(row, kind)
    booked_in = currency("currency", held.currency_id if held else base_currency)
    fx_rate = row.positive_number("fx_rate", PRICE)
    if fx_rate is not None and booked_in == base_currency and fx_rate != 1:
        raise row.error("fx_rate", f"must be blank or 1: {booked_in} is the base currency")
    counter_amount, counter_currency = None, None
    if kind == TransactionKind.CURRENCY_EXCHANGE:
        counter_amount = row.given("counter_amount", row.positive_number("counter_amount", MONEY))
        counter_currency = currency("counter_currency", "")
        if counter_currency == booked_in:
            raise row.error("counter_currency", "the same as currency")
    return TransactionRow(
        line=row.line,
        portfolio=portfolio,
        kind=kind,
        status=status,
        trade_date=trade_date,
        settle_date=settle_date,
        asset=held,
        quantity=quantity,
        price=price,
        amount=amount,
        fee=row.number_from_zero("fee", MONEY) or Decimal(0),
        tax=row.number_from_zero("tax", MONEY) or Decimal(0),
        currency=booked_in,
        fx_rate=fx_rate,
        counter_amount=counter_amount,
        counter_currency=counter_currency,
        external_id=row.text("external_id", 128),
        note=row.text("note", 500),
    )


def _refuse_misplaced(row: Row, kind: str) -> None:
    """A cell that its kind has no use for is more likely a row of the wrong kind."""
    misplaced = []
    if kind in WITHOUT_ASSET:
        misplaced.append("symbol")
    if kind not in WITH_QUANTITY:
        misplaced += ["quantity", "price"]
    if kind != TransactionKind.CURRENCY_EXCHANGE:
        misplaced += ["counter_amount", "counter_currency"]
    for column in misplaced:
        if row.cell(column):
            raise row.error(column, f"must be blank for a {kind}")


def _figures(row: Row, kind: str) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Quantity, price and gross amount; the amount is worked out where it may be blank."""
    if kind not in WITH_QUANTITY:
        return None, None, row.given("amount", row.positive_number("amount", MONEY))
    quantity = row.positive_number("quantity", QUANTITY)
    if kind in TRADES | TRANSFERS:
        row.given("quantity", quantity)
    price = row.number_from_zero("price", PRICE)
    amount = row.number_from_zero("amount", MONEY)
    if quantity is not None and price is not None:
        product = EXACT.multiply(quantity, price)
        if amount is not None and abs(amount - product) > CENT:
            raise row.error("amount", f"differs from quantity x price = {product:f} by more than a cent")
        if amount is None and kind not in TRANSFERS:
            amount = _product(row, product)
    elif amount is not None and kind in TRANSFERS:
        raise row.error("amount", "a transfer is valued at the market; its cost goes into price, per unit")
    if kind not in TRANSFERS and amount is None:
        raise row.error("amount", f"a {kind} needs an amount, or a quantity and a price")
    if kind == TransactionKind.DIVIDEND and not amount:
        raise row.error("amount", "must be above 0")
    return quantity, price, amount


def _product(row: Row, product: Decimal) -> Decimal:
    try:
        amount = round_number(product, MONEY, row.reading.significant)
    except ValueError as error:
        raise row.error("amount", f"quantity x price: {error}") from error
    if product and not amount:
        raise row.error("amount", "quantity x price would round to 0")
    return amount
