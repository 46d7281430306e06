"""Worked cases of the ledger and its values, and books worked out by hand of every kind of line.

A1 to B15 are named as in the list of worked cases; the figures of a case that are asserted elsewhere are not
repeated here. "Peer" is what another program shows for the case and we do not.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from portfolios.calculations.entries import CorporateAction, Entry
from portfolios.calculations.ledger import DayBook
from portfolios.calculations.lots import COST_METHODS, CostMethod
from portfolios.calculations.valuation import Valuation
from tests.portfolios.calculations.booking import (
    Table,
    action,
    add_days,
    at,
    entry,
    every_day,
    split,
    value,
    walk,
)

BALN: Table = {
    "2021-11-12": 146, "2021-11-22": 142.9, "2021-11-26": 139.9, "2021-11-30": 136.6, "2021-12-12": 142.0,
    "2021-12-17": 143.9, "2021-12-18": 148.9,
}  # fmt: skip


def average_price(book: DayBook) -> Decimal:
    return book.costs[1] / book.quantities[1]


def total(books: Iterable[DayBook], figure: str) -> Decimal:
    return sum((getattr(book, figure) for book in books), Decimal(0))


def sums_of_month(valuation: Valuation, figures: np.ndarray) -> dict[str, float]:
    months = valuation.timeline.astype("datetime64[M]")
    return {str(month): float(figures[months == month].sum()) for month in np.unique(months)}


# A: single assets


def a1_books() -> list[DayBook]:
    return walk([entry("buy", "2021-11-30", 1, "CHF", quantity=2, price="136.60", fee="1.55")], base="CHF")


def test_a1_average_price_and_shares_of_what_was_invested() -> None:
    books = a1_books()
    v = value(books, {1: BALN}, every_day("2021-11-30", "2021-12-18"), base="CHF")
    assert average_price(books[-1]) == Decimal("136.6")
    gross, cost = v.unrealized_pnl[-1], v.cost_basis[-1]
    assert gross / cost == pytest.approx(0.09004392386530014641, abs=1e-12)
    assert (gross - v.fees.sum()) / cost == pytest.approx(0.08437042459736456808, abs=1e-12)


def test_a1_a_day_without_a_price_carries_the_last_one_and_never_the_next() -> None:
    v = value(a1_books(), {1: BALN}, every_day("2021-11-30", "2021-12-18"), base="CHF")
    assert at(v, v.invested_value, "2021-12-11") == pytest.approx(2 * 136.6)
    assert at(v, v.invested_value, "2021-12-16") == pytest.approx(2 * 142.0)
    assert at(v, v.price_age[0], "2021-12-11") == 11


def a3_books() -> list[DayBook]:
    return walk(
        [
            entry("buy", "2021-11-22", 1, "CHF", quantity=2, price="142.9", fee="1.55"),
            entry("buy", "2021-11-30", 1, "CHF", quantity=2, price="136.6", fee="1.65"),
        ],
        base="CHF",
    )


def test_a3_invested_by_month_and_year() -> None:
    v = value(a3_books(), {1: BALN}, every_day("2021-11-22", "2021-12-18"), base="CHF")
    by_month = sums_of_month(v, v.net_purchases[0])
    assert by_month == {"2021-11": pytest.approx(559), "2021-12": 0}
    assert v.net_purchases.sum() == pytest.approx(559)
    assert v.cost_basis[-1] == pytest.approx(559)


def test_a3_profit_over_time_weighted_capital_is_the_peers_measure() -> None:
    """The capital is ours by day, the division is not: our figure is the time-weighted return."""
    v = value(a3_books(), {1: BALN}, every_day("2021-11-22", "2021-12-18"), base="CHF")
    invested = v.cost_basis[:-1].mean()
    assert invested == pytest.approx(474.93846153846153846154, abs=1e-10)
    gross, fees = v.unrealized_pnl[-1], v.fees.sum()
    assert gross / invested == pytest.approx(0.07706261539956593567, abs=1e-12)
    assert (gross - fees) / invested == pytest.approx(0.07032490039195361342, abs=1e-12)


def test_a4_nothing_is_left_of_cost_and_quantity_and_the_gain_stays() -> None:
    entries = [
        entry("buy", "2021-11-22", 1, "CHF", quantity=2, price="142.9", fee="1.55"),
        entry("sell", "2021-11-30", 1, "CHF", quantity=2, price="136.6", fee="1.65"),
    ]
    books = walk(entries, base="CHF")
    v = value(books, {1: BALN}, every_day("2021-11-22", "2021-12-18"), base="CHF")
    assert (books[-1].costs, books[-1].quantities) == ({}, {})
    gross = v.realized.sum()
    assert gross == pytest.approx(-12.6)
    assert gross / v.cost_basis[0] == pytest.approx(-0.0440867739678096571, abs=1e-12)
    assert (gross - v.fees.sum()) / v.cost_basis[0] == pytest.approx(-0.0552834149755073478, abs=1e-12)
    assert v.cost_basis[:8].mean() == pytest.approx(285.8)
    after = v.timeline >= np.datetime64("2021-11-30")
    np.testing.assert_allclose(v.total_value[after], v.total_value[-1], atol=1e-12)


def test_a6_capital_by_day_and_month() -> None:
    entries = [
        entry("sell", "2022-04-08", 1, "CHF", quantity=1, price="85.73", fee="1.30"),
        entry("buy", "2022-03-07", 1, "CHF", quantity=2, price="75.80", fee="2.95"),
    ]
    books = walk(entries, base="CHF")
    v = value(books, {1: {"2022-04-11": 87.8}}, every_day("2022-03-07", "2022-04-11"), base="CHF")
    assert average_price(books[-1]) == Decimal("75.80")
    invested = v.cost_basis[:-1].mean()
    assert invested == pytest.approx(145.10285714285714285714, abs=1e-10)
    gross = v.realized.sum() + v.unrealized_pnl[-1]
    assert gross == pytest.approx(21.93)
    assert gross / invested == pytest.approx(0.15113417083448194384, abs=1e-12)
    assert (gross - v.fees.sum()) / invested == pytest.approx(0.12184460284330327256, abs=1e-12)
    change_of_cost = sums_of_month(v, np.diff(v.cost_basis, prepend=0.0))
    assert change_of_cost == {"2022-03": pytest.approx(151.6), "2022-04": pytest.approx(-75.8)}


def test_a9_every_amount_with_and_without_the_exchange_rate() -> None:
    rates = {"USD": {"2023-01-03": "0.9238", "2023-07-10": "0.8854"}}
    books = walk(
        [entry("buy", "2023-01-03", 1, "USD", quantity=1, price="89.12", fee=1)],
        base="CHF",
        rates=rates,
        asset_currencies={1: "USD"},
    )
    (lot,) = books[-1].lots[1]
    last = Decimal("0.8854")
    assert (lot.cost, lot.local_cost) == (Decimal("82.329056"), Decimal("89.12"))
    assert lot.local_cost is not None
    assert lot.local_cost * last == Decimal("78.906848")
    v = value(
        books,
        {1: {"2023-01-03": 89.12, "2023-07-10": 116.45}},
        base="CHF",
        rates=rates,
        asset_currencies={1: "USD"},
    )
    local_gain = float(v.prices[0, -1] - 89.12) * 0.8854
    assert local_gain == pytest.approx(24.197982, abs=1e-10)
    assert local_gain - 1 * 0.8854 == pytest.approx(23.312582, abs=1e-10)
    assert (local_gain - 0.8854) / 78.906848 == pytest.approx(0.29544434470377019749, abs=1e-12)
    gain = v.unrealized_pnl[-1]
    assert gain == pytest.approx(20.775774, abs=1e-10)
    assert (gain - v.fees.sum()) / v.cost_basis[-1] == pytest.approx(0.24112962014285697628, abs=1e-12)
    # What the rate made is the difference: the cost in dollars times the change of the rate.
    assert gain - local_gain == pytest.approx(89.12 * (0.8854 - 0.9238), abs=1e-10)


def test_a11_gross_and_net_without_the_dividend_beside_the_dividend() -> None:
    entries = [
        entry("buy", "2021-09-16", 1, quantity=1, price="298.58", fee=19),
        entry("dividend", "2021-11-16", 1, quantity=1, price="0.62"),
    ]
    prices: Table = {"2021-09-16": 89.12, "2021-11-16": 339.51, "2023-07-09": 337.22, "2023-07-10": 331.83}
    v = value(walk(entries), {1: prices})
    gross, cost, fees = v.unrealized_pnl[-1], v.cost_basis[-1], v.fees.sum()
    assert gross == pytest.approx(33.25)
    assert gross / cost == pytest.approx(0.11136043941322258691, abs=1e-12)
    assert gross - fees == pytest.approx(14.25)
    assert (gross - fees) / cost == pytest.approx(0.04772590260566682296, abs=1e-12)
    assert v.asset_income[0].sum() == pytest.approx(0.62)
    assert v.cash_value[-1] == pytest.approx(-298.58 - 19 + 0.62)


# B: books


def test_b7_what_each_method_shows_to_the_cent() -> None:
    entries = [
        entry("buy", "2010-01-01", 1, quantity=109, amount="3149.20"),
        entry("buy", "2010-02-01", 1, quantity=52, amount="1684.92"),
        entry("sell", "2010-03-01", 1, quantity=15, amount="531.50"),
    ]
    cent = Decimal("0.01")
    shown = {}
    for method in COST_METHODS:
        books = walk(entries, method=method)
        shown[method] = (
            books[-1].costs[1].quantize(cent),
            total(books, "realized").quantize(cent),
            (100 * books[-1].quantities[1] - books[-1].costs[1]).quantize(cent),
        )
    assert shown["fifo"] == (Decimal("4400.74"), Decimal("98.12"), Decimal("10199.26"))
    assert shown["average"] == (Decimal("4383.74"), Decimal("81.12"), Decimal("10216.26"))
    # The second lot is newer and dearer: 15/52 of its cost.
    assert shown["lifo"] == shown["hifo"] == (Decimal("4348.09"), Decimal("45.47"), Decimal("10251.91"))


def b15_books() -> list[DayBook]:
    return walk([
        entry("deposit", "2021-01-15", amount=155),
        entry("buy", "2021-01-15", 1, quantity=10, price=15, fee=3, tax=2),
        entry("deposit", "2022-01-14", amount=84),
        entry("buy", "2022-01-14", 1, quantity=5, price=16, fee=3, tax=1),
        entry("deposit", "2022-09-30", amount=67),
        entry("buy", "2022-09-30", 2, quantity=8, price=8, fee=2, tax=1),
        entry("dividend", "2022-12-15", 1, amount=30, tax=10),
        entry("sell", "2023-04-12", 1, quantity=5, price="22.40", fee=5, tax=2),
    ])  # fmt: skip


def test_b15_the_documented_portfolio_is_worth_what_it_says() -> None:
    books = b15_books()
    v = value(books, {1: {"2021-01-15": 15, "2023-06-12": 19.006}, 2: {"2022-09-30": 8, "2023-06-12": 13.97}})
    assert v.total_value[-1] == pytest.approx(426.82)
    assert v.positions[:, -1] == pytest.approx([190.06, 111.76])
    assert books[-1].cash == {"EUR": 20 + 105}
    assert v.inflow.sum() == 155 + 84 + 67
    # The closed trade: half of the first purchase, 75 and 2.50 of its costs, for 112 less 7.
    assert total(books, "realized") == 112 - 75
    assert total(books, "fees") + total(books, "taxes") == (3 + 2) + (3 + 1) + (2 + 1) + 10 + (5 + 2)


# Shorts


def test_a_short_over_days_pays_the_dividends_it_owes() -> None:
    """What is paid in lieu is negative income of the asset; the columns of a line are its costs."""
    entries = [
        entry("deposit", "2024-01-02", amount=5_000),
        entry("short", "2024-01-02", 1, quantity=50, price=40, fee=3),
        entry("interest_charge", "2024-01-04", 1, amount="37.50"),  # 0.75 a share in lieu of the dividend
        entry("fee", "2024-01-05", 1, amount=4),  # for borrowing
        entry("short", "2024-01-05", 1, quantity=10, price=44, fee=1),
        entry("cover", "2024-01-08", 1, quantity=55, price=38, fee=2, tax=1),
    ]
    prices: Table = {"2024-01-02": 40, "2024-01-03": 42, "2024-01-04": 41, "2024-01-05": 44, "2024-01-08": 38}
    books = walk(entries)
    v = value(books, {1: prices})
    assert v.quantities[0].tolist() == [-50, -50, -50, -60, -5]
    assert v.positions[0].tolist() == [-2000, -2100, -2050, -2640, -190]
    assert v.cost_basis.tolist() == [-2000, -2000, -2000, -2440, -220]
    assert v.unrealized_pnl.tolist() == [0, -100, -50, -200, 30]
    assert v.asset_income[0].tolist() == [0, 0, -37.5, 0, 0]
    assert v.asset_costs[0].tolist() == [3, 0, 0, 5, 3]
    # 50 for 40 and 5 for 44 come back for 38.
    assert v.realized.tolist() == [0, 0, 0, 0, 50 * 2 + 5 * 6]
    assert v.total_value[-1] == 5_000 + 130 + 30 - 37.5 - 4 - 4 - 3
    assert v.weights[0].tolist() == [1] * 5


# Gains on foreign shares by cost method, against another program


LOTS = [(10, 100, "0.90"), (20, 130, "0.80"), (15, 90, "1.00")]
SALES = [(12, 120, "1.10"), (8, 95, "0.85"), (25, 140, "0.95")]
NEXT_LOT: dict[str, Callable[[list[list[Fraction]]], int]] = {
    "fifo": lambda lots: 0,
    "lifo": lambda lots: len(lots) - 1,
    "hifo": lambda lots: max(range(len(lots)), key=lambda i: (lots[i][1] * lots[i][2], -i)),
}


def sold_by_hand(method: str) -> list[tuple[Fraction, Fraction]]:
    """(gain, the rate's part of it) of each sale; a lot is [units, local price, rate]."""
    lots = [[Fraction(units), Fraction(price), Fraction(rate)] for units, price, rate in LOTS]
    if method == "average":
        units = sum(lot[0] for lot in lots)
        local = sum(lot[0] * lot[1] for lot in lots)
        cost = sum(lot[0] * lot[1] * lot[2] for lot in lots)
        lots = [[Fraction(units), Fraction(local) / units, Fraction(cost) / local]]
    outcome = []
    for sold, price, rate in SALES:
        wanted, gain, by_rate = Fraction(sold), Fraction(0), Fraction(0)
        while wanted:
            lot = lots[NEXT_LOT.get(method, NEXT_LOT["fifo"])(lots)]
            part = min(wanted, lot[0])
            gain += part * (Fraction(price) * Fraction(rate) - lot[1] * lot[2])
            by_rate += part * lot[1] * (Fraction(rate) - lot[2])
            lot[0] -= part
            wanted -= part
            lots = [lot for lot in lots if lot[0]]
        outcome.append((gain, by_rate))
    assert lots == []
    return outcome


@pytest.mark.parametrize("method", COST_METHODS)
def test_partial_sales_of_foreign_lots_by_every_method(method: CostMethod) -> None:
    trades = [("buy", *terms) for terms in LOTS] + [("sell", *terms) for terms in SALES]
    entries = [
        entry(kind, add_days("2022-11-28", 60 * day), 1, "USD", quantity=units, price=price, fx_rate=rate)
        for day, (kind, units, price, rate) in enumerate(trades)
    ]
    sales = walk(entries, method=method, asset_currencies={1: "USD"})[3:]
    for book, (gain, by_rate) in zip(sales, sold_by_hand(method), strict=True):
        assert float(book.realized) == pytest.approx(float(gain), abs=1e-12)
        assert float(book.realized_fx) == pytest.approx(float(by_rate), abs=1e-12)
    assert (sales[-1].quantities, sales[-1].costs) == ({}, {})


def test_gains_belong_to_the_year_of_the_sale() -> None:
    entries = [
        entry("buy", "2021-03-01", 1, quantity=30, price=10),
        entry("buy", "2022-03-01", 1, quantity=30, price=16),
        entry("sell", "2022-12-31", 1, quantity=20, price=15, tax=10),
        entry("sell", "2023-01-01", 1, quantity=20, price=15),
        entry("sell", "2024-06-01", 1, quantity=20, price=15),
    ]
    by_method = {"fifo": (100, 40, -20), "lifo": (-20, 40, 100), "hifo": (-20, 40, 100), "average": (40,) * 3}
    for method in COST_METHODS:
        gains = {book.date.year: book.realized for book in walk(entries, method=method) if book.realized}
        assert gains == dict(zip((2022, 2023, 2024), by_method[method], strict=True))


def test_shares_of_a_merger_are_sold_in_the_order_of_their_own_purchase() -> None:
    """Ten shares for 10 each of 2019 become shares of which ten were bought for 50 each in 2020."""
    entries = [
        entry("buy", "2019-01-01", 1, quantity=10, price=10),
        entry("buy", "2020-02-01", 2, quantity=10, price=50),
        entry("sell", "2020-04-01", 2, quantity=10, price=60),
    ]
    merger = [action("merger", 1, "2020-03-01", 2, ratio="1")]
    gains = {method: walk(entries, merger, method=method)[-1].realized for method in COST_METHODS}
    assert gains == {"fifo": 500, "lifo": 100, "hifo": 100, "average": 300}


# Dividends


def test_withheld_tax_that_comes_back_later() -> None:
    entries = [
        entry("buy", "2024-01-02", 1, "USD", quantity=100, price=20, fx_rate="0.9"),
        entry("dividend", "2024-03-01", 1, "USD", quantity=100, price="1.20", tax=36, fx_rate="0.92"),
        entry("tax_refund", "2024-09-02", 1, "USD", amount=18, fx_rate="0.95"),
    ]
    _, paid, refunded = walk(entries, asset_currencies={1: "USD"})
    assert (paid.income, paid.taxes, paid.cash_booked) == tuple(
        Decimal(units) * Decimal("0.92") for units in (120, 36, 84)
    )
    assert (paid.asset_income, paid.asset_costs) == ({1: paid.income}, {1: paid.taxes})
    assert refunded.income == 0
    assert refunded.taxes == -18 * Decimal("0.95")
    assert refunded.asset_costs == {1: refunded.taxes}
    assert refunded.cash == {"USD": -2000 + 84 + 18}


# What could not be followed, and what was worth nothing


def test_a_merger_for_nothing_is_the_loss_of_the_whole_cost() -> None:
    buy = entry("buy", "2019-01-01", 1, quantity=10, price=10)
    book = walk([buy], [action("merger", 1, "2020-03-01", amount=0)])[-1]
    assert book.quantities == book.costs == {}
    assert book.realized == -100
    assert book.cash == {"EUR": -100}


def test_a_merger_for_cash_of_as_many_shares_long_as_short() -> None:
    entries = [
        entry("buy", "2019-01-01", 1, quantity=10, price=10),
        entry("short", "2019-01-02", 1, quantity=10, price=30),
    ]
    book = walk(entries, [action("merger", 1, "2020-03-01", amount=20)])[-1]
    assert book.realized == 100 + 100
    assert book.cash == {"EUR": 200}
    assert book.quantities == {}


def test_a_transfer_at_the_market_knows_its_rate_without_the_currency_of_the_asset() -> None:
    entries = [
        entry("transfer_in", "2020-01-01", 1, "USD", quantity=1),
        entry("sell", "2020-02-01", 1, "USD", quantity=1, price=120),
    ]
    book = walk(
        entries,
        prices={1: {"2020-01-01": 100}},
        rates={"USD": {"2020-01-01": "0.9", "2020-02-01": "0.8"}},
    )[-1]
    assert book.realized == 96 - 90
    assert book.realized_fx == 80 - 90


# One book with every kind of line and of corporate action, in two currencies

RATES: dict[str, Table] = {"USD": {"2024-01-02": "0.90", "2024-01-29": "0.95", "2024-01-31": "0.96"}}
CURRENCIES = {2: "USD", 6: "USD"}
LAST_PRICES = {1: 120, 2: 40, 3: 90, 4: 110, 5: 260, 6: 48, 7: 140, 8: 95, 9: 25, 10: 42}
PRICES: dict[int, Table] = {
    **{asset: {"2024-01-31": price} for asset, price in LAST_PRICES.items()},
    8: {"2024-01-22": 80, "2024-01-23": 90, "2024-01-31": 95},
}
EVERYTHING: list[Entry] = [
    entry("deposit", "2024-01-02", amount=100_000),
    entry(
        "currency_exchange", "2024-01-02", None, "USD", "EUR", amount=20_000, counter_amount=18_000, fee=10
    ),
    entry("buy", "2024-01-03", 1, quantity=100, price=50, fee=5, tax=2),
    entry("buy", "2024-01-04", 2, "USD", quantity=100, price=40, fee=4),
    entry("short", "2024-01-05", 3, quantity=30, price=100, fee=3),
    entry("sell", "2024-01-09", 1, quantity=50, price=30, fee=5),
    entry("dividend", "2024-01-12", 1, amount=70, tax=10),
    entry("interest_charge", "2024-01-12", 3, amount=30),
    entry("transfer_in", "2024-01-22", 8, quantity=10, price=60),
    entry("transfer_out", "2024-01-23", 8, quantity=4, fee=7),
    entry("buy", "2024-01-24", 9, quantity=10, price=20),
    entry("interest", "2024-01-26", amount=12),
    entry("interest_charge", "2024-01-26", amount=5),
    entry("fee", "2024-01-26", amount=8),
    entry("fee_refund", "2024-01-26", amount=3),
    entry("tax", "2024-01-26", amount=6),
    entry("tax_refund", "2024-01-26", amount=4),
    entry("withdrawal", "2024-01-26", amount=1_000),
    entry("short", "2024-01-26", 10, quantity=5, price=40),
    entry("cover", "2024-01-29", 10, quantity=2, price=45),
    entry("sell", "2024-01-29", 6, "USD", quantity=40, price=45, fee=2),
    entry("currency_exchange", "2024-01-30", None, "EUR", "USD", amount=940, counter_amount=1_000, fee=1),
]
ACTIONS: list[CorporateAction] = [
    split(1, "2024-01-08", "2"),
    split(1, "2024-01-10", "1/10"),
    split(1, "2024-01-11", "7/3"),
    action("spin_off", 1, "2024-01-15", 4, ratio="1/5", cost_allocation="0.2"),
    action("merger", 4, "2024-01-16", 5, ratio="3/7"),
    action("symbol_change", 2, "2024-01-17", 6),
    action("merger", 5, "2024-01-18", 7, ratio="2", amount=50, cost_allocation="0.6"),
    action("merger", 3, "2024-01-19", amount=90),
    action("merger", 9, "2024-01-25", amount=25),
]


@pytest.mark.parametrize("method", COST_METHODS)
def test_every_kind_of_line_and_of_corporate_action_by_hand(method: CostMethod) -> None:
    books = walk(EVERYTHING, ACTIONS, method=method, rates=RATES, prices=PRICES, asset_currencies=CURRENCIES)
    last = books[-1]
    assert {kind for book in books for kind in book.unknown} == set()
    # 100 shares become 200, 150 after the sale, 15, 35; a fifth of them 7, 3, 6 others.
    assert last.quantities == {1: 35, 6: 60, 7: 6, 8: 6, 10: -3}
    assert last.costs == {1: 3_000, 6: Decimal("2160.0"), 7: 450, 8: 360, 10: -120}
    assert last.lots[1][0].opened.isoformat() == last.lots[7][0].opened.isoformat() == "2024-01-03"
    # Sold 50 of cost 25; 150 in cash for a cost of 300; 3000 shorted for 2700; 50; -10; and dollars.
    in_dollars = 1_800 * Decimal("0.95") - 1_600 * Decimal("0.90")
    assert total(books, "realized") == 250 - 150 + 300 + 50 - 10 + in_dollars
    assert total(books, "realized_fx") == 1_600 * (Decimal("0.95") - Decimal("0.90"))
    assert total(books, "income") == 70 - 30 + 12 - 5
    assert total(books, "fees") == 9 + 5 + Decimal("3.6") + 3 + 5 + 7 + 8 - 3 + Decimal("1.9") + 1
    assert total(books, "trading_costs") == 5 + Decimal("3.6") + 3 + 5 + Decimal("1.9")
    assert total(books, "taxes") == 2 + 10 + 6 - 4
    assert total(books, "inflow") == 100_800
    assert total(books, "outflow") == 1_360
    assert total(books, "transferred_pnl") == (800 - 600) - (360 - 240)
    assert last.cash["USD"] == 20_000 - 10 - 4_004 + 1_798 - 1_000
    received = 100_000 + 3_000 + 1_500 + 70 + 150 + 250 + 12 + 3 + 4 + 200 + 940
    spent = 18_000 + 5_007 + 3 + 5 + 10 + 30 + 2_700 + 7 + 200 + 5 + 8 + 6 + 1_000 + 90 + 1
    assert last.cash["EUR"] == received - spent

    v = value(
        books,
        PRICES,
        every_day("2024-01-02", "2024-01-31"),
        asset_currencies=CURRENCIES,
        rates=RATES,
        max_carry=30,
    )
    worth = 35 * 120 + 60 * 48 * 0.96 + 6 * 140 + 6 * 95 - 3 * 42
    cash = float(last.cash["EUR"]) + float(last.cash["USD"]) * 0.96
    assert v.total_value[-1] == pytest.approx(worth + cash, abs=1e-9)
    # Dollars: 20,000 bought for 18,000; each movement as booked; what is left is worth 0.96.
    booked = 18_000 - 9 - 4_004 * 0.90 + 1_798 * 0.95 - 940
    assert v.fx_on_cash.sum() == pytest.approx(16_784 * 0.96 - booked, abs=1e-9)
    explained = (
        v.inflow.sum()
        - v.outflow.sum()
        + v.realized.sum()
        + v.unrealized_pnl[-1]
        - v.transferred_pnl.sum()
        + v.income.sum()
        + v.fx_on_cash.sum()
        - v.fees.sum()
        - v.taxes.sum()
    )
    assert explained == pytest.approx(v.total_value[-1], abs=1e-9)
