"""Rebalancing of one portfolio: the proven best whole-lot trades under its rules, or the rules that forbid any.

The smallest tracking distance sum(|x * p / V - t|) over the lines comes first, then the smallest turnover
sum(|x - q| * p) / V at that distance, then the smallest largest deviation at that turnover; V is the value
before trading. What a line may do by itself is worked out exactly, in lots; the mixed-integer programme
(HiGHS) then decides between the lines, which compete for cash and turnover. Its answer is rounded to lots and
judged by `rebalancing_check`, which alone supplies the figures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import ceil, floor
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from analytics.calculations.rebalancing_check import check_trades, measure_trades

Mode = Literal["full", "bands", "invest_cash", "raise_cash"]
Status = Literal["ready", "in_balance", "infeasible", "blocked"]

# The programme counts money in ten-thousandths of the portfolio: HiGHS' absolute tolerance of 1e-6 is then
# 1e-10 of its value.
_UNIT = 1e4
_TOLERANCE = 1e-6
# Lots worth less than this share of the portfolio are solved as a continuous quantity and rounded.
_FINE_LOT = 1e-8
# The last stage only chooses between equally good answers, so it may stop early; nodes, not seconds, so that it
# stops at the same place every time.
_TIE_BREAK_NODES = 200
_INFEASIBLE = 2
_EXACT = Context(prec=100)


@dataclass(frozen=True)
class Line:
    """One asset: weights are fractions of the value before trading, money is in base currency.

    `breached` and `destination` (a weight; None: the target) matter in mode "bands" only.
    """

    symbol: str
    quantity: Decimal
    price: Decimal
    target: Decimal
    lot: Decimal = Decimal(1)
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    may_buy: bool = True
    may_sell: bool = True
    breached: bool = False
    destination: Decimal | None = None


@dataclass(frozen=True)
class Rules:
    """What holds for the whole portfolio. `cost_rate` and `turnover_cap` are fractions, the rest is money.

    `time_limit` is in seconds and holds for each of the two stages of the search.
    """

    cash: Decimal
    reserve: Decimal = Decimal(0)
    minimum_trade: Decimal = Decimal(0)
    fee_per_trade: Decimal = Decimal(0)
    cost_rate: Decimal = Decimal(0)
    mode: Mode = "full"
    raise_amount: Decimal = Decimal(0)
    turnover_cap: Decimal | None = None
    time_limit: float = 5.0


@dataclass(frozen=True)
class Trade:
    symbol: str
    side: Literal["buy", "sell"]
    quantity: Decimal
    price: Decimal
    amount: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Outcome:
    """What was decided for one line, and why. Weights are fractions of the value before trading."""

    symbol: str
    target: Decimal
    weight_before: Decimal
    weight_after: Decimal
    trade: Trade | None
    reason: str


@dataclass(frozen=True)
class Proposal:
    """Placeholder of the lead until the real one stands here: overwrite."""


def propose(lines, rules):
    raise ValueError("not there yet")
