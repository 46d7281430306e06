"""A fast search for good moves of many portfolios at once, feasible by construction.

Cash gets a price, and so does turnover where it is capped: at given prices each line knows its best move by
itself, and the lowest prices at which the lines together want no more than there is give moves close to the
best ones, and a bound that no moves come below (Lagrangian relaxation, Fisher 1981). What is left over is
then dealt out by single moves for as long as one helps, and between the lines that are nearly indifferent at
these prices, in all combinations at once (the core of a knapsack, Balas and Zemel 1980).

Arrays are portfolios x lines (P, N) or portfolios x lines x options (P, N, K), padded with lines that cannot
move. Weights are fractions of each portfolio's value before trading. Options are counted in lots; an exit is
the number of lots held, whole or not. NaN: no such option.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.rebalancing_choices import (
    Choice,
    Limits,
    Move,
    cash_spent,
    group_weight,
    total_turnover,
)
from analytics.calculations.rebalancing_programme import PRECISION

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

# What stays in the processor's cache.
_TOGETHER = 64
# Sums over a thousand lines are right to a tenth of this; what comes closer to a limit is counted exactly.
_HAIR = 1e-12
# How far to stay inside all limits where an answer breaks one by a hair.
_MARGINS = (-_HAIR / 10, 1e-10, 1e-8, 1e-6)
# Turnover decides between moves that end equally close to their targets.
_TURNOVER_WEIGHT = 1e-7
_LEAST_GAIN = 1e-13
_HIGHEST_PRICE = 64.0
_HALVINGS = 30
_HIGHEST_CAP_PRICE = 4.0
_CAP_HALVINGS = 14
_MOST_MOVES = 400
_CORE = 11
_CORE_ROUNDS = 6
_SUBSETS = (np.arange(2**_CORE) >> np.arange(_CORE)[:, None] & 1).astype(np.float64)


@dataclass(frozen=True)
class Found:
    """Feasible moves, their distance, and the distance that no moves come below (to PRECISION)."""

    moves: tuple[Move, ...]
    distance: float
    bound: float


def find_feasible_moves(posed: Sequence[tuple[Sequence[Choice], Limits]]) -> list[tuple[Move, ...] | None]:
    """Moves within the limits of each portfolio, good ones but not proven the best.

    None where none were found, which does not prove that there are none.
    """
    return [found.moves if found else None for found in find_good_moves(posed)]


def find_good_moves(posed: Sequence[tuple[Sequence[Choice], Limits]]) -> list[Found | None]:
    """The moves of `find_feasible_moves` with what they achieve; none at all where that is as good."""
    found: list[Found | None] = [None] * len(posed)
    # Portfolios of one size need the least padding.
    waiting = sorted(
        (place for place in range(len(posed)) if posed[place][0]), key=lambda i: len(posed[i][0])
    )
    for margin in _MARGINS:
        broken = []
        for start in range(0, len(waiting), _TOGETHER):
            places = waiting[start : start + _TOGETHER]
            block = [posed[place] for place in places]
            answers = _search(_Board.of(block, margin), [len(choices) for choices, _ in block])
            for place, answer in zip(places, answers, strict=True):
                if answer is None or answer.slack > _HAIR or obeys(answer.found.moves, *posed[place]):
                    found[place] = answer.found if answer else None
                else:
                    broken.append(place)
        waiting = broken
    return found


def obeys(moves: Sequence[Move], choices: Sequence[Choice], limits: Limits) -> bool:
    """Whether moves that each line may make stay within what the lines share, exactly."""
    return (
        (limits.free_cash is None or cash_spent(choices, limits, moves) <= limits.free_cash)
        and (limits.turnover is None or total_turnover(choices, moves) <= limits.turnover)
        and all(group.low <= group_weight(choices, group, moves) <= group.high for group in limits.groups)
    )


# --- portfolios as arrays ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Effects:
    """What options lead to, as arrays in their shape: distance, cash and turnover used up, weight."""

    distance: Array
    spent: Array
    turnover: Array
    weight: Array

    @property
    def score(self) -> Array:
        return self.distance + _TURNOVER_WEIGHT * self.turnover

    def at(self, picks: Places) -> "_Effects":
        """Those of one option (P, N) of each line."""
        return _Effects(*(_pick(part, picks) for part in vars(self).values()))

    def since(self, now: "_Effects") -> "_Effects":
        """The difference that options (P, N, K) make to the moves (P, N) made now."""
        parts = zip(vars(self).values(), vars(now).values(), strict=True)
        return _Effects(*(after - before[..., None] for after, before in parts))

    def take(self, rows: Places) -> "_Effects":
        return _Effects(*(part[rows] for part in vars(self).values()))


@dataclass(frozen=True)
class _Board:
    """Portfolios side by side.

    By line (P, N): its choice; the ranges are options. By portfolio (P,): what is shared; cash and turnover
    are infinite without a limit. By group: members (P, G, N), 1 or 0, and limits (P, G).
    """

    held: Array
    lot: Array
    low: Array
    high: Array
    hold: Array
    exit: Array
    first_buy: Array
    last_buy: Array
    last_sell: Array
    first_sell: Array
    cost_rate: Array
    impact: Array
    fee: Array
    cent: Array
    free_cash: Array
    cap: Array
    members: Array
    group_low: Array
    group_high: Array

    @classmethod
    def of(cls, posed: Sequence[tuple[Sequence[Choice], Limits]], margin: float) -> "_Board":
        """`margin`: how far inside the limits to stay."""
        count, lines = len(posed), max(len(choices) for choices, _ in posed)
        table = np.tile(np.array(_STANDING_STILL), (count, lines, 1))
        members = np.zeros((count, max(len(limits.groups) for _, limits in posed), lines))
        lowest, highest = np.full(members.shape[:2], -np.inf), np.full(members.shape[:2], np.inf)
        for row, (choices, limits) in enumerate(posed):
            table[row, : len(choices)] = [_numbers(choice) for choice in choices]
            for place, group in enumerate(limits.groups):
                members[row, place, list(group.members)] = 1
                lowest[row, place], highest[row, place] = group.low, group.high
        held, lot, low, high, hold, exits, *rest = np.moveaxis(table, -1, 0).copy()
        first_buy, last_buy, last_sell, first_sell, cost_rate, impact = rest
        fee, cent = np.array([(limits.fee, limits.cent) for _, limits in posed], dtype=float).T
        shared = np.array([(limits.free_cash, limits.turnover) for _, limits in posed], dtype=float)
        free_cash, cap = np.where(np.isnan(shared), np.inf, shared - margin).T
        return cls(
            held=held,
            lot=lot,
            low=low,
            high=high,
            hold=np.where(hold > 0, 0.0, np.nan),
            exit=np.where(exits > 0, -held / lot, np.nan),
            first_buy=first_buy,
            last_buy=last_buy,
            last_sell=last_sell,
            first_sell=first_sell,
            cost_rate=cost_rate,
            impact=impact,
            fee=fee,
            cent=cent,
            free_cash=free_cash,
            cap=cap,
            members=members,
            group_low=lowest + margin,
            group_high=highest - margin,
        )

    @property
    def fixed(self) -> Array:
        """What a trade (P, N) of any size costs: the fee, and the cent to which impact is rounded up."""
        return self.fee[:, None] + np.where(self.impact > 0, self.cent[:, None], 0.0)

    def take(self, rows: Places | Mask) -> "_Board":
        return _Board(*(part[rows] for part in vars(self).values()))

    def effects(self, lots: Array) -> _Effects:
        """Of options (P, N, K)."""
        held, lot, low, high, rate, impact, fixed = (
            part[..., None]
            for part in (self.held, self.lot, self.low, self.high, self.cost_rate, self.impact, self.fixed)
        )
        change = lots * lot
        weight = held + change
        turnover = np.abs(change)
        spent = change + rate * turnover + fixed * (lots != 0)
        if self.impact.any():
            spent += impact * turnover * np.sqrt(turnover)
        distance = np.maximum(np.maximum(weight - high, low - weight), 0.0)
        return _Effects(distance, spent, turnover, weight)

    def effects_of(self, lots: Array) -> _Effects:
        """Of moves (P, N)."""
        return _Effects(*(part[..., 0] for part in vars(self.effects(lots[..., None])).values()))

    def bends(self) -> Array:
        """The options (P, N, K) where cost or distance bend: at fixed prices the best move is one of them."""
        options = [self.hold, self.exit]
        for first, last in ((self.first_buy, self.last_buy), (self.last_sell, self.first_sell)):
            options += [first, last]
            for edge in (self.low, self.high):
                below = np.floor((edge - self.held) / self.lot)
                options += [np.clip(below, first, last), np.clip(below + 1, first, last)]
        return np.stack(options, axis=-1)

    def up_to(self, lots: Array) -> Array:
        """The largest option (P, N) at or below `lots`."""
        below = np.floor(lots)
        return np.fmax.reduce(
            [
                np.where(self.exit <= lots, self.exit, np.nan),
                np.where(self.last_sell <= below, np.minimum(below, self.first_sell), np.nan),
                np.where(self.hold <= lots, self.hold, np.nan),
                np.where(self.first_buy <= below, np.minimum(below, self.last_buy), np.nan),
            ]
        )

    def from_(self, lots: Array) -> Array:
        """The smallest option (P, N) at or above `lots`."""
        above = np.ceil(lots)
        return np.fmin.reduce(
            [
                np.where(self.exit >= lots, self.exit, np.nan),
                np.where(self.first_sell >= above, np.maximum(above, self.last_sell), np.nan),
                np.where(self.hold >= lots, self.hold, np.nan),
                np.where(self.last_buy >= above, np.maximum(above, self.first_buy), np.nan),
            ]
        )

    def near(self, lots: Array, now: _Effects) -> Array:
        """Options (P, N, K) next to the moves made now, and those that just use up or free what is shared."""
        cash = (self.free_cash - now.spent.sum(axis=-1))[:, None]
        cap = (self.cap - now.turnover.sum(axis=-1))[:, None]
        opening = np.where(lots == 0, self.fixed, 0.0)
        reach = np.abs(np.where(np.isfinite(cash), cash, 1.0)) + now.turnover
        rate = self.cost_rate + 1.5 * self.impact * np.sqrt(reach)
        room = np.minimum((cash - opening) / (1 + rate), cap) / self.lot
        wanted = np.ceil((self.low - self.held) / self.lot)
        needed = (np.minimum(cash, 0.0) - opening) / np.maximum(1 - rate, 0.5) / self.lot
        options = [
            self.from_(np.nextafter(lots, np.inf)),
            self.up_to(np.nextafter(lots, -np.inf)),
            self.up_to(lots + np.where(np.isfinite(room), np.minimum(room, wanted - lots), wanted - lots)),
            self.up_to(lots + needed),
        ]
        if np.isfinite(self.cap).any():
            back = np.where(np.isfinite(cap), cap, 0.0) / self.lot
            options += [
                self.from_(lots - back),
                np.where(lots > 0, self.up_to(lots + back), self.from_(lots - back)),
            ]
        weights = np.einsum("pgn,pn->pg", self.members, now.weight)
        for group in range(self.members.shape[1]):
            inside = self.members[:, group] > 0
            below, above = self.group_low[:, group, None], self.group_high[:, group, None]
            weight = weights[:, group, None]
            fall = np.where(inside & np.isfinite(above), np.maximum(weight - above, 0.0), 0.0)
            rise = np.where(inside & np.isfinite(below), np.maximum(below - weight, 0.0), 0.0)
            options += [self.up_to(lots - fall / self.lot), self.from_(lots + rise / self.lot)]
        return np.where(np.isnan(near := np.stack(options, axis=-1)), lots[..., None], near)


# A line that only pads its row: held, lot, low, high, hold, exit, buys, sells, cost rate, impact.
_STANDING_STILL = (0.0, 1.0, 0.0, 0.0, 1.0, 0.0, np.nan, np.nan, np.nan, np.nan, 0.0, 0.0)


def _numbers(choice: Choice) -> tuple[float, ...]:
    buys, sells = choice.buys, choice.sells
    return (
        float(choice.held),
        float(choice.lot),
        float(choice.low),
        float(choice.high),
        choice.hold,
        choice.exit,
        *((buys[0], buys[-1]) if buys else (np.nan, np.nan)),
        *((-sells[-1], -sells[0]) if sells else (np.nan, np.nan)),
        float(choice.cost_rate),
        float(choice.impact),
    )


def _pick(options: Array, picks: Places) -> Array:
    """One option (P, N) of each line's."""
    return np.take_along_axis(options, picks[..., None], axis=-1)[..., 0]


