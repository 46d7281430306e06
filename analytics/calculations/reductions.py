"""Two ways to reduce a series (..., n): to one figure, or to one figure a day over the days up to it.

A statistic is written once and takes the way as `over`: `WHOLE` gives (...), `Trailing` (..., n). NaN is "no
observation". Either way a figure is the same to the bit whether it is computed alone or in a long backfill.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.constants import ROUNDING_NOISE
from analytics.calculations.observations import Floats, Integers, count, ratio, total
from analytics.calculations.observations import deviations as deviations_of
from analytics.calculations.observations import mean as mean_of
from analytics.calculations.windows import trailing_reduce


class Reduction(Protocol):
    def count(self, x: Floats) -> Integers:
        """Number of observations."""

    def total(self, x: Floats) -> Floats:
        """Their sum; 0 where there are none."""

    def mean(self, x: Floats) -> Floats:
        """Their mean; NaN where there are none."""

    def products(self, x: Floats, y: Floats) -> Floats:
        """Σ(x − mean)(y − mean) of two series with the same days; with itself the squares, never below 0."""

    def moves(self, x: Floats) -> NDArray[np.bool_]:
        """Whether the observations differ by more than rounding."""

    def growth(self, x: Floats) -> Floats:
        """Π(1 + x), 1 where there are no observations."""


class Whole:
    """All days at once, in two passes."""

    count = staticmethod(count)
    total = staticmethod(total)
    mean = staticmethod(mean_of)

    def products(self, x: Floats, y: Floats) -> Floats:
        from_mean = deviations_of(x)
        return total(np.square(from_mean, out=from_mean) if y is x else from_mean * deviations_of(y))

    def moves(self, x: Floats) -> NDArray[np.bool_]:
        # The fmax and fmin of nothing but NaN are NaN, which is not above anything.
        highest, lowest = (
            np.fmax.reduce(x, axis=-1, initial=np.nan),
            np.fmin.reduce(x, axis=-1, initial=np.nan),
        )
        return np.asarray(highest - lowest > ROUNDING_NOISE)

    def growth(self, x: Floats) -> Floats:
        return np.asarray(np.multiply.reduce(_growth(x), axis=-1))


@dataclass(frozen=True)
class Trailing:
    """The last `window` days up to each day, all of them where it is None, in one pass.

    Returns are small against their spread, so sums of squares lose no digits that matter; for series that lie
    far from 0 they would.
    """

    window: int | None = None

    def count(self, x: Floats) -> Integers:
        return self._sums((~np.isnan(x)).astype(float)).astype(np.int64)

    def total(self, x: Floats) -> Floats:
        return self._sums(np.where(np.isnan(x), 0.0, x))

    def mean(self, x: Floats) -> Floats:
        return ratio(self.total(x), self.count(x).astype(float))

    def products(self, x: Floats, y: Floats) -> Floats:
        products = self.total(x * y) - self.total(x) * np.nan_to_num(self.mean(y))
        return np.where(self.moves(x), np.maximum(products, 0.0), 0.0) if x is y else products

    def moves(self, x: Floats) -> NDArray[np.bool_]:
        unknown = np.isnan(x)
        highest = trailing_reduce(np.maximum, np.where(unknown, -np.inf, x), self.window)
        lowest = trailing_reduce(np.minimum, np.where(unknown, np.inf, x), self.window)
        return np.asarray(highest - lowest > ROUNDING_NOISE)

    def growth(self, x: Floats) -> Floats:
        return trailing_reduce(np.multiply, _growth(x), self.window)

    def _sums(self, x: Floats) -> Floats:
        return trailing_reduce(np.add, x, self.window)


WHOLE = Whole()


def _growth(x: Floats) -> Floats:
    growth = 1.0 + x
    unknown = np.isnan(growth)
    return np.where(unknown, 1.0, growth) if unknown.any() else growth
