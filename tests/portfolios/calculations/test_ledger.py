from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import pytest

from portfolios.calculations.entries import CorporateAction, Entry, LedgerError, unsettled_cash
from portfolios.calculations.ledger import DAY_FIGURES, DayBook, Unknown
from portfolios.calculations.lots import COST_METHODS, CostMethod
from tests.portfolios.calculations.booking import add_days, entry, split, walk


def check(book: DayBook, **expected: object) -> None:
    assert {name: getattr(book, name) for name in expected} == expected


BUY_10_AT_100 = entry("buy", "2020-01-01", 1, quantity=10, price=100)


# A13: position 10 @ 100


@pytest.mark.parametrize(
    ("splits", "sale", "quantity", "cost"),
    [
        ([("2021-01-01", "2")], None, "20", "1000"),
        ([("2021-01-01", "1/10")], None, "1", "1000"),
        ([("2021-01-01", "2")], 5, "15", "750"),
        ([("2021-01-01", "2"), ("2022-01-01", "1/3")], None, "20/3", "1000"),
        ([("2021-01-01", "2")], 20, None, None),
        ([], None, "10", "1000"),
    ],
)
@pytest.mark.parametrize("method", COST_METHODS)
def test_a13_splits(
    splits: list[tuple[str, str]],
    sale: int | None,
    quantity: str | None,
    cost: str | None,
    method: CostMethod,
) -> None:
    entries = [BUY_10_AT_100]
    if sale:
        entries.append(entry("sell", "2021-01-01", 1, quantity=sale, price=60))
    last = walk(entries, [split(1, day, ratio) for day, ratio in splits], method=method)[-1]
    if quantity is None or cost is None:
        check(last, quantities={}, costs={}, lots={})
    else:
        assert last.costs == {1: Decimal(cost)}
        assert abs(Fraction(last.quantities[1]) - Fraction(quantity)) < Fraction(1, 10**12)
        average = last.costs[1] / last.quantities[1]
        assert abs(Fraction(average) - Fraction(cost) / Fraction(quantity)) < Fraction(1, 10**12)


def test_a13_the_rounded_rest_of_a_chain_of_splits_sells_out() -> None:
    splits = [split(1, "2021-01-01", "2"), split(1, "2022-01-01", "1/3")]
    sale = entry("sell", "2022-02-01", 1, quantity="6.666666666667", amount=1500)
    last = walk([BUY_10_AT_100, sale], splits)[-1]
    assert last.quantities == {}
    assert last.realized == 500


def test_a_split_before_the_purchase_or_of_another_asset_is_no_event() -> None:
    books = walk([BUY_10_AT_100], [split(1, "2019-01-01", "2"), split(2, "2021-01-01", "2")])
    assert [str(book.date) for book in books] == ["2020-01-01"]
    assert books[0].quantities == {1: 10}


def test_a_split_comes_before_the_trades_of_its_day() -> None:
    second = entry("buy", "2021-01-01", 1, quantity=3, price=50)
    assert walk([BUY_10_AT_100, second], [split(1, "2021-01-01", "2")])[-1].quantities == {1: 23}


def test_a_cash_dividend_of_the_company_books_nothing() -> None:
    action = CorporateAction(asset=1, date=add_days("2020-01-01", 9), kind="cash_dividend", amount=Decimal(1))
    assert len(walk([BUY_10_AT_100], [action])) == 1


@pytest.mark.parametrize("kind", ["spin_off", "merger", "symbol_change"])
def test_a_corporate_action_without_new_shares_leaves_a_reason_and_the_position(kind: str) -> None:
    action = CorporateAction(asset=1, date=add_days("2020-01-01", 9), kind=kind, ratio=Fraction(1, 2))
    book = walk([BUY_10_AT_100], [action], names={1: "EBAY"})[-1]
    reason = f"EBAY: the {kind} of 2020-01-10 does not say what becomes of it"
    assert book.unknown == (Unknown("positions", reason),)
    assert book.quantities == {1: 10}


# B7: FIFO against moving average, price 100 from 2013-03-01

