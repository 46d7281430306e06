"""What to trade so that linear equations over the amounts hold, as far as they can hold together.

Amounts are money in one currency, positive for what is bought and negative for what is sold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.observations import Floats

# Weights add up to 1, an equation holds and an amount is determined up to this share of what stands in it.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class TradeAmounts:
    """One amount per unknown, (N,).

    is_exact: every equation in which it stands holds. is_unique: no other amounts meet the equations as well.
    """

    amounts: Floats
    is_exact: NDArray[np.bool_]
    is_unique: NDArray[np.bool_]


def trade_amounts(coefficients: Floats, wanted: Floats, total: float | None = None) -> TradeAmounts:
    """The amounts x with coefficients @ x = wanted, and with a sum of exactly `total` where one is given.

    coefficients (E, N), wanted (E,), all finite. What does not fit together yields in this order: first the
    equations that contradict each other, which are met by least squares, then those that do not; the total
    never. Of several solutions the one with the smallest squares (Golub and Van Loan 2013, chapters 5 and 6).
    Raises ValueError for numbers that are not finite and for shapes that do not fit.
    """
    coefficients, wanted = np.atleast_2d(coefficients).astype(float), np.asarray(wanted, dtype=float)
    if wanted.shape != coefficients.shape[:1]:
        raise ValueError(f"{len(coefficients)} equations, but {wanted.size} amounts that they should make")
    given = np.concatenate([coefficients.ravel(), wanted, [0.0 if total is None else total]])
    if not np.isfinite(given).all():
        raise ValueError("equations must consist of finite numbers")

    unknowns = coefficients.shape[1]
    amounts, freedom = np.zeros(unknowns), np.eye(unknowns)
    agree = _holds(coefficients, wanted, _closest(coefficients, wanted, amounts, freedom)[0])
    levels = [(coefficients[agree], wanted[agree]), (coefficients[~agree], wanted[~agree])]
    if total is not None:
        levels.insert(0, (np.ones((1, unknowns)), np.array([total])))
    for rows, sums in levels:
        amounts, freedom = _closest(rows, sums, amounts, freedom)
    failing = coefficients[~_holds(coefficients, wanted, amounts)]
    return TradeAmounts(
        amounts=amounts,
        is_exact=~(failing != 0).any(axis=0),
        is_unique=np.linalg.norm(freedom, axis=1) <= TOLERANCE,
    )


def look_through_trades(values: Floats, mixes: Floats, targets: Floats, change: float = 0.0) -> TradeAmounts:
    """Amounts per security that bring classes to their targets, where a security may be of several classes.

    values (S,): what is held of each. mixes (S, C): the share of each class in it; they add up to 1, or to 0
    for a security outside the targets, which is not traded. targets (C,): weights within what is inside, 1
    altogether. change: the money to put in, negative to take out; the trades add up to it.
    Raises ValueError for targets or mixes that add up to something else.
    """
    if not np.isclose(targets.sum(), 1, rtol=0, atol=TOLERANCE):
        raise ValueError(f"the targets make {targets.sum():.12g}, not 1")
    shares = mixes.sum(axis=1)
    is_inside = shares != 0
    if not np.allclose(shares[is_inside], 1, rtol=0, atol=TOLERANCE):
        raise ValueError("the classes of a security must make 1, or nothing")
    held = values[is_inside] @ mixes[is_inside]
    found = trade_amounts(mixes[is_inside].T, targets * (held.sum() + change) - held, change)
    everything = TradeAmounts(np.zeros(len(values)), np.ones(len(values), bool), np.ones(len(values), bool))
    everything.amounts[is_inside] = found.amounts
    everything.is_exact[is_inside] = found.is_exact
    everything.is_unique[is_inside] = found.is_unique
    return everything


def _closest(rows: Floats, sums: Floats, amounts: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """The nearest amounts that meet the rows best, moving only along the columns of `freedom`; what is left
    of it, orthonormal, without the directions that the rows have settled.
    """
    left, sizes, right = np.linalg.svd(rows @ freedom)
    rank = np.count_nonzero(sizes > TOLERANCE * np.linalg.norm(rows))
    step = right[:rank].T @ ((left[:, :rank].T @ (sums - rows @ amounts)) / sizes[:rank])
    return amounts + freedom @ step, freedom @ right[rank:].T


def _holds(rows: Floats, sums: Floats, amounts: Floats) -> NDArray[np.bool_]:
    """Which of the equations hold, (E,), measured by the largest of them."""
    scale = max(np.abs(sums).max(initial=0), (np.abs(rows) @ np.abs(amounts)).max(initial=0))
    return np.asarray(np.abs(rows @ amounts - sums) <= TOLERANCE * scale)
