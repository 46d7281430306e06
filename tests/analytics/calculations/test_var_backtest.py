"""Backtests of value at risk; the numbers of worked case C7 (Kupiec 1995, Christoffersen 1998, Basel)."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analytics.calculations.var_backtest import (
    CASES,
    RED_FROM,
    YELLOW_FROM,
    basel_zone,
    christoffersen_test,
    exceptions_test,
    known_last,
    kupiec_test,
    var_backtests,
    var_forecasts,
)
from analytics.calculations.var_models import model_tails

RETURNS = np.random.default_rng(8).standard_t(6, (3, 900)) * 0.01


def plain_log(count: float, probability: float) -> float:
    return count * math.log(probability) if count else 0.0


@pytest.mark.parametrize(
    ("exceptions", "days", "probability", "expected"),
    [
        (3, 250, 0.01, 0.09494012266443264),
        (0, 250, 0.01, 5.025167926750726),
        (7, 250, 0.01, 5.496990447792683),
        (12, 250, 0.05, 0.021324025180589956),
        (20, 250, 0.05, 4.0395204761392165),
    ],
)
def test_kupiec_ratios_of_the_worked_case(exceptions, days, probability, expected):
    lr, p = kupiec_test(exceptions, days, probability)
    assert lr == pytest.approx(expected, rel=1e-12)
    assert p == pytest.approx(stats.chi2.sf(expected, 1), rel=1e-10)


def test_seven_exceptions_in_thirty_days_are_far_too_many():
    lr, p = kupiec_test(7, 30, 0.01)
    assert round(float(lr), 2) == 32.34
    assert p < 1e-7


@pytest.mark.parametrize(
    ("probability", "days", "fewest", "most"),
    [
        (0.01, 250, 1, 6),
        (0.01, 255, 1, 6),
        (0.01, 500, 2, 9),
        (0.01, 510, 2, 10),
        (0.01, 750, 3, 13),
        (0.01, 1000, 5, 16),
        (0.05, 250, 7, 19),
        (0.05, 255, 7, 20),
        (0.05, 500, 17, 35),
        (0.05, 510, 17, 35),
        (0.05, 750, 27, 49),
        (0.05, 1000, 38, 64),
    ],
)
def test_accepted_counts_of_the_worked_case(probability, days, fewest, most):
    counts = np.arange(days + 1)
    _, p = kupiec_test(counts, np.full(days + 1, days), probability)
    assert counts[p >= 0.05].tolist() == list(range(fewest, most + 1))


def test_kupiec_at_the_ends_and_without_days():
    assert kupiec_test(0, 0, 0.01)[0] is not None
    assert np.isnan(kupiec_test(0, 0, 0.01)).all()
    assert kupiec_test(250, 250, 0.01)[0] == pytest.approx(-2 * 250 * math.log(0.01))
    assert kupiec_test(5, 100, 0.05)[0] == 0


def test_basel_zones_of_the_worked_case():
    law = stats.binom(250, 0.01)
    assert law.cdf(YELLOW_FROM - 1) == pytest.approx(0.8921876269036251, rel=1e-12)
    assert law.cdf(RED_FROM - 1) == pytest.approx(0.9997498099312595, rel=1e-12)
    assert basel_zone(np.array([0.0, 4, 5, 9, 10, 250, np.nan])).tolist() == [
        "green",
        "green",
        "yellow",
        "yellow",
        "red",
        "red",
        None,
    ]


def brute_christoffersen(hits):
    """By the book, one transition after the other."""
    counts = {(i, j): 0 for i in (0, 1) for j in (0, 1)}
    for before, after in pairwise(hits):
        if not (np.isnan(before) or np.isnan(after)):
            counts[int(before), int(after)] += 1
    n00, n01, n10, n11 = (counts[pair] for pair in ((0, 0), (0, 1), (1, 0), (1, 1)))
    share = (n01 + n11) / sum(counts.values())
    calm = n01 / (n00 + n01) if n00 + n01 else 0.0
    hit = n11 / (n10 + n11) if n10 + n11 else 0.0
    alike = plain_log(n00 + n10, 1 - share) + plain_log(n01 + n11, share)
    chained = plain_log(n00, 1 - calm) + plain_log(n01, calm) + plain_log(n10, 1 - hit) + plain_log(n11, hit)
    return 2 * (chained - alike)


@given(st.lists(st.sampled_from([0.0, 1.0, math.nan]), min_size=2, max_size=60))
def test_christoffersen_by_counting(hits):
    lr, p = christoffersen_test(np.array(hits))
    pairs = pairwise(hits)
    if all(math.isnan(one) or math.isnan(other) for one, other in pairs):
        assert np.isnan([lr, p]).all()
    else:
        assert lr == pytest.approx(max(brute_christoffersen(hits), 0.0), abs=1e-9)
        assert p == pytest.approx(stats.chi2.sf(lr, 1), rel=1e-10)


def test_no_exception_is_no_clustering_and_neighbours_are():
    assert [float(x) for x in christoffersen_test(np.zeros(250))] == [0.0, 1.0]
    clustered, spread = np.zeros(500), np.zeros(500)
    clustered[100:105] = spread[50::100] = 1
    assert clustered.sum() == spread.sum()
    assert christoffersen_test(clustered)[1] < 1e-4
    assert christoffersen_test(spread)[1] > 0.5


@cache
def plain_forecasts(series, window, minimum):
    """By a plain loop, for each day from the days before it, in all cases at once."""
    r = RETURNS[series]
    found = {case: np.full(len(r), np.nan) for case in CASES}
    for day in range(minimum, len(r)):
        tails = model_tails(r[max(0, day - window) : day])
        for case in CASES:
            found[case][day] = tails[case][0]
    return found


@pytest.mark.parametrize(("method", "level"), CASES)
@pytest.mark.parametrize(("window", "minimum"), [(756, 252), (300, 252), (301, 260), (252, 252)])
def test_forecasts_see_the_days_before_and_nothing_else(method, level, window, minimum):
    expected = plain_forecasts(0, window, minimum)[method, level]
    forecasts = var_forecasts(RETURNS[0], window=window, minimum=minimum)[method, level]
    if method == "historical":
        np.testing.assert_array_equal(forecasts, expected)
    else:
        np.testing.assert_allclose(forecasts, expected, rtol=1e-9)


@pytest.mark.parametrize(("method", "level"), CASES)
def test_the_return_of_the_day_does_not_move_its_own_forecast(method, level):
    crash = RETURNS[0].copy()
    crash[700] = -0.9
    before, after = (var_forecasts(r)[method, level] for r in (RETURNS[0], crash))
    np.testing.assert_array_equal(before[:701], after[:701])
    assert not np.array_equal(before[701:], after[701:], equal_nan=True)
    assert var_backtests(crash)["historical", level].exceptions >= 1


@pytest.mark.parametrize(("method", "level"), CASES)
def test_counts_by_a_plain_loop(method, level):
    r = RETURNS[1]
    tested = exceptions = 0
    last = []
    for day in range(252, len(r)):
        forecast = plain_forecasts(1, 756, 252)[method, level][day]
        if not np.isnan(forecast):
            tested += 1
            exceptions += r[day] < -forecast
            last.append(r[day] < -forecast)
    found = var_backtests(r)[method, level]
    assert [found.observations, found.exceptions] == [tested, exceptions]
    assert found.expected == pytest.approx(tested * (1 - level))
    lr, _ = kupiec_test(exceptions, tested, 1 - level)
    assert found.kupiec_lr == pytest.approx(lr, rel=1e-9)
    assert found.joint_lr == pytest.approx(found.kupiec_lr + found.christoffersen_lr)
    assert found.joint_p == pytest.approx(stats.chi2.sf(found.joint_lr, 2), rel=1e-9)
    if level == 0.99:
        assert found.zone_exceptions == sum(last[-250:])
        assert found.zone == basel_zone(np.asarray(found.zone_exceptions))
    else:
        assert np.isnan(found.zone_exceptions)
        assert found.zone.item() is None


@pytest.mark.parametrize(("method", "level"), CASES)
def test_many_series_at_once_are_the_same_as_one_by_one(method, level):
    block = RETURNS.copy()
    block[1, :300] = np.nan
    block[2, 5::9] = np.nan
    together = var_backtests(block)[method, level]
    for k, row in enumerate(block):
        alone = var_backtests(row[~np.isnan(row)])[method, level]
        assert together.zone[k] == alone.zone.item()
        for name, figure in vars(alone).items():
            if name != "zone":
                assert getattr(together, name)[k] == pytest.approx(figure, rel=1e-9, nan_ok=True), name


def test_a_nan_inside_a_series_stays_where_it_is_and_moves_nothing():
    r = RETURNS[0].copy()
    r[[10, 400, 401]] = np.nan
    known = ~np.isnan(r)
    forecasts = var_forecasts(r)["historical", 0.95]
    np.testing.assert_array_equal(forecasts[known], var_forecasts(r[known])["historical", 0.95])
    assert np.isnan(forecasts[~known]).all()
    np.testing.assert_array_equal(known_last(r)[3:], r[known])


def test_a_flat_series_has_no_exception_and_no_forecast_of_moments():
    flat = np.full(700, 0.0001)
    found = var_backtests(flat)["historical", 0.99]
    assert [found.observations, found.exceptions, found.zone.item()] == [448, 0, "green"]
    assert var_backtests(flat)["normal", 0.99].observations == 0


def test_flat_windows_after_a_crash_are_flat():
    """No rounding of what has left the window passes for a spread."""
    r = np.concatenate([RETURNS[0, :300], [-0.5], np.full(600, 0.0001)])
    forecasts = var_forecasts(r, window=252)["normal", 0.95]
    assert np.isfinite(forecasts[301:552]).all()
    assert np.isnan(forecasts[553:]).all()


def test_a_return_equal_to_the_forecast_is_no_exception():
    found = exceptions_test(np.array([-0.02, -0.020001]), np.array([0.02, 0.02]), 0.95)
    assert [found.observations, found.exceptions] == [2, 1]


def test_days_without_a_forecast_are_left_out_and_leave_the_zone_unknown():
    forecasts = np.full(400, 0.02)
    forecasts[:50] = np.nan
    r = RETURNS[0, :400]
    found = exceptions_test(r, forecasts, 0.99)
    assert [found.observations, found.left_out] == [350, 0]
    assert found.zone.item() is not None
    forecasts[300] = np.nan
    found = exceptions_test(r, forecasts, 0.99)
    assert [found.observations, found.left_out] == [349, 1]
    assert found.zone.item() is None


def test_short_histories():
    for days in (0, 1, 252):
        for found in var_backtests(RETURNS[0, :days]).values():
            assert [found.observations, found.exceptions, found.zone.item()] == [0, 0, None]
            assert np.isnan([found.kupiec_lr, found.christoffersen_lr, found.joint_p]).all()
    assert np.isnan(var_backtests(RETURNS[0, : 252 + 59])["historical", 0.95].kupiec_lr)
    assert np.isfinite(var_backtests(RETURNS[0, : 252 + 60])["historical", 0.95].kupiec_lr)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100.0))
def test_scale_changes_no_count(seed, k):
    """Powers of two scale exactly, so that no tie breaks."""
    k = 2.0 ** round(math.log2(k))
    r = np.random.default_rng(seed).normal(0.0, 0.01, 400)
    plain, scaled = var_backtests(r), var_backtests(k * r)
    for method in ("historical", "normal"):
        one, other = plain[method, 0.95], scaled[method, 0.95]
        assert (one.exceptions, one.observations) == (other.exceptions, other.observations)
