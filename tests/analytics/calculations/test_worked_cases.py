"""Worked cases of returns and profit bridges; the figures of a case that are asserted elsewhere are not
repeated here. "Peer" is what another program shows for the case and we do not.
"""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from analytics.calculations.bridge import BRIDGE_LINES, Bridge, profit_bridge
from analytics.calculations.contribution import contributions
from analytics.calculations.currency_returns import CurrencyReturns, portfolio_returns, position_returns
from analytics.calculations.drawdowns import drawdowns, max_drawdown, max_drawdown_duration
from analytics.calculations.irr import internal_rate_of_return, money_weighted_return
from analytics.calculations.statistics import downside_deviation
from analytics.calculations.twr import TimeWeighted, link_returns, sub_periods, sum_segments, time_weighted
from portfolios.calculations.entries import Entry
from portfolios.calculations.lots import COST_METHODS, CostMethod
from portfolios.calculations.valuation import Valuation
from tests.portfolios.calculations.booking import Table, at, entry, every_day, value, walk
from tests.portfolios.calculations.test_worked_cases import (
    ACTIONS,
    BALN,
    CURRENCIES,
    EVERYTHING,
    PRICES,
    RATES,
    b15_books,
)


def amount(number: float) -> Decimal:
    """As it is stored: with six decimals."""
    return Decimal(repr(round(float(number), 6) + 0.0))


def bridge(v: Valuation, since: str | None = None) -> Bridge:
    """From the evening of `since`, or from nothing, to the last day."""
    later = v.timeline > np.datetime64(since or "1900-01-01")
    opening, unrealized = 0.0, 0.0
    if since is not None and not later.all():
        opening, unrealized = at(v, v.total_value, since), at(v, v.unrealized_pnl, since)
    lines = {
        "net_flow": (v.inflow - v.outflow)[later].sum(),
        "realized_pnl": v.realized[later].sum(),
        "unrealized_pnl": v.unrealized_pnl[-1] - unrealized - v.transferred_pnl[later].sum(),
        "income": v.income[later].sum(),
        "fx_on_cash": v.fx_on_cash[later].sum(),
        "fees": v.fees[later].sum(),
        "taxes": v.taxes[later].sum(),
    }
    return profit_bridge(
        amount(opening),
        amount(v.total_value[-1]),
        {name: amount(number) for name, number in lines.items()},
        days=len(v.timeline),
    )


def shown(found: Bridge) -> dict[str, str]:
    """The lines that are not 0."""
    return {name: str(line) for name, line in found.lines.items() if line}


def measure(v: Valuation) -> TimeWeighted:
    return time_weighted(v.timeline, v.is_calendar, v.total_value, v.inflow, v.outflow)


