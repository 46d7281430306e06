from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from portfolios.calculations.carrying import carry_forward
from portfolios.calculations.quality import data_quality
from portfolios.calculations.valuation import calendar_reasons, gross_weights
from tests.portfolios.calculations.booking import (
    action,
    at,
    entry,
    every_day,
    reasons_at,
    split,
    value,
    walk,
)


def test_a9_foreign_security_value_and_fx_identity() -> None:
    prices = {1: {"2023-01-03": 89.12, "2023-07-10": 116.45}}
    rates = {"USD": {"2023-01-03": "0.9238", "2023-07-10": "0.8854"}}
    entries = [
        entry("deposit", "2023-01-03", currency="USD", amount="90.12"),
        entry("buy", "2023-01-03", 1, currency="USD", quantity=1, price="89.12", fee=1),
    ]
    books = walk(entries, base="CHF", rates=rates)
    valuation = value(books, prices, base="CHF", asset_currencies={1: "USD"}, rates=rates)
    end = "2023-07-10"
    assert at(valuation, valuation.total_value, end) == pytest.approx(103.10483, abs=1e-10)
    assert at(valuation, valuation.cost_basis, end) == pytest.approx(82.329056, abs=1e-10)
    assert at(valuation, valuation.unrealized_pnl, end) == pytest.approx(20.775774, abs=1e-10)
    assert valuation.total_value[-1] - valuation.inflow.sum() == pytest.approx(19.851974, abs=1e-10)
    assert valuation.fees.sum() == pytest.approx(0.9238)

    with_fx = valuation.unrealized_pnl[-1] / valuation.cost_basis[-1]
    local = 116.45 / 89.12 - 1
    fx_return = valuation.fx[0, -1] / valuation.fx[0, 0] - 1
    assert with_fx == pytest.approx(0.25235044599563974109, abs=1e-12)
    assert local == pytest.approx(0.3066651705565529623, abs=1e-12)
    assert fx_return == pytest.approx(-0.0415674388395757, abs=1e-12)
    assert (1 + local) * (1 + fx_return) - 1 == pytest.approx(with_fx, abs=1e-12)


def test_a13_adjusted_provider_price_is_not_adjusted_twice() -> None:
    splits = [split(1, "2023-07-10", "2")]
    books = walk([entry("buy", "2023-07-09", 1, quantity=10, price="674.44")], splits)
    valuation = value(books, {1: {"2023-07-10": 331.83}}, splits=splits)
    assert at(valuation, valuation.quantities[0], "2023-07-10") == 20
    assert at(valuation, valuation.cost_basis, "2023-07-10") == pytest.approx(6744.4)
    assert at(valuation, valuation.invested_value, "2023-07-10") == pytest.approx(6636.6)


def test_a_price_carried_over_splits_is_divided_by_their_ratios() -> None:
    splits = [split(1, "2020-01-04", "7"), split(1, "2020-01-06", "1/2"), split(2, "2020-01-04", "3")]
    books = walk([entry("buy", "2020-01-01", 1, quantity=2, price=70)], splits)
    prices = {1: {"2020-01-01": 70, "2020-01-05": 11, "2020-01-07": 25}, 2: {"2020-01-01": 1}}
    valuation = value(books, prices, every_day("2020-01-01", "2020-01-07"), splits=splits)
    np.testing.assert_allclose(valuation.prices[0], [70, 70, 70, 10, 11, 22, 25])
    np.testing.assert_allclose(valuation.invested_value, [140, 140, 140, 140, 154, 154, 175])
    assert valuation.price_age[0].tolist() == [0, 1, 2, 3, 0, 1, 0]


