"""The activities of a JSON document as rows: one object, one row, on the line where it begins."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from portfolios.imports.errors import TableError
from portfolios.imports.report import Reject

# A document is held in memory whole, and takes about ten times its size there.
MAX_BYTES = 20_000_000
ROWS_KEY = "activities"

Line = tuple[int, list[str]]


def document_table(stream: IO[bytes], max_bytes: int) -> tuple[list[str], Iterator[Line]]:
    """Every key that any of the objects has, and their values. Raises TableError."""
    limit = min(MAX_BYTES, max_bytes)
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise TableError(Reject(1, "", "", f"a JSON file may have {limit} bytes"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(Reject(line, "", "", "not UTF-8")) from error
    objects = list(_Document(text).objects())
    header = list(dict.fromkeys(key for _, row in objects for key in row))
    if not header:
        raise TableError(Reject(1, ROWS_KEY, "", "the file is empty"))
    return header, ((line, [row.get(key, "") for key in header]) for line, row in objects)


@dataclass
class _Document:
    """Walks down to the list of objects, so that the line of each is known."""

    text: str
    place: int = 0

    def __post_init__(self) -> None:
        # Numbers stay as they are written: a float would round them.
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._pairs, parse_float=str, parse_int=str, parse_constant=str
        )
        self._counted, self._line = 0, 1

    def objects(self) -> Iterator[tuple[int, dict[str, str]]]:
        if self._next() == "{":
            yield from self._members()
        else:
            yield from self._elements(ROWS_KEY)
        if self._next():
            raise self._error("more text after the end")

    def _members(self) -> Iterator[tuple[int, dict[str, str]]]:
        seen: set[str] = set()
        self._take("{")
        while self._next() != "}":
            key = self._value()
            if not isinstance(key, str) or key in seen:
                raise self._error("a key that stands there twice, or is none")
            seen.add(key)
            self._take(":")
            if key == ROWS_KEY:
                yield from self._elements(key)
            else:
                self._value()
            self._comma("}")
        self._take("}")
        if ROWS_KEY not in seen:
            raise TableError(Reject(1, ROWS_KEY, "", "the document has no such list"))

    def _elements(self, key: str) -> Iterator[tuple[int, dict[str, str]]]:
        if self._next() != "[":
            raise self._error(f"{key} is no list")
        self._take("[")
        while self._next() != "]":
            line = self._line_here()
            row = self._value()
            if not isinstance(row, dict):
                raise TableError(Reject(line, key, "", "not an object"))
            yield line, {name: _cell(value) for name, value in row.items()}
            self._comma("]")
        self._take("]")

    def _next(self) -> str:
        while self.text[self.place : self.place + 1] in (" ", "\t", "\r", "\n"):
            self.place += 1
        return self.text[self.place : self.place + 1]

    def _take(self, mark: str) -> None:
        if self._next() != mark:
            raise self._error(f"{mark} expected")
        self.place += 1

    def _comma(self, end: str) -> None:
        if self._next() == ",":
            self.place += 1
            if self._next() == end:
                raise self._error("a comma too many")
        elif self._next() != end:
            raise self._error(f", or {end} expected")

    def _value(self) -> Any:
        self._next()
        try:
            value, self.place = self._decoder.raw_decode(self.text, self.place)
        except json.JSONDecodeError as error:
            raise TableError(Reject(error.lineno, "", "", f"not JSON: {error.msg}")) from error
        except RecursionError as error:
            raise self._error("nested too deeply") from error
        return value

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise TableError(Reject(self._line_here(), twice, "", "this key stands there twice"))
        return members

    def _line_here(self) -> int:
        self._line += self.text.count("\n", self._counted, self.place)
        self._counted = self.place
        return self._line

    def _error(self, reason: str) -> TableError:
        return TableError(Reject(self._line_here(), "", "", f"not JSON: {reason}"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