def flows(*pairs: tuple[str, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([day for day, _ in pairs], dtype="datetime64[D]"), np.array([sum_ for _, sum_ in pairs])


def paid(day: str, quantity: int, price: str, fee: str) -> list[Entry]:
    cost = quantity * Decimal(price) + Decimal(fee)
    return [
        entry("deposit", day, currency="CHF", amount=cost),
        entry("buy", day, 1, "CHF", quantity=quantity, price=price, fee=fee),
    ]


def baln(entries: list[Entry], first: str) -> Valuation:
    return value(walk(entries, base="CHF"), {1: BALN}, every_day(first, "2021-12-18"), base="CHF")


def a3() -> Valuation:
    return baln(paid("2021-11-22", 2, "142.9", "1.55") + paid("2021-11-30", 2, "136.6", "1.65"), "2021-11-22")


def a6() -> Valuation:
    entries = [
        entry("sell", "2022-04-08", 1, "CHF", quantity=1, price="85.73", fee="1.30"),
        *paid("2022-03-07", 2, "75.80", "2.95"),
    ]
    return value(
        walk(entries, base="CHF"),
        {1: {"2022-04-11": 87.8}},
        every_day("2022-03-07", "2022-04-11"),
        base="CHF",
    )


# A


@pytest.mark.parametrize(
    ("since", "profit", "lines"),
    [
        ("2021-12-17", "10.00", {"unrealized_pnl": "10.00"}),
        ("2021-12-12", "13.80", {"unrealized_pnl": "13.80"}),
        ("2021-11-30", "24.60", {"unrealized_pnl": "24.60"}),
        ("2020-12-31", "23.05", {"net_flow": "274.75", "unrealized_pnl": "24.60", "fees": "1.55"}),
        ("2020-12-18", "23.05", {"net_flow": "274.75", "unrealized_pnl": "24.60", "fees": "1.55"}),
        ("2016-12-18", "23.05", {"net_flow": "274.75", "unrealized_pnl": "24.60", "fees": "1.55"}),
        (None, "23.05", {"net_flow": "274.75", "unrealized_pnl": "24.60", "fees": "1.55"}),
    ],
    ids=["1d", "wtd", "mtd", "ytd", "1y", "5y", "max"],
)
def test_a1_net_profit_of_each_period(since: str | None, profit: str, lines: dict[str, str]) -> None:
    found = bridge(baln(paid("2021-11-30", 2, "136.60", "1.55"), "2021-11-30"), since)
    assert (found.profit, found.closing) == (Decimal(profit), Decimal("297.80"))
    assert found.rounding == 0
    assert shown(found) == lines


def test_a1_eighteen_days_are_not_shown_as_a_year() -> None:
    book = flows(("2021-11-30", -274.75), ("2021-12-18", 297.8))
    annual, _ = internal_rate_of_return(*book)
    assert annual == pytest.approx(4.1222, abs=5e-5)
    rate, reason = money_weighted_return(*book)
    assert np.isnan(rate)
    assert reason == "span under a year: 18 of 365 days, period return 0.0838944495"


def test_a2_the_bridge_of_the_day_of_purchase() -> None:
    v = value(
        walk(paid("2021-11-30", 2, "135.00", "1.55"), base="CHF"), {1: {"2021-11-30": 136.6}}, base="CHF"
    )
    found = bridge(v)
    assert found.profit == Decimal("1.65")
    assert shown(found) == {"net_flow": "271.55", "unrealized_pnl": "3.20", "fees": "1.55"}


def test_a3_the_bridge_of_two_purchases() -> None:
    v = a3()
    found = bridge(v)
    assert found.profit == Decimal("33.40")
    assert shown(found) == {"net_flow": "562.20", "unrealized_pnl": "36.60", "fees": "3.20"}
    assert measure(v).index[-1] - 1 == pytest.approx(
        float(
            Fraction("279.8")
            / Fraction("287.35")
            * Fraction("595.6")
            / (Fraction("279.8") + Fraction("274.85"))
            - 1
        ),
        abs=1e-12,
    )


def test_a4_the_bridge_of_a_closed_position_is_realised() -> None:
    sale = entry("sell", "2021-11-30", 1, "CHF", quantity=2, price="136.6", fee="1.65")
    v = baln([*paid("2021-11-22", 2, "142.9", "1.55"), sale], "2021-11-22")
    found = bridge(v)
    assert found.profit == Decimal("-15.80")
    assert shown(found) == {"net_flow": "287.35", "realized_pnl": "-12.60", "fees": "3.20"}
    assert bridge(v, "2021-12-01").profit == 0


def test_a6_the_bridge_of_a_partial_sale() -> None:
    v = a6()
    found = bridge(v)
    assert found.profit == Decimal("17.68")
    assert shown(found) == {
        "net_flow": "154.55", "realized_pnl": "9.93", "unrealized_pnl": "12.00", "fees": "4.25",
    }  # fmt: skip
    # Once there is a price: the day before it the share still stands at its cost.
    assert measure(v).returns[-1] == pytest.approx(172.23 / 160.23 - 1, abs=1e-12)


@pytest.mark.parametrize(
    ("v", "profit", "of_the_case", "of_all_days", "ours"),
    [
        (a3(), 33.4, 0.07032490039195361342, 0.06986689805847808234, 0.04561590429811391),
        (a6(), 17.68, 0.12184460284330327256, 0.12348284960422163588, 172.23 / 154.55 - 1),
    ],
    ids=["a3", "a6"],
)
def test_a3_and_a6_the_peers_percentage_of_everything_counts_the_last_day_and_ours_is_another_figure(
    v: Valuation, profit: float, of_the_case: float, of_all_days: float, ours: float
) -> None:
    """The peer divides one profit by the average cost of the days before the last, or, for its "max" range,
    of all days. The time-weighted return divides each day's gain by that day's capital, so the dates of
    purchases and sales do not move it.
    """
    found = bridge(v)
    assert found.profit == Decimal(str(profit))
    assert profit / v.cost_basis[:-1].mean() == pytest.approx(of_the_case, abs=1e-12)
    assert profit / v.cost_basis.mean() == pytest.approx(of_all_days, abs=1e-12)
    assert measure(v).index[-1] - 1 == pytest.approx(ours, abs=1e-12)


def test_a9_the_bridge_has_the_loss_of_the_rate_where_it_belongs() -> None:
    """In the share that is held, none of it on cash; the fee at the rate of its day."""
    rates: dict[str, Table] = {"USD": {"2023-01-03": "0.9238", "2023-07-10": "0.8854"}}
    entries = [
        entry("deposit", "2023-01-03", currency="USD", amount="90.12"),
        entry("buy", "2023-01-03", 1, "USD", quantity=1, price="89.12", fee=1),
    ]
    foreign = {1: "USD"}
    v = value(
        walk(entries, base="CHF", rates=rates, asset_currencies=foreign),
        {1: {"2023-01-03": 89.12, "2023-07-10": 116.45}},
        base="CHF",
        asset_currencies=foreign,
        rates=rates,
    )
    found = bridge(v)
    assert (found.profit, found.closing) == (Decimal("19.85"), Decimal("103.10"))
    assert shown(found) == {"net_flow": "83.25", "unrealized_pnl": "20.78", "fees": "0.92"}
    assert measure(v).index[-1] - 1 == pytest.approx(103.10483 / (90.12 * 0.9238) - 1, abs=1e-12)


def test_a11_the_dividend_in_the_bridge_and_in_the_rate_of_return() -> None:
    entries = [
        entry("deposit", "2021-09-16", amount="317.58"),
        entry("buy", "2021-09-16", 1, quantity=1, price="298.58", fee=19),
        entry("dividend", "2021-11-16", 1, quantity=1, price="0.62"),
    ]
    prices: Table = {"2021-09-16": 89.12, "2021-11-16": 339.51, "2023-07-09": 337.22, "2023-07-10": 331.83}
    found = bridge(value(walk(entries), {1: prices}))
    assert found.profit == Decimal("14.87")
    assert shown(found) == {
        "net_flow": "317.58", "unrealized_pnl": "33.25", "income": "0.62", "fees": "19.00",
    }  # fmt: skip
    book = flows(("2021-09-16", -317.58), ("2021-11-16", 0.62), ("2023-07-10", 331.83))
    assert money_weighted_return(*book)[0] == pytest.approx(0.02559583679579649, rel=1e-10)


# B


def test_b1_the_bridge_and_the_peers_cumulative_returns() -> None:
    booked = [
        ("deposit", "2011-12-31", "10000"), ("interest", "2012-01-01", "230"),
        ("deposit", "2012-01-02", "200"), ("interest", "2012-01-02", "200"),
        ("withdrawal", "2012-01-03", "400"), ("fee", "2012-01-03", "234.41"),
        ("interest", "2012-01-04", "293.99"), ("interest", "2012-01-05", "293.99"),
        ("deposit", "2012-01-06", "5400"), ("interest", "2012-01-06", "195.99"),
        ("withdrawal", "2012-01-07", "3697.04"), ("fee", "2012-01-07", "882.52"),
        ("fee", "2012-01-08", "1003.85"),
    ]  # fmt: skip
    entries = [entry(kind, day, amount=money) for kind, day, money in booked]
    v = value(walk(entries), {}, every_day("2011-12-31", "2012-01-08"))
    peer = [
        0, 0.023, 0.042616491, 0.019624983, 0.049614163, 0.079603343, 0.092841403, 0.03323197, -0.056182678,
    ]  # fmt: skip
    np.testing.assert_allclose(measure(v).index - 1, peer, atol=1e-5)
    found = bridge(v)
    assert shown(found) == {"net_flow": "11502.96", "income": "1213.97", "fees": "2120.78"}
    assert (found.closing, found.profit) == (Decimal("10596.15"), Decimal("-906.81"))


@pytest.mark.parametrize(
    ("book", "peer", "tolerance"),
    [
        (flows(("2010-01-01", -200), ("2010-12-31", 210)), 0.050140747, 5e-9),
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
            0.1444629967,
            1e-4,
        ),
        (
            flows(("2019-05-24", -1560.94), ("2020-01-13", -1160), ("2020-06-29", 42.80)),
            -0.999251643,
            1e-4,
        ),
        (flows(("2015-01-02", -4131.99), ("2015-01-14", 4187.94)), 0.505460984, 1e-8),
    ],
)
def test_b3_within_the_tolerance_of_the_peer(
    book: tuple[np.ndarray, np.ndarray], peer: float, tolerance: float
) -> None:
    assert internal_rate_of_return(*book)[0] == pytest.approx(peer, abs=tolerance)


def test_b3_the_return_of_twelve_days() -> None:
    found = time_weighted(
        np.array(["2015-01-02", "2015-01-14"], dtype="datetime64[D]"),
        np.array([True, True]),
        np.array([4131.99, 4187.94]),
        np.array([4131.99, 0.0]),
        np.zeros(2),
    )
    assert found.index[-1] - 1 == pytest.approx(0.013540691047170927, abs=1e-14)


SIX_RETURNS = np.array([0.005, -1 / 300, -0.005, 0.01, 0.01, -0.005])


def test_b12_semi_deviation_of_the_peer_beside_ours() -> None:
    """The peer's: below the mean, of log returns, n - 1; ours: below the risk-free rate, simple, n."""
    logs = np.log1p(SIX_RETURNS)
    below = np.minimum(logs - logs.mean(), 0.0)
    assert np.sqrt((below**2).sum() / 5 * 6) == pytest.approx(0.012188677034326202, rel=1e-9)
    losses = Fraction(1, 300) ** 2 + 2 * Fraction(5, 1000) ** 2
    assert downside_deviation(SIX_RETURNS, minimum=2) == pytest.approx(
        float(losses / 6 * 252) ** 0.5, rel=1e-13
    )


def test_b12_more_than_a_total_loss_is_said() -> None:
    values = np.array([1, 1.1, 1.2, -0.4])
    found = time_weighted(
        every_day("2015-01-01", "2015-01-04"),
        np.ones(4, dtype=bool),
        values,
        np.array([1.0, 0, 0, 0]),
        np.zeros(4),
    )
    assert found.reasons == [{}, {}, {}, {"daily_return": "more than the whole capital was lost"}]
    assert max_drawdown(found.returns) == pytest.approx(4 / 3, rel=1e-14)


def test_b12_the_longest_drawdown_of_the_peer_is_five_days_and_ours_two() -> None:
    """The peer's lasts from the first day at the top until it is exceeded. Ours is of the loss alone: from
    the last day at the top, whose level was kept until then, until it is reached again.
    """
    levels = 1 + np.array([1, 1, -0.5, 1, 1, 2, 3, 4, 5, 6])
    returns = levels[1:] / levels[:-1] - 1
    assert max_drawdown(returns) == pytest.approx(0.75, rel=1e-14)
    first_at_the_top, exceeded = 0, int((levels > levels[0]).argmax())
    assert exceeded - first_at_the_top == 5
    assert max_drawdown_duration(returns, np.arange(float(len(levels)))) == 2


def test_b12_the_longest_recovery_runs_from_the_trough_to_the_old_level() -> None:
    values = np.array([100, 120, 110, 80, 85, 90, 95, 100, 105, 110, 115, 120.0])
    path = drawdowns(values / np.concatenate([[100.0], values[:-1]]) - 1)
    days = every_day("2015-01-01", "2015-01-12")
    trough = int(path.argmax())
    recovered = trough + int((path[trough:] < 1e-12).argmax())
    assert [str(days[trough]), str(days[recovered])] == ["2015-01-04", "2015-01-12"]


def test_b12_a_sale_is_no_drawdown() -> None:
    levels = [10, 12, 5, 14, 14, 10, 1]
    prices: Table = {f"2015-01-0{day}": price for day, price in enumerate(levels, start=1)}
    entries = [
        entry("deposit", "2015-01-01", amount=20),
        entry("buy", "2015-01-01", 1, quantity=2, price=10),
        entry("sell", "2015-01-05", 1, quantity=1, price=14),
        entry("withdrawal", "2015-01-05", amount=14),
    ]
    v = value(walk(entries), {1: prices})
    assert v.total_value.tolist() == [20, 24, 10, 28, 14, 10, 1]
    path = drawdowns(measure(v).returns)
    np.testing.assert_allclose(path, [0, 0, 0.5833, 0, 0, 0.2857, 0.9286], atol=5e-5)


B15_PRICES: dict[int, Table] = {
    1: {
        "2021-01-15": 15, "2021-06-12": 17.794, "2022-01-13": 16.026, "2022-01-14": 16,
        "2022-09-29": 17.638, "2023-04-12": 22.40, "2023-06-12": 19.006,
    },
    2: {"2022-09-30": 8, "2023-06-12": 13.97},
}  # fmt: skip


def test_b15_two_years_of_the_documented_portfolio() -> None:
    v = value(b15_books(), B15_PRICES)
    for day, worth in (("2021-06-12", 177.94), ("2022-01-13", 160.26), ("2022-09-29", 264.57)):
        assert at(v, v.total_value, day) == pytest.approx(worth)
    index = measure(v).index
    two_years = index[-1] / at(v, index, "2021-06-12") - 1
    assert two_years == pytest.approx(0.25576775978877, abs=1e-12)


def test_b15_share_2_alone() -> None:
    entries = [
        entry("deposit", "2022-09-30", amount=66),
        entry("buy", "2022-09-30", 2, quantity=8, price=8, fee=2),
    ]
    v = value(walk(entries), {2: B15_PRICES[2]})
    assert measure(v).index[-1] - 1 == pytest.approx(0.6933333333, abs=1e-9)


def test_b15_the_bridge_of_the_documented_portfolio() -> None:
    found = bridge(value(b15_books(), B15_PRICES))
    assert shown(found) == {
        "net_flow": "306.00", "realized_pnl": "37.00", "unrealized_pnl": "82.82", "income": "30.00",
        "fees": "13.00", "taxes": "16.00",
    }  # fmt: skip
    assert (found.closing, found.profit) == (Decimal("426.82"), Decimal("120.82"))


@pytest.mark.parametrize(
    ("book", "document", "rate"),
    [
        (
            flows(("2021-01-15", -155), ("2022-01-14", -84), ("2022-09-30", -67), ("2023-06-12", 396.85)),
            0.1560,
            0.15602019617218665,
        ),
        (
            flows(("2021-06-12", -177.94), ("2022-01-14", -84), ("2022-09-30", -67), ("2023-06-12", 426.82)),
            0.1763,
            0.17626396533245461,
        ),
        (flows(("2022-09-30", -66), ("2023-06-12", 111.76)), 1.1253, 1.1252776473922537),
        (flows(("2021-01-15", -77.50), ("2023-04-12", 105)), 0.1453, 0.1453062515115886),
        (flows(("2022-09-30", -67), ("2023-06-12", 111.76)), 1.08, 1.0800202860673198),
        # The document's 9.16 % does not solve its own equation.
        (
            flows(("2021-01-15", -77.5), ("2022-01-14", -84), ("2023-06-12", 190.06)),
            0.0896,
            0.08960805233176711,
        ),
    ],
)
def test_b15_every_rate_of_return(book: tuple[np.ndarray, np.ndarray], document: float, rate: float) -> None:
    found, reason = internal_rate_of_return(*book)
    assert found == pytest.approx(rate, rel=1e-10)
    assert found == pytest.approx(document, abs=5e-4)
    assert reason is None


# Two currencies: the time-weighted return and what the rates had to do with it


def whole_and_positions(v: Valuation) -> tuple[CurrencyReturns, CurrencyReturns]:
    periods = sub_periods(v.total_value, v.inflow, v.outflow)
    positions = position_returns(periods, v.positions, v.fx, v.net_purchases, v.asset_income, v.asset_costs)
    whole = portfolio_returns(
        positions,
        capital=periods.capital,
        cash_result=periods.returns * periods.capital - positions.result.sum(axis=0),
        fx_on_cash=sum_segments(v.fx_on_cash, periods.ends),
    )
    return whole, positions.linked()


def test_two_currencies_by_hand() -> None:
    """Ten shares at home and ten abroad, dollars and euros in cash, 200 in and 100 out."""
    rates: dict[str, Table] = {"USD": {"2024-01-02": "0.9", "2024-01-03": "0.945", "2024-01-04": "0.9"}}
    prices: dict[int, Table] = {
        1: {"2024-01-02": 50, "2024-01-03": 48, "2024-01-04": 50},
        2: {"2024-01-02": 50, "2024-01-03": 55, "2024-01-04": 52},
    }
    entries = [
        entry("deposit", "2024-01-02", amount=1_590),
        entry("currency_exchange", "2024-01-02", None, "USD", "EUR", amount=600, counter_amount=540),
        entry("buy", "2024-01-02", 1, quantity=10, price=50),
        entry("buy", "2024-01-02", 2, "USD", quantity=10, price=50),
        entry("deposit", "2024-01-03", amount=200),
        entry("withdrawal", "2024-01-04", amount=100),
    ]
    foreign = {2: "USD"}
    v = value(
        walk(entries, rates=rates, asset_currencies=foreign), prices, asset_currencies=foreign, rates=rates
    )
    F = Fraction
    # In the morning 500 at home, 450 abroad, 100 dollars for 90, and 550 + 200 euros.
    capital = [F(1_590), F(1_590 + 200), F(1_590 + 200) + F("-20") + F("69.75") + F("4.5")]
    local_gain = [F(0), F(-20) + F(450) / 10, F(20) + F("519.75") * (F(52, 55) - 1)]
    gain = [F(0), F(-20) + F("69.75") + F("4.5"), F(20) + F(468) - F("519.75") - F("4.5")]
    np.testing.assert_allclose(v.total_value, [1590, 1844.25, 1844.25 - 36.25 - 100], atol=1e-9)

    whole, positions = whole_and_positions(v)
    base = [float(g / c) for g, c in zip(gain, capital, strict=True)]
    local = [float(g / c) for g, c in zip(local_gain, capital, strict=True)]
    np.testing.assert_allclose(whole.base, base, atol=1e-13)
    np.testing.assert_allclose(whole.local, local, atol=1e-13)
    np.testing.assert_allclose((1 + whole.local) * (1 + whole.fx), 1 + whole.base, atol=1e-14)
    returns = measure(v).returns
    np.testing.assert_allclose(returns, base, atol=1e-13)
    assert whole.linked().base == pytest.approx(float(np.prod([1 + r for r in base])) - 1, abs=1e-13)
    # Abroad: 50 to 52 dollars, and the rate came back to where it was.
    np.testing.assert_allclose(positions.local, [0, 0.04], atol=1e-13)
    np.testing.assert_allclose(positions.fx, [0, 0], atol=1e-13)
    assert link_returns(returns, np.array([2]))[0] == pytest.approx(float(whole.linked().base), abs=1e-13)


# The whole bridge


@pytest.mark.parametrize("method", COST_METHODS)
def test_the_bridge_of_a_book_with_everything(method: CostMethod) -> None:
    """Every kind of transaction and of corporate action; the lines are worked out beside the book."""
    books = walk(EVERYTHING, ACTIONS, method=method, rates=RATES, prices=PRICES, asset_currencies=CURRENCIES)
    v = value(
        books,
        PRICES,
        every_day("2024-01-02", "2024-01-31"),
        asset_currencies=CURRENCIES,
        rates=RATES,
        max_carry=30,
    )
    found = bridge(v)
    assert shown(found) == {
        "net_flow": "99440.00",
        "realized_pnl": "710.00",
        # 1200 at home, 604.80 abroad, 390 and 210 of what came in, -6 short, less 80 of the transfers
        "unrealized_pnl": str(Decimal("1200") + Decimal("604.80") + 390 + 210 - 6 - 80),
        "income": "47.00",
        "fx_on_cash": "957.14",
        "fees": "40.50",
        "taxes": "14.00",
    }
    assert found.rounding == 0
    assert found.profit == found.closing - Decimal("99440.00")  # type: ignore[operator]
    assert set(found.lines) == set(BRIDGE_LINES)

    middle = bridge(v, "2024-01-17")
    lines = [sign * (middle.lines[name] or 0) for name, sign in BRIDGE_LINES.items()]
    assert (middle.opening or 0) + sum(lines) + (middle.rounding or 0) == middle.closing == found.closing

    periods = sub_periods(v.total_value, v.inflow, v.outflow)
    parts = contributions(periods, v.positions, v.net_purchases, v.asset_income, v.asset_costs)
    np.testing.assert_allclose(parts.lines.sum(axis=0), periods.returns, atol=1e-12)
    assert parts.linked().sum() == pytest.approx(measure(v).index[-1] - 1, abs=1e-12)