def test_the_timeline_joins_the_calendar_and_the_days_of_events() -> None:
    entries = [
        entry("deposit", "2020-01-04", amount=100),  # a Saturday
        entry("buy", "2020-01-06", 1, quantity=1, price=40),
        entry("withdrawal", "2020-01-11", amount=10),
    ]
    valuation = value(walk(entries), {1: {"2020-01-03": 38, "2020-01-06": 41, "2020-01-08": 44}})
    assert valuation.timeline.astype(str).tolist() == ["2020-01-04", "2020-01-06", "2020-01-08", "2020-01-11"]
    assert valuation.is_calendar.tolist() == [False, True, True, False]
    assert valuation.cash_value.tolist() == [100, 60, 60, 50]
    assert valuation.invested_value.tolist() == [0, 41, 44, 44]
    assert valuation.total_value.tolist() == [100, 101, 104, 94]
    assert valuation.unrealized_pnl.tolist() == [0, 1, 4, 4]
    assert (valuation.inflow.tolist(), valuation.outflow.tolist()) == ([100, 0, 0, 0], [0, 0, 0, 10])
    assert valuation.reasons == [{}, {}, {}, {"prices": "asset 1: price of 2020-01-08, 3 days old"}]


def test_an_empty_book_is_worth_nothing() -> None:
    valuation = value([], {}, every_day("2020-01-01", "2020-01-03"))
    assert valuation.total_value.tolist() == [0, 0, 0]
    assert valuation.reasons == [{}, {}, {}]


def test_a_day_before_the_first_event_is_worth_nothing() -> None:
    books = walk([entry("deposit", "2020-01-02", amount=5)])
    assert value(books, {}, every_day("2020-01-01", "2020-01-02")).total_value.tolist() == [0, 5]


# Carried prices


def test_a_later_price_never_values_an_earlier_day() -> None:
    books = walk([entry("buy", "2013-02-06", 1, quantity=2, price=10)])
    prices = {1: {"2013-02-08": 99}}
    valuation = value(books, prices, every_day("2013-02-06", "2013-02-11"), names={1: "AAPL"})
    assert valuation.invested_value.tolist() == [20, 20, 198, 198, 198, 198]
    assert np.isnan(valuation.prices[0, :2]).all()
    assert [day.get("prices") for day in valuation.reasons] == [
        "AAPL: at cost",
        "AAPL: at cost",
        None,
        "AAPL: price of 2013-02-08, 1 day old",
        "AAPL: price of 2013-02-08, 2 days old",
        "AAPL: price of 2013-02-08, 3 days old",
    ]


def test_a_price_is_carried_at_any_age() -> None:
    books = walk([entry("buy", "2013-02-08", 1, quantity=2, price=10)])
    valuation = value(books, {1: {"2013-02-08": 11}}, np.array(["2018-02-08"], dtype="datetime64[D]"))
    assert valuation.total_value[-1] == 22 - 20
    assert valuation.price_age[0, -1] == 1826


def test_an_asset_no_longer_held_needs_no_price() -> None:
    entries = [
        entry("buy", "2013-02-08", 1, quantity=2, price=10),
        entry("sell", "2013-02-11", 1, quantity=2, price=12),
    ]
    valuation = value(walk(entries), {1: {}}, every_day("2013-02-08", "2013-02-12"))
    assert valuation.total_value.tolist() == [0, 0, 0, 4, 4]
    assert "prices" not in reasons_at(valuation, "2013-02-12")


def test_a_held_asset_without_a_row_of_prices_is_refused() -> None:
    books = walk([entry("buy", "2013-02-08", 7, quantity=2, price=10)])
    with pytest.raises(ValueError, match=r"held, but without prices: assets \[7\]"):
        value(books, {1: {"2013-02-08": 1}})


def test_dates_that_do_not_ascend_are_refused() -> None:
    days = every_day("2020-01-01", "2020-01-03")
    with pytest.raises(ValueError, match="must ascend"):
        carry_forward(days, days[[0, 0, 1]], np.ones(3))


# Exchange rates


