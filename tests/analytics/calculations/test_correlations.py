import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analytics.calculations.constants import CORRELATION_WINDOWS
from analytics.calculations.correlation_tests import (
    correlation_p_value,
    false_discovery,
    fisher_interval,
    t_statistic,
)
from analytics.calculations.correlations import correlation_day

WINDOWS = list(CORRELATION_WINDOWS.values())


def make_returns(assets=8, days=900, seed=3):
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0003, 0.01, days)
    exposure = rng.uniform(-0.5, 1.5, (assets, 1))
    return exposure * market + rng.normal(0, 0.012, (assets, days))


def pierce(returns, share=0.1, seed=5):
    returns = returns.copy()
    returns[np.random.default_rng(seed).random(returns.shape) < share] = np.nan
    return returns


def assert_equals_pearson(returns, day, rtol=1e-9):
    """Every pair and window against scipy on the pair's last common returns."""
    for pair, (i, j) in enumerate(zip(day.left, day.right, strict=True)):
        both = np.flatnonzero(np.isfinite(returns[i]) & np.isfinite(returns[j]))
        for k, window in enumerate(WINDOWS):
            assert day.observations[k, pair] == min(len(both), window)
            x, y = returns[i, both[-window:]], returns[j, both[-window:]]
            if len(both) < window or np.ptp(x) == 0 or np.ptp(y) == 0:
                assert np.isnan(day.r[k, pair])
                assert np.isnan(day.p[k, pair])
            else:
                expected = stats.pearsonr(x, y)
                assert day.r[k, pair] == pytest.approx(expected.statistic, rel=rtol, abs=1e-12)
                assert day.p[k, pair] == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-300)


def test_windows_are_the_published_ones():
    assert dict(CORRELATION_WINDOWS) == {
        "correlation_1m": 21,
        "correlation_3m": 63,
        "correlation_6m": 126,
        "correlation_1y": 252,
        "correlation_3y": 756,
        "rolling_20d": 20,
        "rolling_60d": 60,
    }


def test_complete_returns_equal_pearson():
    returns = make_returns()
    day = correlation_day(returns)
    assert_equals_pearson(returns, day)
    assert np.isfinite(day.r).all()
    np.testing.assert_array_equal([day.left, day.right], np.triu_indices(len(returns), 1))


def test_scattered_holes_equal_pearson_on_the_common_days():
    returns = pierce(make_returns(days=1200))
    day = correlation_day(returns)
    assert_equals_pearson(returns, day)
    assert np.isfinite(day.r).all()


def test_one_asset_with_holes_among_complete_ones():
    returns = make_returns()
    returns[3, [5, 700, 880, 899]] = np.nan
    assert_equals_pearson(returns, correlation_day(returns))


def test_late_listing_has_the_short_windows_only():
    returns = make_returns()
    returns[2, :-130] = np.nan
    day = correlation_day(returns)
    assert_equals_pearson(returns, day)
    with_late = (day.left == 2) | (day.right == 2)
    unknown = [name for name, r in zip(day.windows, day.r[:, with_late], strict=True) if np.isnan(r).any()]
    assert unknown == ["correlation_1y", "correlation_3y"]
    assert np.isnan(day.r[WINDOWS.index(252), with_late]).all()
    assert (day.observations[WINDOWS.index(756), with_late] == 130).all()


def test_two_trading_calendars_meet_on_their_common_days():
    returns = make_returns(assets=9, days=1400)
    weekend = np.arange(1400) % 7 >= 5
    returns[:7, weekend] = np.nan  # seven assets rest on days 5 and 6, two trade every day
    day = correlation_day(returns)
    assert_equals_pearson(returns, day)
    assert np.isfinite(day.r).all()


def test_constant_stretch_is_unknown_exactly_while_it_fills_the_window():
    returns = make_returns()
    returns[1, -63:] = 0.1  # the mean of 0.1 is not 0.1 in floating point
    returns[4, -20:] = 0.0
    day = correlation_day(returns)
    assert_equals_pearson(returns, day)
    flat = {
        (asset, name): bool(np.isnan(day.r[k, (day.left == asset) | (day.right == asset)]).all())
        for k, name in enumerate(day.windows)
        for asset in (1, 4)
    }
    assert {key for key, is_flat in flat.items() if is_flat} == {
        (1, "correlation_1m"),
        (1, "correlation_3m"),
        (1, "rolling_20d"),
        (1, "rolling_60d"),
        (4, "rolling_20d"),
    }


