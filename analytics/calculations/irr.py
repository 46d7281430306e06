"""Money-weighted return: the constant annual rate that explains flows and final value (XIRR, ACT/365)."""

from math import expm1, log1p

import numpy as np
import pyxirr
from numpy.typing import NDArray

from analytics.calculations.constants import DAYS_PER_YEAR
from analytics.calculations.observations import Days, Floats, Integers

# Log rates scanned for further roots: −99.9999 % to 1,000,000 % a year, in steps of 0.5 % or finer.
_LOG_RATES = np.linspace(np.log(1e-6), np.log(1e4), 4_601)
# A discounted balance this small against the flows is rounding.
_BALANCE_TOLERANCE = 1e-9
_POLISHING_STEPS = 3
# Steps towards the roots of many days at once; a day that needs more is solved by itself. Each step triples
# the number of right digits, so after one as small as this there is nothing left to gain.
_MOST_STEPS = 30
_LAST_STEP = 1e-7
# Days whose equations are solved together: those of a block have about the same flows behind them.
_ROWS_TOGETHER = 256


def money_weighted_returns(
    dates: Days, flows: Floats, values: Floats, rows: Integers
) -> tuple[Floats, NDArray[np.object_]]:
    """`money_weighted_return` on each of the days at positions `rows`: rates and reasons, (len(rows),).

    `dates`, `flows` (put in positive), `values` (at the end of the day) are (T,); the flows up to a day and
    its value make its equation. An unknown flow makes all later days unknown. The days share their flows, so
    they are solved together, step by step, in the log rate; a day whose root is not found so, or not seen
    at once to be the only one, is solved by itself.
    """
    moved = np.flatnonzero(flows != 0)  # an unknown flow counts as one
    rates, reasons = np.full(len(rows), np.nan), np.full(len(rows), None, dtype=object)
    log_rates, solved = _solve_together(dates, flows, values, moved, rows)
    if solved.any():
        days = (dates[rows] - dates[moved[0]]).astype(np.int64)
        is_long = solved & (days >= DAYS_PER_YEAR)
        rates[is_long] = np.expm1(log_rates[is_long])
        for k in np.flatnonzero(solved & ~is_long).tolist():
            reasons[k] = _too_short(float(log_rates[k]), int(days[k]))
    for k in np.flatnonzero(~solved).tolist():
        past = moved[: np.searchsorted(moved, rows[k], side="right")]
        amounts = np.append(-flows[past], values[rows[k]])
        rates[k], reasons[k] = money_weighted_return(np.append(dates[past], dates[rows[k]]), amounts)
    return rates, reasons


def _solve_together(
    dates: Days, flows: Floats, values: Floats, moved: Integers, rows: Integers
) -> tuple[Floats, NDArray[np.bool_]]:
    """Log rate of each row, and where it is the only root beyond doubt."""
    log_rates, solved = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    years = (dates - dates[moved[:1]]).astype(float) / DAYS_PER_YEAR if len(moved) else np.zeros(len(dates))
    for start in range(0, len(rows), _ROWS_TOGETHER):
        block = rows[start : start + _ROWS_TOGETHER]
        past = moved[moved <= block.max()]
        put_in = np.where(past[:, None] <= block, -flows[past, None], 0.0)
        usable = (years[block] > 0) & (values[block] > 0) & np.isfinite(put_in).all(axis=0)
        if len(past) and usable.any():
            places = start + np.flatnonzero(usable)
            solution = _solve(put_in[:, usable], years[past], values[block[usable]], years[block[usable]])
            log_rates[places], solved[places] = solution
    return log_rates, solved