B7_FIRST = [
    entry("buy", "2010-01-01", 1, quantity=109, amount="3149.20"),
    entry("sell", "2010-02-01", 1, quantity=15, amount="531.50"),
    entry("buy", "2010-03-01", 1, quantity=52, amount="1684.92"),
    entry("buy", "2010-03-01", 1, quantity=32, amount="959.30"),
]
B7_SECOND = [
    entry("buy", "2010-01-01", 1, quantity=109, amount="3149.20"),
    entry("buy", "2010-02-01", 1, quantity=52, amount="1684.92"),
    entry("sell", "2010-03-01", 1, quantity=15, amount="531.50"),
]


@pytest.mark.parametrize(
    ("entries", "method", "cost", "realized", "unrealized"),
    [
        (B7_FIRST, "fifo", 5360.04385321101, 98.12385321100917, 12439.95614678899),
        (B7_FIRST, "average", 5360.04385321101, 98.12385321100917, 12439.95614678899),
        (B7_SECOND, "fifo", 4400.743853211009, 98.12385321100917, 10199.256146788991),
        (B7_SECOND, "average", 4383.736149068323, 81.11614906832298, 10216.263850931677),
    ],
)
def test_b7_fifo_against_moving_average(
    entries: list[Entry], method: CostMethod, cost: float, realized: float, unrealized: float
) -> None:
    books = walk(entries, method=method)
    assert float(books[-1].costs[1]) == pytest.approx(cost, abs=1e-11)
    assert float(sum(book.realized for book in books)) == pytest.approx(realized, abs=1e-11)
    value = 100 * books[-1].quantities[1]
    assert float(value - books[-1].costs[1]) == pytest.approx(unrealized, abs=1e-11)


@pytest.mark.parametrize("method", COST_METHODS)
def test_b7_rounding_leaves_no_cost(method: CostMethod) -> None:
    sales = [
        entry("sell", f"2010-0{month}-01", 1, quantity=quantity, amount="0.01")
        for month, quantity in ((2, 3), (3, 3), (4, 4))
    ]
    books = walk([entry("buy", "2010-01-01", 1, quantity=10, amount="0.01"), *sales], method=method)
    assert books[-1].costs == {}
    assert sum(book.realized for book in books) == Decimal("0.02")


@pytest.mark.parametrize("method", COST_METHODS)
def test_b7_full_close_and_reopen(method: CostMethod) -> None:
    entries = [
        entry("buy", "2010-01-01", 1, quantity=100, amount="3149.20"),
        entry("sell", "2010-02-01", 1, quantity=100, amount="3000"),
        entry("buy", "2010-03-01", 1, quantity=50, amount="1684.92"),
        entry("sell", "2010-04-01", 1, quantity=50, amount="1700"),
    ]
    books = walk(entries, method=method)
    assert [book.costs for book in books] == [{1: Decimal("3149.20")}, {}, {1: Decimal("1684.92")}, {}]
    assert [book.realized for book in books] == [0, Decimal("-149.20"), 0, Decimal("15.08")]


@pytest.mark.parametrize("method", ["fifo", "average"])
def test_b7_large(method: CostMethod) -> None:
    entries = [
        entry("buy", "2010-01-01", 1, quantity=500000, amount=450000),
        entry("sell", "2010-02-01", 1, quantity=1, amount="0.989"),
    ]
    last = walk(entries, method=method)[-1]
    assert last.quantities == {1: 499999}
    assert last.costs == {1: Decimal("449999.10")}
    assert last.costs[1] / last.quantities[1] == Decimal("0.9")


def test_b7_moving_average_after_close_and_rebuy() -> None:
    steps = [
        ("buy", "2", 10, None, 20),
        ("sell", "1", 15, 5, 10),
        ("buy", "1", 30, None, 40),
        ("sell", "1.5", 10, -15, 10),
        ("buy", "3", 20, None, 70),
        ("sell", "2", 30, 20, 30),
        ("sell", "1.5", 10, -15, 0),
        ("buy", "1", 10, None, 10),
        ("sell", "0.5", 5, "-2.5", 5),
    ]
    entries = [
        entry(kind, add_days("2020-01-01", day), 1, quantity=quantity, price=price)
        for day, (kind, quantity, price, _, _) in enumerate(steps)
    ]
    for book, (_, _, _, pnl, pool) in zip(walk(entries, method="average"), steps, strict=True):
        assert book.realized == Decimal(pnl or 0)
        assert book.costs.get(1, 0) == pool


