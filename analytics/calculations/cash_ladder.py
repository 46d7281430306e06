"""The cash of one portfolio day by day, as far as it is known: what settles when, and what is to be paid.

Amounts are in base currency, positive for what comes in.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from itertools import groupby
from typing import cast

import numpy as np

NOTHING = Decimal(0)
_EXACT = Context(prec=100)


@dataclass(frozen=True)
class CashMove:
    """Cash that comes or goes on a day. `frees`: what need no longer be kept back once it is done."""

    date: dt.date
    amount: Decimal
    what: str
    frees: Decimal = NOTHING


@dataclass(frozen=True)
class Rung:
    """The cash after one move, and the reserve that must be there then."""

    date: dt.date
    cash: Decimal
    reserve: Decimal
    change: Decimal
    what: str


@dataclass(frozen=True)
class Shortfall:
    """Days from `first` on that end with less cash than the reserve; `until`: it is there again, if ever."""

    first: dt.date
    until: dt.date | None
    cash: Decimal
    reserve: Decimal


def cash_ladder(
    day: dt.date, cash: Decimal, reserve: Decimal, moves: Sequence[CashMove], what: str
) -> list[Rung]:
    """From the settled cash of `day` move by move; those of one date in the order given.

    What should have moved before `day` is taken to move on it.
    """
    ladder = [Rung(day, cash, reserve, NOTHING, what)]
    with localcontext(_EXACT):
        for move in sorted(moves, key=lambda move: max(move.date, day)):
            last = ladder[-1]
            ladder.append(
                Rung(
                    max(move.date, day),
                    last.cash + move.amount,
                    last.reserve - move.frees,
                    move.amount,
                    move.what,
                )
            )
    return ladder


def shortfalls(ladder: Sequence[Rung]) -> list[Shortfall]:
    """Where the cash falls below its reserve after the first day; within a day what comes in helps."""
    ends = [list(rungs)[-1] for _, rungs in groupby(ladder, key=lambda rung: rung.date)]
    found: list[Shortfall] = []
    began: Rung | None = None
    for end in ends[1:]:
        if end.cash >= end.reserve:
            if began is not None:
                found.append(Shortfall(began.date, end.date, began.cash, began.reserve))
            began = None
        elif began is None:
            began = end
    if began is not None:
        found.append(Shortfall(began.date, None, began.cash, began.reserve))
    return found


def settlement_day(day: dt.date, days: int) -> dt.date:
    """When what is traded on the first weekday after `day` settles: so many weekdays later."""
    traded = np.busday_offset(np.datetime64(day) + 1, 0, roll="forward")
    return cast(dt.date, np.busday_offset(traded, days).item())
