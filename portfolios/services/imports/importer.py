"""What the import of one kind of file has to say: what a row is, how it compares, and how it is written."""

import datetime as dt
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal

from django.contrib.auth.models import User
from django.db import connection

from portfolio_site.kernel import clock
from portfolios.imports.cells import Reading, Row
from portfolios.imports.report import Reject
from portfolios.imports.table import Table
from portfolios.models import Asset, ImportBatch, Portfolio
from portfolios.services.audit import Actor, audit_append
from portfolios.services.imports.changes import Changes, R
from portfolios.services.imports.lines import FirstLines
from portfolios.services.imports.reports import Cells, FileReport, plain_text, record_cells

OnError = Literal["abort", "skip"]
OWN_LAYOUT = "own"
# SQLite stores a decimal as a double; 15 digits are what always comes back as it went in.
SQLITE_DIGITS = 15


class Importer(ABC, Generic[R]):
    """The questions that the flow of an import asks. Three have no answer here, most others need none."""

    target: ClassVar[str]
    required: ClassVar[Sequence[str]]
    optional: ClassVar[Sequence[str]] = ()
    # These columns tell rows apart: a file may hold each combination once.
    identity: ClassVar[Sequence[str]]
    # Rows that do not depend on each other are compared and written in blocks; others all at once. All that
    # comes of one line is in one block.
    is_streamed: ClassVar[bool] = False

    def __init__(self, path: str | Path, *, actor: Actor = None, on_error: OnError = "abort") -> None:
        self.path = Path(path)
        self.file_name = self.path.name
        self.actor = actor
        self.skips = on_error == "skip"
        self.layout = OWN_LAYOUT
        self.today: dt.date = clock.today()
        self.report = FileReport()
        self.first_lines = FirstLines()
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
        """What tells the record apart from others, with a `repr` that does so, too."""
        return tuple(getattr(record, name) for name in self.identity)

    def complete(self, records: list[R]) -> list[R]:
        """The records of a block with what the rows before them say about them."""
        return records

    def survey(self, records: list[R]) -> None:
        """Sees every block while the file is read, for what must be known before the first is compared."""

    def start(self) -> None:
        """Called before the first block is compared, and each time all blocks are gone through again."""

    def has_other_changes(self) -> bool:
        """Whether something changes that is no row of the file."""
        return False

    def holds(self) -> bool:
        """Whether what was written can stay. If not, it is taken back and all blocks are gone through again.

        Called after the last block, only if anything was written. Rows refused meanwhile are then as if they
        had never been in, and with "abort" the import ends here.
        """
        return True

    def finish(self) -> None:
        """Write what belongs to the file as a whole, after its last block; only if anything was written."""

    def audit(self) -> None:
        """One audit row for the file. Imports into portfolios write one for each of them instead."""
        self.append_audit()

    def cells_of(self, record: R) -> Cells:
        """The record as a person would read it."""
        return record_cells(record)

    def reject(self, line: int, column: str, value: object, reason: str) -> None:
        self.report.keep_reject(Reject(line, column, plain_text(value), reason))

    @cached_property
    def symbols(self) -> dict[int, str]:
        """What assets are called, for rows that hold their ids."""
        return dict(Asset.objects.values_list("pk", "symbol"))

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @cached_property
    def batch(self) -> ImportBatch:
        """The batch row, made when the first row is about to be written."""
        return ImportBatch.objects.create(
            target=self.target,
            file_name=self.file_name[:255],
            sha256=self.sha256,
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
