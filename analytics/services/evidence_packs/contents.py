"""What belongs into the evidence pack of an event, read from the tables."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet

from analytics.models import OrderFill, RebalancingEvent, RebalancingOrder
from portfolios.models import AuditEvent, Transaction
from portfolios.services.audit import event_content

EVENT, ORDER, TRANSACTION = "rebalancing_event", "rebalancing_order", "transaction"
# Of taking a pack, which is no part of the event: a second pack of it is the same as the first.
EXPORTED = "evidence.exported"
# Whence the transactions come that execution books, beside its fills the exchanges of currency.
BOOKED_BY = "rebalancing"

Document = dict[str, Any]


def pack_documents(event: RebalancingEvent) -> dict[str, Any]:
    """All documents by the name of their file, the manifest apart."""
    versions = list(event.versions.select_related("created_by").order_by("version"))
    orders = list(event.orders.select_related("asset").order_by("position"))
    fills = list(OrderFill.objects.filter(order__event=event).order_by("order__position", "id"))
    transactions = list(_transactions(event, fills).order_by("id"))
    documents: dict[str, Any] = {
        "event.json": _event_document(event),
        "pre_state.json": event.pre_state,
        "post_state.json": event.post_state,
        "lots.json": lots_of(event.actions),
        "approvals.json": [
            _row(approval, user=_name(approval.user), maker=_name(approval.maker))
            for approval in event.approvals.select_related("user", "maker").order_by("id")
        ],
        "orders.json": [
            _row(order, symbol=order.asset.symbol, exchange=order.asset.exchange) for order in orders
        ],
        "fills.json": [_row(fill) for fill in fills],
        "transactions.json": [_row(line) for line in transactions],
        "audit.json": [_audit_document(link) for link in _audit_rows(event, orders, transactions)],
    }
    for version in versions:
        folder = f"versions/{version.version:04d}"
        documents[f"{folder}/inputs.json"] = version.inputs
        documents[f"{folder}/proposal.json"] = version.proposal
        about = _row(version, created_by=_name(version.created_by))
        documents[f"{folder}/version.json"] = _without(about, "inputs", "proposal")
    return documents


def lots_of(actions: Iterable[Mapping[str, Any]]) -> list[Document]:
    """The lots that the sales of a proposal take."""
    return [
        {"asset": action.get("asset"), "symbol": action.get("symbol"), "lots": action["lots"]}
        for action in actions
        if action.get("lots")
    ]


def _event_document(event: RebalancingEvent) -> Document:
    names = {
        "portfolio": event.portfolio.code,
        "requested_by": _name(event.requested_by),
        "approved_by": _name(event.approved_by),
    }
    return _without(_row(event, **names), "pre_state", "post_state")


def _transactions(event: RebalancingEvent, fills: Iterable[OrderFill]) -> QuerySet[Transaction]:
    booked = Q(pk__in=[fill.transaction_id for fill in fills if fill.transaction_id is not None])
    exchanged = Q(portfolio=event.portfolio_id, source=BOOKED_BY, external_id__startswith=f"RB-{event.pk}-")
    return Transaction.objects.filter(booked | exchanged)


def _audit_rows(
    event: RebalancingEvent, orders: Iterable[RebalancingOrder], transactions: Iterable[Transaction]
) -> QuerySet[AuditEvent]:
    about = Q(object_type=EVENT, object_id=str(event.pk))
    for kind, rows in ((ORDER, orders), (TRANSACTION, transactions)):
        about |= Q(object_type=kind, object_id__in=[str(row.pk) for row in rows])
    return AuditEvent.objects.filter(about).exclude(action=EXPORTED).order_by("sequence")


def _audit_document(link: AuditEvent) -> Document:
    return event_content(link) | {"previous_hash": link.previous_hash, "hash": link.hash}


def _row(row: Model, **names: Any) -> Document:
    """All columns, by the name of their attribute, and what some of them stand for."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} | names


def _without(document: Mapping[str, Any], *names: str) -> Document:
    return {name: value for name, value in document.items() if name not in names}


def _name(user: User | None) -> str | None:
    return None if user is None else user.get_username()
