import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.tails import (
    expected_shortfall,
    historical_tails,
    monthly_returns,
    trailing_tails,
    value_at_risk,
)

RETURNS = np.random.default_rng(3).standard_t(4, (4, 600)) * 0.01


@pytest.mark.parametrize("n", [100, 101, 120, 250, 251, 401, 600])
def test_value_at_risk_is_numpys_quantile_bit_for_bit(n):
    r = RETURNS[0, :n]
    assert value_at_risk(r, 0.95) == -np.quantile(r, 0.05)
    if n >= 250:
        assert value_at_risk(r, 0.99) == -np.quantile(r, 0.01)


def test_by_hand_on_one_hundred_and_one_returns():
    r = np.arange(101) / 1000 - 0.05  # −5.0 %, −4.9 % … +5.0 %
    assert value_at_risk(r, 0.95) == pytest.approx(0.045, rel=1e-14)
    assert expected_shortfall(r, 0.95) == pytest.approx(np.mean([0.05, 0.049, 0.048, 0.047, 0.046, 0.045]))


def test_shortfall_is_the_mean_at_or_below_the_quantile():
    for row in RETURNS:
        for level in (0.95, 0.99):
            tail = row[row <= np.quantile(row, round(1 - level, 2))]
            assert expected_shortfall(row, level) == pytest.approx(-tail.mean(), rel=1e-13)


def test_ties_at_the_quantile_all_belong_to_the_tail():
    r = np.concatenate([np.full(40, -0.01), np.full(60, 0.01)])
    assert value_at_risk(r, 0.95) == 0.01
    assert expected_shortfall(r, 0.95) == pytest.approx(0.01, rel=1e-15)


def test_minimum_samples_of_returns_and_of_the_tail():
    r = RETURNS[0]
    assert np.isfinite(value_at_risk(r[:100], 0.95))
    assert np.isnan(value_at_risk(r[:99], 0.95))
    assert np.isfinite(value_at_risk(r[:250], 0.99))
    assert np.isnan(value_at_risk(r[:249], 0.99))
    loss, shortfall = historical_tails(r[:40], (0.95,), minimum=1)[0.95]
    assert np.isfinite(loss)
    assert np.isnan(shortfall)  # two returns in the tail, not five


def test_rows_with_padding_equal_single_rows():
    block = RETURNS.copy()
    block[1, :200] = np.nan
    block[2, ::7] = np.nan
    block[3] = np.nan
    tails = historical_tails(block)
    for level, (losses, shortfalls) in tails.items():
        for k, row in enumerate(block):
            known = row[~np.isnan(row)]
            np.testing.assert_equal(losses[k], value_at_risk(known, level))
            np.testing.assert_allclose(shortfalls[k], expected_shortfall(known, level), rtol=1e-14)


def test_no_loss_is_not_shown_as_minus_zero():
    assert not np.signbit(value_at_risk(np.zeros(100), 0.95))


def test_empty_rows_are_unknown():
    assert np.isnan(value_at_risk(np.empty((2, 0)), 0.95)).all()


@given(st.integers(0, 2**32 - 1), st.integers(250, 400), st.floats(0.01, 100.0))
def test_order_and_scale_of_tail_figures(seed, n, k):
    r = np.random.default_rng(seed).normal(0.0, 0.01, n)
    tails, scaled = historical_tails(r), historical_tails(k * r)
    assert tails[0.99][0] >= tails[0.95][0]
    for level in tails:
        assert tails[level][1] >= tails[level][0] - 1e-15
        np.testing.assert_allclose(scaled[level], k * np.array(tails[level]), rtol=1e-9, atol=1e-15)


def test_monthly_returns_compound_21_sessions():
    r = RETURNS[0, :60].copy()
    compound = monthly_returns(r)
    assert np.isnan(compound[:20]).all()
    assert compound[20] == pytest.approx(np.prod(1 + r[:21]) - 1, rel=1e-13)
    assert compound[-1] == pytest.approx(np.prod(1 + r[-21:]) - 1, rel=1e-13)
    assert np.isnan(monthly_returns(r[:20])).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.sampled_from([1, 2, 30, 31, 100, None]))
def test_each_trailing_tail_is_that_of_its_window(seed, days, window):
    returns = np.round(np.random.default_rng(seed).standard_t(4, days) * 0.01, 3)  # with ties
    trailing = trailing_tails(returns, window, minimum=1)
    for day in {0, days // 3, days - 1}:
        within = returns[0 if window is None else max(day + 1 - window, 0) : day + 1]
        for level, (losses, shortfalls) in historical_tails(within, minimum=1).items():
            assert trailing[level][0][day] == losses
            expected = np.nan if window is None else float(shortfalls)
            assert trailing[level][1][day] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    for level, figures in trailing_tails(returns[: days // 2], window, minimum=1).items():
        np.testing.assert_array_equal(figures, [figure[: days // 2] for figure in trailing[level]])