# --- the search -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answer:
    """`slack`: how far inside the nearest limit it stays, rounding errors apart."""

    found: Found
    slack: float


def _search(board: _Board, sizes: Sequence[int]) -> list[_Answer | None]:
    """An answer for each row, of its own size without the padding; None where none was found."""
    answers: list[_Answer | None] = [None] * len(board.held)
    bends = board.bends()
    rows = np.flatnonzero(np.isfinite(bends).any(axis=-1).all(axis=-1))
    if not len(rows):
        return answers
    board, bends = board.take(rows), bends[rows]
    # A missing option becomes another one of its line, so that no figure is unknown.
    bends = np.where(np.isfinite(bends), bends, _pick(bends, np.isfinite(bends).argmax(axis=-1))[..., None])
    prices, lots = _priced_moves(board, bends)
    bounds = _bounds(board, bends, prices)
    lots = _improve_singly(board, bends, lots)
    open_rows = np.arange(len(lots))
    for _ in range(_CORE_ROUNDS):
        part, part_bends, made = board.take(open_rows), bends[open_rows], lots[open_rows]
        better = _improve_together(part, part_bends, made, prices[open_rows])
        is_better = (better != made).any(axis=-1)
        if not is_better.any():
            break
        open_rows = open_rows[is_better]
        lots[open_rows] = _improve_singly(part.take(is_better), part_bends[is_better], better[is_better])
    lots = _stand_still_where_as_good(board, lots)
    effects = board.effects_of(lots)
    slack = _slack(board, effects)
    for place, row in enumerate(rows.tolist()):
        if slack[place] >= 0:
            numbers = zip(lots[place].tolist(), board.exit[place].tolist(), strict=True)
            moves = tuple(
                Move(exit=True) if number == gone else Move(int(number))
                for number, gone in islice(numbers, sizes[row])
            )
            distance = float(effects.distance[place].sum())
            bound = min(float(bounds[place]), distance)
            answers[row] = _Answer(Found(moves, distance, bound), float(slack[place]))
    return answers


