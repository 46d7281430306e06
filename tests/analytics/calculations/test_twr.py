from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analytics.calculations.twr import (
    FlowTiming,
    TimeWeighted,
    link_returns,
    sum_to_calendar,
    time_weighted,
)
from portfolios.calculations.entries import Entry
from portfolios.calculations.valuation import Valuation
from tests.portfolios.calculations.booking import Table, at, entry, every_day, split, value, walk

Floats = NDArray[np.float64]


def measure(valuation: Valuation) -> TimeWeighted:
    return time_weighted(
        valuation.timeline,
        valuation.is_calendar,
        valuation.total_value,
        valuation.inflow,
        valuation.outflow,
    )


def measure_days(
    values: list[float],
    inflow: list[float] | None = None,
    outflow: list[float] | None = None,
    calendar: list[int] | None = None,
    **timing: Any,
) -> TimeWeighted:
    """Consecutive days from 2020-01-01. calendar: 1 = the day has a row."""
    return time_weighted(
        every_day("2020-01-01", "2020-02-01")[: len(values)],
        np.array(calendar or [1] * len(values), dtype=bool),
        np.array(values, dtype=float),
        np.array(inflow or [0] * len(values), dtype=float),
        np.array(outflow or [0] * len(values), dtype=float),
        **timing,
    )


def profit(valuation: Valuation, since: str | None = None) -> float:
    """Change of value less net flows, after the evening of `since`."""
    later = valuation.timeline > np.datetime64(since or "1900-01-01")
    flows = (valuation.inflow - valuation.outflow)[later].sum()
    opening = at(valuation, valuation.total_value, since) if since else 0.0
    return float(valuation.total_value[-1] - opening - flows)


# Cases from the test suites of other programs. Each buy is paid by a deposit that covers its fee.

BALN: Table = {
    "2021-11-12": 146, "2021-11-22": 142.9, "2021-11-26": 139.9, "2021-11-30": 136.6, "2021-12-12": 142.0,
    "2021-12-17": 143.9, "2021-12-18": 148.9,
}  # fmt: skip


def paid_buy(day: str, quantity: int, price: str, fee: str) -> list[Entry]:
    cost = quantity * Fraction(price) + Fraction(fee)
    return [
        entry("deposit", day, currency="CHF", amount=float(cost)),
        entry("buy", day, 1, currency="CHF", quantity=quantity, price=price, fee=fee),
    ]


def value_baln(entries: list[Entry], first: str, last: str = "2021-12-18") -> Valuation:
    return value(walk(entries, base="CHF"), {1: BALN}, every_day(first, last), base="CHF")


def test_a1_one_buy_and_its_period_slices() -> None:
    v = value_baln(paid_buy("2021-11-30", 2, "136.60", "1.55"), "2021-11-30")
    end = "2021-12-18"
    assert at(v, v.total_value, end) == pytest.approx(297.8)
    assert at(v, v.cost_basis, end) == pytest.approx(273.2)
    assert at(v, v.unrealized_pnl, end) == pytest.approx(24.6)
    assert profit(v) == pytest.approx(23.05)
    assert profit(v, "2021-12-17") == pytest.approx(10.00)
    assert profit(v, "2021-12-12") == pytest.approx(13.80)
    assert profit(v, "2021-11-30") == pytest.approx(24.60)
    assert measure(v).index[-1] - 1 == pytest.approx(0.08389444949954505, abs=1e-12)


@pytest.mark.parametrize("last", ["2021-11-30", "2021-12-18"])
def test_a2_fill_price_below_the_close_on_the_buy_day(last: str) -> None:
    v = value_baln(paid_buy("2021-11-30", 2, "135.00", "1.55"), "2021-11-30", last)
    assert v.total_value[0] - v.inflow[0] == pytest.approx(1.65)
    assert measure(v).returns[0] == pytest.approx(273.2 / 271.55 - 1)


