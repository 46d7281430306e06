"""From targets to booked trades with nothing made up: proposed, approved, executed, and in balance after."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from analytics.models import EventStatus, EventType, ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services.approvals import event_approve
from analytics.services.event_moves import EventConflict
from analytics.services.execution.run import event_execute
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import rebalancing_recommend
from analytics.services.triggers import Trigger
from portfolios.models import Asset, Portfolio, PortfolioRole, PriceBar
from portfolios.services.audit import audit_verify
from tests.analytics.services.execution import stage
from tests.support import factories as make

pytestmark = pytest.mark.django_db
COSTS: dict[str, Any] = {
    "fee_per_trade": Decimal(2),
    "cost_rate": Decimal("0.001"),
    "spread_rate": Decimal("0.0005"),
    "fx_cost_rate": Decimal("0.002"),
    "lot_method": "tax",
    "short_term_tax_rate": Decimal("0.25"),
    "long_term_tax_rate": Decimal("0.15"),
}


@pytest.fixture
def portfolio() -> Portfolio:
    """AAA has gone from 100 to 120; targets: AAA 40, BBB 30, a European share 20, of which two are held."""
    portfolio = stage.make_portfolio(cash_target_percentage=10, **COSTS)
    acme, bolt = Asset.objects.get(symbol="AAA"), Asset.objects.get(symbol="BBB")
    PriceBar.objects.filter(asset=acme, date=stage.DAY).update(close=120)
    rhein = make.make_asset("RHEIN", currency="EUR")
    stage.make_prices(rhein, 50)
    for day in (stage.DAY_BEFORE, stage.DAY):
        make.make_exchange_rate(date=day, rate=Decimal("1.08"))
    stage.hold(portfolio, rhein, 2, 50)
    for asset, target in ((acme, 40), (bolt, 30), (rhein, 20)):
        make.make_allocation(portfolio, asset, target)
    return portfolio


@pytest.fixture
def checker(portfolio: Portfolio) -> User:
    user = make.make_user("checker")
    make.grant(user, portfolio, PortfolioRole.CHECKER)
    return user


def proposed(portfolio: Portfolio) -> RebalancingEvent:
    return event_propose(
        rebalancing_recommend(portfolio), Trigger(EventType.MANUAL, {}), actor=portfolio.owner
    )


def approved(portfolio: Portfolio, checker: User) -> RebalancingEvent:
    event = proposed(portfolio)
    return event_approve(event.pk, actor=checker, proposal_hash=event.proposal_hash, note="as agreed")


def test_what_was_estimated_is_what_it_comes_to(portfolio: Portfolio, checker: User) -> None:
    event = event_execute(approved(portfolio, checker).pk, actor=checker)
    assert event.status == EventStatus.COMPLETED
    assert {(a["symbol"], a["side"]) for a in event.actions} == {
        ("AAA", "sell"),
        ("BBB", "buy"),
        ("RHEIN", "buy"),
    }
    assert event.actual_cost is not None
    assert abs(event.actual_cost - event.estimated_cost) < Decimal("0.00001")
    assert event.estimated_tax is not None
    assert event.estimated_tax > 0
    assert event.actual_tax is not None
    assert abs(event.actual_tax - event.estimated_tax) < Decimal("0.00001")
    document = ProposalVersion.objects.get().proposal
    state: dict[str, Any] = event.post_state or {}
    # The one exchange is rounded to cents, and nothing is left overdrawn.
    assert abs(Decimal(state["cash"]) - Decimal(document["cash_after"])) < Decimal("0.02")
    assert min(stage.cash(portfolio).values()) >= 0
    assert (state["residual"], state["differences"]) == ("0", [])
    assert audit_verify().is_intact


def test_after_completion_there_is_nothing_left_to_trade(portfolio: Portfolio, checker: User) -> None:
    event_execute(approved(portfolio, checker).pk, actor=None)
    again = rebalancing_recommend(portfolio)
    assert (again.status, again.trades) == ("in_balance", ())


def test_the_lots_of_the_proposal_are_those_of_the_books(portfolio: Portfolio, checker: User) -> None:
    dear = stage.buy(portfolio, Asset.objects.get(symbol="AAA"), 5, 119)
    event = event_execute(approved(portfolio, checker).pk, actor=None)
    sale = next(action for action in event.actions if action["side"] == "sell")
    booked = next(row for row in stage.booked() if row.kind == "sell")
    assert booked.lots == [{"lot": lot["lot"], "quantity": lot["quantity"]} for lot in sale["lots"]]
    assert sale["lots"][0]["lot"] == dear.pk


@pytest.mark.parametrize("field", ["quantity", "side"])
def test_trades_that_were_changed_after_the_approval_are_not_executed(
    portfolio: Portfolio, checker: User, field: str
) -> None:
    event = approved(portfolio, checker)
    event.actions[0][field] = {"quantity": "1", "side": "buy"}[field]
    RebalancingEvent.objects.update(actions=event.actions)
    with pytest.raises(EventConflict, match="is not the proposal that is stored as version 1"):
        event_execute(event.pk, actor=None)
    assert not stage.booked()
    event.refresh_from_db()
    assert event.status == EventStatus.APPROVED


def test_an_unapproved_proposal_stays_one(portfolio: Portfolio) -> None:
    event = proposed(portfolio)
    with pytest.raises(EventConflict, match="is pending, not approved"):
        event_execute(event.pk, actor=portfolio.owner)
    assert not stage.booked()


def test_at_average_cost_the_books_choose(portfolio: Portfolio, checker: User) -> None:
    Portfolio.objects.update(cost_method="average")
    portfolio.refresh_from_db()
    RebalancingPolicy.objects.update(lot_method="book")
    event = event_execute(approved(portfolio, checker).pk, actor=None)
    assert event.status == EventStatus.COMPLETED
    assert {row.lots for row in stage.booked()} == {None}
