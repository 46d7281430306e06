"""What an import answers: counts, rejects, notes, and in a preview the first rows as a person reads them."""

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from portfolio_site.kernel.canonical import decimal_text
from portfolios.imports.report import MAX_VALUE_LENGTH, Cells, ImportReport, Reject

# So many are listed, the first of the file; whoever has more has one mistake, not ten thousand.
MAX_REJECTS = 10_000


@dataclass
class FileReport(ImportReport):
    """`rejected` lists the first MAX_REJECTS by line, `unlisted` counts the others."""

    unlisted: int = 0
    batch_id: int | None = None

    @property
    def rejected_count(self) -> int:
        return len(self.rejected) + self.unlisted

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

    def close(self) -> None:
        """Nothing is rejected any more: list the first rejects in order and say how many there were."""
        self.sort_rejects()
        note = f"only the first {MAX_REJECTS:,} of {self.rejected_count:,} rejected rows are listed"
        if self.unlisted and note not in self.notes:
            self.notes.append(note)

    def clear_counts(self) -> None:
        """Of what would be written; it is gone through again, or not at all."""
        self.created = self.updated = self.unchanged = 0
        self.samples = {}


def plain_text(value: object) -> str:
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


def record_cells(record: object) -> Cells:
    """The fields of a named tuple or a dataclass; those inside `values` stand beside the others."""
    names = getattr(record, "_fields", None) or [item.name for item in dataclasses.fields(cast(Any, record))]
    found = {name: getattr(record, name) for name in names}
    values = found.pop("values", {})
    return {name: _cell_text(value) for name, value in {**found, **values}.items()}


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain_text(value)