def test_a3_two_buys() -> None:
    entries = paid_buy("2021-11-22", 2, "142.9", "1.55") + paid_buy("2021-11-30", 2, "136.6", "1.65")
    v = value_baln(entries, "2021-11-22")
    assert at(v, v.total_value, "2021-12-18") == pytest.approx(595.6)
    assert v.quantities[0, -1] == 4
    assert v.cost_basis[-1] / v.quantities[0, -1] == pytest.approx(139.75)
    assert v.fees.sum() == pytest.approx(3.2)
    assert v.unrealized_pnl[-1] == pytest.approx(36.6)
    assert profit(v) == pytest.approx(33.4)
    assert measure(v).index[-1] - 1 == pytest.approx(0.04561590429811391, abs=1e-12)


def test_a4_buy_then_full_sale_stays_constant() -> None:
    sale = entry("sell", "2021-11-30", 1, currency="CHF", quantity=2, price="136.6", fee="1.65")
    v = value_baln([*paid_buy("2021-11-22", 2, "142.9", "1.55"), sale], "2021-11-22")
    assert (v.invested_value[-1], v.quantities[0, -1], v.cost_basis[-1]) == (0, 0, 0)
    assert v.realized.sum() == pytest.approx(-12.6)
    assert profit(v) == pytest.approx(-15.8)
    result = measure(v)
    after_sale = result.index[v.timeline >= np.datetime64("2021-11-30")]
    np.testing.assert_allclose(after_sale - 1, -0.054985209674612845, atol=1e-12)


@pytest.mark.parametrize("sale_first", [True, False])
def test_a6_partial_sale_in_any_order_of_input(sale_first: bool) -> None:
    sale = entry("sell", "2022-04-08", 1, currency="CHF", quantity=1, price="85.73", fee="1.30")
    buy = paid_buy("2022-03-07", 2, "75.80", "2.95")
    entries = [sale, *buy] if sale_first else [*buy, sale]
    books = walk(entries, base="CHF")
    v = value(books, {1: {"2022-04-11": 87.8}}, every_day("2022-03-07", "2022-04-11"), base="CHF")
    assert v.invested_value[-1] == pytest.approx(87.8)
    assert v.quantities[0, -1] == 1
    assert v.cost_basis[-1] == pytest.approx(75.80)
    assert v.realized.sum() + v.unrealized_pnl[-1] == pytest.approx(21.93)
    assert profit(v) == pytest.approx(17.68)
    assert measure(v).index[-1] == pytest.approx(172.23 / 154.55, abs=1e-12)


def test_a11_dividend_in_the_total_return() -> None:
    entries = [
        entry("deposit", "2021-09-16", amount="317.58"),
        entry("buy", "2021-09-16", 1, quantity=1, price="298.58", fee=19),
        entry("dividend", "2021-11-16", 1, quantity=1, price="0.62"),
    ]
    prices: Table = {
        "2021-09-16": 89.12, "2021-11-16": 339.51, "2023-07-09": 337.22, "2023-07-10": 331.83,
    }  # fmt: skip
    v = value(walk(entries), {1: prices})
    assert v.income.sum() == pytest.approx(0.62)
    assert v.unrealized_pnl[-1] == pytest.approx(33.25)
    assert profit(v) == pytest.approx(14.87)
    assert profit(v, "2023-07-09") == pytest.approx(-5.39)
    assert measure(v).index[-1] - 1 == pytest.approx(0.04682284778638457, abs=1e-12)


