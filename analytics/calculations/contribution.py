"""What each asset and the cash added to the return: per sub-period, and linked with nothing left over."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.calculations.twr import NO_CAPITAL, Floats, SubPeriods, sum_segments


@dataclass(frozen=True)
class Contributions:
    """Of K sub-periods. lines: (A + 1, K), the assets and, last, the cash; fractions of the capital at work.

    weights: (A + 1, K), capital of each line over the capital at work; they add up to 1. returns: (K,). Per
    sub-period the lines add up to the return. NaN = unknown.
    """

    lines: Floats
    weights: Floats
    returns: Floats

    def linked(self) -> Floats:
        """Contributions to the compound return of all K, (A + 1,)."""
        return linked_effects(self.lines, self.returns)


def contributions(
    periods: SubPeriods, positions: Floats, net_purchases: Floats, income: Floats, costs: Floats
) -> Contributions:
    """Contributions c = pnl / capital with the capital of the time-weighted return.

    periods: the K sub-periods of the portfolio. positions, net_purchases, income, costs: (A, T) in base
    currency on the timeline of `periods`: value in the evening, what was put into the asset that day less
    what was taken out (transfers in kind too), what it paid, fees and taxes of its lines.

        pnl(t) = value(t) - value(t-1) - net purchases + income - costs

    (Bacon 2008, chapter 5). What is left of the portfolio's result is the cash's: interest, the change of
    exchange rates on cash, fees and taxes of no asset. A line's capital is in `capital_of_positions`.

    Without capital all lines and weights are 0, as the return is; with negative capital all are NaN. An
    unknown amount makes its line and the cash NaN in that sub-period, an unknown purchase their weights too.
    Positions may be unknown on days without a value only.
    """
    lines = position_results(periods, positions, net_purchases, income, costs)
    capital = capital_of_positions(periods, positions, net_purchases)
    at_work = np.where(periods.capital >= NO_CAPITAL, periods.capital, np.nan)
    idle = np.abs(periods.capital) < NO_CAPITAL
    shares, weights = (np.where(idle, 0.0, amounts / at_work) for amounts in (lines, capital))
    rest = periods.returns - shares.sum(axis=0)
    cash_weight = np.where(idle, 0.0, 1.0 - weights.sum(axis=0))
    return Contributions(
        lines=np.vstack([shares, rest]), weights=np.vstack([weights, cash_weight]), returns=periods.returns
    )


def position_results(
    periods: SubPeriods, positions: Floats, net_purchases: Floats, income: Floats, costs: Floats
) -> Floats:
    """Profit of each position per sub-period, (A, K), in money; arguments as in `contributions`."""
    begin, end = opening_and_closing(periods, positions)
    bought, earned, paid = (sum_segments(amounts, periods.ends) for amounts in (net_purchases, income, costs))
    return end - begin - bought + earned - paid


def opening_and_closing(periods: SubPeriods, levels: Floats) -> tuple[Floats, Floats]:
    """Levels (..., T) where each sub-period begins and ends, (..., K); 0 before the first."""
    end = levels[..., periods.ends]
    begin = np.concatenate([np.zeros_like(end[..., :1]), end[..., :-1]], axis=-1)
    return begin, end


def capital_of_positions(periods: SubPeriods, positions: Floats, net_purchases: Floats) -> Floats:
    """What was at work in each position per sub-period, (A, K), in money; negative for a short one.

    What enlarges a position counts from the start, what reduces it until the end: capital = opening value +
    net purchases of the opening value's sign. A position that opens counts with what was paid for it, and
    with nothing when more came out than went in. NaN where the purchases are unknown.
    """
    begin, end = opening_and_closing(periods, positions)
    bought = sum_segments(net_purchases, periods.ends)
    side = np.where(begin != 0, np.sign(begin), np.sign(end))
    return begin + np.where(side * bought > 0, bought, 0.0 * bought)


def carino_factors(returns: Floats, against: Floats | float = 0.0) -> Floats:
    """k = (ln(1 + r) - ln(1 + b)) / (r - b), and its limit 1 / (1 + r) where the two are equal (Carino 1999).

    returns, against: same shape, fractions. NaN where either lost everything or more, or is unknown.
    """
    returns, against = np.broadcast_arrays(returns, np.asarray(against, dtype=np.float64))
    is_known = (returns > -1) & (against > -1)
    ours, theirs = (np.where(is_known, side, np.nan) for side in (returns, against))
    # ln((1 + r) / (1 + b)) by way of log1p keeps its digits however close the two are.
    ahead = (ours - theirs) / (1 + theirs)
    slope = np.ones_like(ahead)
    np.divide(np.log1p(ahead), ahead, out=slope, where=ahead != 0)
    return np.where(is_known, slope / (1 + theirs), np.nan)


def linked_effects(effects: Floats, returns: Floats, against: Floats | float = 0.0) -> Floats:
    """Effects of K sub-periods, (..., K), linked over time: (...).

    Where the effects add up to returns - against in each sub-period, the linked ones add up to the difference
    of the compound returns: sum of k e / K with Carino's factors k of the sub-periods and K of the whole. NaN
    where a sub-period or the whole has no factor; no sub-periods make 0.
    """
    against = np.broadcast_to(np.asarray(against, dtype=np.float64), returns.shape)
    whole, whole_against = np.asarray(np.prod(1 + returns) - 1), float(np.prod(1 + against) - 1)
    total_factor = carino_factors(whole, whole_against)
    return np.asarray((effects * carino_factors(returns, against)).sum(axis=-1) / total_factor)


def grouped(lines: Floats, groups: Sequence[str]) -> tuple[list[str], Floats]:
    """Names of the groups in the order of their first line, and their sums: (L, ...) -> (G, ...)."""
    names = list(dict.fromkeys(groups))
    members = np.array([names.index(group) for group in groups], dtype=np.intp)
    sums = np.zeros((len(names), *lines.shape[1:]))
    np.add.at(sums, members, lines)
    return names, sums
