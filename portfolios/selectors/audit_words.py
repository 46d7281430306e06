"""An audit event in words: what was done, and what is different since, a line for each difference."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from portfolios.models import AuditEvent

ACTIONS = {
    "access.granted": "gave a person access",
    "allocation.changed": "changed the targets",
    "benchmark.changed": "changed the benchmarks",
    "change.applied": "applied a change that a second person agreed to",
    "change.requested": "asked a second person for a change",
    "evidence.exported": "took an evidence pack",
    "order.cancelled": "cancelled an order",
    "order.excess_accepted": "accepted an excess fill",
    "order.excess_refused": "refused an excess fill",
    "order.filled": "booked a fill of an order",
    "order.overfilled": "was told of more than was ordered",
    "orders.created": "made the orders",
    "orders.sent": "sent the orders",
    "policy.changed": "changed the rebalancing policy",
    "portfolio.changed": "changed the portfolio",
    "portfolio.created": "created the portfolio",
    "price.entered": "entered a price",
    "rebalancing.approval_given": "gave an approval",
    "rebalancing.approved": "approved a rebalancing",
    "rebalancing.cancelled": "cancelled a rebalancing",
    "rebalancing.completed": "completed a rebalancing",
    "rebalancing.executing": "began to execute a rebalancing",
    "rebalancing.expired": "let a rebalancing expire",
    "rebalancing.failed": "recorded that a rebalancing failed",
    "rebalancing.outcome_restated": "restated the outcome of a rebalancing",
    "rebalancing.partly_executed": "executed a part of a rebalancing",
    "rebalancing.proposed": "proposed a rebalancing",
    "rebalancing.rejected": "rejected a rebalancing",
    "rebalancing.revised": "revised a rebalancing",
    "rebalancing.trigger_joined": "joined a trigger to an open rebalancing",
    "transaction.changed": "changed a transaction",
    "transaction.created": "entered a transaction",
    "transaction.deleted": "deleted a transaction",
    "transaction.rebooked": "booked a transaction anew",
    "transaction.reversed": "reversed a transaction",
    "transaction.settled": "settled a transaction",
    "transactions.imported": "imported transactions",
}
UNKNOWN = "\N{EN DASH}"
ARROW = "\N{RIGHTWARDS ARROW}"
MOST_DIFFERENCES = 40
MOST_LETTERS = 120
SHORT_LIST = 6
SHOWN_OF_HASH = 12
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Difference:
    """One field; `before` and `after` as text, a dash where there was or is nothing."""

    field: str
    before: str
    after: str

    def __str__(self) -> str:
        if self.before == UNKNOWN:
            return f"{self.field}: {self.after}"
        return f"{self.field}: {self.before} {ARROW} {self.after}"


def event_in_words(event: AuditEvent) -> str:
    """What was done, without who did it."""
    words = ACTIONS.get(event.action)
    if words is None:
        noun, _, verb = event.action.partition(".")
        words = f"{noun}: {verb}".replace("_", " ").removesuffix(": ")
    return words


def object_in_words(event: AuditEvent) -> str:
    return f"{event.object_type.replace('_', ' ')} {event.object_id}"


def differences(event: AuditEvent) -> list[str]:
    """A line for each field that differs, the first ones where there are very many."""
    found = [str(line) for line in event_differences(event)]
    if len(found) > MOST_DIFFERENCES:
        rest = len(found) - MOST_DIFFERENCES
        return [*found[:MOST_DIFFERENCES], f"and {rest} more: see the event"]
    return found


def event_differences(event: AuditEvent) -> list[Difference]:
    before, after = dict(_leaves(event.before)), dict(_leaves(event.after))
    found = [
        Difference(name or "value", _text(before.get(name)), _text(after.get(name)))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    # What was empty and is missing now, or the other way round, tells nobody anything.
    return [line for line in found if line.before != line.after or line.before != UNKNOWN]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The fields of nested objects with where they stand: "targets, AAPL, minimum"."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, (*path, str(name).replace("_", " ").removesuffix(" id")))
    elif value is not None or path:
        yield ", ".join(path), value


def _text(value: Any) -> str:
    if value is None or value in ("", []):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return _list_text(value)
    text = _number_text(value)
    if _HASH.fullmatch(text):
        return f"{text[:SHOWN_OF_HASH]}\N{HORIZONTAL ELLIPSIS}"
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}\N{HORIZONTAL ELLIPSIS}"


def _list_text(values: list[Any]) -> str:
    if any(isinstance(value, Mapping | list) for value in values) or len(values) > SHORT_LIST:
        return "1 entry" if len(values) == 1 else f"{len(values)} entries"
    return ", ".join(map(_text, values))


def _number_text(value: Any) -> str:
    """Without the zeros and digits that nobody reads; what is not a number stays as it is."""
    text = str(value)
    if "." not in text:
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return f"{number:.8f}".rstrip("0").rstrip(".") if number.is_finite() else text
