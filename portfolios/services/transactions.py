"""Single transactions: booking them, moving them through their statuses, reversing what was settled.

Allowed moves: draft to pending or cancelled; pending to settled, cancelled or failed. A draft may be changed
and deleted, a pending line changed. A settled line stays as it is: a reversal takes it out of the books, and
both can still be read.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction as database

from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text
from portfolio_site.kernel.locks import lock_rows
from portfolios.calculations.entries import Entry
from portfolios.calculations.lots import CLOSE_TOLERANCE
from portfolios.imports.cells import CellError, Reading, Row
from portfolios.imports.transactions import TransactionRow, read_transaction
from portfolios.models import (
    Asset,
    ChangeCause,
    CostMethod,
    Currency,
    Portfolio,
    PortfolioRole,
    PortfolioStatus,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from portfolios.selectors.holdings import (
    POSITION_KINDS,
    asset_groups,
    position_entries,
    shortage,
    shortage_reason,
)
from portfolios.selectors.open_lots import named_lots_fault
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor, audit_append
from portfolios.services.staleness import mark_portfolio_stale

MOVES = {
    TransactionStatus.DRAFT: {TransactionStatus.PENDING, TransactionStatus.CANCELLED},
    TransactionStatus.PENDING: {
        TransactionStatus.SETTLED,
        TransactionStatus.CANCELLED,
        TransactionStatus.FAILED,
    },
}
EDITABLE = {TransactionStatus.DRAFT, TransactionStatus.PENDING}
MANUAL, REVERSAL, REBOOKING = "manual", "reversal", "rebooking"
# What a line says, as its columns are called.
CONTENT = (
    "kind",
    "trade_date",
    "settle_date",
    "asset_id",
    "quantity",
    "price",
    "amount",
    "fee",
    "tax",
    "currency_id",
    "fx_rate",
    "counter_amount",
    "counter_currency_id",
    "note",
    "lots",
)
# The names under which services take them.
FIELDS = tuple(name.removesuffix("_id") for name in CONTENT)
CLOSING_KINDS = {TransactionKind.SELL, TransactionKind.COVER, TransactionKind.TRANSFER_OUT}


@database.atomic
def transaction_create(
    portfolio: Portfolio,
    *,
    actor: Actor = None,
    status: str = TransactionStatus.DRAFT,
    source: str = MANUAL,
    external_id: str = "",
    **fields: Any,
) -> Transaction:
    """Add a line; `fields` are those of FIELDS. Raises ValidationError and PermissionDenied.

    lots: what a sale takes, as [{"lot": id of the transaction that opened it, "quantity": units of the day of
    the sale}]; without it the portfolio's cost method chooses.
    """
    _lock(portfolio, actor)
    line = Transaction(portfolio=portfolio, status=status, source=source)
    line.external_id = external_id or uuid4().hex
    _fill(line, fields)
    _check_holdings(line.portfolio, added=[line])
    line.full_clean(exclude=["batch"])
    line.save(force_insert=True)
    _check_lots([line])
    _record(line, "transaction.created", actor, after=_content(line))
    _mark_stale([line])
    return line


@database.atomic
def transaction_change(line: Transaction, *, actor: Actor = None, **fields: Any) -> Transaction:
    """Correct a line that is a draft or pending. Raises ValidationError and PermissionDenied."""
    _lock(line.portfolio, actor, line)
    if line.status not in EDITABLE:
        raise ValidationError(f"a {line.status} transaction is not changed; reverse a settled one")
    before = _content(line)
    _fill(line, _given(line, fields))
    after = _content(line)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        line.full_clean(exclude=["batch"])
        line.save(update_fields=changed)
        _record(
            line,
            "transaction.changed",
            actor,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )
    return line


@database.atomic
def transaction_move(
    line: Transaction, status: TransactionStatus, *, actor: Actor = None, reason: str = ""
) -> Transaction:
    """Bring a line to its next status. Raises ValidationError and PermissionDenied."""
    _lock(line.portfolio, actor, line)
    before = TransactionStatus(line.status)
    if status not in MOVES.get(before, set()):
        raise ValidationError({"status": f"a {before} transaction does not become {status}"})
    line.status = status
    if status == TransactionStatus.SETTLED:
        _fill(line, _given(line, {}))  # a draft may lie in the future, a settled line may not
        _check_holdings(line.portfolio, added=[line])
    line.save(update_fields=["status"])
    _check_lots([line])
    _record(
        line,
        f"transaction.{status}",
        actor,
        before={"status": before},
        after={"status": status},
        reason=reason,
    )
    _mark_stale([line])
    return line


@database.atomic
def transaction_delete(line: Transaction, *, actor: Actor = None, reason: str = "") -> None:
    """Only a draft, which never was anybody's business. Raises ValidationError and PermissionDenied."""
    _lock(line.portfolio, actor, line)
    if line.status != TransactionStatus.DRAFT:
        raise ValidationError(f"a {line.status} transaction is not deleted; only a draft is")
    _record(line, "transaction.deleted", actor, before=_content(line), reason=reason)
    line.delete()