B1_ENTRIES = [
    entry(kind, day, amount=amount)
    for kind, day, amount in [
        ("deposit", "2011-12-31", "10000"),
        ("interest", "2012-01-01", "230"),
        ("deposit", "2012-01-02", "200"),
        ("interest", "2012-01-02", "200"),
        ("withdrawal", "2012-01-03", "400"),
        ("fee", "2012-01-03", "234.41"),
        ("interest", "2012-01-04", "293.99"),
        ("interest", "2012-01-05", "293.99"),
        ("deposit", "2012-01-06", "5400"),
        ("interest", "2012-01-06", "195.99"),
        ("withdrawal", "2012-01-07", "3697.04"),
        ("fee", "2012-01-07", "882.52"),
        ("fee", "2012-01-08", "1003.85"),
    ]
]
B1_VALUES = [10000.00, 10230.00, 10630.00, 9995.59, 10289.58, 10583.57, 16179.56, 11600.00, 10596.15]
B1_DAILY = [
    0, 0.023000000000, 0.019175455417, -0.022051740357, 0.029411970679, 0.028571622943, 0.012261966507,
    -0.054545364645, -0.086538793103,
]  # fmt: skip
B1_DAILY_PEER = [
    0, 0.023, 0.019175455, -0.0220517, 0.0294117647, 0.0285714286, 0.012261967, -0.0545454545, -0.0865384615,
]  # fmt: skip
B1_CUMULATIVE = [
    0, 0.023000000000, 0.042616490892, 0.019624982742, 0.049614162838, 0.079603342934, 0.092841402966,
    0.033231970142, -0.056182677550,
]  # fmt: skip


def test_b1_deposits_withdrawals_interest_and_fees() -> None:
    v = value(walk(B1_ENTRIES), {}, every_day("2011-12-31", "2012-01-08"))
    np.testing.assert_allclose(v.total_value, B1_VALUES, atol=1e-9)
    result = measure(v)
    np.testing.assert_allclose(result.returns, B1_DAILY, atol=1e-12)
    np.testing.assert_allclose(result.returns, B1_DAILY_PEER, atol=1e-5)
    np.testing.assert_allclose(result.index - 1, B1_CUMULATIVE, atol=1e-12)
    assert result.reasons == [{}] * 9


def test_b1_by_week() -> None:
    result = measure(value(walk(B1_ENTRIES), {}, every_day("2011-12-31", "2012-01-08")))
    sundays = np.array([1, 8])
    weekly = link_returns(result.returns, sundays)
    np.testing.assert_allclose(weekly, [0.023, -0.077402422], atol=1e-9)
    np.testing.assert_allclose(result.index[sundays] - 1, [0.023, -0.056182678], atol=1e-9)


def test_b1_on_weekdays_only_links_the_days_between() -> None:
    days = every_day("2011-12-31", "2012-01-08")
    weekdays = days[np.is_busday(days)]
    v = value(walk(B1_ENTRIES), {}, weekdays)
    result = measure(v)
    np.testing.assert_allclose(result.index - 1, B1_CUMULATIVE[2:7], atol=1e-12)
    assert result.returns[0] == pytest.approx(B1_CUMULATIVE[2], abs=1e-12)
    assert sum_to_calendar(v.inflow, v.is_calendar).tolist() == [10200, 0, 0, 0, 5400]


B2_CUMULATIVE = [0, 0.023, 0.043, 0.02, 0.05, 0.08, 0.1, 0.04, -0.05]


