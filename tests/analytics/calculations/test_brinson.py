"""Brinson-Fachler against the textbook, and effects that leave nothing over."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.brinson import Attribution, brinson_fachler

NAN = np.nan


def attribute(
    portfolio_weights: list[float],
    portfolio_returns: list[float],
    benchmark_weights: list[float],
    benchmark_returns: list[float],
    contributions: list[float] | None = None,
) -> Attribution:
    """One sub-period."""
    columns = (portfolio_weights, portfolio_returns, benchmark_weights, benchmark_returns)
    return brinson_fachler(
        [f"group {i}" for i in range(len(portfolio_weights))],
        *(np.array([column], dtype=float).T for column in columns),
        portfolio_contributions=None if contributions is None else np.array([contributions]).T,
    )


def assert_effects(
    found: Attribution, allocation: list[float], selection: list[float], interaction: list[float]
) -> None:
    expected = (allocation, selection, interaction)
    for name, values in zip(("allocation", "selection", "interaction"), expected, strict=True):
        np.testing.assert_allclose(getattr(found, name)[:, 0], values, atol=1e-15, err_msg=name)


def unexplained(found: Attribution) -> np.ndarray:
    return (found.allocation + found.selection + found.interaction).sum(axis=0) - found.active


def test_uk_japan_and_us_of_bacon() -> None:
    found = attribute([0.4, 0.3, 0.3], [0.20, -0.05, 0.06], [0.4, 0.2, 0.4], [0.10, -0.04, 0.08])
    assert found.portfolio == pytest.approx([0.083], abs=1e-15)
    assert found.benchmark == pytest.approx([0.064], abs=1e-15)
    assert_effects(found, [0, -0.0104, -0.0016], [0.04, -0.002, -0.008], [0, -0.001, 0.002])
    assert found.allocation.sum() == pytest.approx(-0.012, abs=1e-15)
    assert found.selection.sum() == pytest.approx(0.030, abs=1e-15)
    assert found.interaction.sum() == pytest.approx(0.001, abs=1e-15)


def test_a_group_outside_the_benchmark_is_allocation() -> None:
    found = attribute([0.8, 0.2], [0.05, 0.10], [1, 0], [0.05, NAN])
    assert_effects(found, [0, 0.2 * 0.05], [0, 0], [0, 0])


def test_a_group_outside_the_portfolio_is_allocation() -> None:
    found = attribute([1, 0], [0.05, NAN], [0.8, 0.2], [0.05, 0.10])
    assert_effects(found, [0.2 * (0.05 - 0.06), -0.2 * (0.10 - 0.06)], [0, 0], [0, 0])


def test_a_stated_return_outside_the_benchmark_splits_the_bet() -> None:
    found = attribute([0.8, 0.2], [0.05, 0.10], [1, 0], [0.05, 0.07])
    assert_effects(found, [0, 0.2 * 0.02], [0, 0], [0, 0.2 * 0.03])


def test_negative_weights() -> None:
    # Twice the benchmark's shares, paid with borrowed cash at 1 %.
    found = attribute([2, -1], [0.04, 0.01], [1, 0], [0.04, NAN])
    assert_effects(found, [0, -1 * (0.01 - 0.04)], [0, 0], [0, 0])
    assert unexplained(found) == pytest.approx([0], abs=1e-15)


def test_groups_that_nobody_holds_have_no_effects_and_need_no_returns() -> None:
    found = attribute([1, 0], [0.04, NAN], [1, 0], [0.03, NAN])
    assert_effects(found, [0, 0], [0.01, 0], [0, 0])
    assert found.reasons == [""]


def test_what_was_earned_without_weight_is_interaction() -> None:
    found = attribute([1, 0], [0.04, NAN], [0.5, 0.5], [0.04, 0.02], contributions=[0.04, -0.003])
    assert found.interaction[:, 0] == pytest.approx([0, -0.003], abs=1e-15)
    assert found.portfolio == pytest.approx([0.037])
    assert unexplained(found) == pytest.approx([0], abs=1e-15)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        ([0.1, NAN], [0.1, 0.1], "return of group 1 unknown"),
        ([0.1, 0.1], [NAN, 0.1], "return of group 0 in the benchmark unknown"),
    ],
)
def test_a_return_that_is_missing_where_there_is_weight_makes_the_effects_unknown(
    ours: list[float], theirs: list[float], reason: str
) -> None:
    found = attribute([0.5, 0.5], ours, [0.5, 0.5], theirs)
    for effect in (found.allocation, found.selection, found.interaction):
        assert np.isnan(effect).all()
    assert found.reasons == [reason]
    assert np.isnan(found.linked().active)


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([0.5, 0.4], [0.5, 0.5], "weights of the portfolio add up to 0.9, not 1, in sub-period 1"),
        ([0.5, 0.5], [0.5, 0.5001], "weights of the benchmark add up to 1.0001"),
        ([0.5, NAN], [0.5, 0.5], "weights of the portfolio add up to nan"),
    ],
)
def test_weights_that_do_not_add_up_to_1_are_refused(
    ours: list[float], theirs: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        attribute(ours, [0.1, 0.1], theirs, [0.1, 0.1])


def two_periods() -> Attribution:
    """Bacon's quarter, and one in which both sides return 2 % by different ways."""
    return brinson_fachler(
        ["UK", "Japan", "US"],
        np.array([[0.4, 0.5], [0.3, 0.5], [0.3, 0.0]]),
        np.array([[0.20, 0.03], [-0.05, 0.01], [0.06, NAN]]),
        np.array([[0.4, 0.5], [0.2, 0.0], [0.4, 0.5]]),
        np.array([[0.10, 0.01], [-0.04, NAN], [0.08, 0.03]]),
    )


