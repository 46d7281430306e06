"""The way of every file into the tables: all of its rows, or a list that names each one that cannot go.

A file is read once, while no transaction is open: its rows are checked and wait, block by block, in a
nameless file of their own. Then one transaction compares and writes them, so that the tables are locked no
longer than writing takes, and a long file needs no more memory than a block of it.

The transaction also holds the batch, the stale marks and the audit rows. A file that changes nothing,
because it was imported before or because all its rows were refused, leaves none of them.
"""

import dataclasses
import datetime as dt
import hashlib
import pickle
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, cast

import numpy as np
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text
from portfolios.imports.cells import CellError, Reading, Row
from portfolios.imports.report import MAX_VALUE_LENGTH, ImportReport, Reject
from portfolios.imports.table import Table, TableError, open_table
from portfolios.models import Asset, ImportBatch, Portfolio
from portfolios.services.audit import Actor, audit_append

OnError = Literal["abort", "skip"]
OWN_LAYOUT = "own"
# SQLite stores a decimal as a double; 15 digits are what always comes back as it went in.
SQLITE_DIGITS = 15
BLOCK_ROWS = 50_000
# So many are listed, the first of the file; whoever has more has one mistake, not ten thousand.
MAX_REJECTS = 10_000
SAMPLE_ROWS = 50
# Files whose rows take less than this wait in memory.
SPOOL_MEMORY = 8_000_000
# Merging takes four times the memory of what is merged; searching a dozen arrays is cheaper than that.
MERGED_ROWS = 200_000


class Record(Protocol):
    """One row that was read; `line` is where it stood."""

    @property
    def line(self) -> int: ...


R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
Cells = dict[str, str]


class ImportWatch:
    """Follows one import. What it does in `begin` and `finish` is part of the import's transaction."""

    def progress(self, done: int, total: int | None) -> None:
        """So many rows are read (the total is not known yet) or written."""

    def begin(self) -> None:
        """Called before anything is compared. Whatever it raises ends the import."""

    def finish(self, report: "FileReport") -> None:
        """Called when all is written."""


@dataclass
class FileReport(ImportReport):
    """`rejected` lists the first MAX_REJECTS by line, `unlisted` counts the others.

    `samples` are the first rows of each kind as plain cells, in a preview only.
    """

    unlisted: int = 0
    samples: dict[str, list[Cells]] = field(default_factory=dict)
    batch_id: int | None = None

    @property
    def rejected_count(self) -> int:
        return len(self.rejected) + self.unlisted

    def summary(self) -> str:
        return (
            f"{self.read} read, {self.created} created, {self.updated} updated, "
            f"{self.unchanged} unchanged, {self.rejected_count} rejected"
        )

    def keep_reject(self, reject: Reject) -> None:
        if len(reject.value) > MAX_VALUE_LENGTH:
            reject = dataclasses.replace(reject, value=reject.value[:MAX_VALUE_LENGTH])
        self.rejected.append(reject)
        if len(self.rejected) >= 2 * MAX_REJECTS:
            self.sort_rejects()

    def sort_rejects(self) -> None:
        self.rejected.sort(key=lambda reject: reject.line)
        self.unlisted += len(self.rejected[MAX_REJECTS:])
        del self.rejected[MAX_REJECTS:]


@dataclass
class Changes(Generic[R]):
    """What a file would do to the table: rows to add, rows to change, and how many stand there already."""

    created: list[R] = field(default_factory=list)
    updated: list[R] = field(default_factory=list)
    unchanged: int = 0
    # The first of them, to be shown.
    unchanged_sample: list[R] = field(default_factory=list)

    @property
    def rows(self) -> list[R]:
        return self.created + self.updated

    def sort_in(self, record: R, stored: object, given: object) -> None:
        """`stored` and `given` are the same selection of values; `stored` is None for a new row."""
        if stored is None:
            self.created.append(record)
        elif stored == given:
            self.leave(record)
        else:
            self.updated.append(record)

    def leave(self, record: R) -> None:
        self.unchanged += 1
        if len(self.unchanged_sample) < SAMPLE_ROWS:
            self.unchanged_sample.append(record)