def _stand_still_where_as_good(board: _Board, lots: Array) -> Array:
    """The moves (P, N), or none in portfolios where standing still is allowed and as good to PRECISION."""
    nothing = np.zeros_like(lots)
    stands, moved = board.effects_of(nothing), board.effects_of(lots)
    is_allowed = np.isfinite(board.hold).all(axis=-1) & (_slack(board, stands) >= 0)
    is_better = stands.distance.sum(axis=-1) <= moved.distance.sum(axis=-1) + float(PRECISION)
    return np.where((is_allowed & (is_better | (_slack(board, moved) < 0)))[:, None], nothing, lots)


def _priced_moves(board: _Board, bends: Array) -> tuple[Array, Array]:
    """Prices (P, 2) of cash and of turnover, and each line's best move (P, N) at them."""
    effects = board.effects(bends)
    caps = np.zeros(len(bends))
    cash, picks = _cash_prices(board, effects, caps)
    rows = np.flatnonzero(effects.at(picks).turnover.sum(axis=-1) > board.cap)
    if len(rows):
        part, within = board.take(rows), effects.take(rows)
        low, high = np.zeros(len(rows)), np.full(len(rows), _HIGHEST_CAP_PRICE)
        for _ in range(_CAP_HALVINGS):
            middle = (low + high) / 2
            _, chosen = _cash_prices(part, within, middle)
            is_over = within.at(chosen).turnover.sum(axis=-1) > part.cap
            low, high = np.where(is_over, middle, low), np.where(is_over, high, middle)
        caps[rows] = high
        cash[rows], picks[rows] = _cash_prices(part, within, high)
    return np.stack([cash, caps], axis=-1), _pick(bends, picks)


