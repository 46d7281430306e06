"""From a file to the tables: read and check, wait, compare, write, and take back what cannot stay."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from portfolios.imports.cells import CellError
from portfolios.imports.report import Reject
from portfolios.imports.table import TableError, open_table
from portfolios.services.imports.changes import Changes, R
from portfolios.services.imports.importer import Importer
from portfolios.services.imports.reports import FileReport
from portfolios.services.imports.spool import Spool

# An import of these takes some 100 MB beside the program, of 50,000 twice that and no less time.
BLOCK_ROWS = 20_000
SAMPLE_ROWS = 50


class ImportWatch:
    """Follows one import. What it does in `begin` and `finish` is part of the import's transaction."""

    def progress(self, done: int, total: int | None) -> None:
        """So many rows are read (the total is not known yet) or written."""

    def begin(self) -> None:
        """Called before anything is compared. Whatever it raises ends the import."""

    def finish(self, report: FileReport) -> None:
        """Called when all is written."""


class FileImport(Importer[R]):
    """The import of one file. Subclasses answer the questions of Importer."""

    _remake: Callable[[], Self]

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        importer = super().__new__(cls)
        importer._remake = partial(cls, *arguments, **options)
        return importer

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

    def _run(self, preview: bool, watch: ImportWatch) -> FileReport:
        with Spool[R]() as spool:
            try:
                blocks = self._checked_blocks(spool, watch)
            except TableError as error:
                for reject in error.rejects:
                    self.report.keep_reject(reject)
            else:
                if not self._is_refused():
                    self._apply(blocks, preview, watch)
        self.report.close()
        return self.report

    def _checked_blocks(self, spool: Spool[R], watch: ImportWatch) -> Iterable[list[R]]:
        """Every row that can be read, in blocks or all at once."""
        if not self.is_streamed:
            return [[record for block in self._read(watch) for record in block]]
        for block in self._read(watch):
            spool.add(block)
            del block  # before the next one is read
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

    def _apply(self, blocks: Iterable[list[R]], preview: bool, watch: ImportWatch) -> None:
        """All of it in one transaction, which a preview takes back."""
        with transaction.atomic():
            if not preview:
                watch.begin()
            while not self._is_settled(blocks, preview, watch):
                pass
            if preview or self._is_refused():
                transaction.set_rollback(True)
            else:
                watch.finish(self.report)

    def _is_settled(self, blocks: Iterable[list[R]], preview: bool, watch: ImportWatch) -> bool:
        """Compare and write all blocks; False when that has to be done again."""
        self._forget_counts()
        self.start()  # its locks outlast what is taken back
        with transaction.atomic():
            is_changed = self._write_blocks(blocks, preview, watch)
            is_final = not is_changed or self.holds() or self._is_refused()
            if self._is_refused():
                self._forget_counts()
            elif not is_final:
                transaction.set_rollback(True)
            elif is_changed:
                self.finish()
                self._close_batch()
                self.audit()
                self.report.batch_id = None if preview else self.batch.pk
        return is_final

    def _write_blocks(self, blocks: Iterable[list[R]], preview: bool, watch: ImportWatch) -> bool:
        """Whether anything was written.

        All blocks are judged even when a row stops the file, so that every such row is named at once.
        """
        done, is_changed = 0, False
        for records in blocks:
            is_changed |= self._write_block(records, preview)
            done += len(records)
            del records  # before the next ones are loaded
            watch.progress(done, self.report.read - self.report.rejected_count)
        return is_changed

    def _write_block(self, records: list[R], preview: bool) -> bool:
        changes = self.compare(records)
        if self._is_refused() and not self.is_streamed:
            return False
        self._count(changes)
        if preview:
            self._sample(changes)
        is_changed = bool(changes.rows or self.has_other_changes())
        if is_changed:
            self.write(changes)
        return is_changed

    def _is_refused(self) -> bool:
        return bool(self.report.rejected) and not self.skips

    def _forget_counts(self) -> None:
        self.report.clear_counts()
        self.__dict__.pop("batch", None)

    def _count(self, changes: Changes[R]) -> None:
        self.report.created += len(changes.created)
        self.report.updated += len(changes.updated)
        self.report.unchanged += len(changes.unchanged)

    def _sample(self, changes: Changes[R]) -> None:
        for kind in ("created", "updated", "unchanged"):
            sample = self.report.samples.setdefault(kind, [])
            records: list[R] = getattr(changes, kind)
            sample += [self.cells_of(record) for record in records[: SAMPLE_ROWS - len(sample)]]

    def _close_batch(self) -> None:
        self.report.close()
        report, batch = self.report, self.batch
        batch.read, batch.created, batch.updated = report.read, report.created, report.updated
        batch.unchanged, batch.rejected = report.unchanged, report.rejected_count
        batch.rejects = [reject.as_json() for reject in report.rejected]
        batch.notes = report.notes
        batch.save()
