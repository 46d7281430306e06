"""From levels to returns: daily, over calendar periods, annualised; and the joins that line series up."""

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.constants import DAYS_PER_YEAR, SESSIONS_PER_YEAR
from analytics.calculations.observations import Days, Floats, Integers, known_where, ratio
from analytics.calculations.reductions import WHOLE, Reduction

ONE_DAY = np.timedelta64(1, "D")


def simple_returns(levels: Floats) -> Floats:
    """level / previous level − 1 along the last axis, same shape; the first is NaN.

    NaN where either level is unknown or the previous one is not positive.
    """
    returns = np.full(levels.shape, np.nan)
    previous = known_where(levels[..., :-1] > 0, levels[..., :-1])
    returns[..., 1:] = ratio(levels[..., 1:], previous) - 1
    return returns


def linked_index(returns: Floats) -> Floats:
    """Wealth per unit invested before the first return, linked geometrically along the last axis.

    A day without a return (NaN) leaves the level where it was.
    """
    growth = 1.0 + returns
    growth[np.isnan(growth)] = 1.0
    return np.multiply.accumulate(growth, axis=-1, out=growth)


def geometric_return(returns: Floats, over: Reduction = WHOLE) -> Floats:
    """Annualised compound return Π(1 + r)^(252/n) − 1, (..., n) -> (...), or as `over` says.

    NaN without an observation or after a loss of more than everything.
    """
    if not returns.shape[-1]:
        return np.full(returns.shape[:-1], np.nan)
    wealth, observed = over.growth(returns), over.count(returns)
    known = (observed > 0) & (wealth >= 0)
    return np.asarray(known_where(known, wealth) ** ratio(SESSIONS_PER_YEAR, observed.astype(float)) - 1)


def daily_risk_free(annual_rate: Floats) -> Floats:
    """Rate of one session from the annual effective rate y: (1 + y)^(1/252) − 1; NaN stays NaN."""
    return np.expm1(np.log1p(annual_rate) / SESSIONS_PER_YEAR)


def annualized_return(period_returns: Floats, days: NDArray[np.integer]) -> Floats:
    """(1 + r)^(365/days) − 1; NaN under 365 days (a short period is never blown up) or below −100 %."""
    known = (days >= DAYS_PER_YEAR) & (period_returns >= -1)
    wealth = np.where(known, 1 + period_returns, np.nan)
    return wealth ** ratio(DAYS_PER_YEAR, days.astype(float)) - 1


def carry_forward(source_dates: Days, values: Floats, dates: Days) -> Floats:
    """The last known value on or before each of `dates`; NaN before the first.

    `source_dates` ascend; NaN values count as not published. A later value is never used for an earlier day.
    """
    published = ~np.isnan(values)
    position = np.searchsorted(source_dates[published], dates, side="right") - 1
    carried = np.concatenate([[np.nan], values[published]])
    return np.asarray(carried[position + 1])


def months_earlier(dates: Days, months: int) -> Days:
    """The same calendar day `months` earlier, or that month's last day where it is shorter.

    The last day of a month goes to the last day of the earlier month (30 June -> 31 May).
    """
    days = dates.astype("datetime64[D]")
    month = days.astype("datetime64[M]")
    last_day = _last_day(month)
    earlier_last = _last_day(month - months)
    same_day = (month - months).astype("datetime64[D]") + (days - month.astype("datetime64[D]"))
    return np.where(days == last_day, earlier_last, np.minimum(same_day, earlier_last))


def period_return(dates: Days, levels: Floats, rows: Integers, months: int) -> Floats:
    """Return of each row over the last `months` calendar months, (len(rows),).

    The base is the last level on or before the day `months_earlier` finds. NaN where the history does not
    reach back that far or a level is unknown.
    """
    return _return_since(dates, levels, rows, months_earlier(dates[rows], months))


def year_to_date_return(dates: Days, levels: Floats, rows: Integers) -> Floats:
    """Return of each row since the last level on or before 31 December of the year before, (len(rows),)."""
    new_year: Days = dates[rows].astype("datetime64[Y]").astype("datetime64[D]")
    return _return_since(dates, levels, rows, new_year - ONE_DAY)


def _last_day(months: Days) -> Days:
    return np.asarray((months + 1).astype("datetime64[D]") - ONE_DAY)


def _return_since(dates: Days, levels: Floats, rows: Integers, anchors: Days) -> Floats:
    position = np.searchsorted(dates, anchors, side="right") - 1
    base = levels[np.maximum(position, 0)]
    return ratio(levels[rows], known_where((position >= 0) & (base > 0), base)) - 1
