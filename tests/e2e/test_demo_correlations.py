"""Correlations of three days pair by pair with scipy, and which pairs have a row on every day."""

from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.support import demo_files
from tests.support.demo_files import CODES
from tests.support.demo_house import DEMO_MARKS, DemoHouse
from tests.support.oracle_ledger import walk
from tests.support.oracle_series import assert_equal

pytestmark = DEMO_MARKS

WINDOWS = {
    "correlation_1m": 21,
    "correlation_3m": 63,
    "correlation_6m": 126,
    "correlation_1y": 252,
    "correlation_3y": 756,
    "rolling_20d": 20,
    "rolling_60d": 60,
}
# The week PYPL was listed, a day without a price of AAPL, the last week that is over: all, held, all pairs.
DAYS = {"2015-07-10": 351, "2017-08-07": 104, "2018-02-02": 351}

Pair = tuple[str, str]


@pytest.mark.parametrize("day", DAYS)
def test_every_pair_and_window_of_a_day(demo_house: DemoHouse, day: str) -> None:
    stored = rows_of(demo_house, pd.Timestamp(day))
    assert len(stored) == DAYS[day]
    for name, size in WINDOWS.items():
        window = name.rpartition("_")[2]
        common = [last_common(pair, pd.Timestamp(day), size) for pair in stored.index]
        assert stored[f"observations_{window}"].tolist() == [len(returns) for returns in common]
        r, p = correlate(common, size)
        assert_equal(stored[name], r)
        assert_equal(stored[f"p_value_{window}"], p, absolute=0)


@pytest.mark.parametrize("day", DAYS)
def test_false_discovery_over_the_pairs_of_a_day(demo_house: DemoHouse, day: str) -> None:
    stored = rows_of(demo_house, pd.Timestamp(day))
    p = stored["p_value_1y"].to_numpy(dtype=float)
    known = ~np.isnan(p)
    expected = np.full(len(p), np.nan)
    expected[known] = stats.false_discovery_control(p[known])
    assert known.sum() > 50
    assert_equal(stored["q_value_1y"], expected, absolute=0)
    for q, is_significant in zip(expected, stored["is_significant"], strict=True):
        assert is_significant == (None if np.isnan(q) else q < 0.05)


def test_rows_daily_for_pairs_held_together_and_weekly_for_all(demo_house: DemoHouse) -> None:
    rows = demo_house.tables["correlations"]
    counted = rows.groupby("calculation_date").size().to_dict()
    expected = expected_pairs()
    assert counted == {day: len(pairs) for day, pairs in expected.items() if pairs}


@pytest.mark.parametrize("day", ["2013-03-05", "2014-01-09", "2015-07-07", "2016-06-24", "2018-02-07"])
def test_the_pairs_of_a_day(demo_house: DemoHouse, day: str) -> None:
    assert set(rows_of(demo_house, pd.Timestamp(day)).index) == expected_pairs()[pd.Timestamp(day)]


def rows_of(demo_house: DemoHouse, day: pd.Timestamp) -> pd.DataFrame:
    """The day's rows by pair of symbols, in alphabetical order within the pair."""
    rows = demo_house.tables["correlations"]
    rows = rows[rows["calculation_date"] == day]
    pairs = [(min(pair), max(pair)) for pair in zip(rows["asset1"], rows["asset2"], strict=True)]
    return rows.set_index(pd.Index(pairs, tupleize_cols=False))


@cache
def expected_pairs() -> dict[pd.Timestamp, set[Pair]]:
    """On a week's last session all pairs of assets listed by then, on other days those held together."""
    days = demo_files.trading_days()
    week = days.to_period("W-FRI")
    # The last week is not over: its last session is a Wednesday.
    last_of_week = set(days[:-1][week[:-1] != week[1:]])
    listed = {symbol: bars.index[0] for symbol, bars in demo_files.bars().items()}
    held = held_together()
    return {
        day: all_pairs({symbol for symbol, first in listed.items() if first <= day})
        if day in last_of_week
        else held.get(day, set())
        for day in days
    }


def all_pairs(symbols: set[str]) -> set[Pair]:
    return set(combinations(sorted(symbols), 2))


def held_together() -> dict[pd.Timestamp, set[Pair]]:
    held: dict[pd.Timestamp, set[Pair]] = {}
    for code in CODES:
        for close in walk(code):
            held.setdefault(close.date, set()).update(all_pairs(set(close.quantities)))
    return held


@cache
def own_returns(symbol: str) -> pd.Series:
    return demo_files.bars()[symbol]["close"].pct_change().dropna()


@cache
def common_returns(pair: Pair) -> pd.DataFrame:
    return pd.concat([own_returns(symbol) for symbol in pair], axis=1, join="inner")


def last_common(pair: Pair, day: pd.Timestamp, size: int) -> np.ndarray:
    return common_returns(pair).loc[:day].to_numpy()[-size:]


def correlate(common: list[np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and two-sided p-values of the pairs with enough common returns; NaN for the others."""
    r, p = np.full(len(common), np.nan), np.full(len(common), np.nan)
    enough = [row for row, returns in enumerate(common) if len(returns) == size]
    if enough:
        left, right = np.moveaxis(np.stack([common[row] for row in enough]), -1, 0)
        found = stats.pearsonr(left, right, axis=1)
        r[enough], p[enough] = found.statistic, found.pvalue
    return r, p
