"""Money-weighted return: the constant annual rate that explains flows and final value (XIRR, ACT/365)."""

import numpy as np
import pyxirr

from analytics.calculations.constants import DAYS_PER_YEAR
from analytics.calculations.observations import Days, Floats

# Log rates scanned for further roots: −99.9999 % to 1,000,000 % a year, in steps of 0.5 % or finer.
_LOG_RATES = np.linspace(np.log(1e-6), np.log(1e4), 4_601)
# A discounted balance this small against the flows is rounding.
_BALANCE_TOLERANCE = 1e-9
_POLISHING_STEPS = 3


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
    if days >= DAYS_PER_YEAR:
        return rate, None
    period = np.expm1(np.log1p(rate) * days / DAYS_PER_YEAR)
    return np.nan, f"span under a year: {days} of {DAYS_PER_YEAR} days, period return {period:.10g}"


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
        if _is_only_root(log_rate, years, scaled):
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


def _is_only_root(log_rate: float, years: Floats, amounts: Floats) -> bool:
    """Soper's condition (1959): the balance of flows compounded at the root never changes sign.

    It holds for nearly every real book and saves the scan. Where it fails there may be other roots.
    """
    balances = np.cumsum(amounts * np.exp(-log_rate * years))
    tolerance = _BALANCE_TOLERANCE * np.abs(balances).max()
    is_root = abs(balances[-1]) <= tolerance
    return bool(is_root and ((balances <= tolerance).all() or (balances >= -tolerance).all()))


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
