import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analytics.calculations.blends import blended_returns, rebalancing_days
from analytics.calculations.returns import simple_returns

NAN = np.nan
FREQUENCIES = ["daily", "weekly", "monthly", "quarterly", "semiannual", "annual", "none"]


def days(*texts):
    return np.array(texts, dtype="datetime64[D]")


def weekdays(first, count):
    every = np.datetime64(first) + np.arange(2 * count)
    return every[np.is_busday(every)][:count]


def never(levels):
    return np.zeros(levels.shape[1], dtype=bool)


def always(levels):
    return np.ones(levels.shape[1], dtype=bool)


def by_hand(levels, weights, rebalances):
    """Money instead of formulas: shares are bought, valued, sold and bought again."""
    wealth, shares, returns, shown = 1.0, None, [NAN], [[NAN] * len(weights)]
    for t in range(1, levels.shape[1]):
        if shares is None or rebalances[t]:
            shares = wealth * weights / weights.sum() / levels[:, t - 1]
        shown.append(shares * levels[:, t - 1] / (shares @ levels[:, t - 1]))
        returns.append((shares @ levels[:, t]) / wealth - 1)
        wealth = shares @ levels[:, t]
    return np.array(returns), np.array(shown).T


@st.composite
def blends(draw):
    shape = draw(st.integers(1, 5)), draw(st.integers(2, 60))
    levels = draw(arrays(float, shape, elements=st.floats(1, 1000)))
    weights = draw(arrays(float, shape[0], elements=st.floats(0.01, 100)))
    dates = weekdays(draw(st.sampled_from(["2023-12-20", "2024-02-27", "2024-06-24"])), shape[1])
    return levels, weights, rebalancing_days(dates, draw(st.sampled_from(FREQUENCIES)))


def test_two_assets_by_the_month_by_hand():
    dates = days("2024-01-29", "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02")
    levels = np.array([[100, 110, 110, 121, 108.9], [50, 50, 55, 49.5, 59.4]])
    blend = blended_returns(levels, np.array([60.0, 40.0]), rebalancing_days(dates, "monthly"))
    # 0.6·10 %; then 0.66 and 0.40 of 1.06; again 0.6 and 0.4; then 0.66 and 0.36 of 1.02.
    expected = [NAN, 0.06, 0.04 / 1.06, 0.6 * 0.1 - 0.4 * 0.1, (-0.066 + 0.072) / 1.02]
    np.testing.assert_allclose(blend.returns, expected, rtol=0, atol=1e-12)
    first = [NAN, 0.6, 0.66 / 1.06, 0.6, 0.66 / 1.02]
    np.testing.assert_allclose(blend.weights[0], first, rtol=0, atol=1e-12)
    np.testing.assert_allclose(blend.weights[1], 1 - np.array(first), rtol=0, atol=1e-12)


@given(blends())
def test_a_blend_is_what_money_in_it_would_have_earned(blend):
    found, (returns, weights) = blended_returns(*blend), by_hand(*blend)
    np.testing.assert_allclose(found.returns, returns, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-9, atol=1e-12)


@given(blends())
def test_returns_are_weights_times_component_returns_and_weights_add_up_to_one(blend):
    found = blended_returns(*blend)
    np.testing.assert_allclose(found.weights[:, 1:].sum(axis=0), 1, rtol=1e-12)
    products = (found.weights * simple_returns(blend[0])).sum(axis=0)
    np.testing.assert_allclose(found.returns, products, rtol=1e-9, atol=1e-12)


@given(blends())
def test_daily_rebalancing_is_the_weighted_sum_of_returns(blend):
    levels, weights, _ = blend
    found = blended_returns(levels, weights, always(levels))
    expected = weights / weights.sum() @ simple_returns(levels)
    np.testing.assert_allclose(found.returns, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.weights[:, -1], weights / weights.sum(), rtol=1e-12)


@given(blends())
def test_buy_and_hold_is_the_weighted_sum_of_price_relatives(blend):
    levels, weights, _ = blend
    wealth = np.cumprod(1 + blended_returns(levels, weights, never(levels)).returns[1:])
    relatives = weights / weights.sum() @ (levels[:, 1:] / levels[:, :1])
    np.testing.assert_allclose(wealth, relatives, rtol=1e-9)


@given(blends())
def test_one_component_is_itself(blend):
    levels = blend[0][:1]
    found = blended_returns(levels, np.array([1.0]), always(levels))
    np.testing.assert_array_equal(found.returns, simple_returns(levels)[0])
    drifting = blended_returns(levels, np.array([1.0]), blend[2])
    np.testing.assert_allclose(drifting.returns, found.returns, rtol=1e-9, atol=1e-12)