class FirstLines:
    """On which line each row of a file stood first.

    A dict of keys would take some 300 bytes a row, and a file has no limit of rows. Sixteen bytes of BLAKE2
    never meet by chance, so equal hashes are equal keys, and sorted arrays of them take 20 bytes a row with
    the line. Small arrays are merged, so that few have to be searched.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def find(self, keys: Iterable[Hashable], lines: Sequence[int]) -> list[int]:
        """The first line of each key. Keys that are new are kept with theirs."""
        digests = _digests(keys)
        if not len(digests):
            return []
        hashes, places, inverse = np.unique(digests, return_index=True, return_inverse=True)
        first = self._known(hashes)
        is_new = first == 0
        if is_new.any():
            first[is_new] = np.array(lines, dtype=np.int32)[places[is_new]]
            self._keep(hashes[is_new], first[is_new])
        return cast("list[int]", first[inverse].tolist())

    def lines_of(self, keys: Iterable[Hashable]) -> list[int]:
        """The first line of each key that is known, 0 for others."""
        return cast("list[int]", self._known(_digests(keys)).tolist())

    def _known(self, hashes: np.ndarray) -> np.ndarray:
        """The line of each, 0 where there is none yet."""
        lines = np.zeros(len(hashes), dtype=np.int32)
        for known, known_lines in self._runs:
            place = np.searchsorted(known, hashes).clip(max=len(known) - 1)
            found = known[place] == hashes
            lines[found] = known_lines[place[found]]
        return lines

    def _keep(self, hashes: np.ndarray, lines: np.ndarray) -> None:
        while self._runs and len(self._runs[-1][0]) <= len(hashes) < MERGED_ROWS:
            known, known_lines = self._runs.pop()
            hashes, lines = np.concatenate([known, hashes]), np.concatenate([known_lines, lines])
            order = np.argsort(hashes, kind="stable")
            hashes, lines = hashes[order], lines[order]
        self._runs.append((hashes, lines))


def _digests(keys: Iterable[Hashable]) -> np.ndarray:
    digests = [hashlib.blake2b(repr(key).encode(), digest_size=16).digest() for key in keys]
    return np.array(digests, dtype="S16")


class Spool(Generic[R]):
    """Blocks of records between reading and writing, in a file that has no name and ends with the process.

    Reading the import's file a second time instead would parse it inside the transaction, and could find
    another file than the one that was checked.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY)  # noqa: SIM115
        self._blocks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, records: list[R]) -> None:
        pickle.dump(records, self._file, pickle.HIGHEST_PROTOCOL)
        self._blocks += 1

    def __iter__(self) -> Iterator[list[R]]:
        """The blocks in their order, as often as they are asked for."""
        self._file.seek(0)
        for _ in range(self._blocks):
            yield pickle.load(self._file)  # noqa: S301 - what this process wrote a moment ago