def _solve(put_in: Floats, years: Floats, final: Floats, held: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Log rates of k equations with flows (n, k) and final values (k,), and where each is the only root.

    Steps of third order (Halley 1694): the second derivative costs next to nothing beside the powers. Flows
    are added one after the other, so that those yet to come, which are 0, do not change a bit.
    """
    when = years[:, None]
    # What was gained on the money while it was at work: close to the root where rates are moderate.
    at_work = -_summed(put_in * (held - when))
    gained = final + _summed(put_in)
    guess = np.divide(gained, at_work, out=np.zeros(len(final)), where=at_work > 0)
    log_rates = np.where(np.abs(guess) < 1, guess, 0.0)
    solved = np.zeros(len(final), dtype=bool)
    open_rows = np.arange(len(final))
    for _ in range(_MOST_STEPS):
        if not len(open_rows):
            break
        x, t = log_rates[open_rows], held[open_rows]
        paid = np.take(put_in, open_rows, axis=1) * np.exp(-when * x)
        worth, at_times = final[open_rows] * np.exp(-x * t), paid * when
        balance = _summed(paid) + worth
        slope = -_summed(at_times) - t * worth
        bend = _summed(at_times * when) + t**2 * worth
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = -2 * balance * slope / (2 * slope**2 - balance * bend)
        log_rates[open_rows] = x + step
        going = np.isfinite(step) & (np.abs(x + step) < _LOG_RATES[-1])
        done = going & (np.abs(step) * t <= _LAST_STEP)
        if done.any():
            flows = np.concatenate([paid, worth[None]])[:, done]
            solved[open_rows[done]] = _is_one_signed(np.add.accumulate(flows, axis=0))
        open_rows = open_rows[going & ~done]
    return log_rates, solved


def _summed(flows: Floats) -> Floats:
    """(n, k) -> (k,). A single column numpy would add up in pairs."""
    columns = flows.shape[-1]
    return np.asarray((flows if columns > 1 else np.repeat(flows, 2, axis=-1)).sum(axis=0)[:columns])


def money_weighted_return(dates: Days, amounts: Floats) -> tuple[float, str | None]:
    """Annual effective rate of the dated flows and why it is NaN: (rate, reason).

    Amounts are the investor's: money put in negative, money taken out and the final value positive. NaN
    without a root, with several, and over less than a year, where the reason holds the return of the
    period instead.
    """
    rate, reason = internal_rate_of_return(dates, amounts)
    if reason is not None:
        return np.nan, reason
    moved = dates[amounts != 0]
    days = int((moved[-1] - moved[0]).astype(np.int64))
    return (rate, None) if days >= DAYS_PER_YEAR else (np.nan, _too_short(log1p(rate), days))


def _too_short(log_rate: float, days: int) -> str:
    """A rate is never blown up from a span under a year."""
    period = expm1(log_rate * days / DAYS_PER_YEAR)
    return f"span under a year: {days} of {DAYS_PER_YEAR} days, period return {period:.10g}"


def internal_rate_of_return(dates: Days, amounts: Floats) -> tuple[float, str | None]:
    """The rate r with Σ aⱼ(1 + r)^(−tⱼ/365) = 0, whatever the span: (rate, reason).

    `dates` ascend, amounts (n,) as in `money_weighted_return`. NaN with a reason where an amount is
    unknown, where no rate solves the equation, and where several do.
    """
    if np.isnan(amounts).any():
        return np.nan, "a flow or the final value is unknown"
    moved = amounts != 0
    dates, amounts = dates[moved], amounts[moved]
    if not ((amounts > 0).any() and (amounts < 0).any()):
        return np.nan, "no root: the flows do not change sign"
    if dates[0] == dates[-1]:
        return np.nan, "no root: all flows fall on one day"
    # pyxirr's tolerance is absolute, so the amounts are brought to 1 first.
    scaled = amounts / np.abs(amounts).max()
    years = (dates - dates[0]).astype(float) / DAYS_PER_YEAR
    rate = pyxirr.xirr(dates, scaled, silent=True)
    if rate is not None and -1 < rate < np.inf:
        log_rate = _polish(np.log1p(rate), years, scaled)
        balances = np.cumsum(scaled * np.exp(-log_rate * years))
        is_root = abs(balances[-1]) <= _BALANCE_TOLERANCE * np.abs(balances).max()
        if is_root and _is_one_signed(balances):
            return float(np.expm1(log_rate)), None
    roots = _scan_roots(years, scaled)
    if len(roots) == 1:
        return float(np.expm1(_polish(roots[0], years, scaled))), None
    if len(roots) > 1 or rate is not None:
        return np.nan, "several roots"
    return np.nan, "no root"


def _polish(log_rate: float, years: Floats, amounts: Floats) -> float:
    """Newton's steps in the log rate: the library stops at about nine digits."""
    for _ in range(_POLISHING_STEPS):
        discounted = amounts * np.exp(-log_rate * years)
        slope = (years * discounted).sum()
        if slope == 0:
            break
        log_rate += discounted.sum() / slope
    return log_rate


def _is_one_signed(balances: Floats) -> NDArray[np.bool_]:
    """Soper's condition (1959): the balance of flows compounded at the root never changes sign.

    `balances` (n, ...) at the root. It holds for nearly every real book and saves the scan. Where it fails
    there may be other roots.
    """
    highest, lowest = balances.max(axis=0), balances.min(axis=0)
    tolerance = _BALANCE_TOLERANCE * np.maximum(highest, -lowest)
    return np.asarray((highest <= tolerance) | (lowest >= -tolerance))


def _scan_roots(years: Floats, amounts: Floats) -> Floats:
    """Log rates between which the net present value changes sign, the middle of each step.

    Two roots closer than a step, or a double one, go unseen together.
    """
    rates = _LOG_RATES[:, None]
    # Seen from the last flow at negative rates and from the first at positive ones, nothing overflows.
    values = (amounts * np.exp(-rates * np.where(rates < 0, years - years[-1], years))).sum(axis=-1)
    change = np.flatnonzero(np.signbit(values[1:]) != np.signbit(values[:-1]))
    middles: Floats = (_LOG_RATES[change] + _LOG_RATES[change + 1]) / 2
    return middles
