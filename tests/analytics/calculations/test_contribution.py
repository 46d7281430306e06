"""Contributions: each line by hand, and sums that leave nothing over."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.contribution import (
    Contributions,
    capital_of_positions,
    carino_factors,
    contributions,
    grouped,
    linked_effects,
)
from analytics.calculations.twr import FlowTiming, SubPeriods, sub_periods, time_weighted
from portfolios.calculations.valuation import Valuation
from tests.portfolios.calculations.booking import Table, entry, value, walk

TIMINGS: list[FlowTiming] = ["start", "midday", "end"]


@dataclass(frozen=True)
class Book:
    """A book of T days: prices and rates of A assets, and what was done with them. Money in base currency."""

    prices: np.ndarray
    fx: np.ndarray
    trades: np.ndarray
    income: np.ndarray
    costs: np.ndarray
    inflow: np.ndarray
    outflow: np.ndarray
    interest: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        return self.trades.cumsum(axis=1) * self.prices * self.fx

    @property
    def net_purchases(self) -> np.ndarray:
        return self.trades * self.prices * self.fx

    @property
    def values(self) -> np.ndarray:
        moves = self.income - self.costs - self.net_purchases
        cash = (self.inflow - self.outflow + self.interest + moves.sum(axis=0)).cumsum()
        return cash + self.positions.sum(axis=0)

    def periods(self, timing: FlowTiming = "start", values: np.ndarray | None = None) -> SubPeriods:
        return sub_periods(
            self.values if values is None else values,
            self.inflow,
            self.outflow,
            inflow_timing=timing,
            outflow_timing=timing,
        )

    def contributions(self, periods: SubPeriods) -> Contributions:
        return contributions(periods, self.positions, self.net_purchases, self.income, self.costs)


def random_book(seed: int, assets: int = 3, days: int = 12) -> Book:
    """Long and short, in two currencies, with a deposit that all of it can be paid from."""
    random = np.random.default_rng(seed)
    shape = assets, days
    flows = np.where(random.random(days) < 0.4, random.uniform(-200, 600, days), 0)
    flows[0] = 20_000
    fx = random.uniform(0.5, 2) * np.cumprod(random.uniform(0.98, 1.02, days))
    return Book(
        prices=random.uniform(5, 200, (assets, 1)) * np.cumprod(random.uniform(0.9, 1.1, shape), axis=1),
        fx=np.array([fx if row % 2 else np.ones(days) for row in range(assets)]),
        trades=np.where(random.random(shape) < 0.5, random.integers(-3, 6, shape), 0).astype(float),
        income=np.where(random.random(shape) < 0.2, random.uniform(0, 30, shape), 0),
        costs=np.where(random.random(shape) < 0.2, random.uniform(0, 10, shape), 0),
        inflow=np.where(flows > 0, flows, 0),
        outflow=np.where(flows < 0, -flows, 0),
        interest=np.where(random.random(days) < 0.3, random.uniform(-5, 10, days), 0),
    )


def contributions_of(valuation: Valuation) -> Contributions:
    periods = sub_periods(valuation.total_value, valuation.inflow, valuation.outflow)
    return contributions(
        periods,
        valuation.positions,
        valuation.net_purchases,
        valuation.asset_income,
        valuation.asset_costs,
    )


SHARES: Table = {"2024-01-02": 10, "2024-01-03": 11, "2024-01-04": 12}
FOREIGN: Table = {"2024-01-02": 20, "2024-01-03": 20, "2024-01-04": 25}
DOLLARS: Table = {"2024-01-02": 0.9, "2024-01-03": 0.99, "2024-01-04": 0.99}


def test_every_line_of_a_book_by_hand() -> None:
    entries = [
        entry("deposit", "2024-01-02", amount=10_000),
        entry("buy", "2024-01-02", 1, quantity=100, price=10, fee=5),
        entry("currency_exchange", "2024-01-02", None, "USD", "EUR", amount=5_000, counter_amount=4_500),
        entry("buy", "2024-01-02", 2, "USD", quantity=100, price=20),
        entry("dividend", "2024-01-03", 1, amount=30, tax=8),
        entry("sell", "2024-01-04", 1, quantity=50, price=12, fee=6),
        entry("interest", "2024-01-04", amount=7),
        entry("fee", "2024-01-04", amount=40),
    ]
    foreign = {2: "USD"}
    books = walk(entries, rates={"USD": DOLLARS}, asset_currencies=foreign)
    valuation = value(books, {1: SHARES, 2: FOREIGN}, asset_currencies=foreign, rates={"USD": DOLLARS})
    found = contributions_of(valuation)
    # Shares: the fee; 100 of price + 30 - 8; 100 of price - 6. Foreign: 2000 dollars gain 0.09; 500 dollars.
    # Cash: 3000 dollars gain 0.09; interest less the fee of no asset.
    money = np.array([[-5, 122, 94], [0, 180, 495], [0, 270, -33]])
    capital = np.array([10_000, 9_995, 10_567])
    np.testing.assert_allclose(found.lines, money / capital, atol=1e-13)
    np.testing.assert_allclose(found.returns, money.sum(axis=0) / capital, atol=1e-13)
    at_work = np.array([[1_000, 1_000, 1_100], [1_800, 1_800, 1_980]]) / capital
    np.testing.assert_allclose(found.weights, [*at_work, 1 - at_work.sum(axis=0)], atol=1e-13)


def test_shares_that_are_transferred_in_earn_nothing_by_it() -> None:
    entries = [
        entry("deposit", "2024-01-02", amount=100),
        entry("transfer_in", "2024-01-03", 1, quantity=10, price=7),
    ]
    found = contributions_of(value(walk(entries, prices={1: SHARES}), {1: SHARES}))
    np.testing.assert_allclose(found.lines[0], [0, 0, 10 / 210], atol=1e-15)
    np.testing.assert_allclose(found.lines[1], 0, atol=1e-15)


def test_a_day_without_a_value_is_covered_by_the_next() -> None:
    book = random_book(1)
    values = book.values
    values[[3, 4]] = np.nan
    found = book.contributions(book.periods(values=values))
    assert found.lines.shape == (4, 10)
    np.testing.assert_allclose(found.lines.sum(axis=0), found.returns, atol=1e-12)


def test_without_capital_every_line_is_zero() -> None:
    book = replace(
        random_book(2), trades=np.zeros((3, 12)), income=np.zeros((3, 12)), costs=np.zeros((3, 12))
    )
    book = replace(book, inflow=np.zeros(12), outflow=np.zeros(12), interest=np.eye(12)[5])
    found = book.contributions(book.periods())
    assert found.returns[5] == 0
    np.testing.assert_array_equal(found.lines[:, 5], 0)
    np.testing.assert_array_equal(found.weights[:, 5], 0)


def test_negative_capital_has_no_contributions() -> None:
    book = replace(random_book(2), outflow=30_000 * np.eye(12)[3])
    found = book.contributions(book.periods())
    assert np.isnan(found.returns[4])
    assert np.isnan(found.lines[:, 4]).all()


def test_an_unknown_purchase_leaves_its_line_and_the_cash_unknown_and_no_other() -> None:
    book = random_book(3)
    purchases = book.net_purchases
    purchases[1, 4] = np.nan
    periods = book.periods()
    found = contributions(periods, book.positions, purchases, book.income, book.costs)
    assert np.isnan(found.lines[:, 4]).tolist() == [False, True, False, True]
    assert np.isnan(found.linked()).tolist() == [False, True, False, True]
    assert np.isfinite(found.returns).all()


@pytest.mark.parametrize(
    ("opening", "bought", "closing", "capital"),
    [
        (100, 50, 160, 150),  # more of it counts from the start
        (100, -50, 60, 100),  # what is sold, until the end
        (-100, -50, -140, -150),  # the same of a short position
        (-100, 50, -40, -100),
        (0, 50, 60, 50),
        (0, -50, -40, -50),
        (0, 0, 0, 0),
        (0, -3, 10, 0),  # bought and mostly sold again at a gain within the day
        (0, -3, 0, 0),
    ],
)
def test_the_capital_of_a_position(opening: float, bought: float, closing: float, capital: float) -> None:
    periods = SubPeriods(np.array([0, 1]), *(np.ones(2) for _ in range(3)))
    found = capital_of_positions(
        periods, np.array([[opening, closing]], dtype=float), np.array([[0, bought]], dtype=float)
    )
    assert found[0, 1] == capital


def test_carino_factors_and_their_limit() -> None:
    np.testing.assert_allclose(
        carino_factors(np.array([0.1, 0.0, -0.5])), [math.log(1.1) / 0.1, 1, math.log(2) / 0.5], rtol=1e-15
    )
    np.testing.assert_allclose(
        carino_factors(np.array([0.1, 0.1]), np.array([0.05, 0.1])),
        [math.log(1.1 / 1.05) / 0.05, 1 / 1.1],
        rtol=1e-13,
    )
    assert carino_factors(np.array(0.1 + 1e-13), 0.1) == pytest.approx(1 / 1.1, rel=1e-12)
    assert np.isnan(carino_factors(np.array([-1.0, -1.5, np.nan]))).all()


def test_linking_two_periods_by_hand() -> None:
    effects, returns = np.array([[0.06, 0.02], [0.04, -0.12]]), np.array([0.1, -0.1])
    first, second, whole = math.log(1.1) / 0.1, math.log(0.9) / -0.1, math.log(0.99) / -0.01
    expected = [(0.06 * first + 0.02 * second) / whole, (0.04 * first - 0.12 * second) / whole]
    linked = linked_effects(effects, returns)
    assert linked == pytest.approx(expected, abs=1e-15)
    assert linked.sum() == pytest.approx(-0.01, abs=1e-15)


def test_no_periods_have_no_effects() -> None:
    np.testing.assert_array_equal(linked_effects(np.empty((2, 0)), np.empty(0)), [0, 0])


def test_groups_come_in_the_order_of_their_first_line() -> None:
    names, sums = grouped(np.array([[1.0, 2], [3, 4], [5, 6]]), ["Energy", "Banks", "Energy"])
    assert names == ["Energy", "Banks"]
    np.testing.assert_array_equal(sums, [[6, 8], [3, 4]])


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.sampled_from(TIMINGS))
def test_contributions_add_up_each_day_and_over_time(seed: int, timing: FlowTiming) -> None:
    book = random_book(seed)
    found = book.contributions(book.periods(timing))
    days = np.datetime64("2024-01-01") + np.arange(12)
    weighted = time_weighted(
        days,
        np.ones(12, dtype=bool),
        book.values,
        book.inflow,
        book.outflow,
        inflow_timing=timing,
        outflow_timing=timing,
    )
    np.testing.assert_allclose(found.lines.sum(axis=0), weighted.returns, atol=1e-12)
    np.testing.assert_allclose(found.weights.sum(axis=0), np.abs(found.weights.sum(axis=0)) > 0, atol=1e-12)
    assert found.linked().sum() == pytest.approx(weighted.index[-1] - 1, abs=1e-12)


@given(SEEDS)
def test_the_cash_line_is_the_interest(seed: int) -> None:
    book = random_book(seed)
    periods = book.periods("end")
    known = periods.capital > 1
    interest = book.contributions(periods).lines[-1] * periods.capital
    np.testing.assert_allclose(interest[known], book.interest[known], atol=1e-9)


@given(SEEDS, st.floats(1e-3, 1e6))
def test_the_unit_of_money_changes_nothing(seed: int, scale: float) -> None:
    book = random_book(seed)
    money = ("prices", "income", "costs", "inflow", "outflow", "interest")
    scaled = replace(book, **{name: getattr(book, name) * scale for name in money})
    ours, theirs = (one.contributions(one.periods()) for one in (book, scaled))
    np.testing.assert_allclose(theirs.lines, ours.lines, atol=1e-12)
    np.testing.assert_allclose(theirs.weights, ours.weights, atol=1e-12)


@given(SEEDS, st.permutations(range(3)))
def test_the_order_of_the_assets_changes_nothing(seed: int, order: list[int]) -> None:
    book = random_book(seed)
    by_asset = ("prices", "fx", "trades", "income", "costs")
    again = replace(book, **{name: getattr(book, name)[order] for name in by_asset})
    np.testing.assert_allclose(
        again.contributions(again.periods()).linked(),
        book.contributions(book.periods()).linked()[[*order, 3]],
        atol=1e-12,
    )


@given(SEEDS, st.integers(1, 11), st.floats(0, 50_000))
def test_a_deposit_that_is_invested_like_the_rest_moves_no_return_and_no_line(
    seed: int, day: int, amount: float
) -> None:
    book = random_book(seed)
    book = replace(book, trades=np.outer(np.full(3, 5.0), np.eye(12)[0]), income=0 * book.income)
    book = replace(book, costs=0 * book.costs, interest=0 * book.interest, outflow=0 * book.outflow)
    book = replace(book, inflow=book.net_purchases[:, 0].sum() * np.eye(12)[0])
    # Bought at the prices of the evening before, as the deposit is there from the morning on.
    share = amount / book.values[day - 1]
    grown = replace(book, inflow=book.inflow + amount * np.eye(12)[day])
    larger = np.where(np.arange(12) >= day, 1 + share, 1.0)
    purchases = book.net_purchases.copy()
    purchases[:, day] += share * book.positions[:, day - 1]
    values, positions = book.values * larger, book.positions * larger
    periods = grown.periods(values=values)
    found = contributions(periods, positions, purchases, book.income, book.costs)
    before = book.contributions(book.periods())
    np.testing.assert_allclose(found.returns, before.returns, atol=1e-12)
    np.testing.assert_allclose(found.lines, before.lines, atol=1e-11)
    np.testing.assert_allclose(found.linked(), before.linked(), atol=1e-11)


@given(SEEDS, st.integers(1, 11), st.floats(0, 50_000))
def test_a_deposit_in_the_evening_changes_no_return_and_no_sum_of_its_day(
    seed: int, day: int, amount: float
) -> None:
    book = random_book(seed)
    richer = replace(book, inflow=book.inflow + amount * np.eye(12)[day])
    ours, theirs = (one.contributions(one.periods("end")) for one in (book, richer))
    np.testing.assert_allclose(theirs.returns[: day + 1], ours.returns[: day + 1], atol=1e-12)
    np.testing.assert_allclose(theirs.lines[:, : day + 1], ours.lines[:, : day + 1], atol=1e-12)


def test_an_unknown_purchase_leaves_the_capital_unknown_and_not_as_it_was() -> None:
    book = random_book(7)
    purchases = book.net_purchases.copy()
    purchases[1, 4] = np.nan
    periods = book.periods()
    capital = capital_of_positions(periods, book.positions, purchases)
    assert np.argwhere(np.isnan(capital)).tolist() == [[1, 4]]
    found = contributions(periods, book.positions, purchases, book.income, book.costs)
    for figures in (found.lines, found.weights):
        assert np.argwhere(np.isnan(figures)).tolist() == [[1, 4], [3, 4]]
