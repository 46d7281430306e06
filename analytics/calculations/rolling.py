"""Statistics of trailing windows of one series (T,) or many (..., T), all windows at once.

Each window is put together from blocks of 1, 2, 4, ... of its own values, so that a figure is the same to the
bit wherever the series begins, and costs the logarithm of the window. A window that holds a NaN, or has not
begun, is NaN. Source: Chan, Golub and LeVeque 1983 for the moments of two blocks joined.
"""

from collections.abc import Callable

import numpy as np

from analytics.calculations.observations import Floats, ratio

Parts = tuple[Floats, ...]
# Joins the parts of a block of some length with those of the block that follows, of another length.
Join = Callable[[Parts, Parts, int, int], Parts]


def rolling_mean(x: Floats, window: int) -> Floats:
    """Mean of the last `window` values, same shape as x."""
    mean, _ = _rolling(_join_moments, window, x, np.zeros(1))
    return mean


def rolling_spread(x: Floats, window: int) -> tuple[Floats, Floats]:
    """Mean and sample standard deviation (n − 1) of the last `window` values, each as x."""
    mean, squares = _rolling(_join_moments, window, x, np.zeros(1))
    return mean, np.sqrt(squares / (window - 1))


def rolling_slope(x: Floats, driver: Floats, window: int) -> tuple[Floats, Floats]:
    """Least-squares slope of x on `driver` over the last `window` values, and the driver's Σ(d − mean)².

    `driver` has the shape of x or is one series (T,) for all. NaN where the driver does not vary.
    """
    _, _, squares, products = _rolling(_join_products, window, x, driver, np.zeros(1), np.zeros(1))
    return ratio(products, squares), squares


def rolling_drawdown(levels: Floats, window: int) -> Floats:
    """Deepest fall from the running peak within the last `window` levels, positive, same shape."""
    _, _, deepest = _rolling(_join_falls, window, levels, levels, np.ones(1))
    return 1 - deepest


def _rolling(join: Join, window: int, *single: Floats) -> Parts:
    """The parts of every window, from those of single values; parts of length one hold for all values."""
    steps = single[0].shape[-1]
    windows = steps - window + 1
    if windows < 1:
        return (np.full(np.broadcast_shapes(*(part.shape for part in single)), np.nan),) * len(single)
    # Part k of `block` at place i belongs to the `length` values from i on, that of `found` to the first
    # `covered` values of the window that begins at i.
    block: Parts = tuple(np.broadcast_to(part, (*part.shape[:-1], steps)) for part in single)
    found: Parts | None = None
    covered, length = 0, 1
    while True:
        if window & length:
            piece = tuple(part[..., covered : covered + windows] for part in block)
            found = piece if found is None else join(found, piece, covered, length)
            covered += length
        if covered == window:
            break
        earlier, later = (
            tuple(part[..., cut] for part in block) for cut in (np.s_[:-length], np.s_[length:])
        )
        block = join(earlier, later, length, length)
        length *= 2
    return tuple(_on_last_days(part, steps) for part in found or ())


def _on_last_days(part: Floats, steps: int) -> Floats:
    placed = np.full((*part.shape[:-1], steps), np.nan)
    placed[..., steps - part.shape[-1] :] = part
    return placed


def _join_moments(left: Parts, right: Parts, n_left: int, n_right: int) -> Parts:
    """(mean, Σ(x − mean)²)."""
    n = n_left + n_right
    step = right[0] - left[0]
    mean = left[0] + step * (n_right / n)
    step *= step
    step *= n_left * n_right / n
    step += left[1]
    step += right[1]
    return mean, step


def _join_products(left: Parts, right: Parts, n_left: int, n_right: int) -> Parts:
    """(mean x, mean d, Σ(d − mean)², Σ(x − mean)(d − mean))."""
    n = n_left + n_right
    weight = n_left * n_right / n
    step_x, step_d = right[0] - left[0], right[1] - left[1]
    mean_x, mean_d = left[0] + step_x * (n_right / n), left[1] + step_d * (n_right / n)
    squares = left[2] + right[2] + step_d * step_d * weight
    step_x *= step_d * weight
    step_x += left[3]
    step_x += right[3]
    return mean_x, mean_d, squares, step_x


def _join_falls(left: Parts, right: Parts, n_left: int, n_right: int) -> Parts:
    """(highest, lowest, lowest ratio of a value to one before it)."""
    deepest = np.minimum(left[2], right[2])
    return (
        np.maximum(left[0], right[0]),
        np.minimum(left[1], right[1]),
        np.minimum(deepest, right[1] / left[0]),
    )