USD_BOOK = [
    entry("deposit", "2020-01-01", amount=1000),
    entry("deposit", "2020-01-01", currency="USD", amount=300),
    entry("buy", "2020-01-01", 1, currency="USD", quantity=2, price=100),
    entry("buy", "2020-01-01", 2, quantity=5, price=20),
]
USD_PRICES = {
    1: {"2020-01-01": 100, "2020-01-08": 110, "2020-01-09": 120, "2020-01-10": 130},
    2: {"2020-01-01": 20, "2020-01-08": 21, "2020-01-09": 22, "2020-01-10": 23},
}


def test_a_rate_older_than_the_limit_is_unknown_and_the_reason_names_the_rest() -> None:
    rates = {"USD": {"2020-01-01": 0.5, "2020-01-10": 0.6}}
    books = walk(USD_BOOK, rates=rates)
    valuation = value(
        books, USD_PRICES, asset_currencies={1: "USD"}, rates=rates, names={1: "AAPL", 2: "SAP"}
    )
    assert at(valuation, valuation.total_value, "2020-01-08") == 900 + 105 + 0.5 * (100 + 220)
    assert reasons_at(valuation, "2020-01-08") == {"fx": "USD: rate of 2020-01-01, 7 days old"}

    missing = "no EUR rate for USD within 7 days"
    for name in ("total_value", "invested_value", "cash_value", "unrealized_pnl", "fx_on_cash"):
        assert np.isnan(at(valuation, getattr(valuation, name), "2020-01-09")), name
    assert reasons_at(valuation, "2020-01-09") == {
        "total_value": f"AAPL, USD cash: {missing}; the rest is worth 1010.00 EUR",
        "invested_value": f"AAPL: {missing}",
        "unrealized_pnl": f"AAPL: {missing}",
        "cash_value": f"USD cash: {missing}",
        "fx_on_cash": "the value of cash or of its movements is unknown",
    }
    assert np.isnan(valuation.weights[:, 2]).all()
    assert at(valuation, valuation.cost_basis, "2020-01-09") == 200

    assert at(valuation, valuation.total_value, "2020-01-10") == pytest.approx(900 + 115 + 0.6 * (100 + 260))
    assert at(valuation, valuation.fx_on_cash, "2020-01-10") == pytest.approx(0.1 * 100)
    assert reasons_at(valuation, "2020-01-10") == {}


def test_a_currency_without_any_rate_is_unknown() -> None:
    valuation = value(walk([entry("deposit", "2020-01-01", currency="USD", amount=1)]), {}, base="EUR")
    assert np.isnan(valuation.total_value).all()
    assert np.isnan(valuation.inflow).all()
    assert valuation.reasons[0]["inflow"] == "no EUR rate for USD on 2020-01-01"
    assert valuation.reasons[0]["fx_on_cash"] == "no EUR rate for USD on 2020-01-01"


def test_a_position_of_unknown_cost_has_a_value_but_no_gain() -> None:
    rates = {"USD": {"2020-01-08": 0.5}}
    books = walk([entry("buy", "2020-01-01", 1, currency="USD", quantity=1, price=100)], rates=rates)
    valuation = value(books, USD_PRICES, asset_currencies={1: "USD"}, rates=rates, names={1: "AAPL"})
    assert at(valuation, valuation.invested_value, "2020-01-08") == 55
    assert np.isnan(at(valuation, valuation.cost_basis, "2020-01-08"))
    assert np.isnan(at(valuation, valuation.unrealized_pnl, "2020-01-08"))
    assert reasons_at(valuation, "2020-01-08") == {
        "cost_basis": "AAPL: cost unknown",
        "unrealized_pnl": "AAPL: cost unknown",
        "fx_on_cash": "the value of cash or of its movements is unknown",
        "overdraft": "USD -100.00",
    }


def test_neither_price_nor_cost_is_unknown() -> None:
    books = walk([entry("transfer_in", "2020-01-01", 1, quantity=1)])
    valuation = value(books, {1: {}}, every_day("2020-01-01", "2020-01-01"), names={1: "XYZ"})
    assert np.isnan(valuation.total_value).all()
    assert valuation.reasons[0]["total_value"] == (
        "XYZ: no price and no known cost; the rest is worth 0.00 EUR"
    )  # fmt: skip


