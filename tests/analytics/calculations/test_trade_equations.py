"""Linear equations over trade amounts; B13 is named as in the list of worked cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.trade_equations import TradeAmounts, look_through_trades, trade_amounts

# Two funds of 90 % one class and 10 % the other: their class values, as equations over A and B.
MIXED = [[0.9, 0.1], [0.1, 0.9]]
ONE_CLASS_EACH = [[1, 0], [0, 1]]
HALVES = [[0.5, 0.5], [0.5, 0.5]]
EVENLY = np.array([0.5, 0.5])


def solve(coefficients: list, wanted: list, total: float | None = None) -> TradeAmounts:
    return trade_amounts(np.array(coefficients, dtype=float), np.array(wanted, dtype=float), total)


def check(found: TradeAmounts, amounts: list[float], exact: list[bool], unique: list[bool]) -> None:
    np.testing.assert_allclose(found.amounts, amounts, atol=1e-9)
    assert (found.is_exact.tolist(), found.is_unique.tolist()) == (exact, unique)


@pytest.mark.parametrize(
    ("coefficients", "wanted"),
    [
        (MIXED, [1000, 2000]),
        ([*MIXED, [0.5, 0.5]], [1000, 2000, 1500]),
    ],
    ids=["two equations", "and one that follows from them"],
)
def test_b13_equations_with_one_solution(coefficients: list, wanted: list) -> None:
    check(solve(coefficients, wanted), [875, 2125], [True] * 2, [True] * 2)


@pytest.mark.parametrize(("total", "amount"), [(None, 1000), (1000, 1000), (0, 0)])
def test_b13_one_amount_that_should_be_two(total: float | None, amount: float) -> None:
    check(solve([[1], [1]], [2000, 0], total), [amount], [False], [True])


@pytest.mark.parametrize(("total", "amount"), [(None, 2000 / 3), (2000, 1000), (0, 0)])
def test_b13_two_amounts_and_a_sum_that_is_not_theirs(total: float | None, amount: float) -> None:
    found = solve([[1, 0], [0, 1], [1, 1]], [1000, 1000, 1000], total)
    check(found, [amount] * 2, [False] * 2, [True] * 2)


def test_b13_a_contradiction_leaves_the_others_alone_when_the_total_is_fixed() -> None:
    found = solve([[0.5, 0.5, 0], [0, 0, 1], [0, 0, 1]], [1000, 1000, 2000], 3000)
    check(found, [1000, 1000, 1000], [True, True, False], [False, False, True])
    assert found.amounts[:2].sum() == pytest.approx(2000, rel=1e-14)


@pytest.mark.parametrize("mixes", [ONE_CLASS_EACH, MIXED], ids=["a class each", "look-through"])
@pytest.mark.parametrize(
    ("held", "change", "amounts"),
    [
        ([100, 0], 0, [-50, 50]),
        ([100, 0], 100, [0, 100]),
        ([100, 0], -100, [-100, 0]),
        ([200, 100], 0, [-50, 50]),
    ],
    ids=["sell and buy", "invest", "withdraw", "two holdings"],
)
def test_b13_half_and_half(mixes: list, held: list, change: float, amounts: list) -> None:
    found = look_through_trades(np.array(held), np.array(mixes), EVENLY, change)
    check(found, amounts, [True] * 2, [True] * 2)


@pytest.mark.parametrize(("change", "each"), [(0, 0), (100, 50), (-100, -50)])
def test_b13_of_two_alike_only_the_sum_is_determined(change: float, each: float) -> None:
    found = look_through_trades(np.array([100, 0]), np.array(HALVES), EVENLY, change)
    check(found, [each] * 2, [True] * 2, [False] * 2)
    assert found.amounts.sum() == pytest.approx(change, abs=1e-12)


def test_b13_a_security_outside_the_targets_disturbs_nothing() -> None:
    outside = look_through_trades(np.array([100, 7_000, 0]), np.array([[1, 0], [0, 0], [0, 1]]), EVENLY)
    check(outside, [-50, 0, 50], [True] * 3, [True] * 3)


def test_a_class_that_nothing_can_bring_about_is_said() -> None:
    """Only A can be traded, so no trade changes its weight, and without money none is made."""
    found = look_through_trades(np.array([100]), np.array([[1, 0]]), EVENLY)
    check(found, [0], [False], [True])


@pytest.mark.parametrize(
    ("coefficients", "wanted", "total", "reason"),
    [
        ([[1, 0]], [1, 2], None, "1 equations, but 2 amounts"),
        ([[1, np.nan]], [1], None, "finite"),
        ([[1, 0]], [np.inf], None, "finite"),
        ([[1, 0]], [1], np.nan, "finite"),
    ],
)
def test_equations_that_are_none(coefficients: list, wanted: list, total: float | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        solve(coefficients, wanted, total)


@pytest.mark.parametrize(
    ("mixes", "targets", "reason"),
    [
        ([[1, 0]], [0.5, 0.4], "the targets make 0.9, not 1"),
        ([[0.5, 0.4]], [0.5, 0.5], "the classes of a security must make 1"),
    ],
)
def test_weights_that_do_not_add_up(mixes: list, targets: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        look_through_trades(np.array([100.0]), np.array(mixes), np.array(targets))


@st.composite
def systems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Whole coefficients, so that a singular system is singular to the last bit."""
    rows, unknowns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    whole = st.integers(-3, 3)
    coefficients = draw(
        st.lists(st.lists(whole, min_size=unknowns, max_size=unknowns), min_size=rows, max_size=rows)
    )
    wanted = draw(st.lists(st.integers(-1000, 1000), min_size=rows, max_size=rows))
    return np.array(coefficients, dtype=float), np.array(wanted, dtype=float)


