"""A bar continued from the row before it equals the full recomputation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calculations.asset_metrics import asset_metric_columns
from analytics.calculations.indicator_steps import STATE, STATE_COLUMNS, average_moves

BARS = 420
ASSETS = 3
YEAR = 252


def make_bars(seed, assets=ASSETS, bars=BARS):
    rng = np.random.default_rng(seed)
    weekdays = np.arange("2013-01-02", "2019-01-01", dtype="datetime64[D]")
    market = rng.normal(0.0003, 0.008, bars)
    close = 40 * np.cumprod(1 + market + rng.normal(0, 0.012, (assets, bars)), axis=1)
    return {
        "dates": weekdays[np.is_busday(weekdays)][:bars],
        "high": close * (1 + np.abs(rng.normal(0, 0.005, close.shape))),
        "low": close * (1 - np.abs(rng.normal(0, 0.005, close.shape))),
        "close": close,
        "volume": rng.integers(0, 50_000, close.shape).astype(float),
        "market_close": 1500 * np.cumprod(1 + market),
        "risk_free": rng.uniform(-1e-5, 5e-5, bars),
    }


def full(bars, rows):
    return asset_metric_columns(**bars, market_dates=bars["dates"], rows=rows)


def state_of(bars, row):
    columns, _ = full(bars, np.array([row]))
    columns[STATE] = average_moves(bars["close"], np.array([row]))
    return {name: columns[name][:, 0] for name in STATE_COLUMNS}


def continued(bars, rows):
    """From what an ordinary day reads: the closes of a year, and high, low and volume of 18 bars."""
    kept = np.arange(rows[0] - YEAR, rows[-1] + 1)
    known = kept >= rows[0] - 17
    tail = {name: values[..., kept] for name, values in bars.items()}
    for name in ("high", "low", "volume"):
        tail[name] = np.where(known, tail[name], np.nan)
    before = state_of(bars, rows[0] - 1)
    return asset_metric_columns(
        **tail, market_dates=tail["dates"], rows=np.arange(YEAR, YEAR + len(rows)), before=before
    )


def assert_equal(bars, rows):
    found, reasons = continued(bars, rows)
    expected, expected_reasons = full(bars, rows)
    assert list(found) == list(expected)
    beyond = {"return_1y", "return_3y", "return_5y"}  # without the earlier closes there is no telling
    for name in set(found) - beyond:
        size = np.nanmax(np.abs(bars["close"])) if name.startswith("macd") else 0
        np.testing.assert_allclose(
            found[name], expected[name], rtol=1e-9, atol=1e-12 + 1e-12 * size, err_msg=name
        )
    for name in ("volatility_20d", "volatility_1y", "beta_1y", "sharpe_ratio_1y", "max_drawdown_1y"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for row, other in zip(reasons, expected_reasons, strict=True):
        assert {name: row[name] for name in row.keys() - beyond} == {
            name: other[name] for name in other.keys() - beyond
        }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("days", [1, 5])
def test_new_bars_equal_the_full_recomputation(seed, days):
    assert_equal(make_bars(seed), np.arange(BARS - days, BARS))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    days=st.integers(1, 5),
    gaps=st.lists(st.tuples(st.sampled_from(["high", "low", "volume"]), st.integers(1, 40)), max_size=6),
    flat=st.tuples(st.integers(0, 300), st.integers(0, 60)),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_also_with_gaps_and_constant_stretches(seed, days, gaps, flat, scale):
    bars = make_bars(seed)
    for name in ("high", "low", "close"):
        bars[name] *= scale
    start, length = flat
    for name in ("high", "low", "close"):
        # The end of the series stands still, up to a moment before its last bars.
        stretch = np.s_[..., BARS - start - length : BARS - start]
        bars[name][stretch] = (
            bars["close"][..., BARS - start - length, None] if length else bars[name][stretch]
        )
    for name, age in gaps:
        bars[name][0, BARS - age] = np.nan
    assert_equal(bars, np.arange(BARS - days, BARS))


def test_each_day_continued_from_the_one_before_does_not_drift():
    bars = make_bars(11, bars=700)
    state = state_of(bars, 399)
    for row in range(400, 700):
        kept = np.s_[..., row - YEAR : row + 1]
        tail = {name: values[kept] for name, values in bars.items()}
        last = np.array([YEAR])
        columns, _ = asset_metric_columns(**tail, market_dates=tail["dates"], rows=last, before=state)
        moves = average_moves(tail["close"], last, state)
        state = {name: (columns | {STATE: moves})[name][:, 0] for name in STATE_COLUMNS}
    expected = state_of(bars, 699)
    for name in STATE_COLUMNS:
        np.testing.assert_allclose(state[name], expected[name], rtol=1e-9, err_msg=name)


def test_a_price_that_never_moved_begins_to():
    bars = make_bars(3)
    for name in ("high", "low", "close"):
        bars[name][0, : BARS - 2] = 25.0
    assert_equal(bars, np.arange(BARS - 3, BARS))


def test_without_any_high_low_or_volume():
    bars = make_bars(4)
    for name in ("high", "low", "volume"):
        bars[name][1] = np.nan
    assert_equal(bars, np.arange(BARS - 2, BARS))
    bars["volume"][1, -1] = 700.0
    found, _ = continued(bars, np.array([BARS - 1]))
    assert found["obv"][1, 0] == 700.0


@pytest.mark.parametrize("age", range(1, 20))
def test_the_true_range_begins_anew_after_a_gap_of_any_age(age):
    bars = make_bars(5)
    bars["low"][2, BARS - age] = np.nan
    assert_equal(bars, np.array([BARS - 1]))
