"""Why a figure is missing: one code per row and column, spelled out once per distinct pattern of a row."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_COUNT_RANGE = 1 << 32
# Portfolios of one age lack the same figures for the same reasons.
_ROWS_SHARED = 10_000
_TEXTS_SHARED = 50_000


class ReasonSheet:
    """Collects reasons for whole columns at a time and hands them out row by row.

    Rows that lack the same figures for the same reasons share ONE dictionary, also between sheets: treat them
    as read-only.
    """

    def __init__(self, rows: int) -> None:
        self._codes: dict[str, NDArray[np.int64]] = {}
        self._texts: list[str] = []
        self._own_texts: dict[str, NDArray[np.object_]] = {}
        self._rows = rows

    def explain(
        self, column: str, where: NDArray[np.bool_], text: str, count: NDArray[np.integer] | int = 0
    ) -> None:
        """Give `text` as the reason of `column` in the rows `where` holds; the first reason given stays.

        `{count}` in the text becomes the row's own `count` (a whole number >= 0).
        """
        if not where.any():
            return
        self._texts.append(text)
        codes = self._codes.setdefault(column, np.zeros(self._rows, dtype=np.int64))
        fresh = where & (codes == 0)
        codes[fresh] = (len(self._texts) * _COUNT_RANGE + np.broadcast_to(count, codes.shape))[fresh]

    def explain_each(self, column: str, texts: NDArray[np.object_]) -> None:
        """Give each row its own text, None for none. What `explain` says of a row goes before it."""
        self._own_texts[column] = texts

    def row_reasons(self) -> list[dict[str, str]]:
        """One dictionary column -> reason per row; empty where nothing is missing."""
        rows = self._shared_reasons()
        for column, texts in self._own_texts.items():
            for row, text in enumerate(texts.tolist()):
                if text is not None:
                    rows[row] = {column: text, **rows[row]}
        return rows

    def _shared_reasons(self) -> list[dict[str, str]]:
        if not self._codes:
            nothing: dict[str, str] = {}
            return [nothing] * self._rows
        names, texts = tuple(self._codes), tuple(self._texts)
        table = np.stack(list(self._codes.values()), axis=1)
        # Most rows lack what the row before lacks.
        changes = np.concatenate([[True], (table[1:] != table[:-1]).any(axis=1)])[: self._rows]
        spelled = [_spell_out(names, texts, codes.tobytes()) for codes in table[changes]]
        return [spelled[k] for k in (np.cumsum(changes) - 1).tolist()]


@lru_cache(maxsize=_ROWS_SHARED)
def _spell_out(names: tuple[str, ...], texts: tuple[str, ...], codes: bytes) -> dict[str, str]:
    """The reasons of a row from its codes, in the order of `names`."""
    return {
        name: _sentence(texts[code // _COUNT_RANGE - 1], code % _COUNT_RANGE)
        for name, code in zip(names, np.frombuffer(codes, dtype=np.int64).tolist(), strict=True)
        if code
    }


@lru_cache(maxsize=_TEXTS_SHARED)
def _sentence(text: str, count: int) -> str:
    return text.format(count=count)