def _cash_prices(board: _Board, effects: _Effects, caps: Array) -> tuple[Array, Places]:
    """The lowest prices of cash (P,) at which no more is spent than is free, and the picks (P, N) at them."""
    cost = effects.score + caps[:, None, None] * effects.turnover

    def choose(prices: Array) -> Places:
        return (cost + prices[:, None, None] * effects.spent).argmin(axis=-1)

    def is_short(picks: Places) -> Mask:
        return _pick(effects.spent, picks).sum(axis=-1) > board.free_cash

    low = np.zeros(len(cost))
    picks = choose(low)
    high = np.where(is_short(picks), _HIGHEST_PRICE, 0.0)
    if high.any():
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            short = is_short(choose(middle))
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        picks = choose(high)
    return high, picks


def _bounds(board: _Board, bends: Array, prices: Array) -> Array:
    """What no moves come below (P,): limits may be exceeded at these prices, and impact costs nothing."""
    smooth = replace(board, impact=np.zeros_like(board.impact))
    effects = smooth.effects(bends)
    cash, cap = prices.T
    least = (
        effects.distance + cash[:, None, None] * effects.spent + cap[:, None, None] * effects.turnover
    ).min(axis=-1)
    unused = sum(
        price * np.where(price > 0, limit, 0.0)
        for price, limit in ((cash, board.free_cash), (cap, board.cap))
    )
    return np.maximum(least.sum(axis=-1) - unused - float(PRECISION), 0.0)