@database.atomic
def transaction_reverse(line: Transaction, *, actor: Actor = None, reason: str) -> Transaction:
    """Take a settled line out of the books; returns the reversal. Raises as `transaction_rebook`."""
    _lock(line.portfolio, actor, line)
    _refuse_irreversible(line, reason)
    _check_holdings(line.portfolio, removed=[line])
    reversal = _reverse(line, actor, reason)
    _check_lots([line])
    return reversal


@database.atomic
def transaction_rebook(
    line: Transaction, *, actor: Actor = None, reason: str, **fields: Any
) -> tuple[Transaction, Transaction]:
    """Correct a settled line: reverse it and book it again with other `fields`; returns both new lines.

    The books are checked with the corrected line in place. Raises ValidationError and PermissionDenied.
    """
    _lock(line.portfolio, actor, line)
    _refuse_irreversible(line, reason)
    rebooked = Transaction(
        portfolio=line.portfolio,
        status=TransactionStatus.SETTLED,
        source=REBOOKING,
        external_id=str(line.pk),
    )
    _fill(rebooked, _given(line, fields))
    if _content(rebooked) == _content(line):
        raise ValidationError("nothing would be different")
    _check_holdings(line.portfolio, added=[rebooked], removed=[line])
    reversal = _reverse(line, actor, reason)
    rebooked.full_clean(exclude=["batch"])
    rebooked.save(force_insert=True)
    _check_lots([line, rebooked])
    _record(
        rebooked,
        "transaction.rebooked",
        actor,
        before={"transaction": line.pk, **_content(line)},
        after=_content(rebooked),
        reason=reason,
    )
    _mark_stale([rebooked])
    return reversal, rebooked


@database.atomic
def dividend_reinvest(
    portfolio: Portfolio,
    *,
    asset: Asset,
    trade_date: dt.date,
    amount: Decimal,
    quantity: Decimal,
    price: Decimal,
    tax: Decimal = Decimal(0),
    actor: Actor = None,
    status: str = TransactionStatus.SETTLED,
    external_id: str = "",
) -> tuple[Transaction, Transaction]:
    """Book a dividend and the purchase it paid for; returns both lines. Raises as `transaction_create`."""
    reference = external_id or uuid4().hex
    dividend = transaction_create(
        portfolio,
        actor=actor,
        status=status,
        external_id=f"{reference}-dividend",
        kind=TransactionKind.DIVIDEND,
        trade_date=trade_date,
        asset=asset,
        amount=amount,
        tax=tax,
    )
    purchase = transaction_create(
        portfolio,
        actor=actor,
        status=status,
        external_id=f"{reference}-purchase",
        kind=TransactionKind.BUY,
        trade_date=trade_date,
        asset=asset,
        quantity=quantity,
        price=price,
    )
    return dividend, purchase


def _lock(portfolio: Portfolio, actor: Actor, line: Transaction | None = None) -> None:
    """Writers of one book queue up here, so that what one of them checks still holds when it writes."""
    if actor is not None and not has_role(actor, portfolio, PortfolioRole.MAKER):
        raise PermissionDenied(f"{actor.get_username() or 'nobody'} may not change this portfolio")
    lock_rows(Portfolio, [portfolio.pk])
    portfolio.refresh_from_db()
    if portfolio.status == PortfolioStatus.CLOSED:
        raise ValidationError("this portfolio is closed")
    if line is not None:
        line.refresh_from_db()


def _fill(line: Transaction, fields: dict[str, Any]) -> None:
    """Set what the line says, by the same rules as a row of a file."""
    unknown = fields.keys() - set(FIELDS)
    if unknown:
        raise TypeError(f"a transaction has no {', '.join(sorted(unknown))}")
    row = _checked(line, fields)
    for name, column in zip(FIELDS, CONTENT, strict=True):
        if name != "lots":
            value = getattr(row, name)
            setattr(line, column, value.pk if isinstance(value, Asset) else value)
    line.lots = _checked_lots(line, fields.get("lots"))


def _checked(line: Transaction, fields: dict[str, Any]) -> TransactionRow:
    asset = fields.get("asset")
    cells = {name: _cell(value) for name, value in fields.items() if name not in {"asset", "lots"}}
    cells |= {"symbol": asset.symbol if asset else "", "status": line.status}
    row = Row(0, cells, Reading())
    try:
        return read_transaction(
            row,
            portfolio=line.portfolio.code,
            base_currency=line.portfolio.base_currency_id,
            today=clock.today(),
            asset=lambda: row.given("symbol", asset),
            currency=lambda column, default: _currency(row, column, default),
        )
    except CellError as error:
        raise ValidationError(
            {"asset" if error.column == "symbol" else error.column: error.reason}
        ) from error