# Amounts of every kind


@pytest.mark.parametrize(
    ("kind", "cash", "figure", "amount"),
    [
        ("deposit", "97", "inflow", 100),
        ("withdrawal", "-103", "outflow", 100),
        ("dividend", "97", "income", 100),
        ("interest", "97", "income", 100),
        ("interest_charge", "-103", "income", -100),
        ("fee", "-103", "fees", 102),
        ("fee_refund", "97", "fees", -98),
        ("tax", "-103", "taxes", 101),
        ("tax_refund", "97", "taxes", -99),
    ],
)
def test_cash_moves_by_amount_less_fee_less_tax(kind: str, cash: str, figure: str, amount: int) -> None:
    (book,) = walk([entry(kind, "2020-01-01", amount=100, fee=2, tax=1)])
    assert book.cash == {"EUR": Decimal(cash)}
    assert book.cash_booked == Decimal(cash)
    expected = dict.fromkeys(DAY_FIGURES, Decimal(0)) | {"fees": Decimal(2), "taxes": Decimal(1)}
    expected |= {figure: Decimal(amount), "cash_booked": Decimal(cash)}
    assert {name: getattr(book, name) for name in DAY_FIGURES} == expected


def test_trades_gain_and_cost_without_fees_and_taxes() -> None:
    entries = [
        entry("buy", "2020-01-01", 1, quantity=10, price=100, fee=5, tax=2),
        entry("sell", "2020-01-02", 1, quantity=4, price=120, fee=3, tax=1),
    ]
    bought, sold = walk(entries)
    check(bought, cash={"EUR": -1007}, costs={1: 1000}, fees=5, taxes=2)
    check(sold, cash={"EUR": -1007 + 476}, costs={1: 600})
    check(sold, realized=80, fees=3, taxes=1, cash_booked=476)


def test_an_amount_beside_quantity_and_price_holds() -> None:
    (book,) = walk([entry("buy", "2020-01-01", 1, quantity=3, price="33.33", amount=100)])
    assert book.costs == {1: 100}


def test_a_short_sale_and_its_cover() -> None:
    entries = [
        entry("short", "2020-01-01", 1, quantity=10, price=100),
        entry("cover", "2020-01-02", 1, quantity=4, price=80),
        entry("cover", "2020-01-03", 1, quantity=6, price=110),
    ]
    opened, part, closed = walk(entries)
    check(opened, quantities={1: -10}, costs={1: -1000}, cash={"EUR": 1000})
    check(part, quantities={1: -6}, costs={1: -600}, realized=80)
    check(closed, quantities={}, realized=-60, cash={"EUR": 20})


def test_a_short_position_is_no_holding_that_one_can_sell() -> None:
    with pytest.raises(LedgerError, match="only 0 held"):
        walk([
            entry("short", "2020-01-01", 1, quantity=10, price=100),
            entry("sell", "2020-01-02", 1, quantity=1, price=100),
        ])  # fmt: skip


# Order within a day


def test_the_day_runs_from_inflows_to_outflows_whatever_the_input_says() -> None:
    entries = [
        entry("transfer_out", "2020-01-01", 1, quantity=1),
        entry("sell", "2020-01-01", 1, quantity=4, price=11),
        entry("buy", "2020-01-01", 1, quantity=2, price=10),
        entry("transfer_in", "2020-01-01", 1, quantity=3, price=9),
    ]
    (book,) = walk(entries, prices={1: {"2020-01-01": 10}})
    assert book.quantities == {}
    assert book.realized == 44 - 27 - 10
    check(book, inflow=30, outflow=10, transferred_pnl=3)


def test_equal_days_are_ordered_by_contents_not_by_id() -> None:
    rows = [("buy", 10, 10), ("buy", 10, 20), ("sell", 5, 15), ("sell", 5, 30)]
    for order in permutations(rows):
        entries = [entry(kind, "2020-01-01", 1, quantity=size, price=price) for kind, size, price in order]
        (book,) = walk(entries)
        check(book, costs={1: 200}, realized=125)