def _improve_singly(board: _Board, bends: Array, lots: Array) -> Array:
    """Moves (P, N) that no other move of one line makes better; first of all within the limits."""
    lots = lots.copy()
    rows = np.arange(len(lots))
    for _ in range(_MOST_MOVES):
        part, made = board.take(rows), lots[rows]
        now = part.effects_of(made)
        options = np.concatenate([bends[rows], part.near(made, now)], axis=-1)
        gain = part.effects(options).since(now)
        before = _overrun(part, now)[:, None, None]
        relief = before - _overrun_after(part, now, gain)
        rank = np.where(
            before > 0,
            np.where(relief > before * 1e-9, gain.score / np.maximum(relief, 1e-300), np.inf),
            np.where(relief >= 0, gain.score, np.inf),
        ).reshape(len(rows), -1)
        best = rank.argmin(axis=-1)
        worth = np.take_along_axis(rank, best[:, None], axis=-1)[:, 0]
        better = np.where(before[:, 0, 0] > 0, np.isfinite(worth), worth < -_LEAST_GAIN)
        line, option = np.unravel_index(best[better], options.shape[1:])
        rows, options = rows[better], options[better]
        if not len(rows):
            break
        lots[rows, line] = options[np.arange(len(rows)), line, option]
    return lots


def _improve_together(board: _Board, bends: Array, lots: Array, prices: Array) -> Array:
    """The best of all combinations of other moves of the lines to which, at the prices, they matter least."""
    now = board.effects_of(lots)
    options = np.concatenate([bends, board.near(lots, now)], axis=-1)
    gain = board.effects(options).since(now)
    cash, cap = prices.T
    penalty = gain.score + cash[:, None, None] * gain.spent + cap[:, None, None] * gain.turnover
    penalty = np.where(options == lots[..., None], np.inf, penalty)
    picks = penalty.argmin(axis=-1)
    core = np.argsort(_pick(penalty, picks), axis=-1)[:, :_CORE]
    subsets = _SUBSETS[: core.shape[1], : 2 ** core.shape[1]]
    other = gain.at(picks)

    def add_up(values: Array) -> Array:
        """Of each subset (P, S) of the core."""
        return np.take_along_axis(values, core, axis=-1) @ subsets

    score = add_up(other.score)
    overrun = _overrun_of(
        board,
        now.spent.sum(axis=-1)[:, None] + add_up(other.spent),
        now.turnover.sum(axis=-1)[:, None] + add_up(other.turnover),
        [
            (member * now.weight).sum(axis=-1)[:, None] + add_up(member * other.weight)
            for member in np.moveaxis(board.members, 1, 0)
        ],
    )
    score = np.where(overrun > 0, np.inf, score)
    best = score.argmin(axis=-1)
    better = np.flatnonzero(np.take_along_axis(score, best[:, None], axis=-1)[:, 0] < -_LEAST_GAIN)
    lots = lots.copy()
    for row in better:
        lines = core[row, subsets[:, best[row]] > 0]
        lots[row, lines] = options[row, lines, picks[row, lines]]
    return lots


def _overrun(board: _Board, now: _Effects) -> Array:
    """By how much (P,) the limits are exceeded, all together."""
    weights = [(member * now.weight).sum(axis=-1) for member in np.moveaxis(board.members, 1, 0)]
    return _overrun_of(board, now.spent.sum(axis=-1), now.turnover.sum(axis=-1), weights)


def _overrun_after(board: _Board, now: _Effects, gain: _Effects) -> Array:
    """The same (P, N, K) if one line took another option."""
    return _overrun_of(
        board,
        now.spent.sum(axis=-1)[:, None, None] + gain.spent,
        now.turnover.sum(axis=-1)[:, None, None] + gain.turnover,
        [
            (member * now.weight).sum(axis=-1)[:, None, None] + member[..., None] * gain.weight
            for member in np.moveaxis(board.members, 1, 0)
        ],
    )


def _overrun_of(board: _Board, spent: Array, turnover: Array, weights: Sequence[Array]) -> Array:
    aside = (slice(None), *(None,) * (spent.ndim - 1))
    overrun = np.maximum(spent - board.free_cash[aside], 0.0)
    if np.isfinite(board.cap).any():
        overrun += np.maximum(turnover - board.cap[aside], 0.0)
    for group, weight in enumerate(weights):
        low, high = board.group_low[:, group][aside], board.group_high[:, group][aside]
        overrun += np.maximum(np.maximum(low - weight, weight - high), 0.0)
    return overrun


def _slack(board: _Board, now: _Effects) -> Array:
    """How far inside the nearest limit (P,); negative outside."""
    weights = np.einsum("pgn,pn->pg", board.members, now.weight)
    rooms = [
        (board.free_cash - now.spent.sum(axis=-1))[:, None],
        (board.cap - now.turnover.sum(axis=-1))[:, None],
        weights - board.group_low,
        board.group_high - weights,
    ]
    return np.concatenate(rooms, axis=-1).min(axis=-1)
