import numpy as np
import pytest

from analytics.calculations.observations import count, mean, ratio, standard_deviation, total

RETURNS = np.random.default_rng(1).normal(0.0004, 0.01, 700)


def test_moments_agree_with_numpy_and_ignore_nan():
    x = np.array([[1.0, np.nan, 4.0, 5.0], [np.nan, np.nan, np.nan, 2.0], [np.nan] * 4])
    assert count(x).tolist() == [3, 1, 0]
    assert total(x).tolist() == [10.0, 2.0, 0.0]
    np.testing.assert_allclose(mean(x), np.array([10 / 3, 2.0, np.nan]))
    spread = float(np.std([1, 4, 5], ddof=1))
    np.testing.assert_allclose(standard_deviation(x), np.array([spread, np.nan, np.nan]))
    np.testing.assert_allclose(standard_deviation(RETURNS), np.std(RETURNS, ddof=1), rtol=1e-13)


@pytest.mark.parametrize("padding", [1, 7, 63, 128, 500])
def test_leading_nan_do_not_change_a_bit(padding):
    padded = np.concatenate([np.full(padding, np.nan), RETURNS])
    assert total(padded) == total(RETURNS)
    assert standard_deviation(padded) == standard_deviation(RETURNS)
    stacked = np.stack([padded, np.roll(padded, 1)])
    assert total(stacked)[0] == total(RETURNS)


def test_sum_is_as_exact_as_it_should_be():
    assert total(RETURNS) == pytest.approx(np.sum(RETURNS.astype(np.longdouble)), rel=1e-13)


def test_nothing_to_add_is_zero_and_its_mean_unknown():
    empty = np.empty((2, 0))
    assert total(empty).tolist() == [0.0, 0.0]
    assert np.isnan(mean(empty)).all()


def test_ratio_is_nan_and_never_infinite_for_a_zero_denominator():
    np.testing.assert_equal(
        ratio(np.array([1.0, 0.0, 3.0]), np.array([0.0, 0.0, 2.0])), [np.nan, np.nan, 1.5]
    )
