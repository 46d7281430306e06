"""What became of a file: how many rows were read, what they changed, and which were refused and why."""

from dataclasses import dataclass, field
from typing import Any

MAX_VALUE_LENGTH = 200

Cells = dict[str, str]


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused row. The header is line 1; `column` is empty when the whole line is at fault."""

    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"
        return f"{place}: {self.reason}" + (f" ({self.value})" if self.value else "")

    def as_json(self) -> dict[str, Any]:
        return {
            "line": self.line,
            "column": self.column,
            "value": self.value[:MAX_VALUE_LENGTH],
            "reason": self.reason,
        }


@dataclass
class ImportReport:
    """The answer of every import. `notes` say what was done to rows that were accepted.

    `samples` are the first rows of each kind as plain cells, in a preview only.
    """

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples: dict[str, list[Cells]] = field(default_factory=dict)

    @property
    def rejected_count(self) -> int:
        return len(self.rejected)

    @property
    def is_usable(self) -> bool:
        """Whether any row of the file stands in the table now."""
        return bool(self.created or self.updated or self.unchanged)

    def as_json(self) -> dict[str, Any]:
        """`updated` appears only when stored rows were changed."""
        counts = {"read": self.read, "created": self.created, "unchanged": self.unchanged}
        if self.updated:
            counts["updated"] = self.updated
        return {**counts, "rejected": [reject.as_json() for reject in self.rejected]}

    def summary(self) -> str:
        return (
            f"{self.read} read, {self.created} created, {self.updated} updated, "
            f"{self.unchanged} unchanged, {self.rejected_count} rejected"
        )