# Currencies


def test_a_booked_rate_goes_before_the_days_rate() -> None:
    buy = entry("buy", "2020-01-01", 1, currency="USD", quantity=1, price=100, fee=10, fx_rate="0.9")
    (book,) = walk([buy], rates={"USD": {"2020-01-01": "0.5"}})
    check(book, costs={1: 90}, fees=9, cash={"USD": -110}, cash_booked=-99)


def test_a_sale_realizes_at_its_own_rate() -> None:
    entries = [
        entry("buy", "2020-01-01", 1, currency="USD", quantity=2, price=100, fx_rate="0.9"),
        entry("sell", "2020-01-02", 1, currency="USD", quantity=1, price=120, fx_rate="0.8"),
    ]
    check(walk(entries, rates={"USD": {"2020-01-01": "0.5"}})[-1], realized=6, costs={1: 90}, cash_booked=96)


def test_without_a_booked_rate_the_days_rate_holds() -> None:
    (book,) = walk(
        [entry("deposit", "2020-01-01", currency="USD", amount=100)], rates={"USD": {"2020-01-01": "0.5"}}
    )
    check(book, inflow=50, cash_booked=50, unknown=())


def test_a_missing_rate_is_never_one() -> None:
    entries = [
        entry("deposit", "2013-02-08", currency="USD", amount=1000),
        entry("buy", "2013-02-08", 1, currency="USD", quantity=1, price=100, fee=1),
        entry("sell", "2013-02-11", 1, currency="EUR", quantity=1, price=90),
    ]
    bought, sold = walk(entries, names={1: "AAPL"})
    reason = "no EUR rate for USD on 2013-02-08"
    assert set(bought.unknown) == {
        Unknown(field, reason) for field in ("inflow", "cash_booked", "fees", "trading_costs", "cost_basis")
    }
    check(bought, inflow=0, fees=0, cash_booked=0, costs={})
    check(bought, cash={"USD": 899}, quantities={1: 1})
    check(sold, realized=0, unknown=(Unknown("realized", "AAPL: cost unknown"),))
    check(sold, quantities={}, costs={})


@pytest.mark.parametrize(
    ("rows", "fee"),
    [
        ({"counter_currency": "EUR", "counter_amount": 90}, Decimal("0.9")),
        ({"counter_currency": "GBP", "counter_amount": 80, "fx_rate": "0.95"}, Decimal("0.95")),
        ({"counter_currency": "GBP", "counter_amount": 80}, Decimal("0.5")),
    ],
)
def test_an_exchange_books_both_legs_at_one_value(rows: dict, fee: Decimal) -> None:
    exchange = entry("currency_exchange", "2020-01-01", currency="USD", amount=100, fee=1, **rows)
    (book,) = walk([exchange], rates={"USD": {"2020-01-01": "0.5"}})
    assert book.cash == {"USD": 99, rows["counter_currency"]: -rows["counter_amount"]}
    check(book, cash_booked=-fee, fees=fee, unknown=())


# Transfers in kind


def test_a_transfer_flows_at_market_value_and_keeps_its_book_cost() -> None:
    entries = [
        entry("transfer_in", "2020-01-01", 1, quantity=10, price=60, fee=1),
        entry("transfer_out", "2020-01-02", 1, quantity=4),
    ]
    came, left = walk(entries, prices={1: {"2020-01-01": 100, "2020-01-02": 110}})
    check(came, inflow=1000, costs={1: 600}, transferred_pnl=400, cash={"EUR": -1})
    check(left, outflow=440, costs={1: 360}, transferred_pnl=-200, realized=0)


def test_a_blank_price_takes_the_market_value_as_cost_in_the_assets_currency() -> None:
    (book,) = walk(
        [entry("transfer_in", "2020-01-01", 1, quantity=10, fee=1)],
        prices={1: {"2020-01-01": 100}},
        rates={"USD": {"2020-01-01": "0.9"}},
        asset_currencies={1: "USD"},
    )
    check(book, inflow=900, costs={1: 900}, fees=1)


