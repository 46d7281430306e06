"""Why a figure is missing: one code per row and column, spelled out once per distinct pattern of a row."""

import numpy as np
from numpy.typing import NDArray

_COUNT_RANGE = 1 << 32


class ReasonSheet:
    """Collects reasons for whole columns at a time and hands them out row by row.

    Rows that lack the same figures for the same reasons share ONE dictionary: treat them as read-only.
    """

    def __init__(self, rows: int) -> None:
        self._codes: dict[str, NDArray[np.int64]] = {}
        self._texts: list[str] = []
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

    def row_reasons(self) -> list[dict[str, str]]:
        """One dictionary column -> reason per row; empty where nothing is missing."""
        if not self._codes:
            nothing: dict[str, str] = {}
            return [nothing] * self._rows
        patterns: dict[bytes, dict[str, str]] = {}
        rows = []
        for codes in np.stack(list(self._codes.values()), axis=1):
            key = codes.tobytes()
            if key not in patterns:
                patterns[key] = self._spell_out(codes)
            rows.append(patterns[key])
        return rows

    def _spell_out(self, codes: NDArray[np.int64]) -> dict[str, str]:
        spelled = {}
        for column, code in zip(self._codes, codes.tolist(), strict=True):
            if code:
                text, count = divmod(code, _COUNT_RANGE)
                spelled[column] = self._texts[text - 1].format(count=count)
        return spelled
