"""What the rows of a file would change, and small helpers that every import needs to write it."""

import datetime as dt
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar


class Record(Protocol):
    """One row that was read; `line` is where it stood."""

    @property
    def line(self) -> int: ...


R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)


@dataclass
class Changes(Generic[R]):
    """What some rows would do to the table: rows to add, to change, and those that stand there already."""

    created: list[R] = field(default_factory=list)
    updated: list[R] = field(default_factory=list)
    unchanged: list[R] = field(default_factory=list)

    @property
    def rows(self) -> list[R]:
        """Those to be written."""
        return self.created + self.updated

    def sort_in(self, record: R, stored: object, given: object) -> None:
        """`stored` and `given` are the same selection of values; `stored` is None for a new row."""
        if stored is None:
            self.created.append(record)
        elif stored == given:
            self.unchanged.append(record)
        else:
            self.updated.append(record)


def columns_of(records: Iterable[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """Records as the columns that a bulk write takes."""
    rows = list(records)
    return {name: [getattr(row, name) for row in rows] for name in names}


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
