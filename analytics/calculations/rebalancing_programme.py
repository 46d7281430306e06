"""The mixed-integer programme of a rebalancing: lines with a few whole-lot choices compete for cash and turnover.

All quantities are fractions of the portfolio's value before trading. Solved by HiGHS through `scipy.optimize.milp`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

# The programme counts in ten-thousandths of the portfolio, so that HiGHS' absolute tolerance of 1e-6 is 1e-10 of it.
_UNIT = 1e1
_SHARED_UNIT = 1e4
_TOLERANCE = 1e-6
# Lots smaller than this are solved as a continuous quantity and rounded.
_FINE_LOT = Fraction(1, 10**8)
# The last stage chooses between equally good answers and may stop early: after nodes, not seconds, so that it stops
# at the same place every time.
_TIE_BREAK_NODES = 200
_OPTIMAL, _INFEASIBLE = 0, 2


@dataclass(frozen=True)
class Move:
    """Lots bought (positive) or sold (negative), or the exit: all that is held, a fraction of a lot included."""

    lots: int = 0
    exit: bool = False


@dataclass(frozen=True)
class Choice:
    """What one line may do: hold, buy or sell a number of lots in a range, or exit.

    `low` and `high` enclose the weights wanted: a line pays the distance by which it misses them.
    """

    held: Fraction
    lot: Fraction
    low: Fraction
    high: Fraction
    hold: bool
    buys: range
    sells: range
    exit: bool

    def weight_after(self, move: Move) -> Fraction:
        return Fraction(0) if move.exit else self.held + self.lot * move.lots

    def distance(self, weight: Fraction) -> Fraction:
        return max(Fraction(0), weight - self.high, self.low - weight)

    def neighbours(self, weight: Fraction) -> tuple[Fraction | None, Fraction | None]:
        """The nearest weights the line can reach, at or below `weight` and above it."""
        moves = [Move()] if self.hold else []
        moves += [Move(exit=True)] if self.exit else []
        lots = (weight - self.held) / self.lot
        for near in (floor(lots), floor(lots) + 1):
            moves += [Move(min(max(near, self.buys[0]), self.buys[-1]))] if self.buys else []
            moves += [Move(-min(max(-near, self.sells[0]), self.sells[-1]))] if self.sells else []
        weights = [self.weight_after(move) for move in moves]
        below = max((w for w in weights if w <= weight), default=None)
        above = min((w for w in weights if w > weight), default=None)
        return below, above


@dataclass(frozen=True)
class Limits:
    """What the lines share. `free_cash` is cash less what must remain (negative: to be raised; None: any amount)."""

    free_cash: Fraction | None
    fee: Fraction
    cost_rate: Fraction
    turnover: Fraction | None
    time_limit: float


@dataclass(frozen=True)
class Solution:
    """`bound` is proven: no moves have a smaller total distance. `proven`: distance and turnover are the optimum."""

    moves: tuple[Move, ...]
    bound: float
    proven: bool


def total_distance(choices: Sequence[Choice], moves: Sequence[Move]) -> Fraction:
    return sum(
        (choice.distance(choice.weight_after(move)) for choice, move in zip(choices, moves, strict=True)), Fraction(0)
    )


def total_turnover(choices: Sequence[Choice], moves: Sequence[Move]) -> Fraction:
    return sum(
        (abs(choice.weight_after(move) - choice.held) for choice, move in zip(choices, moves, strict=True)), Fraction(0)
    )


def is_feasible(choices: Sequence[Choice], limits: Limits) -> bool:
    """False only where it is proven that no moves obey the limits."""
    programme = _Programme(choices, limits)
    return programme.minimise(np.zeros_like(programme.turnover)).status != _INFEASIBLE


def find_best_moves(choices: Sequence[Choice], limits: Limits) -> Solution | None:
    """The moves of least distance, among them those of least turnover, among them those that leave no line far off.

    None when there are none. Raises TimeoutError when the time limit passes before any were found.
    """
    programme = _Programme(choices, limits)
    nearest = programme.minimise(programme.distance)
    if nearest.status == _INFEASIBLE:
        return None
    if nearest.x is None:
        raise TimeoutError("no feasible proposal was found within the time limit")
    moves = programme.read(nearest)
    programme.add_row(programme.distance, high=float(total_distance(choices, moves)) * _UNIT + _TOLERANCE)
    smallest = programme.minimise(programme.turnover * (_UNIT / _SHARED_UNIT))
    if smallest.x is not None:
        moves = programme.read(smallest)
    programme.add_row(programme.turnover, high=float(total_turnover(choices, moves)) * _SHARED_UNIT + _TOLERANCE)
    evenest = programme.minimise(programme.largest, node_limit=_TIE_BREAK_NODES)
    if evenest.x is not None:
        moves = programme.read(evenest)
    return Solution(
        moves=moves,
        bound=max(0.0, nearest.mip_dual_bound / _UNIT),
        proven=nearest.status == _OPTIMAL and smallest.status == _OPTIMAL,
    )


class _Programme:
    """Variables per line: lots bought and sold, whether it buys, sells, exits, and its distance; one more: the largest."""

    def __init__(self, choices: Sequence[Choice], limits: Limits) -> None:
        self.choices, self.limits = choices, limits
        self.n = len(choices)
        self.rows: list[NDArray[np.float64]] = []
        self.lows: list[float] = []
        self.highs: list[float] = []
        self.distance = self._vector({(5, i): 1.0 for i in range(self.n)})
        self.turnover = self._vector({})
        self.largest = self._vector({(6, 0): 1.0})
        cash_used = self._vector({})
        fee, rate = float(limits.fee) * _SHARED_UNIT, float(limits.cost_rate)
        for i, choice in enumerate(choices):
            self._add_line(i, choice)
            traded = self._vector({(0, i): choice.lot, (1, i): choice.lot, (4, i): choice.held}) * _SHARED_UNIT
            bought = self._vector({(0, i): choice.lot, (1, i): -choice.lot, (4, i): -choice.held}) * _SHARED_UNIT
            self.turnover += traded
            cash_used += bought + rate * traded + self._vector({(2, i): fee, (3, i): fee, (4, i): fee})
        if limits.free_cash is not None:
            self.add_row(cash_used, high=float(limits.free_cash) * _SHARED_UNIT)
        if limits.turnover is not None:
            self.add_row(self.turnover, high=float(limits.turnover) * _SHARED_UNIT)

    def _add_line(self, i: int, choice: Choice) -> None:
        for lots, flag, allowed in ((0, 2, choice.buys), (1, 3, choice.sells)):
            first, last = (allowed[0], allowed[-1]) if allowed else (0, 0)
            self.add_row(self._vector({(lots, i): 1, (flag, i): -first}), low=0)
            self.add_row(self._vector({(lots, i): 1, (flag, i): -last}), high=0)
        self.add_row(
            self._vector({(2, i): 1, (3, i): 1, (4, i): 1}), low=0 if choice.hold else 1, high=1
        )
        weight = self._vector({(0, i): choice.lot, (1, i): -choice.lot, (4, i): -choice.held}) * _UNIT
        distance = self._vector({(5, i): 1})

        def add_support(slope: Fraction | int, weight_at: Fraction, distance_at: Fraction) -> None:
            # distance >= distance_at + slope * (weight - weight_at)
            self.add_row(
                distance - float(slope) * weight,
                low=float(distance_at + slope * (choice.held - weight_at)) * _UNIT,
            )

        add_support(1, choice.high, Fraction(0))
        add_support(-1, choice.low, Fraction(0))
        # No reachable weight lies between neighbours, so the chord cuts off no answer but makes the bound tight.
        if choice.lot >= _FINE_LOT:
            for edge in {choice.low, choice.high}:
                below, above = choice.neighbours(edge)
                if below is not None and above is not None:
                    fall = choice.distance(above) - choice.distance(below)
                    add_support(fall / (above - below), below, choice.distance(below))
        self.add_row(self._vector({(6, 0): 1, (5, i): -1}), low=0)

    def _vector(self, entries) -> NDArray[np.float64]:
        vector = np.zeros(6 * self.n + 1)
        for (block, i), number in entries.items():
            vector[block * self.n + i] = float(number)
        return vector

    def add_row(self, row: NDArray[np.float64], low: float = -np.inf, high: float = np.inf) -> None:
        self.rows.append(row)
        self.lows.append(low)
        self.highs.append(high)

    def minimise(self, objective: NDArray[np.float64], **options: int) -> OptimizeResult:
        fine = [choice.lot < _FINE_LOT for choice in self.choices]
        whole = np.ones(6 * self.n + 1)
        whole[: 2 * self.n] = ~np.array(fine * 2, dtype=bool)
        whole[5 * self.n :] = 0
        highs = np.full(6 * self.n + 1, np.inf)
        highs[: self.n] = [c.buys[-1] if c.buys else 0 for c in self.choices]
        highs[self.n : 2 * self.n] = [c.sells[-1] if c.sells else 0 for c in self.choices]
        highs[2 * self.n : 3 * self.n] = [bool(c.buys) for c in self.choices]
        highs[3 * self.n : 4 * self.n] = [bool(c.sells) for c in self.choices]
        highs[4 * self.n : 5 * self.n] = [c.exit for c in self.choices]
        return milp(
            objective,
            integrality=whole,
            bounds=Bounds(0, highs),
            constraints=LinearConstraint(np.array(self.rows), self.lows, self.highs),
            options={"time_limit": self.limits.time_limit, "mip_rel_gap": 0, **options},
        )

    def read(self, result: OptimizeResult) -> tuple[Move, ...]:
        moves = []
        n = self.n
        for i, choice in enumerate(self.choices):
            if result.x[4 * n + i] > 0.5:
                moves.append(Move(exit=True))
            elif result.x[2 * n + i] > 0.5:
                moves.append(Move(lots=min(max(round(result.x[i]), choice.buys[0]), choice.buys[-1])))
            elif result.x[3 * n + i] > 0.5:
                moves.append(Move(lots=-min(max(round(result.x[n + i]), choice.sells[0]), choice.sells[-1])))
            else:
                moves.append(Move())
        return tuple(moves)
