"""Risk class 1 to 7 by volatility of weekly returns (CESR/10-673, the SRRI), and the five-step label."""

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.constants import WEEKS_PER_YEAR
from analytics.calculations.observations import Days, Floats, Integers, known_where
from analytics.calculations.statistics import volatility
from analytics.calculations.windows import trailing_windows

# Annualised volatility from which classes 2, 3 … 7 begin.
CLASS_LIMITS = np.array([0.005, 0.02, 0.05, 0.10, 0.15, 0.25])
LABELS = ("very_low", "low", "medium", "high", "very_high")
# Label of classes 1 … 7 as an index into LABELS.
_LABEL_OF_CLASS = np.array([0, 0, 1, 2, 3, 3, 4])
CONCENTRATION_LIMIT = 0.25
DRAWDOWN_LIMIT = 0.25


def friday_returns(dates: Days, levels: Floats) -> tuple[Days, Integers, Floats]:
    """Returns from Friday to Friday: the Fridays they end on, the position they start from, the returns.

    `dates` and `levels` (T,) ascend. A Friday without a level takes the last one before it. A week in which
    no day has a level gives no return, the next return then spans it too.
    """
    # 1970-01-02 was a Friday, day number 1.
    first, last = ((day.astype(np.int64) - 1) for day in (dates[0], dates[-1]))
    fridays = (np.arange(-(-first // 7), last // 7 + 1) * 7 + 1).astype("datetime64[D]")
    position = np.searchsorted(dates, fridays, side="right") - 1
    new = np.concatenate([[True], position[1:] > position[:-1]]) if len(position) else position.astype(bool)
    fridays, position = fridays[new], position[new]
    return fridays[1:], position[:-1], levels[position[1:]] / levels[position[:-1]] - 1


def weekly_volatility(dates: Days, levels: Floats, starts: Integers, ends: Integers) -> Floats:
    """Annualised volatility (·√52) of the Friday returns inside each window of levels, (len(ends),).

    Window k holds the levels at positions `starts[k]` to `ends[k]` of `dates` and `levels` (T,). NaN below
    the minimum sample of `volatility`.
    """
    fridays, week_starts, weekly = friday_returns(dates, levels)
    last_week = np.searchsorted(fridays, dates[ends], side="right") - 1
    first_week = np.searchsorted(week_starts, starts, side="left")
    # Most days are within the same weeks as the day before.
    new = np.diff(last_week, prepend=-2) + np.diff(first_week, prepend=-2) != 0
    place = np.cumsum(new) - 1
    last_week, first_week = last_week[new], first_week[new]
    width = int(np.max(last_week - first_week + 1, initial=0))
    windows = trailing_windows(weekly, width, last_week)
    week = last_week[:, None] - np.arange(width)[::-1]
    of_weeks = volatility(known_where(week >= first_week[:, None], windows), periods_per_year=WEEKS_PER_YEAR)
    return np.asarray(of_weeks[place])


def risk_classes(volatilities: Floats) -> Floats:
    """Class 1 to 7 of each annualised volatility; NaN stays NaN. A limit itself is in the class above."""
    classes = np.searchsorted(CLASS_LIMITS, volatilities, side="right") + 1
    return known_where(~np.isnan(volatilities), classes.astype(float))


def risk_levels(
    classes: Floats, hhi: Floats, drawdown: Floats
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Labels of classes (n,), and why they were raised: None where they were not, or where there is no class.

    Concentration or a deep current drawdown raise a label by one step together, never more and never down.
    """
    known = ~np.isnan(classes)
    step = _LABEL_OF_CLASS[np.where(known, classes, 1).astype(np.int64) - 1]
    concentrated, fallen = known & (hhi > CONCENTRATION_LIMIT), known & (drawdown > DRAWDOWN_LIMIT)
    raised = concentrated | fallen
    labels = np.array(LABELS, dtype=object)[np.minimum(step + raised, len(LABELS) - 1)]
    labels[~known] = None
    causes = np.full(len(classes), None, dtype=object)
    for k in np.flatnonzero(raised):
        found = []
        if concentrated[k]:
            found.append(f"concentration {hhi[k]:.4f} above {CONCENTRATION_LIMIT}")
        if fallen[k]:
            found.append(f"current drawdown {drawdown[k]:.4f} above {DRAWDOWN_LIMIT}")
        causes[k] = f"one level up from {LABELS[step[k]]}: {', '.join(found)}"
    return labels, causes
