"""Lots, taxes and wash sales of a proposal, from the books of a portfolio and of its household."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from analytics.models import EventStatus, RebalancingOrder, RebalancingPolicy
from analytics.services.tax_review import TaxedTrade, TaxReview, lot_methods_compare, tax_review, tax_reviews
from portfolios.calculations.lots import InsufficientLotsError
from portfolios.models import Asset, CorporateAction, Household, Portfolio, Transaction
from portfolios.selectors.open_lots import open_lots
from portfolios.services.transactions import dividend_reinvest, transaction_create
from tests.support import factories as make

pytestmark = [pytest.mark.django_db, pytest.mark.once]

DAY = dt.date(2024, 6, 28)


@pytest.fixture
def acme() -> Asset:
    return make.make_asset("ACME")


@pytest.fixture
def household() -> Household:
    return Household.objects.create(code="SMITH", name="The Smiths")


@pytest.fixture
def portfolio(household: Household) -> Portfolio:
    return make.make_portfolio("MINE", household=household)


@pytest.fixture
def theirs(household: Household) -> Portfolio:
    return make.make_portfolio("THEIRS", household=household)


def days_ago(days: int) -> dt.date:
    return DAY - dt.timedelta(days=days)


def book(
    portfolio: Portfolio, kind: str, asset: Asset, quantity: Any, price: Any, ago: int, **more: Any
) -> Transaction:
    return make.make_transaction(
        portfolio,
        kind=kind,
        asset=asset,
        quantity=quantity,
        price=price,
        amount=None,
        trade_date=days_ago(ago),
        **more,
    )


def sell(asset: Asset, quantity: Any, price: Any = 100) -> TaxedTrade:
    return TaxedTrade(asset.pk, "sell", Decimal(quantity), Decimal(price))


def buy(asset: Asset, quantity: Any, price: Any = 100) -> TaxedTrade:
    return TaxedTrade(asset.pk, "buy", Decimal(quantity), Decimal(price))


def policy(portfolio: Portfolio, **fields: Any) -> RebalancingPolicy:
    rates = {"short_term_tax_rate": Decimal("0.35"), "long_term_tax_rate": Decimal("0.15")}
    return RebalancingPolicy(portfolio=portfolio, **rates | fields)


def review(portfolio: Portfolio, *trades: TaxedTrade, **fields: Any) -> TaxReview:
    return tax_review(portfolio, policy(portfolio, **fields), DAY, trades)


# Lots and their tax


def test_a_sale_names_the_lots_it_takes_and_what_they_cost(portfolio: Portfolio, acme: Asset) -> None:
    old = book(portfolio, "buy", acme, 10, 60, 900)
    new = book(portfolio, "buy", acme, 10, 90, 200)
    found = review(portfolio, sell(acme, 12))
    assert found.sales[acme.pk].lots == [
        {
            "lot": old.pk,
            "opened": "2022-01-10",
            "quantity": "10",
            "cost": "600",
            "term": "long",
            "gain": "400",
            "tax": "60",
        },
        {
            "lot": new.pk,
            "opened": "2023-12-11",
            "quantity": "2",
            "cost": "180",
            "term": "short",
            "gain": "20",
            "tax": "7",
        },
    ]
    detail = found.sales[acme.pk]
    assert (detail.method, detail.tax, detail.short_gain, detail.long_gain) == ("fifo", 67, 20, 400)
    assert (found.tax, found.warnings, found.blocked, found.reasons) == (67, {}, {}, [])


@pytest.mark.parametrize(
    ("method", "tax"), [("book", 60), ("fifo", 60), ("lifo", 35), ("hifo", 35), ("lowest", 60), ("tax", 35)]
)
def test_the_policy_says_how_lots_are_chosen(
    portfolio: Portfolio, acme: Asset, method: str, tax: int
) -> None:
    book(portfolio, "buy", acme, 10, 60, 900)
    book(portfolio, "buy", acme, 10, 90, 200)
    assert review(portfolio, sell(acme, 10), lot_method=method).tax == tax


def test_the_books_take_the_lots_of_the_review_also_after_odd_splits(
    portfolio: Portfolio, acme: Asset
) -> None:
    CorporateAction.objects.create(asset=acme, ex_date=days_ago(50), kind="split", ratio_new=1, ratio_old=3)
    for price, ago in ((50, 300), (80, 200), (60, 100)):
        book(portfolio, "buy", acme, 10, price, ago)
    quantity = Decimal("6.666666666667")
    lots = review(portfolio, sell(acme, quantity, 200), lot_method="hifo").sales[acme.pk].lots
    assert [lot["quantity"] for lot in lots] == ["3.333333333333", "3.333333333333"]
    transaction_create(
        portfolio,
        status="settled",
        kind="sell",
        asset=acme,
        trade_date=DAY,
        quantity=quantity,
        price=Decimal(200),
        lots=[{"lot": lot["lot"], "quantity": lot["quantity"]} for lot in lots],
    )
    assert [lot.cost for lot in open_lots(portfolio, DAY)[acme.pk]] == [500]


def test_one_sale_by_all_methods(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 10, 60, 900)
    book(portfolio, "buy", acme, 10, 90, 200)
    found = lot_methods_compare(portfolio, policy(portfolio), DAY, sell(acme, 10))
    assert {method: detail.tax for method, detail in found.items()} == {
        "fifo": 60,
        "lifo": 35,
        "hifo": 35,
        "lowest": 60,
        "tax": 35,
        "average": Decimal("37.5"),
    }
    with pytest.raises(InsufficientLotsError):
        lot_methods_compare(portfolio, policy(portfolio), DAY, sell(acme, 21))


def test_books_at_average_cost_have_their_own_figures(acme: Asset) -> None:
    portfolio = make.make_portfolio("MEAN", cost_method="average")
    book(portfolio, "buy", acme, 10, 60, 900)
    book(portfolio, "buy", acme, 10, 90, 200)
    found = review(portfolio, sell(acme, 10), lot_method="tax")
    assert found.sales[acme.pk].method == "average"
    assert found.sales[acme.pk].long_gain == 250
    assert "average cost" in found.reasons[0]


def test_losses_count_against_gains_of_the_proposal_and_are_no_refund(
    portfolio: Portfolio, acme: Asset
) -> None:
    other = make.make_asset("OTHER")
    book(portfolio, "buy", acme, 10, 90, 200)
    book(portfolio, "buy", other, 10, 110, 200)
    assert review(portfolio, sell(acme, 10), sell(other, 4)).tax == 21
    found = review(portfolio, sell(acme, 1), sell(other, 10))
    assert (found.tax, found.sales[other.pk].tax) == (0, -35)


def test_a_sale_beyond_the_lots_is_blocked_and_its_tax_unknown(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 10, 90, 200)
    found = review(portfolio, sell(acme, 11))
    assert found.blocked == {acme.pk: "ACME: sale of 11, but its lots hold only 10"}
    assert (found.sales, found.tax) == ({}, None)


def test_an_unknown_cost_leaves_the_tax_unknown(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 10, 90, 200, currency=make.make_currency("EUR"))
    found = review(portfolio, sell(acme, 5))
    assert (found.tax, found.sales[acme.pk].tax, found.sales[acme.pk].short_gain) == (None, None, None)
    assert found.sales[acme.pk].lots[0]["gain"] is None
    assert found.reasons == ["ACME: tax unknown, a lot has no known cost"]


@pytest.mark.parametrize("treatment", ["deferred", "exempt"])
def test_a_portfolio_that_is_not_taxed_pays_no_tax_and_hears_no_warning(acme: Asset, treatment: str) -> None:
    portfolio = make.make_portfolio("PENSION", tax_treatment=treatment)
    book(portfolio, "buy", acme, 10, 60, 360)
    book(portfolio, "buy", acme, 10, 130, 10)
    found = review(
        portfolio,
        sell(acme, 15),
        holding_warning_days=30,
        short_term_gain_limit=Decimal(1),
        yearly_gain_budget=Decimal(1),
    )
    assert (found.tax, found.sales[acme.pk].tax, found.sales[acme.pk].short_gain) == (0, 0, 250)
    assert (found.warnings, found.blocked, found.wash_sales, found.reasons) == ({}, {}, [], [])


def test_without_trades_nothing_is_read(portfolio: Portfolio, django_assert_num_queries: Any) -> None:
    rules = policy(portfolio)
    with django_assert_num_queries(0):
        assert tax_review(portfolio, rules, DAY, []) == TaxReview()


# Holding periods, limits and the budget of the year


def test_a_gain_that_soon_turns_long_term_is_said(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 10, 60, 356)
    assert review(portfolio, sell(acme, 4), holding_warning_days=9).warnings == {}
    assert review(portfolio, sell(acme, 4), holding_warning_days=10).warnings == {
        acme.pk: ["ACME: 4 units of 2023-07-08 with a gain of 160 turn long-term on 2024-07-08, in 10 days"]
    }


def test_a_short_term_gain_above_the_limit_is_blocked(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 10, 60, 100)
    assert review(portfolio, sell(acme, 4), short_term_gain_limit=Decimal(160)).blocked == {}
    found = review(portfolio, sell(acme, 5), short_term_gain_limit=Decimal(160))
    assert "short-term gain of 200 on the lot of 2024-03-20, above the limit of 160" in found.blocked[acme.pk]


def test_the_budget_counts_what_the_taxpayer_realised_this_year(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset
) -> None:
    other = make.make_asset("OTHER")
    for member, treatment, gain in ((portfolio, "taxable", 10), (theirs, "taxable", 20)):
        Portfolio.objects.filter(pk=member.pk).update(tax_treatment=treatment)
        book(member, "buy", other, 10, 100, 400)
        book(member, "sell", other, 5, 150, 300)
        book(member, "sell", other, 5, 100 + gain, 60)
    book(portfolio, "buy", acme, 10, 60, 900)
    assert review(portfolio, sell(acme, 5), yearly_gain_budget=Decimal(350)).blocked == {}
    found = review(portfolio, sell(acme, 6), yearly_gain_budget=Decimal(350))
    assert found.blocked[acme.pk] == (
        "ACME: gain of 240 on top of 150 realised in 2024, above the budget of 350"
    )
    Portfolio.objects.filter(pk=theirs.pk).update(tax_treatment="deferred")
    assert review(portfolio, sell(acme, 6), yearly_gain_budget=Decimal(350)).blocked == {}


def test_a_budget_that_cannot_be_checked_says_so(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset
) -> None:
    book(theirs, "buy", acme, 10, 100, 50)
    book(theirs, "sell", acme, 5, 100, 40, currency=make.make_currency("EUR"))
    book(portfolio, "buy", acme, 10, 60, 900)
    found = review(portfolio, sell(acme, 5), yearly_gain_budget=Decimal(350))
    assert found.blocked == {}
    assert found.warnings == {acme.pk: ["ACME: gains of 2024 unknown, so the budget could not be checked"]}
    assert any("gains of 2024 in THEIRS: no USD rate for EUR" in reason for reason in found.reasons)


# Wash sales


def test_a_purchase_of_the_household_takes_part_of_the_loss_away(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset
) -> None:
    lot = book(portfolio, "buy", acme, 100, 110, 400)
    purchase = book(theirs, "buy", acme, 40, 105, 30)
    found = review(portfolio, sell(acme, 100))
    assert found.wash_sales == [
        {
            "sale": "sale of ACME",
            "sold_on": "2024-06-28",
            "purchase": f"transaction {purchase.pk}",
            "bought_on": "2024-05-29",
            "quantity": "40",
            "disallowed": "400",
            "basis_added": "400",
            "days_added": 400,
            "lost": False,
        }
    ]
    (warning,) = found.warnings[acme.pk]
    assert "wash sale: 400 of the loss" in warning
    (part,) = found.sales[acme.pk].lots
    assert (part["lot"], part["gain"], part["disallowed"], part["tax"]) == (lot.pk, "-1000", "400", "-90")
    assert (found.sales[acme.pk].disallowed, found.sales[acme.pk].long_gain, found.tax) == (400, -600, 0)


@pytest.mark.parametrize("ago", [31, 400])
def test_an_earlier_purchase_is_none(portfolio: Portfolio, theirs: Portfolio, acme: Asset, ago: int) -> None:
    book(portfolio, "buy", acme, 100, 110, 400)
    book(theirs, "buy", acme, 40, 105, ago)
    assert review(portfolio, sell(acme, 100)).wash_sales == []


def test_another_household_is_another_taxpayer(portfolio: Portfolio, acme: Asset) -> None:
    stranger, alone = make.make_portfolio(), make.make_portfolio("ALONE")
    for member in (portfolio, alone):
        book(member, "buy", acme, 100, 110, 400)
    book(stranger, "buy", acme, 40, 105, 30)
    assert review(portfolio, sell(acme, 100)).wash_sales == []
    assert review(alone, sell(acme, 100)).wash_sales == []


def test_a_portfolio_without_household_stands_for_itself(acme: Asset) -> None:
    alone = make.make_portfolio("ALONE")
    book(alone, "buy", acme, 100, 110, 400)
    book(alone, "buy", acme, 25, 105, 5)
    (wash,) = review(alone, sell(acme, 100)).wash_sales
    assert (wash["quantity"], wash["disallowed"]) == ("25", "250")
    assert review(alone, sell(acme, 125)).wash_sales == []


def test_the_mode_of_the_policy(portfolio: Portfolio, theirs: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 100, 110, 400)
    book(theirs, "buy", acme, 40, 105, 30)
    found = {
        mode: review(portfolio, sell(acme, 100), wash_sale_mode=mode) for mode in ("block", "warn", "allow")
    }
    assert [bool(one.blocked) for one in found.values()] == [True, False, False]
    assert [bool(one.warnings) for one in found.values()] == [False, True, False]
    assert len({str(one.wash_sales) for one in found.values()}) == 1
    assert found["allow"].wash_sales
    assert found["block"].blocked[acme.pk].startswith("ACME: wash sale: 400 of the loss")


def test_a_reinvested_dividend_is_a_purchase(portfolio: Portfolio, theirs: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 100, 110, 400)
    book(theirs, "buy", acme, 40, 105, 60)
    dividend_reinvest(
        theirs,
        asset=acme,
        trade_date=days_ago(7),
        amount=Decimal(200),
        quantity=Decimal(2),
        price=Decimal(100),
    )
    (wash,) = review(portfolio, sell(acme, 100)).wash_sales
    assert (wash["quantity"], wash["disallowed"]) == ("2", "20")


def test_a_replacement_in_a_retirement_account_loses_the_loss(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset
) -> None:
    Portfolio.objects.filter(pk=theirs.pk).update(tax_treatment="deferred")
    book(portfolio, "buy", acme, 100, 110, 400)
    book(theirs, "buy", acme, 40, 105, 30)
    found = review(portfolio, sell(acme, 100))
    (wash,) = found.wash_sales
    assert (wash["lost"], wash["disallowed"], wash["basis_added"], wash["days_added"]) == (
        True,
        "400",
        "0",
        0,
    )
    assert "lost in a retirement account" in found.warnings[acme.pk][0]


def test_substantially_identical_assets_replace_each_other_within_one_proposal(portfolio: Portfolio) -> None:
    """The purchase is what is refused: the loss may be realised."""
    spy, voo = (make.make_asset(symbol, identity_group="S&P 500") for symbol in ("SPY", "VOO"))
    other = make.make_asset("OTHER")
    book(portfolio, "buy", spy, 100, 110, 200)
    found = review(portfolio, sell(spy, 100), buy(voo, 50), buy(other, 5), wash_sale_mode="block")
    assert list(found.blocked) == [voo.pk]
    assert found.sales[spy.pk].disallowed == 500
    assert review(portfolio, sell(spy, 100), buy(other, 50), wash_sale_mode="block").blocked == {}


@pytest.mark.parametrize(("ago", "is_washed"), [(30, True), (31, False)])
def test_buying_back_what_was_sold_at_a_loss(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset, ago: int, is_washed: bool
) -> None:
    """Also for a retirement account, whose purchases take a loss of the household away."""
    Portfolio.objects.filter(pk=portfolio.pk).update(tax_treatment="deferred")
    portfolio.refresh_from_db()
    book(theirs, "buy", acme, 100, 110, 400)
    book(theirs, "sell", acme, 80, 100, ago)
    found = review(portfolio, buy(acme, 20), wash_sale_mode="block")
    assert bool(found.blocked) is is_washed
    assert [wash["disallowed"] for wash in found.wash_sales] == (["200"] if is_washed else [])


def test_a_loss_that_is_washed_already_is_not_washed_again(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 100, 110, 400)
    book(portfolio, "sell", acme, 80, 100, 20)
    book(portfolio, "buy", acme, 80, 100, 10)
    assert review(portfolio, buy(acme, 20)).wash_sales == []


def test_what_a_wash_sale_added_is_in_the_lot_when_it_is_sold(portfolio: Portfolio, acme: Asset) -> None:
    """80 at a loss of 800, bought back: they cost 800 more and are 380 days older."""
    book(portfolio, "buy", acme, 80, 110, 400)
    book(portfolio, "sell", acme, 80, 100, 200)
    lot = book(portfolio, "buy", acme, 100, 100, 190)
    found = review(portfolio, sell(acme, 100, 120))
    assert [
        (part["lot"], part["quantity"], part["cost"], part["term"], part["gain"])
        for part in found.sales[acme.pk].lots
    ] == [(lot.pk, "80", "8800", "long", "800"), (lot.pk, "20", "2000", "short", "400")]


def test_splits_between_sale_and_purchase_do_not_matter(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset
) -> None:
    CorporateAction.objects.create(asset=acme, ex_date=days_ago(5), kind="split", ratio_new=4, ratio_old=1)
    book(portfolio, "buy", acme, 25, 440, 400)
    book(theirs, "buy", acme, 10, 420, 30)
    (wash,) = review(portfolio, sell(acme, 100)).wash_sales
    assert (wash["quantity"], wash["disallowed"]) == ("40", "400")


def order(portfolio: Portfolio, asset: Asset, quantity: int, **fields: Any) -> RebalancingOrder:
    status = fields.pop("event_status", EventStatus.EXECUTING)
    event = make.make_event(portfolio, status=status)
    defaults = {
        "position": 1,
        "side": "buy",
        "price": 100,
        "venue": "paper",
        "client_order_id": f"o{event.pk}",
    }
    return RebalancingOrder.objects.create(event=event, asset=asset, quantity=quantity, **defaults | fields)


@pytest.mark.parametrize(
    ("fields", "quantity"),
    [
        ({"filled_quantity": 10, "status": "partly"}, "30"),
        ({"status": "sent"}, "40"),
        ({"status": "filled", "filled_quantity": 40}, None),
        ({"status": "cancelled"}, None),
        ({"side": "sell"}, None),
        ({"event_status": EventStatus.CANCELLED}, None),
    ],
)
def test_orders_on_their_way_are_purchases(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset, fields: dict[str, Any], quantity: str | None
) -> None:
    book(portfolio, "buy", acme, 100, 110, 400)
    order(theirs, acme, 40, **fields)
    found = review(portfolio, sell(acme, 100))
    assert [wash["quantity"] for wash in found.wash_sales] == ([quantity] if quantity else [])


def test_a_book_of_the_household_that_cannot_be_walked_is_named(
    portfolio: Portfolio, theirs: Portfolio, acme: Asset
) -> None:
    book(portfolio, "buy", acme, 100, 110, 400)
    book(theirs, "sell", acme, 40, 105, 30)
    found = review(portfolio, sell(acme, 100))
    assert found.tax == 0
    assert any(reason.startswith("THEIRS: transaction") for reason in found.reasons)
    own = review(theirs, buy(acme, 10))
    assert (own.tax, own.sales) == (None, {})


def test_a_loss_that_may_be_one_is_said(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", acme, 100, 110, 400)
    line = book(portfolio, "sell", acme, 40, 105, 10, currency=make.make_currency("EUR"))
    found = review(portfolio, buy(acme, 100))
    assert found.reasons == [f"transaction {line.pk}: cost or proceeds unknown, so it may have been a loss"]


def test_many_portfolios_are_read_at_once(acme: Asset, django_assert_max_num_queries: Any) -> None:
    cases = []
    for place in range(8):
        portfolio = make.make_portfolio()
        book(portfolio, "buy", acme, 10, 60 + place, 900)
        cases.append((portfolio, policy(portfolio), [sell(acme, 10)]))
    expected = [tax_review(portfolio, rules, DAY, trades) for portfolio, rules, trades in cases]
    with django_assert_max_num_queries(12):
        assert tax_reviews(cases, DAY) == expected
    assert [one.tax for one in expected] == [Decimal("0.15") * 10 * (40 - place) for place in range(8)]
