"""Returns of the demo's portfolios from the second ledger, and helpers to put figures beside them."""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
import pandas as pd

from tests.support import demo_files
from tests.support.oracle_ledger import DIGITS, Close, calendar, walk

ONE_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class PortfolioSeries:
    """One portfolio on its T calendar days, in base currency."""

    dates: pd.DatetimeIndex
    returns: np.ndarray
    index: np.ndarray
    risk_free: np.ndarray
    benchmarks: dict[str, np.ndarray]
    primary: str
    closes: list[Close]

    def levels(self, end: int) -> pd.Series:
        """Level 1 on the day before the first, then the index up to position `end`."""
        days = self.dates[: end + 1]
        return pd.Series([1.0, *self.index[: end + 1]], index=days.insert(0, days[0] - ONE_DAY))


@cache
def portfolio_series(code: str) -> PortfolioSeries:
    """r = (end value + outflow) / (start value + inflow) - 1, linked from 1 before the first day."""
    days, closes = calendar(code), walk(code)
    returns, index = [], []
    before, level = Decimal(0), Decimal(1)
    with localcontext(prec=DIGITS):
        for close in closes:
            growth = (close.figures["total_value"] + close.outflow) / (before + close.inflow)
            level *= growth
            returns.append(float(growth - 1))
            index.append(float(level))
            before = close.figures["total_value"]
    base = demo_files.base_currency(code)
    return PortfolioSeries(
        dates=days,
        returns=np.array(returns),
        index=np.array(index),
        risk_free=demo_files.risk_free_on(days),
        benchmarks={
            symbol: demo_files.returns_in(base, symbol, days) for symbol in demo_files.benchmark_symbols(code)
        },
        primary=demo_files.primary_benchmark(code),
        closes=closes,
    )


@cache
def months_before(day: pd.Timestamp, months: int) -> pd.Timestamp:
    """The same day of an earlier month; a month end stays a month end."""
    if day.is_month_end:
        return day - pd.offsets.MonthEnd(months)
    return day - pd.DateOffset(months=months)


def assert_equal(stored: pd.Series, expected: np.ndarray, rel: float = 1e-9, absolute: float = 1e-12) -> None:
    """Both unknown, or equal within `rel` of the expected figure or `absolute`."""
    values = stored.to_numpy(dtype=float)
    np.testing.assert_allclose(values, expected, rtol=rel, atol=absolute, err_msg=str(stored.name))


def returns_since(levels: pd.Series, days: pd.DatetimeIndex, anchors: list[pd.Timestamp]) -> np.ndarray:
    """Level of each day over the last level on or before its anchor, less 1; NaN when there is none."""
    base = levels.index.searchsorted(pd.DatetimeIndex(anchors), side="right") - 1
    found = levels[days].to_numpy() / levels.to_numpy()[base] - 1
    return np.where(base >= 0, found, np.nan)
