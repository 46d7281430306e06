"""The mixed-integer programme of a rebalancing: lines with whole-lot choices compete for cash and turnover.

All quantities are fractions of the portfolio's value before trading. Solved by HiGHS (`scipy.optimize.milp`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

PRECISION = Fraction(1, 10**7)

# HiGHS has fixed absolute tolerances of 1e-6. Counting in tenths of the portfolio proves an optimum to
# PRECISION; the rows of the limits count a thousand times finer, so that cash is right to 1e-10. With other
# units it was slower and had to repair its answers, which it announces on standard output in any case.
_HIGHS_TOLERANCE = 1e-6
_UNIT = _HIGHS_TOLERANCE / float(PRECISION)
_FINER = 1e3
# A lot worth less than PRECISION is solved as a continuous quantity, counted in these parts of the portfolio.
_FINE_PART = Fraction(1, 10**4)
# The last stage chooses between equally good answers and may stop early: after nodes, not seconds, so that it
# stops at the same place every time.
_TIE_BREAK_NODES = 200
_OPTIMAL, _INFEASIBLE = 0, 2


@dataclass(frozen=True)
class Move:
    """Lots bought (positive) or sold (negative); or the exit: all that is held, to the last fraction."""

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

    def distance_after(self, move: Move) -> Fraction:
        weight = self.weight_after(move)
        return max(Fraction(0), weight - self.high, self.low - weight)

    @property
    def may_improve(self) -> bool:
        return bool(self.buys) if self.held < self.low else bool(self.sells) or self.exit

    def neighbours(self, weight: Fraction) -> tuple[Move | None, Move | None]:
        """The moves that end nearest to `weight`: at or below it, and above it."""
        lots = floor((weight - self.held) / self.lot)
        moves = [Move()] if self.hold else []
        moves += [Move(exit=True)] if self.exit else []
        moves += [Move(_nearest(near, self.buys)) for near in (lots, lots + 1) if self.buys]
        moves += [Move(-_nearest(-near, self.sells)) for near in (lots, lots + 1) if self.sells]
        below = [move for move in moves if self.weight_after(move) <= weight]
        above = [move for move in moves if self.weight_after(move) > weight]
        return max(below, key=self.weight_after, default=None), min(
            above, key=self.weight_after, default=None
        )


@dataclass(frozen=True)
class Limits:
    """What the lines share. `free_cash`: cash less what must remain (negative: to raise; None: no limit)."""

    free_cash: Fraction | None
    fee: Fraction
    cost_rate: Fraction
    turnover: Fraction | None
    time_limit: float


@dataclass(frozen=True)
class Solution:
    """`bound`: no moves have a smaller distance. `proven`: distance and turnover are optimal to PRECISION."""

    moves: tuple[Move, ...]
    distance: Fraction
    bound: float
    proven: bool


def is_feasible(choices: Sequence[Choice], limits: Limits) -> bool:
    """False only where it is proven that no moves obey the limits."""
    programme = _Programme(choices, limits)
    return bool(programme.minimise(np.zeros_like(programme.turnover)).status != _INFEASIBLE)


def find_best_moves(choices: Sequence[Choice], limits: Limits) -> Solution | None:
    """The moves of least distance; among them of least turnover; among them the evenest in what they leave.

    Standing still wins where it is as good to PRECISION. None when no moves obey the limits; TimeoutError
    when none were found in time. The time limit holds for each stage.
    """
    programme = _Programme(choices, limits)
    nearest = programme.minimise(programme.distance)
    if nearest.status == _INFEASIBLE:
        return None
    bound = max(0.0, (nearest.mip_dual_bound or 0.0) / _UNIT)
    proven = nearest.status == _OPTIMAL
    found = []
    if all(choice.hold for choice in choices) and (limits.free_cash is None or limits.free_cash >= 0):
        found.append((Move(),) * len(choices))
    if nearest.x is not None:
        moves = programme.read(nearest.x)
        programme.keep(programme.distance, _total_distance(choices, moves))
        smallest = programme.minimise(programme.turnover)
        proven &= smallest.status == _OPTIMAL
        moves = moves if smallest.x is None else programme.read(smallest.x)
        programme.keep(programme.turnover, _total_turnover(choices, moves))
        evenest = programme.minimise(programme.largest, node_limit=_TIE_BREAK_NODES)
        found.append(moves if evenest.x is None else programme.read(evenest.x))
    if not found:
        raise TimeoutError
    still, best = found[0], found[-1]
    if _total_distance(choices, still) <= _total_distance(choices, best) + PRECISION:
        best = still
    return Solution(best, _total_distance(choices, best), bound, proven)


class _Programme:
    """Variables, one a line: parts bought, parts sold, buys, sells, exits, distance; then the largest one."""

    def __init__(self, choices: Sequence[Choice], limits: Limits) -> None:
        self.choices, self.time_limit = choices, limits.time_limit
        self.fine = np.array([choice.lot < PRECISION for choice in choices], dtype=bool)
        self.parts = [_FINE_PART if fine else c.lot for c, fine in zip(choices, self.fine, strict=True)]
        self.rows: list[NDArray[np.float64]] = []
        self.lows: list[float] = []
        self.highs: list[float] = []

        n, parts = len(choices), np.array(self.parts, dtype=float)
        held = np.array([choice.held for choice in choices], dtype=float)
        nothing, one = np.zeros(n), np.ones(n)
        self.distance = np.concatenate([nothing] * 5 + [one, [0.0]])
        self.largest = np.concatenate([nothing] * 6 + [[1.0]])
        self.turnover = np.concatenate([parts, parts, nothing, nothing, held, nothing, [0.0]]) * _UNIT
        self.change = np.concatenate([parts, -parts, nothing, nothing, -held, nothing, [0.0]]) * _UNIT
        trades = np.concatenate([nothing, nothing, one, one, one, nothing, [0.0]])
        cost = float(limits.fee) * _UNIT * trades + float(limits.cost_rate) * self.turnover
        if limits.free_cash is not None:
            self.limit(self.change + cost, limits.free_cash)
        if limits.turnover is not None:
            self.limit(self.turnover, limits.turnover)
        self.ceilings = np.concatenate([nothing] * 5 + [np.full(n + 1, np.inf)])
        for i, choice in enumerate(choices):
            self._add_moves(i, choice)
            self._add_distance(i, choice)

    def _add_moves(self, i: int, choice: Choice) -> None:
        n, parts_of_a_lot = len(self.choices), float(choice.lot / self.parts[i])
        for amount, flag, lots in ((i, 2 * n + i, choice.buys), (n + i, 3 * n + i, choice.sells)):
            if lots:
                first, last = lots[0] * parts_of_a_lot, lots[-1] * parts_of_a_lot
                self.ceilings[[amount, flag]] = last, 1
                self._add_sparse_row({amount: 1, flag: -last}, high=0)
                self._add_sparse_row({amount: 1, flag: -first}, low=0)
        self.ceilings[4 * n + i] = choice.exit
        self._add_sparse_row({2 * n + i: 1, 3 * n + i: 1, 4 * n + i: 1}, low=0 if choice.hold else 1, high=1)

    def _add_distance(self, i: int, choice: Choice) -> None:
        """distance >= each line that touches the true, convex distance from below."""
        n = len(self.choices)
        if choice.may_improve:
            self._add_sparse_row({6 * n: 1, 5 * n + i: -1}, low=0)
        supports = [(Fraction(1), choice.high, Fraction(0)), (Fraction(-1), choice.low, Fraction(0))]
        for edge in {choice.low, choice.high} if not self.fine[i] else ():
            # No move ends between neighbours: their chord excludes nothing, and makes the relaxation tight.
            below, above = choice.neighbours(edge)
            if below and above:
                weights = choice.weight_after(below), choice.weight_after(above)
                distances = choice.distance_after(below), choice.distance_after(above)
                slope = (distances[1] - distances[0]) / (weights[1] - weights[0])
                supports.append((slope, weights[0], distances[0]))
        for slope, weight, distance in supports:
            row = np.zeros_like(self.change)
            own = np.arange(i, 5 * n, n)
            row[own] = -float(slope) * self.change[own]
            row[5 * n + i] = 1
            self.add_row(row, low=float(distance + slope * (choice.held - weight)) * _UNIT)

    def _add_sparse_row(self, entries: dict[int, float], low: float = -np.inf, high: float = np.inf) -> None:
        row = np.zeros_like(self.change)
        row[list(entries)] = list(entries.values())
        self.add_row(row, low, high)

    def add_row(self, row: NDArray[np.float64], low: float = -np.inf, high: float = np.inf) -> None:
        self.rows.append(row)
        self.lows.append(low)
        self.highs.append(high)

    def limit(self, row: NDArray[np.float64], ceiling: Fraction) -> None:
        self.add_row(row * _FINER, high=float(ceiling) * _UNIT * _FINER)

    def keep(self, objective: NDArray[np.float64], reached: Fraction) -> None:
        """Let no later stage lose what an earlier one has reached."""
        self.add_row(objective, high=float(reached + PRECISION) * _UNIT)

    def minimise(self, objective: NDArray[np.float64], **options: int) -> OptimizeResult:
        n = len(self.choices)
        whole = np.concatenate([~self.fine, ~self.fine, np.ones(3 * n), np.zeros(n + 1)])
        return milp(
            objective,
            integrality=whole,
            bounds=Bounds(0, self.ceilings),
            constraints=LinearConstraint(np.array(self.rows), self.lows, self.highs),
            options={"time_limit": self.time_limit, "mip_rel_gap": 0, **options},
        )

    def read(self, x: NDArray[np.float64]) -> tuple[Move, ...]:
        """The moves behind an answer, in whole lots and inside their ranges."""
        moves = []
        for i, choice in enumerate(self.choices):
            bought, sold, buys, sells, exits = x[i :: len(self.choices)][:5]
            lots_of_a_part = float(self.parts[i] / choice.lot)
            if exits > 0.5:
                moves.append(Move(exit=True))
            elif buys > 0.5:
                moves.append(Move(_nearest(round(bought * lots_of_a_part), choice.buys)))
            elif sells > 0.5:
                moves.append(Move(-_nearest(round(sold * lots_of_a_part), choice.sells)))
            else:
                moves.append(Move())
        return tuple(moves)


def _nearest(number: int, allowed: range) -> int:
    return min(max(number, allowed[0]), allowed[-1])


def _total_distance(choices: Sequence[Choice], moves: Sequence[Move]) -> Fraction:
    return sum((c.distance_after(move) for c, move in zip(choices, moves, strict=True)), Fraction(0))


def _total_turnover(choices: Sequence[Choice], moves: Sequence[Move]) -> Fraction:
    return sum(
        (abs(c.weight_after(move) - c.held) for c, move in zip(choices, moves, strict=True)), Fraction(0)
    )
