"""The way of every file into the tables: all of its rows, or a list that names each one that cannot go.

One transaction holds the rows, the batch, the stale marks and the audit rows. A file that changes nothing,
because it was imported before or because all its rows were refused, leaves none of them.
"""

import datetime as dt
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction

from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text
from portfolios.imports.cells import CellError, Reading, Row
from portfolios.imports.report import ImportReport, Reject
from portfolios.imports.table import Table, TableError, open_table
from portfolios.models import ImportBatch, Portfolio
from portfolios.services.audit import Actor, audit_append

OnError = Literal["abort", "skip"]
OWN_LAYOUT = "own"
# SQLite stores a decimal as a double; 15 digits are what always comes back as it went in.
SQLITE_DIGITS = 15
BLOCK_ROWS = 50_000


class Record(Protocol):
    """One row that was read; `line` is where it stood."""

    @property
    def line(self) -> int: ...


R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
Written = TypeVar("Written")


@dataclass
class Changes(Generic[R]):
    """What a file would do to the table: rows to add, rows to change, and how many stand there already."""

    created: list[R] = field(default_factory=list)
    updated: list[R] = field(default_factory=list)
    unchanged: int = 0

    @property
    def rows(self) -> list[R]:
        return self.created + self.updated

    def sort_in(self, record: R, stored: object, given: object) -> None:
        """`stored` and `given` are the same selection of values; `stored` is None for a new row."""
        if stored is None:
            self.created.append(record)
        elif stored == given:
            self.unchanged += 1
        else:
            self.updated.append(record)


class FileImport(ABC, Generic[R]):
    """The import of one file. Subclasses say what a row is, how it compares with the tables, and write it."""

    target: ClassVar[str]
    required: ClassVar[Sequence[str]]
    optional: ClassVar[Sequence[str]] = ()
    # These columns tell rows apart: a file may hold each combination once.
    identity: ClassVar[Sequence[str]]

    def __init__(self, path: str | Path, *, actor: Actor = None, on_error: OnError = "abort") -> None:
        self.path = Path(path)
        self.actor = actor
        self.skips = on_error == "skip"
        self.layout = OWN_LAYOUT
        self.today = clock.today()
        self.report = ImportReport()
        self.reading = Reading(SQLITE_DIGITS if connection.vendor == "sqlite" else None)

    @abstractmethod
    def parse(self, row: Row) -> R:
        """The record of one row; raises CellError."""

    @abstractmethod
    def compare(self, records: list[R]) -> Changes[R]:
        """Hold the records against the tables, inside the transaction. May refuse some of them."""

    @abstractmethod
    def write(self, changes: Changes[R]) -> None:
        """Write what is new or different, with its stale marks."""

    def check_header(self, table: Table) -> None:
        table.check_header(self.required, self.optional)

    def rows_of(self, table: Table) -> Iterator[Row | Reject]:
        return table.rows(self.reading)

    def identity_of(self, record: R) -> Hashable:
        return tuple(getattr(record, name) for name in self.identity)

    def audit(self, changes: Changes[R]) -> None:
        """One audit row for the file. Imports into portfolios write one for each of them instead."""
        self.append_audit()

    def run(self) -> ImportReport:
        """Read the whole file first, so that no transaction is open meanwhile. Raises FileError."""
        try:
            records = self._read()
        except TableError as error:
            self.report.rejected += error.rejects
            return self.report
        if self._is_refused():
            return self.report
        with transaction.atomic():
            changes = self.compare(records)
            if self._is_refused():
                transaction.set_rollback(True)
                return self.report
            if changes.rows or self.has_other_changes():
                self.write(changes)
                self._count(changes)
                self._close_batch()
                self.audit(changes)
        self._count(changes)
        return self.report

    def has_other_changes(self) -> bool:
        """Whether something changes that is no row of the file."""
        return False

    def reject(self, line: int, column: str, value: object, reason: str) -> None:
        self.report.rejected.append(Reject(line, column, plain_text(value), reason))

    @cached_property
    def batch(self) -> ImportBatch:
        """The batch row, made when the first row is about to be written."""
        return ImportBatch.objects.create(
            target=self.target,
            file_name=self.path.name[:255],
            sha256=self._sha256,
            layout=self.layout,
            imported_by_id=self.actor.pk if isinstance(self.actor, User) else None,
        )

    def append_audit(
        self,
        *,
        portfolio: Portfolio | None = None,
        action: str = "",
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        file = {"file": self.batch.file_name, "sha256": self.batch.sha256}
        counts = {"created": self.report.created, "updated": self.report.updated}
        audit_append(
            action=action or f"{self.target}.imported",
            object_type="import_batch",
            object_id=self.batch.pk,
            actor=self.actor,
            portfolio=portfolio,
            before=before,
            after={**file, **(counts if after is None else after)},
        )

    def _read(self) -> list[R]:
        records: list[R] = []
        first_lines: dict[Hashable, int] = {}
        with open_table(self.path, settings.IMPORT_MAX_BYTES) as table:
            self.check_header(table)
            for row in self.rows_of(table):
                self.report.read += 1
                if isinstance(row, Reject):
                    self.report.rejected.append(row)
                    continue
                try:
                    record = self.parse(row)
                except CellError as error:
                    self.reject(row.line, error.column, error.value, error.reason)
                    continue
                first = first_lines.setdefault(self.identity_of(record), row.line)
                if first != row.line:
                    column, words = self.identity[-1], " and ".join(self.identity)
                    self.reject(row.line, column, row.cell(column), f"repeats {words} of line {first}")
                    continue
                records.append(record)
        self.report.notes += self.reading.notes()
        return records

    def _is_refused(self) -> bool:
        self.report.rejected.sort(key=lambda reject: reject.line)
        return bool(self.report.rejected) and not self.skips

    def _count(self, changes: Changes[R]) -> None:
        self.report.created = len(changes.created)
        self.report.updated = len(changes.updated)
        self.report.unchanged = changes.unchanged

    def _close_batch(self) -> None:
        report, batch = self.report, self.batch
        batch.read, batch.created, batch.updated = report.read, report.created, report.updated
        batch.unchanged, batch.rejected = report.unchanged, len(report.rejected)
        batch.rejects = [reject.as_json() for reject in report.rejected]
        batch.notes = report.notes
        batch.save()

    @cached_property
    def _sha256(self) -> str:
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def plain_text(value: object) -> str:
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


def first_days(days: Iterable[tuple[K, dt.date]]) -> dict[K, dt.date]:
    """The earliest day of each subject."""
    earliest: dict[K, dt.date] = {}
    for subject, day in days:
        if subject not in earliest or day < earliest[subject]:
            earliest[subject] = day
    return earliest


def blocks_of(records: list[Written]) -> Iterator[list[Written]]:
    """Records in portions, so that writing many of them needs no second copy of all."""
    for start in range(0, len(records), BLOCK_ROWS):
        yield records[start : start + BLOCK_ROWS]


def columns_of(records: Iterable[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """Records as the columns that a bulk write takes."""
    rows = list(records)
    return {name: [getattr(row, name) for row in rows] for name in names}