def test_the_gain_of_cash_in_another_currency_is_its_change_less_booked_movements() -> None:
    rates = {"USD": {"2020-01-01": 0.5, "2020-01-02": 0.6, "2020-01-03": 0.7}}
    entries = [
        entry("deposit", "2020-01-01", currency="USD", amount=100),
        entry("deposit", "2020-01-02", currency="USD", amount=100, fx_rate="0.55"),
        entry(
            "currency_exchange", "2020-01-03", currency="EUR", amount=130,
            counter_currency="USD", counter_amount=200,
        ),
    ]  # fmt: skip
    books = walk(entries, rates=rates)
    valuation = value(books, {}, every_day("2020-01-01", "2020-01-03"), rates=rates)
    np.testing.assert_allclose(valuation.cash_value, [50, 120, 130])
    np.testing.assert_allclose(valuation.fx_on_cash, [0, 10 + 5, 10], atol=1e-12)


def test_a_currency_that_came_and_went_in_one_day_leaves_its_gain() -> None:
    entries = [
        entry("deposit", "2020-01-01", currency="USD", amount=100, fx_rate="0.90"),
        entry("buy", "2020-01-01", 1, currency="USD", quantity=1, price=100, fx_rate="0.91"),
    ]
    rates = {"USD": {"2020-01-01": 0.9}}
    valuation = value(
        walk(entries), {1: {"2020-01-01": 100}}, asset_currencies={1: "USD"}, rates=rates
    )  # fmt: skip
    assert valuation.cash_value.tolist() == [0]
    assert valuation.fx_on_cash.tolist() == [1]
    assert valuation.unrealized_pnl.tolist() == [-1]


def test_base_currency_alone_has_no_gain_from_rates() -> None:
    entries = [entry("deposit", f"2020-01-0{day}", amount="0.1") for day in range(1, 8)]
    assert value(walk(entries), {}).fx_on_cash.tolist() == [0.0] * 7


# Marks


def test_an_overdraft_is_marked() -> None:
    books = walk([entry("buy", "2020-01-01", 1, quantity=1, price=100, fee="1.5")])
    valuation = value(books, {1: {"2020-01-01": 100}})
    assert valuation.cash_value.tolist() == [-101.5]
    assert valuation.reasons == [{"overdraft": "EUR -101.50"}]


def test_what_is_unknown_between_calendar_days_is_said_on_the_next() -> None:
    entries = [
        entry("deposit", "2020-01-03", amount=1),
        entry("deposit", "2020-01-04", currency="USD", amount=1),
        entry("withdrawal", "2020-01-05", currency="USD", amount=1),
    ]
    calendar = np.array(["2020-01-03", "2020-01-06", "2020-01-07"], dtype="datetime64[D]")
    friday, monday, tuesday = calendar_reasons(value(walk(entries), {}, calendar))
    assert friday == {}
    assert monday == {
        "inflow": "no EUR rate for USD on 2020-01-04",
        "outflow": "no EUR rate for USD on 2020-01-05",
        "fx_on_cash": "no EUR rate for USD on 2020-01-05",
    }
    assert tuesday == {}


def test_weights_are_shares_of_the_gross_invested_value() -> None:
    entries = [
        entry("deposit", "2020-01-01", amount=1000),
        entry("buy", "2020-01-01", 1, quantity=3, price=100),
        entry("short", "2020-01-01", 2, quantity=1, price=100),
        entry("cover", "2020-01-02", 2, quantity=1, price=100),
        entry("sell", "2020-01-03", 1, quantity=3, price=100),
    ]
    prices = {asset: dict.fromkeys(("2020-01-01", "2020-01-02", "2020-01-03"), 100) for asset in (1, 2)}
    valuation = value(walk(entries), prices)
    assert valuation.positions.tolist() == [[300, 300, 0], [-100, 0, 0]]
    assert valuation.weights.tolist() == [[0.75, 1, 0], [0.25, 0, 0]]