def _checked_lots(line: Transaction, lots: Any) -> list[dict[str, Any]] | None:
    """As they are stored: ids and quantities as text, which add up to what the line sells."""
    if not lots:
        return None
    if line.kind not in CLOSING_KINDS:
        raise ValidationError({"lots": f"must be blank for a {line.kind}"})
    if line.portfolio.cost_method == CostMethod.AVERAGE:
        raise ValidationError({"lots": "at average cost a sale cannot name its lots"})
    named: dict[int, Decimal] = {}
    for lot, quantity in map(_named_lot, lots):
        named[lot] = named.get(lot, Decimal(0)) + quantity
    total = sum(named.values(), Decimal(0))
    if line.quantity is None or abs(total - line.quantity) > CLOSE_TOLERANCE:
        raise ValidationError({"lots": f"they add up to {total:f}, not to the quantity of {line.quantity}"})
    return [{"lot": lot, "quantity": decimal_text(quantity)} for lot, quantity in named.items()]


def _named_lot(part: Any) -> tuple[int, Decimal]:
    try:
        lot, quantity = int(part["lot"]), Decimal(str(part["quantity"]))
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise ValidationError({"lots": f"{part!r} is not {{lot, quantity}}"}) from error
    if not quantity.is_finite() or quantity <= 0:
        raise ValidationError({"lots": f"{part['quantity']} of lot {lot}: must be above 0"})
    return lot, quantity


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Currency):
        return value.pk
    return decimal_text(value) if isinstance(value, Decimal) and value.is_finite() else str(value)


def _currency(row: Row, column: str, default: str) -> str:
    code = row.cell(column) or default
    if not Currency.objects.filter(pk=code).exists():
        raise row.error(column, "unknown currency")
    return code


def _check_holdings(
    portfolio: Portfolio, *, added: Iterable[Transaction] = (), removed: Iterable[Transaction] = ()
) -> None:
    """Refuse what would leave some sale, now or later, without its shares."""
    new = [line for line in added if _moves_position(line)]
    gone = [line for line in removed if _moves_position(line)]
    for group in asset_groups({line.asset_id for line in (*new, *gone) if line.asset_id is not None}):
        there = position_entries(portfolio.pk, group.assets, without=[line.pk for line in gone])
        entries = [_entry(line) for line in new if line.asset_id in group.assets]
        error = shortage(there + entries, group.actions)
        if error is not None:
            culprit = error.entry if error.entry in entries else None
            raise ValidationError({"quantity": shortage_reason(error, culprit)})


def _check_lots(lines: Iterable[Transaction]) -> None:
    """Refuse what would take from a sale, now or later, a lot that it names. The lines are stored already."""
    moved = [line for line in lines if _moves_position(line)]
    if moved:
        fault = named_lots_fault(moved[0].portfolio, {line.asset_id for line in moved})
        if fault is not None:
            raise ValidationError({"lots": str(fault)})


def _entry(line: Transaction) -> Entry:
    return Entry(
        id=line.pk or 0,
        date=line.trade_date,
        kind=line.kind,
        currency=line.currency_id,
        asset=line.asset_id,
        quantity=line.quantity,
        amount=Decimal(1),
    )


def _moves_position(line: Transaction) -> bool:
    return line.status == TransactionStatus.SETTLED and line.kind in POSITION_KINDS


def _refuse_irreversible(line: Transaction, reason: str) -> None:
    if not reason.strip():
        raise ValidationError({"reason": "a reversal needs a reason"})
    if line.status != TransactionStatus.SETTLED:
        raise ValidationError(f"only a settled transaction is reversed, this one is {line.status}")
    if line.reverses_id is not None:
        raise ValidationError("a reversal is not reversed; book the line again")
    if Transaction.objects.filter(reverses=line).exists():
        raise ValidationError("this transaction is reversed already")


def _reverse(line: Transaction, actor: Actor, reason: str) -> Transaction:
    reversal = Transaction(
        portfolio=line.portfolio,
        status=TransactionStatus.SETTLED,
        source=REVERSAL,
        external_id=str(line.pk),
        reverses=line,
        **{name: getattr(line, name) for name in CONTENT},
    )
    reversal.save(force_insert=True)
    _record(
        line,
        "transaction.reversed",
        actor,
        before=_content(line),
        after={"reversal": reversal.pk},
        reason=reason,
    )
    _mark_stale([line])
    return reversal


def _given(line: Transaction, changes: dict[str, Any]) -> dict[str, Any]:
    """What the line says with some of it changed; the amount follows another quantity or price."""
    given = {name: getattr(line, name) for name in FIELDS}
    if {"quantity", "price"} & changes.keys() and line.price is not None:
        given["amount"] = None
    return given | changes


def _content(line: Transaction) -> dict[str, Any]:
    return {name: getattr(line, name) for name in CONTENT}


def _record(line: Transaction, action: str, actor: Actor, **details: Any) -> None:
    audit_append(
        action=action,
        object_type="transaction",
        object_id=line.pk,
        actor=actor,
        portfolio=line.portfolio,
        **details,
    )


def _mark_stale(lines: Iterable[Transaction]) -> None:
    for line in lines:
        if line.status == TransactionStatus.SETTLED:
            mark_portfolio_stale(line.portfolio, line.trade_date, ChangeCause.TRANSACTION)