def test_constant_stretch_among_holes():
    returns = pierce(make_returns(days=1200))
    returns[1, -120:] = np.where(np.isnan(returns[1, -120:]), np.nan, 0.1)
    day = correlation_day(returns)
    assert_equals_pearson(returns, day)
    assert np.isnan(day.r[WINDOWS.index(63), day.left == 1]).all()


@pytest.mark.parametrize("holes", [0.0, 0.05])
def test_perfect_correlation_stays_within_one(holes):
    base = pierce(make_returns(assets=1, days=1000), holes)[0]
    day = correlation_day(np.stack([base, 3 * base, -0.7 * base]))
    assert (np.abs(day.r) <= 1).all()
    np.testing.assert_allclose(np.abs(day.r), 1, rtol=1e-13)
    np.testing.assert_array_equal(np.sign(day.r), np.tile([1, -1, -1], (7, 1)))
    assert (day.p < 1e-60).all()


def test_subset_of_pairs_equals_the_same_pairs_of_all():
    returns = make_returns(assets=12)
    returns[5, 850] = np.nan
    left, right = np.array([2, 0, 5]), np.array([9, 11, 7])
    every, some = correlation_day(returns), correlation_day(returns, (left, right))
    position = [
        int(np.flatnonzero((every.left == i) & (every.right == j))[0])
        for i, j in zip(left, right, strict=True)
    ]
    np.testing.assert_allclose(some.r, every.r[:, position], rtol=1e-12)
    np.testing.assert_array_equal(some.observations, every.observations[:, position])
    np.testing.assert_array_equal(some.left, left)


@pytest.mark.parametrize("pair", [(3, 3), (4, 2)])
def test_a_pair_out_of_order_is_refused(pair):
    with pytest.raises(ValueError, match="left < right"):
        correlation_day(make_returns(), (np.array([pair[0]]), np.array([pair[1]])))


@pytest.mark.parametrize("assets", [0, 1])
def test_fewer_than_two_assets_have_no_pairs(assets):
    day = correlation_day(np.zeros((assets, 50)))
    assert day.r.shape == (7, 0)
    assert day.reasons() == []


def test_complete_matrix_is_a_correlation_matrix():
    day = correlation_day(make_returns(assets=20))
    matrix = np.eye(20)
    matrix[day.left, day.right] = matrix[day.right, day.left] = day.r[WINDOWS.index(252)]
    assert np.linalg.eigvalsh(matrix).min() > -1e-12


def test_input_is_left_alone():
    returns = pierce(make_returns())
    before = returns.copy()
    correlation_day(returns)
    np.testing.assert_array_equal(returns, before)


def test_columns_are_named_as_the_table():
    day = correlation_day(make_returns())
    columns = day.columns()
    suffixes = ["1m", "3m", "6m", "1y", "3y", "20d", "60d"]
    assert set(columns) == (
        set(CORRELATION_WINDOWS)
        | {f"p_value_{s}" for s in suffixes}
        | {f"observations_{s}" for s in suffixes}
        | {"q_value_1y", "is_significant"}
    )
    np.testing.assert_array_equal(columns["p_value_20d"], day.p[WINDOWS.index(20)])
    np.testing.assert_array_equal(columns["observations_3y"], 756)


def test_every_missing_figure_has_a_reason_and_no_other():
    returns = make_returns()
    returns[2, :-130] = np.nan
    returns[1, -63:] = 0.1
    day = correlation_day(returns)
    columns, reasons = day.columns(), day.reasons()
    for name in columns:
        if np.issubdtype(columns[name].dtype, np.floating):
            for value, row in zip(columns[name], reasons, strict=True):
                assert (name in row) == bool(np.isnan(value)), name
    first = dict(zip(zip(day.left.tolist(), day.right.tolist(), strict=True), reasons, strict=True))
    assert first[0, 2]["correlation_3y"] == "insufficient data: 130 of 756 common returns"
    assert first[0, 2]["q_value_1y"] == "insufficient data: 130 of 252 common returns"
    assert first[0, 1]["p_value_3m"] == "constant returns within 63 common days"
    assert first[0, 3] == {}