@given(blends(), st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_neither_the_unit_of_a_price_nor_that_of_the_weights_matters(blend, of_price, of_weights):
    levels, weights, rebalances = blend
    found, scaled = blended_returns(*blend), levels.copy()
    scaled[0] *= of_price
    again = blended_returns(scaled, weights * of_weights, rebalances)
    np.testing.assert_allclose(again.returns, found.returns, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(again.weights, found.weights, rtol=1e-9, atol=1e-12)


@given(blends())
def test_later_days_change_nothing_before_them(blend):
    levels, weights, rebalances = blend
    until = levels.shape[1] // 2 + 1
    found = blended_returns(levels[:, :until], weights, rebalances[:until])
    whole = blended_returns(levels, weights, rebalances)
    np.testing.assert_array_equal(found.returns, whole.returns[:until])
    np.testing.assert_array_equal(found.weights, whole.weights[:, :until])


def test_a_day_without_trade_is_no_movement_and_the_next_one_has_it_all():
    levels = np.array([[100, 100, 110], [50, 55, 55.0]])
    found = blended_returns(levels, np.array([0.5, 0.5]), always(levels))
    np.testing.assert_allclose(found.returns, [NAN, 0.05, 0.05], atol=1e-15)


def test_before_the_first_price_of_a_component_the_blend_is_unknown_and_begins_with_its_weights():
    levels = np.array([[100, 110, 121, 121], [NAN, NAN, 50, 60.0]])
    found = blended_returns(levels, np.array([0.6, 0.4]), never(levels))
    np.testing.assert_allclose(found.returns, [NAN, NAN, NAN, 0.08], atol=1e-15)
    np.testing.assert_allclose(found.weights, [[NAN, NAN, NAN, 0.6], [NAN, NAN, NAN, 0.4]])


def test_an_unknown_level_spares_the_days_that_do_not_need_it():
    levels = np.array([[100, 110, NAN, 121, 121, 121], [50, 50, 50, 50, 50, 55.0]])
    held = blended_returns(levels, np.array([0.5, 0.5]), never(levels))
    np.testing.assert_allclose(held.returns, [NAN, 0.05, NAN, NAN, 0, 0.05 / 1.105], atol=1e-15)
    # A reset to a level that nobody knows leaves everything unknown up to the next one.
    resets = np.array([False, False, False, True, False, True])
    reset = blended_returns(levels, np.array([0.5, 0.5]), resets)
    np.testing.assert_allclose(reset.returns, [NAN, 0.05, NAN, NAN, NAN, 0.05], atol=1e-15)
    np.testing.assert_array_equal(np.isnan(reset.weights[1]), [True, False, False, True, True, False])


def test_a_component_that_is_never_known_makes_everything_unknown():
    found = blended_returns(np.array([[1, 2, 3], [NAN] * 3]), np.array([0.5, 0.5]), np.array([False] * 3))
    assert np.isnan(found.returns).all()
    assert np.isnan(found.weights).all()


@pytest.mark.parametrize("weights", [[0.5, 0.6, 0.7], [1.0], [1.0, 0.0], [1.5, -0.5], [NAN, 1.0]])
def test_weights_must_be_positive_and_one_for_each_component(weights):
    with pytest.raises(ValueError, match="one positive weight for each component"):
        blended_returns(np.ones((2, 3)), np.array(weights), np.zeros(3, dtype=bool))


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ("daily", "all"),
        ("weekly", ["2024-01-08", "2024-01-15", "2024-04-02", "2024-07-01", "2025-01-02"]),
        ("monthly", ["2024-02-01", "2024-04-02", "2024-07-01", "2025-01-02"]),
        ("quarterly", ["2024-04-02", "2024-07-01", "2025-01-02"]),
        ("semiannual", ["2024-07-01", "2025-01-02"]),
        ("annual", ["2025-01-02"]),
        ("none", []),
    ],
)
def test_weights_are_restored_on_the_first_session_of_a_period(frequency, expected):
    # A Wednesday, a Friday, then Mondays and first sessions after the weekend or the holidays.
    dates = days(
        *["2024-01-03", "2024-01-05", "2024-01-08", "2024-01-15", "2024-01-19", "2024-02-01"],
        *["2024-02-02", "2024-04-02", "2024-04-03", "2024-07-01", "2024-07-02", "2025-01-02"],
    )
    if frequency == "weekly":
        dates = np.setdiff1d(dates, days("2024-02-01", "2024-02-02"))
    flags = rebalancing_days(dates, frequency)
    assert not flags[0]
    if expected == "all":
        assert flags[1:].all()
    else:
        assert dates[flags].astype(str).tolist() == expected


def test_an_unknown_frequency_is_refused():
    with pytest.raises(KeyError):
        rebalancing_days(days("2024-01-03", "2024-01-05"), "often")
