"""What is remembered of every line of a file, in so few bytes that a file may have any number of them."""

import hashlib
from array import array
from collections.abc import Hashable, Iterable, Sequence
from typing import cast

import numpy as np

# Merging takes four times the memory of what is merged; searching a dozen arrays is cheaper than that.
MERGED_ROWS = 200_000


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


class Occurrences:
    """How often each content came up to now, in 24 bytes a row."""

    def __init__(self) -> None:
        self._firsts = FirstLines()
        # By the number of the row in which a content came first; there is no row 0.
        self._counts = array("i", [0])

    def count(self, contents: list[str]) -> list[int]:
        start = len(self._counts)
        self._counts.extend(array("i", bytes(4 * len(contents))))
        counts = []
        for first in self._firsts.find(contents, range(start, len(self._counts))):
            self._counts[first] += 1
            counts.append(self._counts[first])
        return counts


class LineSet:
    """Lines of a file, a byte each: all of a long one may be refused, and a set takes sixty times as much."""

    def __init__(self) -> None:
        self._marks = bytearray()

    def add(self, line: int) -> None:
        self._marks.extend(bytes(max(0, line + 1 - len(self._marks))))
        self._marks[line] = 1

    def __contains__(self, line: object) -> bool:
        return isinstance(line, int) and line < len(self._marks) and self._marks[line] == 1


def _digests(keys: Iterable[Hashable]) -> np.ndarray:
    digests = [hashlib.blake2b(repr(key).encode(), digest_size=16).digest() for key in keys]
    return np.array(digests, dtype="S16")
