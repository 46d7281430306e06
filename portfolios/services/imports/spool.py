"""Where checked rows wait until they are written."""

import pickle
import tempfile
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

R = TypeVar("R")

# Files whose rows take less than this wait in memory.
SPOOL_MEMORY = 8_000_000


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
