"""The smallest trade by class of assets: how it is changed, and what a proposal makes of it."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from analytics.models import (
    ChangeRequest,
    EventType,
    MinimumTrade,
    ProposalVersion,
    RebalancingPolicy,
)
from analytics.services import proposal_documents as documents
from analytics.services.change_requests import ChangeConflict, change_approve
from analytics.services.policies import policy_change, policy_update
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import Recommendation, rebalancing_recommend
from analytics.services.triggers import Trigger
from portfolios.models import AuditEvent, Portfolio, PortfolioRole
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]
DAY = make.DAY


@pytest.fixture
def portfolio() -> Portfolio:
    """10,000: 60 AAA (equity) at 100, 10 BBB (bond) at 200 and 2,000 in cash; wanted are 50, 40 and 10."""
    portfolio = make.make_portfolio("HOME", owner=make.make_user())
    make.make_transaction(portfolio, amount=10000)
    for symbol, asset_class, price, quantity, target in (
        ("AAA", "equity", 100, 60, 50),
        ("BBB", "bond", 200, 10, 40),
    ):
        asset = make.make_asset(symbol, asset_class=asset_class, lot_size=1)
        make.make_price(asset, DAY, close=Decimal(price))
        make.make_transaction(
            portfolio, kind="buy", asset=asset, quantity=quantity, price=price, amount=price * quantity
        )
        make.make_allocation(portfolio, asset, target)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", cash_target_percentage=10)
    return portfolio


def minimums(portfolio: Portfolio, **wanted: Any) -> None:
    policy_update(portfolio, minimum_trades=wanted)


def trades(found: Recommendation) -> dict[str, Decimal]:
    return {t.symbol: t.quantity if t.side == "buy" else -t.quantity for t in found.trades}


def least(found: Recommendation) -> dict[str, Decimal | None]:
    return {line.symbol: line.minimum_trade for line in documents.lines_of(found.inputs)}


# What a proposal makes of it


def test_the_class_takes_the_place_of_the_policy_for_its_lines_only(portfolio: Portfolio) -> None:
    policy_update(portfolio, minimum_trade=Decimal(9000))
    assert trades(rebalancing_recommend(portfolio, DAY)) == {}
    minimums(portfolio, bond={"amount": 2000})
    found = rebalancing_recommend(portfolio, DAY)
    assert (trades(found), least(found)) == ({"BBB": 10}, {"AAA": None, "BBB": 2000})
    minimums(portfolio, equity={"amount": 1000}, bond={"amount": 9000})
    assert trades(rebalancing_recommend(portfolio, DAY)) == {"AAA": -10}


def test_a_class_may_be_freed_of_the_minimum_altogether(portfolio: Portfolio) -> None:
    policy_update(portfolio, minimum_trade=Decimal(9000))
    minimums(portfolio, bond={}, equity={})
    assert trades(rebalancing_recommend(portfolio, DAY)) == {"AAA": -10, "BBB": 10}


def test_the_larger_of_amount_and_percentage_counts(portfolio: Portfolio) -> None:
    minimums(portfolio, bond={"amount": 500, "percentage": 6}, equity={"amount": 700, "percentage": 6})
    assert least(rebalancing_recommend(portfolio, DAY)) == {"AAA": 700, "BBB": 600}


@pytest.mark.parametrize(
    ("tolerance", "bought"), [("0", {}), ("9.0909", {}), ("9.091", {"BBB": 10}), ("99.999999", {"BBB": 10})]
)
@pytest.mark.parametrize("is_of_the_class", [True, False])
def test_a_trade_may_fall_short_by_the_tolerance_and_by_no_more(
    portfolio: Portfolio, tolerance: str, bought: dict[str, int], is_of_the_class: bool
) -> None:
    """The cash buys 2,000 of BBB: 9.0909... % less than the 2,200 that a trade must reach."""
    policy_update(portfolio, mode="invest_cash", minimum_trade_tolerance=Decimal(tolerance))
    if is_of_the_class:
        minimums(portfolio, bond={"amount": 2200})
    else:
        policy_update(portfolio, minimum_trade=Decimal(2200))
    assert trades(rebalancing_recommend(portfolio, DAY)) == bought


@pytest.mark.parametrize(
    ("amount", "tolerance", "effective"),
    [("1000", "10", "900"), ("1000.01", "10", "900.01"), ("0.001", "1", "0.001"), ("33.33", "0", "33.33")],
)
def test_the_effective_minimum_is_rounded_up_but_never_beyond_the_minimum(
    portfolio: Portfolio, amount: str, tolerance: str, effective: str
) -> None:
    policy_update(
        portfolio,
        minimum_trade=Decimal(amount),
        minimum_trade_tolerance=Decimal(tolerance),
        minimum_trades={"bond": {"amount": amount}},
    )
    found = rebalancing_recommend(portfolio, DAY)
    assert found.rules
    assert (found.rules.minimum_trade, least(found)["BBB"]) == (Decimal(effective), Decimal(effective))


def test_a_complete_exit_needs_no_minimum(portfolio: Portfolio) -> None:
    portfolio.allocations.filter(asset__symbol="BBB").update(is_active=False)
    minimums(portfolio, bond={"amount": 9000}, equity={"amount": 9000})
    assert trades(rebalancing_recommend(portfolio, DAY)) == {"BBB": -10}


def test_the_minimum_is_one_of_the_inputs_and_the_proposal_follows_from_them(portfolio: Portfolio) -> None:
    policy_update(portfolio, minimum_trade_tolerance=Decimal(5))
    minimums(portfolio, bond={"amount": 2000}, equity={"percentage": "10.5"})
    event_propose(rebalancing_recommend(portfolio, DAY), Trigger(EventType.MANUAL, {}))
    version = ProposalVersion.objects.get()
    inputs = json.loads(json.dumps(version.inputs))
    assert [entry["line"]["minimum_trade"] for entry in inputs["lines"]] == ["997.5", "1900"]
    assert inputs["policy"]["minimum_trades"] == {
        "bond": {"amount": "2000", "percentage": "0"},
        "equity": {"amount": "0", "percentage": "10.5"},
    }
    again = documents.document_bytes(documents.proposal_from_inputs(inputs))
    assert again == documents.document_bytes(version.proposal)
    inputs["lines"][0]["line"]["minimum_trade"] = "5000"
    assert documents.proposal_from_inputs(inputs) != version.proposal


# How it is changed


def test_the_minimums_change_with_the_policy_in_one_audited_step(portfolio: Portfolio) -> None:
    first = policy_update(portfolio, minimum_trades={"bond": {"amount": 100}}, cost_rate=Decimal("0.001"))
    policy_update(portfolio, minimum_trades={"etf": {"percentage": "1.5"}})
    assert list(MinimumTrade.objects.values_list("asset_class", "amount", "percentage")) == [
        ("etf", 0, Decimal("1.5"))
    ]
    one, two = AuditEvent.objects.filter(action="policy.changed").order_by("sequence")
    bond = {"bond": {"amount": "100", "percentage": "0"}}
    assert one.before == {"minimum_trades": {}, "cost_rate": "0"}
    assert one.after == {"minimum_trades": bond, "cost_rate": "0.001"}
    assert (two.before, two.after) == (
        {"minimum_trades": bond},
        {"minimum_trades": {"etf": {"amount": "0", "percentage": "1.5"}}},
    )
    assert RebalancingPolicy.objects.get().version == first.version + 1


def test_a_policy_that_is_not_stored_yet_can_begin_with_them() -> None:
    policy = policy_update(make.make_portfolio(), minimum_trades={"bond": {"amount": 100}})
    assert [row.amount for row in policy.minimum_trades.all()] == [100]


def test_what_stands_there_already_is_no_change(portfolio: Portfolio) -> None:
    minimums(portfolio, bond={"amount": 100}, etf={"percentage": 1})
    with nothing_written():
        minimums(portfolio, etf={"percentage": Decimal("1.0"), "amount": 0}, bond={"amount": "100.00"})


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"shares": {"amount": 1}}, "shares: is no class of assets"),
        ({"bond": {"amount": -1}}, "bond: amount: -1: must not be negative"),
        ({"bond": {"percentage": "100.5"}}, "bond: percentage: 100.5: must be from 0 to 100"),
        ({"bond": {"amount": "many"}}, "bond: amount: “many” value must be a decimal number"),
        ({"bond": {"share": 1}}, "bond: has no share"),
        ({"bond": {"amount": None}}, "bond: amount: This field cannot be null"),
    ],
)
def test_an_impossible_minimum_is_refused_by_name_and_reason(
    portfolio: Portfolio, wanted: dict[str, Any], reason: str
) -> None:
    with nothing_written(), pytest.raises(ValidationError) as refused:
        minimums(portfolio, **wanted)
    assert list(refused.value.message_dict) == ["minimum_trades"]
    assert any(text.startswith(reason) for text in refused.value.message_dict["minimum_trades"])


@pytest.mark.parametrize("tolerance", ["-0.1", "100", "101"])
def test_a_tolerance_is_below_a_hundred_percent(portfolio: Portfolio, tolerance: str) -> None:
    with nothing_written(), pytest.raises(ValidationError, match="must be from 0 to below 100"):
        policy_update(portfolio, minimum_trade_tolerance=Decimal(tolerance))
    with pytest.raises(IntegrityError), transaction.atomic():
        RebalancingPolicy.objects.update(minimum_trade_tolerance=Decimal(tolerance))


def test_the_database_keeps_one_minimum_of_a_class_and_no_negative_one(portfolio: Portfolio) -> None:
    policy = RebalancingPolicy.objects.get()
    MinimumTrade.objects.create(policy=policy, asset_class="bond", amount=1)
    for wrong in (
        {"amount": 2},
        {"asset_class": "etf", "amount": -1},
        {"asset_class": "etf", "percentage": 101},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            MinimumTrade.objects.create(**{"policy": policy, "asset_class": "bond"} | wrong)
    assert MinimumTrade.objects.count() == 1


@pytest.fixture
def two_persons(portfolio: Portfolio) -> tuple[User, User]:
    policy_update(portfolio, two_person_changes=True, minimum_trades={"bond": {"amount": 100}})
    ann, bob = make.make_user("ann"), make.make_user("bob")
    make.grant(ann, portfolio, PortfolioRole.MANAGER)
    make.grant(bob, portfolio, PortfolioRole.CHECKER)
    return ann, bob


def test_under_the_two_person_rule_they_wait_for_a_second_person(
    portfolio: Portfolio, two_persons: tuple[User, User]
) -> None:
    ann, bob = two_persons
    request = policy_change(
        portfolio, actor=ann, minimum_trades={"etf": {"amount": "250.5"}}, minimum_trade_tolerance=Decimal(5)
    )
    assert isinstance(request, ChangeRequest)
    assert request.before == {
        "minimum_trades": {"bond": {"amount": "100", "percentage": "0"}},
        "minimum_trade_tolerance": "0",
    }
    assert MinimumTrade.objects.get().asset_class == "bond"
    with pytest.raises(ValidationError, match="second person"):
        minimums(portfolio, etf={"amount": 1})
    change_approve(request.pk, actor=bob)
    assert MinimumTrade.objects.values_list("asset_class", "amount").get() == ("etf", Decimal("250.5"))
    assert RebalancingPolicy.objects.get().minimum_trade_tolerance == 5


def test_minimums_that_changed_meanwhile_overtake_the_request(
    portfolio: Portfolio, two_persons: tuple[User, User]
) -> None:
    ann, bob = two_persons
    request = policy_change(portfolio, actor=ann, minimum_trades={"etf": {"amount": 250}})
    MinimumTrade.objects.update(amount=101)
    with pytest.raises(ChangeConflict, match="overtaken"):
        change_approve(request.pk, actor=bob)
    assert MinimumTrade.objects.values_list("asset_class", "amount").get() == ("bond", 101)