def test_q_values_equal_benjamini_hochberg_by_hand():
    day = correlation_day(make_returns(assets=10))
    p = day.p[WINDOWS.index(252)]
    order = np.argsort(p)
    adjusted = (p[order] * len(p) / np.arange(1, len(p) + 1))[::-1]
    expected = np.empty_like(p)
    expected[order] = np.minimum.accumulate(adjusted)[::-1]
    np.testing.assert_allclose(day.q, expected, rtol=1e-12)
    np.testing.assert_array_equal(day.is_significant, expected < 0.05)
    assert 0 < day.is_significant.sum() < len(p)


def test_unknown_p_values_are_no_tests():
    known = np.array([0.01, 0.04, 0.03])
    q = false_discovery(np.array([np.nan, 0.01, 0.04, np.nan, 0.03]))
    np.testing.assert_array_equal(np.isnan(q), [True, False, False, True, False])
    np.testing.assert_array_equal(q[[1, 2, 4]], false_discovery(known))
    np.testing.assert_allclose(false_discovery(known), [0.03, 0.04, 0.04], rtol=1e-12)
    assert np.isnan(false_discovery(np.full(3, np.nan))).all()
    assert false_discovery(np.empty(0)).size == 0


def test_noise_is_rarely_significant_after_adjustment():
    rng = np.random.default_rng(11)
    day = correlation_day(rng.normal(0, 0.01, (40, 300)))
    assert (day.p[WINDOWS.index(252)] < 0.05).sum() > 20
    assert day.is_significant.sum() == 0


@pytest.mark.parametrize(
    ("n", "critical"),
    [
        (20, 0.4437633993),
        (21, 0.4328575563),
        (36, 0.3291110432),
        (60, 0.2542042854),
        (63, 0.2480256530),
        (126, 0.1750016711),
        (252, 0.1236067838),
        (756, 0.0713104315),
    ],
)
def test_five_percent_critical_correlations(n, critical):
    half_digit = 0.5e-10
    assert (
        correlation_p_value(critical - half_digit, n) >= 0.05 >= correlation_p_value(critical + half_digit, n)
    )


def test_worked_significance_of_a_correlation_of_030_in_60_returns():
    assert t_statistic(0.3, 60) == pytest.approx(2.395049840037517, rel=1e-14)
    assert correlation_p_value(0.3, 60) == pytest.approx(0.019868182889321684, rel=1e-13)
    low, high = fisher_interval(0.3, 60)
    # The worked interval takes 1.959964 for the normal quantile, which is 1.5e-8 too much.
    assert low == pytest.approx(0.049874614715838185, abs=3e-9)
    assert high == pytest.approx(0.5147150446645791, abs=3e-9)


def test_interval_equals_scipy():
    x, y = make_returns(assets=2, days=60)
    result = stats.pearsonr(x, y)
    expected = result.confidence_interval(0.9)
    assert fisher_interval(result.statistic, 60, 0.9) == pytest.approx(expected, rel=1e-12)


def test_significance_at_the_edges():
    np.testing.assert_array_equal(correlation_p_value([1.0, -1.0, 0.0], 60), [0.0, 0.0, 1.0])
    assert np.isnan(correlation_p_value(np.nan, 60))
    assert np.isnan(correlation_p_value([0.5, 1.0], 2)).all()
    assert [float(x) for x in fisher_interval(1.0, 60)] == [1.0, 1.0]
    assert np.isnan(fisher_interval(0.5, 3)).all()
    assert math.isclose(
        fisher_interval(0.5, 100, 0.99)[1], math.tanh(math.atanh(0.5) + 2.5758293035 / 97**0.5)
    )


def test_p_value_is_two_sided_and_falls_with_strength():
    r = np.linspace(0, 0.999, 200)
    p = correlation_p_value(r, 60)
    np.testing.assert_array_equal(p, correlation_p_value(-r, 60))
    assert (np.diff(p) < 0).all()


def test_window_reaches_back_no_further_than_needed():
    """A shock older than a pair's last 20 common returns leaves its 20-day correlation alone."""
    returns = pierce(make_returns(assets=3))
    day = correlation_day(returns)
    for pair, (i, j) in enumerate(itertools.combinations(range(3), 2)):
        both = np.flatnonzero(np.isfinite(returns[i]) & np.isfinite(returns[j]))
        shocked = returns.copy()
        shocked[:, : both[-20]] = 9.0
        k = WINDOWS.index(20)
        assert correlation_day(shocked).r[k, pair] == pytest.approx(day.r[k, pair], rel=1e-12)
        shocked[i, both[-20]] = 9.0
        assert correlation_day(shocked).r[k, pair] != pytest.approx(day.r[k, pair], rel=1e-3)