def test_an_asset_without_any_price_is_transferred_at_its_cost() -> None:
    entries = [
        entry("transfer_in", "2020-01-01", 1, quantity=10, price=60),
        entry("transfer_out", "2020-01-02", 1, quantity=5),
    ]
    came, left = walk(entries)
    check(came, inflow=600, transferred_pnl=0, unknown=())
    check(left, outflow=300, transferred_pnl=0, unknown=())


def test_a_transfer_without_price_and_cost_is_unknown() -> None:
    (book,) = walk([entry("transfer_in", "2020-01-01", 1, quantity=10)], names={1: "XYZ"})
    assert set(book.unknown) == {
        Unknown(field, "XYZ: no price up to 2020-01-01")
        for field in ("inflow", "cost_basis", "transferred_pnl")
    }
    check(book, quantities={1: 10}, costs={})


# Refusals


def test_a_sale_beyond_the_holding_names_everything() -> None:
    sale = entry("sell", "2020-02-01", 1, quantity="10.5", price=1)
    with pytest.raises(LedgerError) as caught:
        walk([BUY_10_AT_100, sale], names={1: "AAPL"})
    assert str(caught.value) == (
        f"transaction {sale.id} on 2020-02-01: sell of 10.5 AAPL, but only 10 held"
    )  # fmt: skip
    assert caught.value.entry is sale


def test_a_sale_within_the_tolerance_closes_exactly() -> None:
    sale = entry("sell", "2020-02-01", 1, quantity="10.000000001", amount=1200)
    last = walk([BUY_10_AT_100, sale])[-1]
    check(last, quantities={}, realized=200, cash={"EUR": 200})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("gift", "2020-01-01", amount=1), "unknown kind 'gift'"),
        (entry("deposit", "2020-01-01"), "needs an amount"),
        (entry("deposit", "2020-01-01", amount=-1), "cannot be negative: -1"),
        (entry("buy", "2020-01-01", amount=1), "needs an asset and a positive quantity"),
        (entry("buy", "2020-01-01", 1, quantity=0, amount=1), "needs an asset and a positive quantity"),
        (entry("cover", "2020-01-01", 1, quantity=1, price=1), "only 0 held"),
        (entry("transfer_out", "2020-01-01", 1, quantity=1), "only 0 held"),
        (entry("currency_exchange", "2020-01-01", amount=1), "needs a counter amount"),
    ],
)
def test_a_transaction_that_lacks_what_it_needs_is_refused(bad: Entry, message: str) -> None:
    with pytest.raises(LedgerError, match=message) as caught:
        walk([bad])
    assert f"transaction {bad.id} on 2020-01-01" in str(caught.value)


# The part of a gain that the exchange rate made

USD_RATES = {"USD": {"2020-01-01": "0.90", "2020-02-01": "0.80", "2020-03-01": "1.10"}}


def fx_sale(method: CostMethod, **sale: object) -> DayBook:
    entries = [
        entry("buy", "2020-01-01", 1, currency="USD", quantity=10, price=100),
        entry("buy", "2020-02-01", 1, currency="USD", quantity=10, price=130),
        entry("sell", "2020-03-01", 1, **{"currency": "USD", "quantity": 5, "price": 120, **sale}),  # type: ignore[arg-type]
    ]
    return walk(entries, rates=USD_RATES, asset_currencies={1: "USD"}, method=method)[-1]


@pytest.mark.parametrize(
    ("method", "realized", "by_rate"),
    [
        ("fifo", "210", "100"),  # 600 x 1.1 - 500 x 0.9; 500 x (1.1 - 0.9)
        ("lifo", "140", "195"),  # 600 x 1.1 - 650 x 0.8; 650 x (1.1 - 0.8)
        ("hifo", "140", "195"),  # the dearer lot in base currency: 104 against 90 a unit
        ("average", "175", "147.5"),  # 600 x 1.1 - 485; 575 x 1.1 - 485
    ],
)
def test_a_realised_gain_has_its_part_from_the_exchange_rate(
    method: CostMethod, realized: str, by_rate: str
) -> None:
    check(fx_sale(method), realized=Decimal(realized), realized_fx=Decimal(by_rate))