def test_linking_by_carino_worked_out_by_hand() -> None:
    found = two_periods().linked()
    portfolio = Fraction("1.083") * Fraction("1.02") - 1
    benchmark = Fraction("1.064") * Fraction("1.02") - 1
    first = (math.log(1.083) - math.log(1.064)) / 0.019
    second = 1 / 1.02  # the limit: both sides returned the same
    whole = math.log((1 + portfolio) / (1 + benchmark)) / float(portfolio - benchmark)
    assert found.portfolio == pytest.approx(float(portfolio), abs=1e-15)
    assert found.benchmark == pytest.approx(float(benchmark), abs=1e-15)
    # In the second period: UK selection 0.5 * (3 % - 1 %); Japan, outside, 0.5 * (1 % - 2 %) of allocation.
    assert found.selection[0] == pytest.approx((0.04 * first + 0.01 * second) / whole, abs=1e-15)
    assert found.allocation[1] == pytest.approx((-0.0104 * first - 0.005 * second) / whole, abs=1e-15)
    total = (found.allocation + found.selection + found.interaction).sum()
    assert total == pytest.approx(float(portfolio - benchmark), abs=1e-15)


def test_a_total_loss_cannot_be_linked() -> None:
    found = attribute([1], [-1], [1], [0.1]).linked()
    assert np.isnan(found.selection).all()
    assert found.active == pytest.approx(-1.1)


GROUPS, PERIODS = 4, 5
SIZE = GROUPS * PERIODS
RETURNS = st.lists(st.floats(-0.3, 0.4), min_size=SIZE, max_size=SIZE)
WEIGHTS = st.lists(
    st.one_of(st.just(0.0), st.floats(-0.5, 1)), min_size=SIZE - PERIODS, max_size=SIZE - PERIODS
)


def weight_table(free: list[float]) -> np.ndarray:
    """The last group takes what is left."""
    table = np.array(free).reshape(GROUPS - 1, PERIODS)
    return np.vstack([table, 1 - table.sum(axis=0)])


def random_book(
    ours: list[float], theirs: list[float], our_returns: list[float], their_returns: list[float]
) -> list[np.ndarray]:
    tables = [weight_table(ours), np.array(our_returns).reshape(GROUPS, PERIODS)]
    tables += [weight_table(theirs), np.array(their_returns).reshape(GROUPS, PERIODS)]
    for weights, returns in (tables[:2], tables[2:]):
        returns[weights == 0] = NAN
    return tables


@given(WEIGHTS, WEIGHTS, RETURNS, RETURNS)
def test_effects_add_up_in_each_sub_period_and_over_time(
    ours: list[float], theirs: list[float], our_returns: list[float], their_returns: list[float]
) -> None:
    found = brinson_fachler("abcd", *random_book(ours, theirs, our_returns, their_returns))
    np.testing.assert_allclose(unexplained(found), 0, atol=1e-12)
    if (found.portfolio > -1).all() and (found.benchmark > -1).all():
        linked = found.linked()
        total = (linked.allocation + linked.selection + linked.interaction).sum()
        assert total == pytest.approx(linked.active, abs=1e-12, rel=1e-10)


@given(WEIGHTS, WEIGHTS, RETURNS, RETURNS, st.permutations(range(GROUPS)))
def test_the_order_of_the_groups_changes_nothing(
    ours: list[float],
    theirs: list[float],
    our_returns: list[float],
    their_returns: list[float],
    order: list[int],
) -> None:
    tables = random_book(ours, theirs, our_returns, their_returns)
    found = brinson_fachler("abcd", *tables)
    again = brinson_fachler("abcd", *(table[order] for table in tables))
    for name in ("allocation", "selection", "interaction"):
        np.testing.assert_allclose(getattr(again, name), getattr(found, name)[order], atol=1e-12)
