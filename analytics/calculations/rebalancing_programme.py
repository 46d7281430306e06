"""The mixed-integer programme of a rebalancing: lines with whole-lot choices compete for cash and turnover.

All quantities are fractions of the portfolio's value before trading. Solved by HiGHS (`scipy.optimize.milp`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from analytics.calculations.rebalancing_choices import (
    Choice,
    GroupLimit,
    Limits,
    Move,
    cash_spent,
    group_weight,
    nearest,
    total_distance,
    total_turnover,
)

PRECISION = Fraction(1, 10**7)

# HiGHS has fixed absolute tolerances of 1e-6. Counting in tenths of the portfolio proves an optimum to
# PRECISION; the rows of the limits count a thousand times finer, so that cash is right to 1e-10. With other
# units it was slower and had to repair its answers, which it announces on standard output in any case.
_HIGHS_TOLERANCE = 1e-6
_UNIT = _HIGHS_TOLERANCE / float(PRECISION)
_FINER = 1e3
_HAIR = Fraction(1, 10**9)
# A lot worth less than PRECISION is solved as a continuous quantity, counted in these parts of the portfolio.
_FINE_PART = Fraction(1, 10**4)
# The last stage chooses between equally good answers and may stop early: after nodes, not seconds, so that it
# stops at the same place every time.
_TIE_BREAK_NODES = 200
# Answers that break a limit are mended and sought again: by tangents a few times, by a hair once or twice.
_ROUNDS = 20
_OPTIMAL, _INFEASIBLE = 0, 2


@dataclass(frozen=True)
class Solution:
    """`bound`: no moves have a smaller distance. `proven`: distance and turnover are optimal to PRECISION."""

    moves: tuple[Move, ...]
    distance: Fraction
    bound: float
    proven: bool


@dataclass(frozen=True)
class _Answer:
    """Moves that keep every limit exactly, if any were found; `impossible`: proven that there are none."""

    moves: tuple[Move, ...] | None
    bound: float
    optimal: bool
    impossible: bool


@dataclass(frozen=True)
class _Shared:
    """A limit of all lines together: its row, its ceiling, and what moves come to, exactly."""

    row: int
    ceiling: Fraction
    measure: Callable[[Sequence[Move]], Fraction]


def is_feasible(choices: Sequence[Choice], limits: Limits) -> bool:
    """False only where it is proven that no moves obey the limits."""
    programme = _Programme(choices, limits)
    return not programme.search(np.zeros_like(programme.turnover)).impossible


def find_best_moves(
    choices: Sequence[Choice], limits: Limits, known: tuple[Move, ...] | None = None
) -> Solution | None:
    """The moves of least distance; among them of least turnover; among them the evenest in what they leave.

    Standing still wins where it is as good to PRECISION. `known`: moves that keep all limits, for when time
    runs out; as a cutoff they made nothing faster. None when no moves obey the limits; TimeoutError when none
    were found in time, which holds for each stage.
    """
    programme = _Programme(choices, limits)
    nearest_answer = programme.search(programme.distance)
    if nearest_answer.impossible:
        return None
    found, proven = [], nearest_answer.optimal
    if known is not None:
        found.append(known)
    if nearest_answer.moves is not None:
        moves = nearest_answer.moves
        programme.keep(programme.distance, total_distance(choices, moves))
        smallest = programme.search(programme.turnover)
        proven &= smallest.optimal
        moves = smallest.moves or moves
        programme.keep(programme.turnover, total_turnover(choices, moves))
        found.append(programme.search(programme.largest, node_limit=_TIE_BREAK_NODES).moves or moves)
    still = (Move(),) * len(choices)
    if all(choice.hold for choice in choices) and programme.keeps_limits(still):
        found.append(still)
    if not found:
        raise TimeoutError
    best = found[0]
    for moves in found[1:]:
        if total_distance(choices, moves) <= total_distance(choices, best) + PRECISION:
            best = moves
    distance = total_distance(choices, best)
    proven &= programme.tightened <= PRECISION or distance <= Fraction(nearest_answer.bound) + PRECISION
    return Solution(best, distance, nearest_answer.bound, proven)


class _Programme:
    """Variables, one a line: parts bought, parts sold, buys, sells, exits, distance; then the largest
    distance and, for each line with market impact, what that costs.

    Impact costs are convex. The programme knows them by tangents, which never exceed them, so that its bound
    stays a bound; where an answer turns out to cost more, tangents at that answer are added (Kelley 1960).
    """

    def __init__(self, choices: Sequence[Choice], limits: Limits) -> None:
        self.choices, self.limits = choices, limits
        self.fine = np.array([choice.lot < PRECISION for choice in choices], dtype=bool)
        self.parts = [_FINE_PART if fine else c.lot for c, fine in zip(choices, self.fine, strict=True)]
        self.impacted = [i for i, choice in enumerate(choices) if choice.impact]
        self.tangents: dict[int, list[Fraction]] = {i: [] for i in self.impacted}
        self.rows: list[NDArray[np.float64]] = []
        self.lows: list[float] = []
        self.highs: list[float] = []
        self.shared: list[_Shared] = []
        self.tightened = Fraction(0)

        n, parts = len(choices), np.array(self.parts, dtype=float)
        held = np.array([choice.held for choice in choices], dtype=float)
        nothing, one = np.zeros(n), np.ones(n)
        self.distance = self._columns(nothing, nothing, nothing, nothing, nothing, one)
        self.largest = self._columns(*[nothing] * 6, largest=1)
        self.trades = self._columns(nothing, nothing, one, one, one, nothing)
        self.turnover = self._columns(parts, parts, nothing, nothing, held, nothing) * _UNIT
        self.change = self._columns(parts, -parts, nothing, nothing, -held, nothing) * _UNIT
        self.ceilings = self._columns(*[nothing] * 5, np.full(n, np.inf), largest=np.inf, impact=np.inf)
        for i, choice in enumerate(choices):
            self._add_moves(i, choice)
            self._add_distance(i, choice)
            if choice.impact:
                for weight in {choice.low, choice.high, Fraction(0)} - {choice.held}:
                    self._add_tangent(i, abs(weight - choice.held))
        self._add_limits()

    def _columns(
        self, *blocks: NDArray[np.float64], largest: float = 0, impact: float = 0
    ) -> NDArray[np.float64]:
        return np.concatenate([*blocks, [largest], np.full(len(self.impacted), impact)])

    def _add_limits(self) -> None:
        choices, limits = self.choices, self.limits
        if limits.free_cash is not None:
            rates = np.tile(np.array([choice.cost_rate for choice in choices], dtype=float), 6)
            costs = float(limits.fee) * _UNIT * self.trades + self.turnover * np.pad(
                rates, (0, 1 + len(self.impacted))
            )
            costs[6 * len(choices) + 1 :] = 1 / _FINER
            self._limit(
                self.change + costs, limits.free_cash, lambda moves: cash_spent(choices, limits, moves)
            )
        if limits.turnover is not None:
            self._limit(self.turnover, limits.turnover, lambda moves: total_turnover(choices, moves))
        for group in limits.groups:
            self._add_group(group)

    def _add_group(self, group: GroupLimit) -> None:
        change = np.zeros_like(self.change)
        for i in group.members:
            own = self._own(i)
            change[own] = self.change[own]
        held = sum((self.choices[i].held for i in group.members), Fraction(0))
        if group.low > 0:
            self._limit(
                -change, held - group.low, lambda moves: held - group_weight(self.choices, group, moves)
            )
        self._limit(change, group.high - held, lambda moves: group_weight(self.choices, group, moves) - held)

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
            row, own = np.zeros_like(self.change), self._own(i)
            row[own] = -float(slope) * self.change[own]
            row[5 * n + i] = 1
            self.add_row(row, low=float(distance + slope * (choice.held - weight)) * _UNIT)

    def _add_tangent(self, i: int, amount: Fraction) -> None:
        """impact cost >= the tangent at `amount` where the line trades at all."""
        impact, root = float(self.choices[i].impact), sqrt(amount)
        row, own = np.zeros_like(self.change), self._own(i)
        row[own] = (
            0.5 * impact * root**3 * _UNIT * self.trades[own] - 1.5 * impact * root * self.turnover[own]
        )
        row[6 * len(self.choices) + 1 + self.impacted.index(i)] = 1 / _FINER
        self.add_row(row * _FINER, low=0)
        self.tangents[i].append(amount)

    def _add_tangents(self, moves: Sequence[Move]) -> bool:
        """Tangents at the answer, for each line whose impact they understate."""
        added = False
        for i in self.impacted:
            amount, impact = self.choices[i].traded(moves[i]), float(self.choices[i].impact)
            roots = [sqrt(tangent) for tangent in self.tangents[i]]
            known = max((1.5 * root * float(amount) - 0.5 * root**3 for root in roots), default=0.0)
            if impact * (sqrt(amount) ** 3 - known) > _HAIR:
                self._add_tangent(i, amount)
                added = True
        return added

    def _own(self, i: int) -> NDArray[np.intp]:
        n = len(self.choices)
        return np.arange(i, 5 * n, n)

    def _add_sparse_row(self, entries: dict[int, float], low: float = -np.inf, high: float = np.inf) -> None:
        row = np.zeros_like(self.change)
        row[list(entries)] = list(entries.values())
        self.add_row(row, low, high)

    def add_row(self, row: NDArray[np.float64], low: float = -np.inf, high: float = np.inf) -> None:
        self.rows.append(row)
        self.lows.append(low)
        self.highs.append(high)

    def _limit(
        self, row: NDArray[np.float64], ceiling: Fraction, measure: Callable[[Sequence[Move]], Fraction]
    ) -> None:
        self.shared.append(_Shared(len(self.rows), ceiling, measure))
        self.add_row(row * _FINER, high=float(ceiling) * _UNIT * _FINER)

    def keep(self, objective: NDArray[np.float64], reached: Fraction) -> None:
        """Let no later stage lose what an earlier one has reached."""
        self.add_row(objective, high=float(reached + PRECISION) * _UNIT)

    def search(self, objective: NDArray[np.float64], **options: int) -> _Answer:
        """The least of `objective`, sought again with the broken limits mended until none is broken."""
        bound = 0.0
        for _ in range(_ROUNDS):
            result, certain = self._minimise(objective, **options), not self.tightened
            if certain:
                bound = max(bound, (result.mip_dual_bound or 0.0) / _UNIT)
            if result.x is None:
                return _Answer(None, bound, False, impossible=certain and result.status == _INFEASIBLE)
            moves = self._read(result.x)
            if self.keeps_limits(moves):
                return _Answer(moves, bound, optimal=result.status == _OPTIMAL, impossible=False)
            if not self._add_tangents(moves):
                self._tighten(moves)
        return _Answer(None, bound, False, False)

    def keeps_limits(self, moves: Sequence[Move]) -> bool:
        return all(shared.measure(moves) <= shared.ceiling for shared in self.shared)

    def _tighten(self, moves: Sequence[Move]) -> None:
        """Move the limits inwards by what the rounding to lots and cents broke them by, and a hair."""
        for shared in self.shared:
            excess = shared.measure(moves) - shared.ceiling
            if excess > 0:
                self.highs[shared.row] -= float(excess + _HAIR) * _UNIT * _FINER
                self.tightened += excess + _HAIR

    def _minimise(self, objective: NDArray[np.float64], **options: int) -> OptimizeResult:
        """Solved; and "infeasible" only where it is so without presolve too, which has been seen to err."""
        n = len(self.choices)
        whole = self._columns(*[~self.fine] * 2, *[np.ones(n)] * 3, np.zeros(n))
        constraints = LinearConstraint(np.array(self.rows), self.lows, self.highs)
        for presolve in (True, False):
            settings = {"presolve": presolve, "time_limit": self.limits.time_limit, "mip_rel_gap": 0}
            result = milp(
                objective,
                integrality=whole,
                bounds=Bounds(0, self.ceilings),
                constraints=constraints,
                options=settings | options,
            )
            if result.status != _INFEASIBLE:
                break
        return result

    def _read(self, x: NDArray[np.float64]) -> tuple[Move, ...]:
        """The moves behind an answer, in whole lots and inside their ranges."""
        moves = []
        for i, choice in enumerate(self.choices):
            bought, sold, buys, sells, exits = x[self._own(i)]
            lots_of_a_part = float(self.parts[i] / choice.lot)
            if exits > 0.5:
                moves.append(Move(exit=True))
            elif buys > 0.5:
                moves.append(Move(nearest(round(bought * lots_of_a_part), choice.buys)))
            elif sells > 0.5:
                moves.append(Move(-nearest(round(sold * lots_of_a_part), choice.sells)))
            else:
                moves.append(Move())
        return tuple(moves)