def test_the_rate_of_the_sale_is_the_one_it_was_booked_at() -> None:
    check(fx_sale("fifo", fx_rate="1.00"), realized=150, realized_fx=50)


def test_a_sale_booked_in_base_currency_splits_at_the_rate_of_the_day() -> None:
    """Proceeds of EUR 660 for five shares of USD 500 cost."""
    check(fx_sale("fifo", currency="EUR", price=132), realized=210, realized_fx=100)


def test_a_short_sale_covered_at_another_rate() -> None:
    entries = [
        entry("short", "2020-01-01", 1, currency="USD", quantity=10, price=100),
        entry("cover", "2020-02-01", 1, currency="USD", quantity=10, price=90),
    ]
    book = walk(entries, rates=USD_RATES, asset_currencies={1: "USD"})[-1]
    # Received 1000 x 0.9, paid 900 x 0.8: 100 x 0.8 by the price, 1000 x 0.1 by the rate.
    check(book, realized=180, realized_fx=100)


def test_an_asset_in_base_currency_has_no_gain_from_rates() -> None:
    entries = [BUY_10_AT_100, entry("sell", "2020-02-01", 1, quantity=10, price=120)]
    check(walk(entries)[-1], realized=200, realized_fx=0)


# Days with several trades


@pytest.mark.parametrize(("opens", "closes"), [("buy", "sell"), ("short", "cover")])
def test_a_position_may_be_opened_and_closed_on_one_day(opens: str, closes: str) -> None:
    entries = [
        entry(closes, "2020-01-01", 1, quantity=10, price=110),
        entry(opens, "2020-01-01", 1, quantity=10, price=100),
    ]
    for order in permutations(entries):
        check(walk(order)[-1], quantities={}, realized=100 if opens == "buy" else -100)


def test_a_reinvested_dividend_is_income_and_a_purchase_and_no_flow() -> None:
    entries = [
        BUY_10_AT_100,
        entry("dividend", "2020-02-01", 1, amount=50, tax=10),
        entry("buy", "2020-02-01", 1, quantity="0.4", price=100),
    ]
    check(
        walk(entries)[-1],
        cash={"EUR": -1000},
        quantities={1: Decimal("10.4")},
        costs={1: 1040},
        income=50,
        taxes=10,
        inflow=0,
        outflow=0,
        asset_income={1: 50},
        asset_costs={1: 10},
        net_purchases={1: 40},
    )


def test_thirds_leave_no_dust() -> None:
    entries = [
        entry("buy", "2020-01-01", 1, quantity="0.333333333333", price=3),
        entry("buy", "2020-01-02", 1, quantity="0.666666666667", price=3),
        entry("sell", "2020-01-03", 1, quantity=1, price=3),
    ]
    check(walk(entries)[-1], quantities={}, costs={}, lots={}, realized=0)


# Settlement


def test_cash_is_settled_on_the_day_of_settlement() -> None:
    entries = [
        entry("deposit", "2020-01-01", amount=1000),
        entry("buy", "2020-01-02", 1, quantity=5, price=100, fee=1, settles="2020-01-06"),
        entry("sell", "2020-01-03", 1, quantity=1, price=110, currency="USD", settles="2020-01-07"),
        entry("withdrawal", "2020-01-03", amount=10, settles="2020-01-03"),
    ]
    waiting = {day: unsettled_cash(entries, date(2020, 1, day)) for day in (1, 2, 3, 6, 7)}
    assert waiting == {
        1: {},
        2: {"EUR": Decimal(-501)},
        3: {"EUR": Decimal(-501), "USD": Decimal(110)},
        6: {"USD": Decimal(110)},
        7: {},
    }


def test_fees_of_trades_are_told_from_other_fees() -> None:
    entries = [
        entry("deposit", "2020-01-01", amount=1000, fee=2),
        entry("buy", "2020-01-01", 1, quantity=1, price=100, fee=3),
        entry("fee", "2020-01-01", amount=5),
        entry("fee_refund", "2020-01-01", amount=1),
    ]
    check(walk(entries)[-1], fees=9, trading_costs=3)