@given(systems(), st.one_of(st.none(), st.integers(-1000, 1000)), st.sampled_from([1e-4, 0.5, 3.0, 1e6]))
def test_k_times_the_money_is_k_times_the_trades(
    system: tuple[np.ndarray, np.ndarray], total: int | None, k: float
) -> None:
    coefficients, wanted = system
    once = trade_amounts(coefficients, wanted, total)
    scaled = trade_amounts(coefficients, k * wanted, None if total is None else k * total)
    np.testing.assert_allclose(scaled.amounts, k * once.amounts, rtol=1e-7, atol=k * 1e-7)
    np.testing.assert_array_equal(scaled.is_exact, once.is_exact)
    np.testing.assert_array_equal(scaled.is_unique, once.is_unique)


@given(systems(), st.lists(st.integers(-2, 2), min_size=5, max_size=5))
def test_what_follows_from_the_equations_adds_nothing(
    system: tuple[np.ndarray, np.ndarray], weights: list[int]
) -> None:
    """Of equations that fit together: the amounts they are built from meet them."""
    coefficients, amounts = system[0], np.resize(system[1], system[0].shape[1])
    combination = np.array(weights[: len(coefficients)], dtype=float)
    wanted = coefficients @ amounts
    once = trade_amounts(coefficients, wanted)
    more = trade_amounts(
        np.vstack([coefficients, combination @ coefficients]), np.append(wanted, combination @ wanted)
    )
    assert once.is_exact.all()
    assert more.is_exact.all()
    np.testing.assert_allclose(more.amounts, once.amounts, rtol=1e-7, atol=1e-6)
    np.testing.assert_array_equal(more.is_unique, once.is_unique)


@given(systems(), st.integers(-1000, 1000))
def test_a_fixed_total_is_met_whatever_the_equations_say(
    system: tuple[np.ndarray, np.ndarray], total: int
) -> None:
    assert trade_amounts(*system, total).amounts.sum() == pytest.approx(total, rel=1e-9, abs=1e-6)


@given(systems())
def test_without_a_total_nothing_comes_nearer_than_least_squares(
    system: tuple[np.ndarray, np.ndarray],
) -> None:
    coefficients, wanted = system
    found = trade_amounts(coefficients, wanted).amounts
    best = np.linalg.lstsq(coefficients, wanted, rcond=None)[0]
    np.testing.assert_allclose(found, best, rtol=1e-6, atol=1e-6)
