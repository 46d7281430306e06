"""What is booked under the ids of a file's rows, and what the import does to each portfolio."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from portfolios.imports.transactions import TransactionRow
from portfolios.models import Portfolio, Transaction, TransactionStatus
from portfolios.selectors.holdings import POSITION_KINDS

# Well below the number of parameters that a statement may have.
LINES_A_QUERY = 500
# An audit row names so many changed lines one by one, and counts the others.
MAX_CHANGED = 1_000
# What a booked line says. Its note is no part of it: another note is no other line.
CONTENT = (
    "status",
    "kind",
    "trade_date",
    "settle_date",
    "asset",
    "quantity",
    "price",
    "amount",
    "fee",
    "tax",
    "currency",
    "fx_rate",
    "counter_amount",
    "counter_currency",
)

Stored = dict[str, Any]


def booked_lines(portfolio: Portfolio, source: str, external_ids: list[str]) -> Iterator[Stored]:
    """The lines of the portfolio that have these ids: `id`, `external_id` and CONTENT."""
    for start in range(0, len(external_ids), LINES_A_QUERY):
        lines = Transaction.objects.filter(
            portfolio=portfolio, source=source, external_id__in=external_ids[start : start + LINES_A_QUERY]
        ).order_by()
        yield from lines.values("id", "external_id", *CONTENT)


def row_content(row: TransactionRow) -> Stored:
    content = {name: getattr(row, name) for name in CONTENT}
    content["asset"] = row.asset.pk if row.asset else None
    return content


def differing(row: TransactionRow, stored: Stored) -> list[str]:
    content = row_content(row)
    return [name for name in CONTENT if stored[name] != content[name]]


@dataclass
class Booking:
    """What an import does to one portfolio. `stale_from`: the first day of a settled row."""

    created: int = 0
    updated: int = 0
    first_day: dt.date = dt.date.max
    last_day: dt.date = dt.date.min
    stale_from: dt.date | None = None
    # Whose positions it changes.
    assets: set[int] = field(default_factory=set)
    before: dict[str, Stored] = field(default_factory=dict)
    after: dict[str, Stored] = field(default_factory=dict)

    def note(self, row: TransactionRow, stored: Stored | None) -> None:
        self.first_day = min(self.first_day, row.trade_date)
        self.last_day = max(self.last_day, row.trade_date)
        if row.status == TransactionStatus.SETTLED:
            self.stale_from = min(self.stale_from or row.trade_date, row.trade_date)
            if row.asset is not None and row.kind in POSITION_KINDS:
                self.assets.add(row.asset.pk)
        if stored is None:
            self.created += 1
            return
        self.updated += 1
        if len(self.before) < MAX_CHANGED:
            content, changed = row_content(row), differing(row, stored)
            self.before[row.external_id] = {name: stored[name] for name in changed}
            self.after[row.external_id] = {name: content[name] for name in changed}

    def summary(self) -> dict[str, Any]:
        summary = {
            "created": self.created,
            "updated": self.updated,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "changed": self.after,
        }
        unlisted = self.updated - len(self.after)
        return {**summary, "changed_unlisted": unlisted} if unlisted else summary