class FileImport(ABC, Generic[R]):
    """The import of one file. Subclasses say what a row is, how it compares with the tables, and write it."""

    target: ClassVar[str]
    required: ClassVar[Sequence[str]]
    optional: ClassVar[Sequence[str]] = ()
    # These columns tell rows apart: a file may hold each combination once.
    identity: ClassVar[Sequence[str]]
    # Rows that do not depend on each other are compared and written in blocks; others all at once. All that
    # comes of one line is in one block.
    is_streamed: ClassVar[bool] = False

    _remake: Callable[[], Self]

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        importer = super().__new__(cls)
        importer._remake = partial(cls, *arguments, **options)
        return importer

    def __init__(self, path: str | Path, *, actor: Actor = None, on_error: OnError = "abort") -> None:
        self.path = Path(path)
        self.file_name = self.path.name
        self.actor = actor
        self.skips = on_error == "skip"
        self.layout = OWN_LAYOUT
        self.today = clock.today()
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

    def holds(self) -> bool:
        """Whether what was written can stay. If not, it is taken back and all blocks are gone through again.

        Called after the last block, only if anything was written. Rows refused meanwhile are then as if they
        had never been in, and with "abort" the import ends here.
        """
        return True

    def finish(self) -> None:
        """Write what belongs to the file as a whole, after its last block; only if anything was written."""

    def audit(self, changes: Changes[R]) -> None:
        """One audit row for the file. Imports into portfolios write one for each of them instead."""
        self.append_audit()

    def run(self, *, preview: bool = False, watch: ImportWatch | None = None) -> FileReport:
        """Import the file, or with `preview` say what that would do and leave every table as it is.

        Raises FileError.
        """
        try:
            return self._run(preview, watch or ImportWatch())
        except (IntegrityError, ValidationError):
            # Another import made the same new portfolio or asset first. Now that it stands there, the whole
            # file is judged anew: whose rows these are is another question than before.
            again = self._remake()
            again.file_name = self.file_name
            return again._run(preview, watch or ImportWatch())

    def has_other_changes(self) -> bool:
        """Whether something changes that is no row of the file."""
        return False

    def reject(self, line: int, column: str, value: object, reason: str) -> None:
        self.report.keep_reject(Reject(line, column, plain_text(value), reason))

    def cells_of(self, record: R) -> Cells:
        """The record as a person would read it."""
        return {name: _cell_text(value) for name, value in _fields_of(record).items()}

    @cached_property
    def symbols(self) -> dict[int, str]:
        """What assets are called, for rows that hold their ids."""
        return dict(Asset.objects.values_list("pk", "symbol"))

    @cached_property
    def batch(self) -> ImportBatch:
        """The batch row, made when the first row is about to be written."""
        return ImportBatch.objects.create(
            target=self.target,
            file_name=self.file_name[:255],
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

    def _run(self, preview: bool, watch: ImportWatch) -> FileReport:
        with Spool[R]() as spool:
            try:
                blocks = self._checked_blocks(spool, watch)
            except TableError as error:
                for reject in error.rejects:
                    self.report.keep_reject(reject)
                return self._closed_report()
            if self._is_refused():
                return self._closed_report()
            with transaction.atomic():
                if not preview:
                    watch.begin()
                while not self._apply(blocks, preview, watch):
                    pass
                if preview or self._is_refused():
                    transaction.set_rollback(True)
                else:
                    watch.finish(self.report)
        return self._closed_report()

    def _checked_blocks(self, spool: Spool[R], watch: ImportWatch) -> Iterable[list[R]]:
        """Every row that can be read, in blocks or all at once."""
        if not self.is_streamed:
            return [[record for block in self._read(watch) for record in block]]
        for block in self._read(watch):
            spool.add(block)
        return spool

    def _read(self, watch: ImportWatch) -> Iterator[list[R]]:
        records: list[R] = []
        cells: list[str] = []
        with open_table(self.path, settings.IMPORT_MAX_BYTES) as table:
            self.check_header(table)
            for row in self.rows_of(table):
                if len(records) >= BLOCK_ROWS and row.line != records[-1].line:
                    yield self._without_repeats(records, cells)
                    records, cells = [], []
                    watch.progress(self.report.read, None)
                self.report.read += 1
                if isinstance(row, Reject):
                    self.report.keep_reject(row)
                    continue
                try:
                    records.append(self.parse(row))
                except CellError as error:
                    self.reject(row.line, error.column, error.value, error.reason)
                    continue
                cells.append(row.cell(self.identity[-1]))
        if records:
            yield self._without_repeats(records, cells)
        self.report.notes += self.reading.notes()

    def _without_repeats(self, records: list[R], cells: list[str]) -> list[R]:
        column, words = self.identity[-1], " and ".join(self.identity)
        records = self.complete(records)
        firsts = self.first_lines.find(map(self.identity_of, records), [record.line for record in records])
        kept = []
        for record, cell, first in zip(records, cells, firsts, strict=True):
            if first == record.line:
                kept.append(record)
            else:
                self.reject(record.line, column, cell, f"repeats {words} of line {first}")
        self.survey(kept)
        return kept

    def _apply(self, blocks: Iterable[list[R]], preview: bool, watch: ImportWatch) -> bool:
        """Compare and write all blocks; False when that has to be done again."""
        self._clear_counts()
        self.start()  # its locks outlast what is taken back
        with transaction.atomic():
            is_changed, changes = self._write_blocks(blocks, preview, watch)
            is_final = not is_changed or self.holds() or self._is_refused()
            if self._is_refused():
                self._clear_counts()
            elif not is_final:
                transaction.set_rollback(True)
            elif is_changed:
                self.finish()
                self._close_batch()
                self.audit(changes)
                self.report.batch_id = None if preview else self.batch.pk
        return is_final

    def _write_blocks(
        self, blocks: Iterable[list[R]], preview: bool, watch: ImportWatch
    ) -> tuple[bool, Changes[R]]:
        """Whether anything was written, and the changes of the last block.

        All blocks are judged even when a row stops the file, so that every such row is named at once.
        """
        done, is_changed = 0, False
        changes: Changes[R] = Changes()
        for records in blocks:
            changes = self.compare(records)
            if self._is_refused() and not self.is_streamed:
                break
            self._count(changes)
            if preview:
                self._sample(changes)
            if changes.rows or self.has_other_changes():
                self.write(changes)
                is_changed = True
            done += len(records)
            watch.progress(done, self.report.read - self.report.rejected_count)
        return is_changed, changes

    def _clear_counts(self) -> None:
        self.report.created = self.report.updated = self.report.unchanged = 0
        self.report.samples = {}
        self.__dict__.pop("batch", None)

    def _is_refused(self) -> bool:
        return bool(self.report.rejected) and not self.skips

    def _count(self, changes: Changes[R]) -> None:
        self.report.created += len(changes.created)
        self.report.updated += len(changes.updated)
        self.report.unchanged += changes.unchanged

    def _sample(self, changes: Changes[R]) -> None:
        kinds = {
            "created": changes.created,
            "updated": changes.updated,
            "unchanged": changes.unchanged_sample,
        }
        for kind, records in kinds.items():
            sample = self.report.samples.setdefault(kind, [])
            sample += [self.cells_of(record) for record in records[: SAMPLE_ROWS - len(sample)]]

    def _close_batch(self) -> None:
        report, batch = self._closed_report(), self.batch
        batch.read, batch.created, batch.updated = report.read, report.created, report.updated
        batch.unchanged, batch.rejected = report.unchanged, report.rejected_count
        batch.rejects = [reject.as_json() for reject in report.rejected]
        batch.notes = report.notes
        batch.save()

    def _closed_report(self) -> FileReport:
        report = self.report
        report.sort_rejects()
        note = f"only the first {MAX_REJECTS:,} of {report.rejected_count:,} rejected rows are listed"
        if report.unlisted and note not in report.notes:
            report.notes.append(note)
        return report

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


def note_earliest(earliest: dict[K, dt.date], days: Iterable[tuple[K, dt.date]]) -> None:
    """Move each subject's day back to the earliest."""
    for subject, day in first_days(days).items():
        earliest[subject] = min(day, earliest.get(subject, day))


def _fields_of(record: object) -> dict[str, Any]:
    """The fields of a named tuple or a dataclass; those inside `values` stand beside the others."""
    names = getattr(record, "_fields", None) or [item.name for item in dataclasses.fields(cast(Any, record))]
    found = {name: getattr(record, name) for name in names}
    values = found.pop("values", {})
    return {**found, **values}


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain_text(value)


def columns_of(records: Iterable[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """Records as the columns that a bulk write takes."""
    rows = list(records)
    return {name: [getattr(row, name) for row in rows] for name in names}
