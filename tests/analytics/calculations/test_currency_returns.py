"""Local, exchange rate and base returns: three figures that always fit together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.currency_returns import PositionReturns, portfolio_returns, position_returns
from analytics.calculations.twr import SubPeriods, sub_periods
from tests.analytics.calculations.test_contribution import Book, random_book
from tests.portfolios.calculations.booking import entry, value, walk


def measured(book: Book, periods: SubPeriods | None = None) -> PositionReturns:
    return position_returns(
        periods or book.periods(), book.positions, book.fx, book.net_purchases, book.income, book.costs
    )


def one_position(
    values: list[float], rates: list[float], bought: dict[int, float], income: dict[int, float] | None = None
) -> PositionReturns:
    """Values and purchases in base currency, every day a sub-period."""
    days = len(values)
    periods = SubPeriods(np.arange(days), *(np.ones(days) for _ in range(3)))
    purchases, earned = np.zeros((1, days)), np.zeros((1, days))
    for column, amounts in ((purchases, bought), (earned, income or {})):
        for place, amount in amounts.items():
            column[0, place] = amount
    return position_returns(
        periods, np.array([values]), np.array([rates]), purchases, earned, np.zeros((1, days))
    )


def test_a9_local_and_base_return_of_a_foreign_share() -> None:
    table = {"2023-01-03": 89.12, "2023-07-10": 116.45}
    dollars = {"2023-01-03": 0.9238, "2023-07-10": 0.8854}
    entries = [
        entry("deposit", "2023-01-03", currency="CHF", amount=1_000),
        entry("buy", "2023-01-03", 1, currency="USD", quantity=1, price="89.12", fee=1),
    ]
    foreign = {1: "USD"}
    books = walk(entries, base="CHF", rates={"USD": dollars}, asset_currencies=foreign)
    v = value(books, {1: table}, base="CHF", rates={"USD": dollars}, asset_currencies=foreign)
    assert v.positions[0, -1] == pytest.approx(103.10483)
    periods = sub_periods(v.total_value, v.inflow, v.outflow)
    gross = position_returns(
        periods, v.positions, v.fx, v.net_purchases, v.asset_income, np.zeros_like(v.asset_costs)
    ).linked()
    assert gross.local == pytest.approx([0.3066651705565529623], abs=1e-12)
    assert gross.base == pytest.approx([0.25235044599563974109], abs=1e-12)
    assert gross.fx == pytest.approx([-0.0415674388395757], abs=1e-12)
    net = position_returns(
        periods, v.positions, v.fx, v.net_purchases, v.asset_income, v.asset_costs
    ).linked()
    assert net.base == pytest.approx([(1 - 1 / 89.12) * 103.10483 / 82.329056 - 1], abs=1e-12)
    assert net.fx == pytest.approx(gross.fx, abs=1e-15)


def test_what_is_bought_at_the_rate_of_the_day_has_gained_nothing_from_it() -> None:
    found = one_position([100, 250, 275], [1.0, 1.1, 1.21], {0: 100, 1: 140})
    # 100 gain 10 by the rate, 140 come in; then everything bears a rate of +10 %.
    np.testing.assert_allclose(found.fx, [[0, 10 / 240, 0.1]], atol=1e-15)
    np.testing.assert_allclose(found.local, [[0, 0, 0]], atol=1e-15)


def test_a_short_position_returns_what_its_asset_does() -> None:
    found = one_position([-100, -132], [1.0, 1.1], {0: -100})
    assert found.local[0, 1] == pytest.approx(0.2, abs=1e-12)
    assert found.fx[0, 1] == pytest.approx(0.1, abs=1e-12)
    assert (found.capital[0, 1], found.result[0, 1]) == (-100, -32)


def test_days_without_the_position_are_unknown_and_no_part_of_its_return() -> None:
    found = one_position([100, 0, 0, 50, 55], [1.0, 1.1, 1.2, 1.2, 1.2], {0: 100, 1: -110, 3: 50})
    assert np.isnan(found.base).tolist() == [[False, False, True, False, False]]
    whole = found.linked()
    assert (whole.local[0], whole.fx[0], whole.base[0]) == pytest.approx((0.1, 0.1, 0.21), abs=1e-12)
    never = one_position([0, 0], [1, 1], {}).linked()
    assert np.isnan([never.local, never.fx, never.base]).all()


def test_an_unknown_rate_leaves_the_base_return_known() -> None:
    found = one_position([100, 0], [1.0, np.nan], {0: 100, 1: -120})
    assert found.base[0, 1] == pytest.approx(0.2)
    assert np.isnan(found.local[0, 1])
    assert np.isnan(found.fx[0, 1])
    assert np.isnan(portfolio_returns(found).local[1])
    assert portfolio_returns(found).base[1] == pytest.approx(0.2)


def test_the_rate_of_an_asset_that_is_not_held_is_not_needed() -> None:
    found = one_position([0, 100, 110], [np.nan, 1.0, 1.1], {1: 100})
    assert (found.local[0, 2], found.fx[0, 2]) == pytest.approx((0, 0.1), abs=1e-12)


def test_a_total_loss() -> None:
    found = one_position([100, 0], [1.0, 1.1], {0: 100})
    assert (found.local[0, 1], found.fx[0, 1], found.base[0, 1]) == pytest.approx((-1, 0.1, -1), abs=1e-15)
    assert np.isnan(portfolio_returns(found).fx[1])
    assert portfolio_returns(found).base[1] == -1


def test_the_whole_is_weighted_by_opening_capital() -> None:
    # 300 at home gain 10 %; 100 abroad gain 20 % there and 5 % by the rate.
    home = one_position([300, 330], [1, 1], {0: 300})
    abroad = one_position([100, 126], [1, 1.05], {0: 100})
    both = PositionReturns(
        *(
            np.vstack([getattr(side, name) for side in (home, abroad)])
            for name in ("local", "fx", "base", "capital", "result")
        )
    )
    whole = portfolio_returns(both)
    assert whole.local[1] == pytest.approx(0.75 * 0.1 + 0.25 * 0.2, abs=1e-12)
    assert whole.base[1] == pytest.approx(56 / 400, abs=1e-12)
    assert whole.fx[1] == pytest.approx(1.14 / 1.125 - 1, abs=1e-12)


def test_cash_abroad_earns_by_its_rate_and_interest_is_local() -> None:
    nothing = one_position([0, 0], [1, 1], {})
    whole = portfolio_returns(
        nothing,
        capital=np.array([0.0, 200.0]),
        cash_result=np.array([0.0, 14.0]),
        fx_on_cash=np.array([0.0, 10.0]),
    )
    np.testing.assert_allclose(whole.local, [0, 0.02], atol=1e-15)
    np.testing.assert_allclose(whole.base, [0, 0.07], atol=1e-15)
    np.testing.assert_allclose(whole.fx, [0, 1.07 / 1.02 - 1], atol=1e-15)


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
def test_local_and_rate_make_the_base_return(seed: int) -> None:
    book = random_book(seed)
    positions = measured(book)
    cash = book.interest
    for found in (
        positions,
        positions.linked(),
        portfolio_returns(positions, book.periods().capital, cash),
        portfolio_returns(positions, book.periods().capital, cash).linked(),
    ):
        np.testing.assert_allclose((1 + found.local) * (1 + found.fx) - 1, found.base, atol=1e-12)
    held = positions.is_at_work
    np.testing.assert_array_equal(np.isfinite(positions.base), held)


@given(SEEDS)
def test_the_whole_in_base_currency_is_the_time_weighted_return(seed: int) -> None:
    book = random_book(seed)
    periods = book.periods()
    whole = portfolio_returns(measured(book, periods), periods.capital, book.interest)
    np.testing.assert_allclose(whole.base, periods.returns, atol=1e-12)


@given(SEEDS)
def test_without_trades_the_parts_are_those_of_price_and_rate(seed: int) -> None:
    book = random_book(seed)
    book = replace(
        book,
        trades=np.outer(np.full(3, 5.0), np.eye(12)[0]),
        income=0 * book.income,
        costs=0 * book.costs,
    )
    found = measured(book)
    np.testing.assert_allclose(found.local[:, 1:], book.prices[:, 1:] / book.prices[:, :-1] - 1, atol=1e-12)
    np.testing.assert_allclose(found.fx[:, 1:], book.fx[:, 1:] / book.fx[:, :-1] - 1, atol=1e-12)


@given(SEEDS, st.floats(1e-3, 1e6), st.permutations(range(3)))
def test_neither_the_unit_of_money_nor_the_order_of_assets_matters(
    seed: int, scale: float, order: list[int]
) -> None:
    book = random_book(seed)
    money = {name: getattr(book, name) * scale for name in ("prices", "income", "costs", "inflow", "outflow")}
    again = replace(book, **money)
    again = replace(
        again, **{name: getattr(again, name)[order] for name in ("prices", "fx", "trades", "income", "costs")}
    )
    ours, theirs = measured(book), measured(again)
    for name in ("local", "fx", "base"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name)[order], atol=1e-11)
    whole, scaled = portfolio_returns(ours), portfolio_returns(theirs)
    np.testing.assert_allclose(scaled.local, whole.local, atol=1e-11)


def test_a_position_opened_at_an_unknown_price_has_no_known_compound_return() -> None:
    """Without it, 50 to 60 would be all there was: 20 %."""
    linked = one_position([0, 50, 60], [1, 1, 1], {1: np.nan}).linked()
    assert all(np.isnan(part).all() for part in (linked.local, linked.fx, linked.base))