def test_weights_of_an_unknown_position_are_unknown() -> None:
    assert np.isnan(gross_weights(np.array([[1.0], [np.nan]]))).all()


def test_carrying_of_one_series_and_of_many_agree() -> None:
    dates = every_day("2020-01-01", "2020-01-04")
    values = np.array([[np.nan, 1, np.nan, 2], [3, np.nan, np.nan, np.nan]])
    days = every_day("2019-12-31", "2020-01-05")
    both = carry_forward(days, dates, values)
    np.testing.assert_array_equal(both.values, [[np.nan, np.nan, 1, 1, 2, 2], [np.nan, 3, 3, 3, 3, 3]])
    np.testing.assert_array_equal(both.age, [[np.nan, np.nan, 0, 1, 0, 1], [np.nan, 0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(carry_forward(days, dates, values[1]).values, both.values[1])


def test_exact_books_become_floats_only_here() -> None:
    (book,) = walk([entry("deposit", date(2020, 1, 1), amount="0.1")])
    assert isinstance(book.inflow, Decimal)
    assert value([book], {}).inflow.dtype == np.float64


# An action that could not be followed


def test_positions_are_blocked_until_what_could_not_be_followed_is_sold() -> None:
    """A spin-off without its new shares on a Saturday; the position is right again when it is gone."""
    entries = [
        entry("buy", "2024-01-04", 1, quantity=10, price=10),
        entry("sell", "2024-01-09", 1, quantity=4, price=10),
        entry("sell", "2024-01-11", 1, quantity=6, price=10),
    ]
    days = ["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11", "2024-01-12"]
    prices = {1: dict.fromkeys(days, 10)}
    books = walk(
        entries, [action("spin_off", 1, "2024-01-06", ratio="1/4")], prices=prices, names={1: "EBAY"}
    )
    valuation = value(books, prices, np.array(days, dtype="datetime64[D]"))
    reason = {"positions": "EBAY: the spin_off of 2024-01-06 does not say what becomes of it"}
    said = [{name: row[name] for name in row if name == "positions"} for row in calendar_reasons(valuation)]
    assert said == [{}, {}, reason, reason, reason, {}, {}]
    quality = np.array(data_quality(valuation, price_stale_days=5))[valuation.is_calendar]
    assert quality.tolist() == ["complete"] * 2 + ["blocked"] * 3 + ["complete"] * 2


def test_a_weekend_without_a_rate_leaves_its_gain_on_cash_to_monday() -> None:
    entries = [
        entry("deposit", "2024-01-05", amount=1000),
        entry("deposit", "2024-01-20", currency="USD", amount=100, fx_rate="0.9"),  # a Saturday
    ]
    rates = {"USD": {"2024-01-05": "0.9", "2024-01-22": "0.95"}}
    calendar = np.array(["2024-01-05", "2024-01-19", "2024-01-22", "2024-01-23"], dtype="datetime64[D]")
    valuation = value(walk(entries, rates=rates), {}, calendar, rates=rates)
    assert np.isnan(at(valuation, valuation.total_value, "2024-01-20"))
    np.testing.assert_allclose(valuation.fx_on_cash, [0, 0, 0, 5, 0], atol=1e-12)
    assert [list(row) for row in calendar_reasons(valuation)] == [[], [], [], ["fx"]]


def test_a_movement_at_an_unknown_rate_on_a_weekend_leaves_the_gain_on_cash_unknown() -> None:
    entries = [entry("deposit", "2024-01-20", currency="USD", amount=100)]
    calendar = np.array(["2024-01-19", "2024-01-22"], dtype="datetime64[D]")
    rates = {"USD": {"2024-01-22": "0.95"}}
    valuation = value(walk(entries, rates=rates), {}, calendar, rates=rates)
    assert np.isnan(at(valuation, valuation.fx_on_cash, "2024-01-22"))
    assert set(calendar_reasons(valuation)[1]) == {"inflow", "fx_on_cash"}
