"""Pearson correlations of daily returns: all pairs and all windows of one day."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.constants import CORRELATION_WINDOWS
from analytics.calculations.correlation_tests import SIGNIFICANCE_LEVEL, correlation_p_value, false_discovery
from analytics.calculations.reasons import ReasonSheet

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# The window whose p-values are tested together.
TESTED_WINDOW = "correlation_1y"
# Values gathered at a time on the pair-by-pair route: 512 pairs x 756 returns x 2 sides are 6 MB.
PAIR_BLOCK = 512


@dataclass(frozen=True)
class CorrelationDay:
    """Correlations of one day for P pairs (left, right) of asset rows and W windows, in their order."""

    left: Indices
    right: Indices
    windows: Mapping[str, int]
    r: Floats
    """(W, P), in [-1, 1]; NaN where fewer common returns than the window exist or a side is constant."""
    observations: NDArray[np.int64]
    """(W, P) common returns used, or available when they are fewer than the window."""
    p: Floats
    """(W, P) two-sided p-values, NaN with r."""
    q: Floats
    """(P,) false-discovery adjusted p of the one-year window over the pairs given, NaN with its p."""

    @property
    def is_significant(self) -> NDArray[np.bool_]:
        """(P,) q < 0.05; an unknown q is not significant."""
        return self.q < SIGNIFICANCE_LEVEL

    def columns(self) -> dict[str, NDArray]:
        """The figures under the column names of asset_correlations, each (P,)."""
        columns: dict[str, NDArray] = {}
        for k, name in enumerate(self.windows):
            suffix = _window_suffix(name)
            columns[name] = self.r[k]
            columns[f"p_value_{suffix}"] = self.p[k]
            columns[f"observations_{suffix}"] = self.observations[k]
        return columns | {"q_value_1y": self.q, "is_significant": self.is_significant}

    def reasons(self) -> list[dict[str, str]]:
        """Per pair, why a correlation (and with it its p and q) is missing; pairs share dictionaries."""
        sheet = ReasonSheet(len(self.left))
        for k, (name, window) in enumerate(self.windows.items()):
            missing = np.isnan(self.r[k])
            few = self.observations[k] < window
            dependent = [name, f"p_value_{_window_suffix(name)}"]
            if name == TESTED_WINDOW:
                dependent.append("q_value_1y")
            for column in dependent:
                text = f"insufficient data: {{count}} of {window} common returns"
                sheet.explain(column, missing & few, text, self.observations[k])
                sheet.explain(column, missing & ~few, f"constant returns within {window} common days")
        return sheet.row_reasons()


def correlation_day(
    returns: Floats,
    pairs: tuple[Indices, Indices] | None = None,
    windows: Mapping[str, int] = CORRELATION_WINDOWS,
) -> CorrelationDay:
    """Correlate the last w common returns of every pair, for each window w, with tests of significance.

    `returns` (A, T): daily simple returns, the last column is the day; NaN = no return that day. A pair's
    window holds the last w days on which BOTH have a return, so with holes it reaches further back than w
    columns: hand in more days than the longest window where assets have them.
    `pairs`: two index arrays with left < right, or None for all pairs in the order of np.triu_indices.
    Constancy is decided exactly (maximum equals minimum). Source: Pearson 1895, two-pass centred sums.
    """
    left, right = np.triu_indices(len(returns), 1) if pairs is None else pairs
    if np.any(left >= right):
        raise ValueError("every pair needs left < right")
    used = np.unique(np.concatenate([left, right]))
    rows = np.asarray(returns, dtype=float)[used]
    i, j = np.searchsorted(used, left), np.searchsorted(used, right)
    known = np.isfinite(rows)

    weights = known.astype(np.float32)  # counts are whole numbers far below 2**24: exact in float32
    common = (weights @ weights.T)[i, j].astype(np.int64)
    sizes = np.array(list(windows.values()), dtype=np.int64)
    observations = np.minimum(common, sizes[:, None])

    r = np.full(observations.shape, np.nan)
    open_cells = common >= sizes[:, None]
    calendar = known.sum(axis=0) * 2 > len(rows)
    for k, window in enumerate(sizes):
        regular, matrix = _regular_correlations(rows, known, calendar, int(window))
        together = regular[i] & regular[j]
        r[k, together] = matrix[i[together], j[together]]
        open_cells[k] &= ~together

    odd_pairs = np.flatnonzero(open_cells.any(axis=0))
    for start in range(0, len(odd_pairs), PAIR_BLOCK):
        block = odd_pairs[start : start + PAIR_BLOCK]
        x, y = _last_common_returns(rows, known, i[block], j[block], int(sizes.max()))
        for k, window in enumerate(sizes):
            cells = open_cells[k, block]
            r[k, block[cells]] = _row_correlations(x[cells, -window:], y[cells, -window:])

    p = correlation_p_value(r, observations)
    names = list(windows)
    q = false_discovery(p[names.index(TESTED_WINDOW)]) if TESTED_WINDOW in names else np.full(len(i), np.nan)
    return CorrelationDay(left, right, windows, r, observations, p, q)


def _window_suffix(name: str) -> str:
    """correlation_1m -> 1m, rolling_20d -> 20d."""
    return name.rpartition("_")[2]


def _normalised(x: Floats) -> Floats:
    """Rows centred and scaled to length one: products of rows are correlations. NaN if constant."""
    centred = x - x.mean(axis=-1, keepdims=True)
    length = np.sqrt(np.einsum("...t,...t->...", centred, centred))
    constant = x.max(axis=-1) == x.min(axis=-1)
    # Rounding of the mean can leave a constant row with a tiny length: only the values themselves decide.
    length[constant | (length == 0)] = np.nan
    return centred / length[..., None]


def _regular_correlations(
    rows: Floats, known: NDArray[np.bool_], calendar: NDArray[np.bool_], window: int
) -> tuple[NDArray[np.bool_], Floats]:
    """Assets that follow the common calendar over the window, and their correlations (A, A) by one product.

    The calendar is the days on which most assets have a return. Two assets that have all of its last
    `window` days and none beside them have exactly these days as their last common ones. The matrix holds
    NaN in the other rows and columns.
    """
    days = np.flatnonzero(calendar)[-window:]
    if len(days) < window:
        return np.zeros(len(rows), dtype=bool), np.empty((0, 0))
    first = days[0]
    regular = (known[:, first:] == calendar[first:]).all(axis=1)
    complete = np.full((len(rows), window), np.nan)
    complete[regular] = _normalised(rows[np.ix_(regular, days)])
    return regular, np.clip(complete @ complete.T, -1, 1)


def _last_common_returns(
    rows: Floats, known: NDArray[np.bool_], i: Indices, j: Indices, width: int
) -> tuple[Floats, Floats]:
    """The last `width` common returns of each pair, right-aligned; NaN on the left where there are fewer."""
    both = known[i] & known[j]
    age = both[:, ::-1].cumsum(axis=1)[:, ::-1]  # 1 = the latest common day
    pair, day = np.nonzero(both & (age <= width))
    slot = width - age[pair, day]
    x = np.full((len(i), width), np.nan)
    y = np.full((len(i), width), np.nan)
    x[pair, slot] = rows[i[pair], day]
    y[pair, slot] = rows[j[pair], day]
    return x, y


def _row_correlations(x: Floats, y: Floats) -> Floats:
    """Pearson correlation of x[k] with y[k] for every row k."""
    return np.clip(np.einsum("kt,kt->k", _normalised(x), _normalised(y)), -1, 1)
