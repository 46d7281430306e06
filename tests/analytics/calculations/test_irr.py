import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.irr import internal_rate_of_return, money_weighted_return


def flows(*pairs):
    dates, amounts = zip(*pairs, strict=True)
    return np.array(dates, dtype="datetime64[D]"), np.array(amounts, dtype=float)


CASE_B3 = [
    (flows(("2010-01-01", -200), ("2010-12-31", 210)), 0.05014075029097754),
    (
        flows(
            ("2002-11-30", -4398),
            ("2007-06-11", 200),
            ("2008-05-11", 270),
            ("2009-05-01", 280),
            ("2010-06-01", 280),
            ("2011-05-02", 300),
            ("2012-04-30", 330),
            ("2012-12-06", 14508),
        ),
        0.14443898947158307,
    ),
    (flows(("2019-05-24", -1560.94), ("2020-01-13", -1160), ("2020-06-29", 42.80)), -0.9992516434215407),
    (flows(("2015-01-02", -4131.99), ("2015-01-14", 4187.94)), 0.5054609827780698),
]


@pytest.mark.parametrize(("book", "rate"), CASE_B3)
def test_case_b3_rates(book, rate):
    found, reason = internal_rate_of_return(*book)
    assert found == pytest.approx(rate, rel=1e-11)
    assert reason is None


def test_case_b3_twelve_days_are_not_annualised():
    rate, reason = money_weighted_return(*CASE_B3[3][0])
    assert np.isnan(rate)
    assert reason == "span under a year: 12 of 365 days, period return 0.01354069105"


def test_a_full_year_is_annual_and_a_day_less_is_not():
    assert money_weighted_return(*flows(("2023-01-01", -100), ("2024-01-01", 110)))[0] == pytest.approx(0.1)
    assert np.isnan(money_weighted_return(*flows(("2023-01-01", -100), ("2023-12-31", 110)))[0])


def test_span_ends_with_the_last_money_that_moved():
    rate, reason = money_weighted_return(*flows(("2020-01-01", -100), ("2020-04-10", 110), ("2024-01-01", 0)))
    assert np.isnan(rate)
    assert reason == "span under a year: 100 of 365 days, period return 0.1"


@pytest.mark.parametrize(
    ("book", "rate"),
    [
        (flows(("2021-01-15", -155), ("2023-06-12", 190.06)), 0.08846768683143227),
        (
            flows(("2021-01-15", -155), ("2022-01-14", -84), ("2022-09-30", -67), ("2023-06-12", 426.82)),
            0.20275728342148341,
        ),
        (
            flows(
                ("2021-01-15", -153),
                ("2022-01-14", -83),
                ("2022-12-15", 30),
                ("2023-04-12", 107),
                ("2023-06-12", 190.06),
            ),
            0.17997544196710272,
        ),
    ],
)
def test_case_b15_rates(book, rate):
    assert money_weighted_return(*book)[0] == pytest.approx(rate, rel=1e-11)


@pytest.mark.parametrize(
    ("book", "reason"),
    [
        (flows(("2020-01-01", -100), ("2022-01-01", -5)), "no root: the flows do not change sign"),
        (flows(("2020-01-01", 0), ("2022-01-01", 0)), "no root: the flows do not change sign"),
        (flows(("2020-01-01", -100), ("2020-01-01", 101)), "no root: all flows fall on one day"),
        # 10 % and 20 % both solve it
        (flows(("2019-01-01", -100), ("2020-01-01", 230), ("2020-12-31", -132)), "several roots"),
        # 10 % twice
        (flows(("2019-01-01", -100), ("2020-01-01", 220), ("2020-12-31", -121)), "several roots"),
        # −5 %, 10 % and 50 %
        (
            flows(
                ("2018-01-01", -1000),
                ("2019-01-01", 3550),
                ("2020-01-01", -4120),
                ("2020-12-31", 1567.5),
            ),
            "several roots",
        ),
        (flows(("2019-01-01", -100), ("2020-01-01", 100), ("2020-12-31", -100)), "no root"),
        (flows(("2019-01-01", -100), ("2020-01-01", np.nan)), "a flow or the final value is unknown"),
    ],
)
def test_no_or_several_roots_are_said(book, reason):
    rate, said = internal_rate_of_return(*book)
    assert np.isnan(rate)
    assert said == reason
    assert money_weighted_return(*book)[1] == reason


def test_scale_of_the_money_does_not_matter():
    dates, amounts = CASE_B3[1][0]
    for scale in (1e-6, 1.0, 1e12):
        assert internal_rate_of_return(dates, amounts * scale)[0] == pytest.approx(CASE_B3[1][1], rel=1e-11)


def test_one_root_among_flows_that_overdraw_the_balance():
    # A large withdrawal, repaid later: the balance changes sign, yet only one rate fits.
    book = flows(("2019-01-01", -100), ("2020-01-01", 150), ("2020-12-31", -10), ("2021-12-31", 30))
    rate, reason = internal_rate_of_return(*book)
    years = (book[0] - book[0][0]).astype(float) / 365
    assert reason is None
    assert (book[1] * (1 + rate) ** -years).sum() == pytest.approx(0, abs=1e-11)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(-1e5, 1e5)), min_size=1, max_size=20),
    st.floats(-0.5, 0.8),
)
def test_a_book_grown_at_one_rate_returns_that_rate(moves, rate):
    """Deposits and withdrawals on an account that earns `rate` and is never overdrawn."""
    day, value = 0, 1e5
    days, amounts = [0], [-1e5]
    for gap, flow in moves:
        value *= (1 + rate) ** (gap / 365)
        day += gap
        flow = max(flow, -0.9 * value)
        value += flow
        days.append(day)
        amounts.append(-flow)
    days.append(day + 200)
    amounts.append(value * (1 + rate) ** (200 / 365))
    dates = np.datetime64("2015-01-01") + np.array(days)
    found, reason = internal_rate_of_return(dates, np.array(amounts))
    assert reason is None
    assert found == pytest.approx(rate, abs=1e-9)