@pytest.mark.parametrize(
    "minor_flows",
    [
        [1000000, 0, 20000, -40000, 0, 0, 540000, -369704, 0],
        [1000000, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
)
def test_b2_flows_never_change_the_return(minor_flows: list[int]) -> None:
    days = every_day("2012-01-01", "2012-01-09")
    levels = 1 + np.array(B2_CUMULATIVE)
    growth = levels / np.concatenate([[1.0], levels[:-1]])
    entries, balance = [], 0.0
    for day, flow, factor in zip(days.tolist(), minor_flows, growth, strict=True):
        if flow:
            entries.append(entry("deposit" if flow > 0 else "withdrawal", day, amount=abs(flow) / 100))
        capital = balance + max(flow, 0) / 100
        earned = round(capital * (factor - 1), 2)
        if earned:
            entries.append(entry("interest" if earned > 0 else "interest_charge", day, amount=abs(earned)))
        balance = capital + earned + min(flow, 0) / 100
    result = measure(value(walk(entries), {}, days))
    np.testing.assert_allclose(result.index - 1, B2_CUMULATIVE, atol=1e-5)


def test_b2_a_deposit_on_the_last_day() -> None:
    entries = [
        entry("deposit", "2012-01-01", amount=100),
        entry("interest", "2012-01-02", amount=10),
        entry("deposit", "2012-01-10", amount=100),
    ]
    result = measure(value(walk(entries), {}, every_day("2012-01-01", "2012-01-10")))
    np.testing.assert_allclose(result.index[-2:] - 1, 0.1, atol=1e-12)


def test_b2_interest_without_capital_is_one_warning() -> None:
    entries = [entry("interest", "2012-01-02", amount=1)]
    result = measure(value(walk(entries), {}, every_day("2012-01-01", "2012-01-05")))
    assert result.returns.tolist() == [0] * 5
    assert result.index.tolist() == [1] * 5
    assert [row for row in result.reasons if row] == [{"daily_return": "money moved without capital"}]


def test_b2_an_empty_client() -> None:
    result = measure(value([], {}, every_day("2012-01-01", "2012-01-05")))
    assert result.returns.tolist() == [0] * 5
    assert result.reasons == [{}] * 5


def test_no_days_at_all() -> None:
    result = measure_days([])
    assert (result.returns.size, result.index.size, result.reasons) == (0, 0, [])


# Timing, gaps, capital


@pytest.mark.parametrize(
    ("inflow_timing", "outflow_timing", "expected"),
    [
        ("start", "end", 190 / 150 - 1),
        ("end", "end", 140 / 100 - 1),
        ("start", "start", 170 / 130 - 1),
        ("end", "start", 120 / 80 - 1),
        ("midday", "midday", 155 / 115 - 1),
    ],
)
def test_timing_of_flows(inflow_timing: FlowTiming, outflow_timing: FlowTiming, expected: float) -> None:
    result = measure_days(
        [100, 170], [100, 50], [0, 20], inflow_timing=inflow_timing, outflow_timing=outflow_timing
    )
    assert result.returns[1] == pytest.approx(expected, abs=1e-15)


def test_midday_is_the_gain_over_the_capital_with_half_the_flow() -> None:
    result = measure_days([100, 170], [100, 50], inflow_timing="midday")
    assert result.returns[1] == pytest.approx((170 - 100 - 50) / (100 + 25), abs=1e-15)


def test_the_day_after_an_unknown_value_covers_the_gap() -> None:
    result = measure_days([100, np.nan, np.nan, 242, 242], [100, 0, 10, 110, 0])
    np.testing.assert_allclose(result.returns, [0, np.nan, np.nan, 242 / 220 - 1, 0], atol=1e-15)
    np.testing.assert_allclose(result.index, [1, np.nan, np.nan, 1.1, 1.1], atol=1e-15)
    unknown = {"daily_return": "value unknown", "twr_index": "value unknown"}
    covers = {"daily_return": "covers the days since 2020-01-01"}
    assert result.reasons == [{}, unknown, unknown, covers, {}]


def test_no_known_value_at_all() -> None:
    result = measure_days([np.nan, np.nan], [100, 0])
    assert np.isnan(result.returns).all()
    assert np.isnan(result.index).all()
    assert all(row["twr_index"] == "value unknown" for row in result.reasons)


def test_an_unknown_first_value_is_covered_by_the_second() -> None:
    result = measure_days([np.nan, 110], [100, 0])
    assert result.returns[1] == pytest.approx(0.1)
    assert result.reasons[1] == {"daily_return": "covers all days before"}


def test_an_unknown_flow_breaks_the_chain() -> None:
    result = measure_days([100, 150, 165], [100, np.nan, 0])
    np.testing.assert_allclose(result.returns, [0, np.nan, 0.1], atol=1e-15)
    np.testing.assert_array_equal(result.index, [1, np.nan, np.nan])
    why = "unknown since 2020-01-02: flow unknown"
    assert result.reasons == [{}, {"daily_return": "flow unknown", "twr_index": why}, {"twr_index": why}]


def test_negative_capital_has_no_return_and_breaks_the_chain() -> None:
    result = measure_days([100, -10, -20, 40, 44], [100, 0, 0, 50, 0])
    np.testing.assert_allclose(result.returns, [0, -1.1, np.nan, 40 / 30 - 1, 0.1], atol=1e-15)
    np.testing.assert_allclose(result.index[:2], [1, -0.1], atol=1e-15)
    assert np.isnan(result.index[2:]).all()
    why = "unknown since 2020-01-03: negative capital"
    assert result.reasons[1] == {"daily_return": "more than the whole capital was lost"}
    assert result.reasons[2] == {"daily_return": "negative capital", "twr_index": why}
    assert result.reasons[3] == {"twr_index": why}


def test_a_total_loss_stays_one() -> None:
    result = measure_days([100, 0, 100, 110], [100, 0, 100, 0])
    assert result.returns.tolist() == pytest.approx([0, -1, 0, 0.1])
    assert result.index.tolist() == [1, 0, 0, 0]


def test_all_money_taken_out_and_brought_back() -> None:
    result = measure_days([100, 0, 0, 50, 55], [100, 0, 0, 50, 0], [0, 110, 0, 0, 0])
    assert result.returns.tolist() == pytest.approx([0, 0.1, 0, 0, 0.1])
    assert result.reasons == [{}] * 5


def test_a_sub_period_between_calendar_days_counts_into_the_next() -> None:
    # 100 -> 110 on Friday; a deposit of 110 on Saturday; 231 on Monday.
    result = measure_days([110, 220, 231], [100, 110, 0], calendar=[1, 0, 1])
    assert result.returns.tolist() == pytest.approx([0.1, 0.05])
    assert result.index.tolist() == pytest.approx([1.1, 1.155])


def test_what_happened_between_calendar_days_is_said_on_the_next() -> None:
    result = measure_days([0, 1, 1], calendar=[1, 0, 1])
    assert result.reasons == [{}, {"daily_return": "money moved without capital"}]


def test_an_unknown_day_between_calendar_days_leaves_no_hole() -> None:
    result = measure_days([100, np.nan, 220], [100, 100, 0], calendar=[1, 0, 1])
    assert result.returns.tolist() == pytest.approx([0, 0.1])


def test_an_unknown_calendar_day_before_an_event_between_days() -> None:
    # Known Thursday, unknown Friday, known Saturday, known Monday.
    result = measure_days([100, np.nan, 110, 121], [100, 0, 0, 0], calendar=[1, 1, 0, 1])
    np.testing.assert_allclose(result.returns, [0, np.nan, 0.21], atol=1e-15)
    np.testing.assert_allclose(result.index, [1, np.nan, 1.21], atol=1e-15)
    assert result.reasons[2] == {"daily_return": "covers the days since 2020-01-01"}


def test_events_after_the_last_calendar_day_belong_to_no_row() -> None:
    result = measure_days([100, 300], [100, 100], calendar=[1, 0])
    assert result.returns.tolist() == [0]
    assert sum_to_calendar(np.array([1.0, 2.0]), np.array([True, False])).tolist() == [1]


def test_an_unknown_period_makes_its_linked_return_unknown() -> None:
    linked = link_returns(np.array([0.1, 0.1, np.nan, 0.1, 0.2]), np.array([1, 3]))
    np.testing.assert_allclose(linked, [0.21, np.nan])


# Properties

PRICES = st.lists(st.integers(10, 500), min_size=8, max_size=8)


def weekly_prices(levels: list[int]) -> Table:
    """On Mondays to Fridays from Monday 2020-01-06."""
    days = every_day("2020-01-06", "2020-01-15")
    return dict(zip(days[np.is_busday(days)].astype(str).tolist(), levels, strict=True))


@settings(max_examples=60, deadline=None)
@given(PRICES, st.integers(1, 50), st.integers(1, 50))
def test_a_deposit_that_buys_more_of_the_same_changes_no_return(
    levels: list[int], first: int, more: int
) -> None:
    prices = weekly_prices(levels)
    friday = str(prices["2020-01-10"])
    alone = [
        entry("deposit", "2020-01-06", amount=first * levels[0]),
        entry("buy", "2020-01-06", 1, quantity=first, price=levels[0]),
    ]
    joined = [
        *alone,
        entry("deposit", "2020-01-11", amount=more * int(friday)),  # Saturday
        entry("buy", "2020-01-11", 1, quantity=more, price=friday),
        entry("sell", "2020-01-12", 1, quantity=first, price=friday),  # Sunday
        entry("withdrawal", "2020-01-12", amount=first * int(friday)),
    ]
    expected = np.array(list(prices.values()), dtype=float) / levels[0]
    for entries in (alone, joined):
        np.testing.assert_allclose(measure(value(walk(entries), {1: prices})).index, expected, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(PRICES, st.integers(0, 9), st.integers(1, 10**6))
def test_a_deposit_earns_nothing_on_the_day_it_comes_alone(levels: list[int], day: int, amount: int) -> None:
    prices = weekly_prices(levels)
    when = every_day("2020-01-06", "2020-01-15")[day]
    entries = [
        entry("deposit", "2020-01-06", amount=1000),
        entry("buy", "2020-01-06", 1, quantity=1, price=levels[0]),
    ]
    frozen: Table = dict.fromkeys(prices, levels[0])
    result = measure(value(walk([*entries, entry("deposit", str(when), amount=amount)]), {1: frozen}))
    np.testing.assert_allclose(result.index, 1, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    PRICES,
    st.integers(0, 9),
    st.fractions(min_value=Fraction(1, 20), max_value=20, max_denominator=20),
    st.integers(1, 50),
)
def test_a_split_changes_neither_value_nor_return(
    levels: list[int], day: int, ratio: Fraction, quantity: int
) -> None:
    assume(ratio > 0)
    prices = weekly_prices(levels)
    ex_date = every_day("2020-01-06", "2020-01-15")[day]
    entries = [
        entry("deposit", "2020-01-03", amount=quantity * levels[0] + 100),
        entry("buy", "2020-01-03", 1, quantity=quantity, price=levels[0]),
    ]
    splits = [split(1, date.fromisoformat(str(ex_date)), ratio)]
    after: Table = {
        when: float(price) / float(ratio) if np.datetime64(when) >= ex_date else price
        for when, price in prices.items()
    }
    plain = value(walk(entries), {1: prices})
    divided = value(walk(entries, splits), {1: after}, splits=splits)
    same = np.isin(divided.timeline, plain.timeline)
    np.testing.assert_allclose(divided.total_value[same], plain.total_value, rtol=1e-12)
    np.testing.assert_allclose(measure(divided).index, measure(plain).index, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 2), min_size=6, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_index_of_calendar_days_is_the_index_of_all_days(
    growth: list[float], calendar: list[bool]
) -> None:
    values = 100 * np.cumprod(growth)
    inflow = [100.0, 0, 0, 0, 0, 0]
    every = measure_days(values.tolist(), inflow)
    some = measure_days(values.tolist(), inflow, calendar=[*map(int, calendar[:-1]), 1])
    rows = np.array([*calendar[:-1], True])
    np.testing.assert_allclose(some.index, every.index[rows], rtol=1e-12)
    np.testing.assert_allclose(np.cumprod(1 + some.returns), some.index, rtol=1e-12)
