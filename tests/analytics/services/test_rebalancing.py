"""From targets and holdings to drift, recommendations and stored proposals."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from analytics.models import (
    EventStatus,
    EventType,
    PortfolioAllocation,
    ProposalVersion,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.services.event_expiry import events_expire
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    Recommendation,
    rebalancing_recommend,
)
from analytics.services.triggers import Trigger
from portfolio_site.kernel import clock
from portfolios.models import Asset, AuditEvent, CorporateAction, Portfolio, PriceBar
from portfolios.services.audit import audit_verify
from tests.support import factories as make
from tests.support.house import run

pytestmark = pytest.mark.django_db
DAY = make.DAY
DAY_BEFORE = DAY - dt.timedelta(days=1)


@pytest.fixture
def portfolio() -> Portfolio:
    """10,000: 60 shares of A at 100, 10 of B at 200, 2,000 in cash; targets 50, 40 and 10 in cash."""
    portfolio = make.make_portfolio("HOME", owner=make.make_user())
    make.make_transaction(portfolio, kind="deposit", amount=10000, trade_date=DAY_BEFORE)
    for symbol, price, quantity, target in (("AAA", 100, 60, 50), ("BBB", 200, 10, 40)):
        asset = make.make_asset(symbol)
        for day in (DAY_BEFORE, DAY):
            make.make_price(asset, day, close=Decimal(price))
        make.make_transaction(
            portfolio,
            kind="buy",
            asset=asset,
            quantity=quantity,
            price=price,
            amount=price * quantity,
            trade_date=DAY_BEFORE,
        )
        make.make_allocation(portfolio, asset, target, rebalance_threshold=5)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", cash_target_percentage=10)
    return portfolio


def set_policy(portfolio: Portfolio, **changes: Any) -> None:
    RebalancingPolicy.objects.filter(portfolio=portfolio).update(**changes)


def trades(found: Recommendation) -> dict[str, Decimal]:
    return {t.symbol: t.quantity if t.side == "buy" else -t.quantity for t in found.trades}


def rebalance(portfolio: Portfolio) -> list[str]:
    """Run the drift sweep; return its issues."""
    issues: list[str] = run(only=["rebalancing"], portfolio_codes=[portfolio.code]).issues
    return issues


def test_drift_is_stored_line_by_line(portfolio: Portfolio) -> None:
    rebalance(portfolio)
    stored = {
        line.asset.symbol: (
            line.current_value,
            line.current_percentage,
            line.drift_percentage,
            line.is_breached,
        )
        for line in PortfolioAllocation.objects.select_related("asset")
    }
    assert stored == {"AAA": (6000, 60, 10, True), "BBB": (2000, 20, -20, True)}


def test_a_weight_exactly_on_the_edge_is_no_breach(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.filter(asset__symbol="AAA").update(rebalance_threshold=10)
    rebalance(portfolio)
    assert PortfolioAllocation.objects.get(asset__symbol="AAA").is_breached is False


def test_full_mode_reaches_the_targets(portfolio: Portfolio) -> None:
    found = rebalancing_recommend(portfolio, DAY)
    assert found.status == "ready"
    assert trades(found) == {"AAA": -10, "BBB": 10}
    answer = found.as_json(number=float)
    assert (answer["value"], answer["cash_before"], answer["cash_after"]) == (10000, 2000, 1000)
    assert (answer["drift_before"], answer["drift_after"], answer["tracking_distance"]) == (20, 0, 0)


def test_overrides_take_the_place_of_the_policy_and_are_not_stored(portfolio: Portfolio) -> None:
    found = rebalancing_recommend(
        portfolio, DAY, PolicyOverrides(mode="invest_cash", cash_reserve=Decimal(400))
    )
    assert trades(found) == {"BBB": 8}
    policy = RebalancingPolicy.objects.get()
    assert (policy.mode, policy.cash_reserve) == ("full", 0)


@pytest.mark.parametrize(
    ("overrides", "limit", "expected"),
    [
        (PolicyOverrides(mode="invest_cash"), {"max_percentage": 55}, {"BBB": Decimal(10)}),
        (PolicyOverrides(mode="raise_cash", raise_amount=Decimal(500)), {}, {"AAA": Decimal(-10)}),
    ],
)
def test_a_line_outside_its_limits_does_not_stop_a_cash_mode(
    portfolio: Portfolio, overrides: PolicyOverrides, limit: dict[str, Any], expected: dict[str, Decimal]
) -> None:
    PortfolioAllocation.objects.filter(asset__symbol="AAA").update(**limit)
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(min_percentage=30)
    found = rebalancing_recommend(portfolio, DAY, overrides)
    assert (found.status, trades(found)) == ("ready", expected)


def test_a_stale_price_blocks(portfolio: Portfolio) -> None:
    later = make.make_asset("CCC")
    make.make_price(later, DAY + dt.timedelta(days=11))
    make.make_benchmark(portfolio, later)
    found = rebalancing_recommend(portfolio, DAY + dt.timedelta(days=11))
    assert (found.status, found.trades) == ("blocked", ())
    assert "AAA: the price is 11 days old" in found.reasons


def test_a_target_without_a_price_blocks(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(target_percentage=30)
    make.make_allocation(portfolio, make.make_asset("NEW"), 10)
    found = rebalancing_recommend(portfolio, DAY)
    assert found.status == "blocked"
    assert found.reasons == ("NEW: no price in USD",)
    set_policy(portfolio, mode="bands")
    assert rebalance(portfolio) == ["HOME: no proposal: NEW: no price in USD"]
    assert not RebalancingEvent.objects.exists()


@pytest.mark.parametrize("mode", ["full", "bands", "invest_cash"])
def test_a_holding_without_a_price_is_an_issue_in_every_mode(portfolio: Portfolio, mode: str) -> None:
    set_policy(portfolio, mode=mode)
    PriceBar.objects.filter(asset__symbol="AAA").delete()
    assert rebalance(portfolio) == ["HOME: no proposal: AAA: no price in USD"]
    assert not RebalancingEvent.objects.exists()
    line = PortfolioAllocation.objects.get(asset__symbol="BBB")
    assert line.current_percentage is None
    assert line.quality == {"current_percentage": "AAA: no price in USD"}


def test_a_price_carried_over_a_split_is_in_the_new_shares(portfolio: Portfolio) -> None:
    """AAA splits 4:1 on a day on which it does not trade: four times the shares, a quarter of the price."""
    aaa = Asset.objects.get(symbol="AAA")
    PriceBar.objects.filter(asset=aaa, date=DAY).delete()
    CorporateAction.objects.create(asset=aaa, ex_date=DAY, kind="split", ratio_new=4, ratio_old=1)
    found = rebalancing_recommend(portfolio, DAY)
    assert found.state
    assert found.state.value == 10000
    assert trades(found) == {"AAA": -40, "BBB": 10}
    assert {trade.symbol: trade.price for trade in found.trades} == {"AAA": 25, "BBB": 200}


def test_without_targets_nothing_is_proposed(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.update(is_active=False)
    assert rebalancing_recommend(portfolio, DAY).reasons == ("the portfolio has no targets",)
    assert rebalance(portfolio) == []
    assert not RebalancingEvent.objects.exists()


def test_a_breach_triggers_a_proposal_with_its_evidence(portfolio: Portfolio) -> None:
    set_policy(portfolio, mode="bands")
    rebalance(portfolio)
    event = RebalancingEvent.objects.get()
    assert (event.event_type, event.status, event.valuation_date) == ("threshold", "pending", DAY)
    assert event.trigger["breaches"][0] == {
        "symbol": "AAA", "weight": "60.000000", "target": "50", "lower": "45", "upper": "55", "price": "100",
    }  # fmt: skip
    assert [(action["symbol"], action["side"], action["quantity"]) for action in event.actions] == [
        ("AAA", "sell", "10"),
        ("BBB", "buy", "10"),
    ]
    assert len(event.proposal_hash) == 64
    assert event.optimality_gap == 0
    audit = AuditEvent.objects.get(action="rebalancing.proposed")
    assert (audit.object_id, audit.portfolio) == (str(event.pk), portfolio)
    assert audit.after
    assert audit.after["proposal_hash"] == event.proposal_hash


def test_inside_the_bands_nothing_is_proposed(portfolio: Portfolio) -> None:
    set_policy(portfolio, mode="bands")
    PortfolioAllocation.objects.update(rebalance_threshold=25)
    rebalance(portfolio)
    assert not RebalancingEvent.objects.exists()


def test_cash_to_invest_triggers_buys_only(portfolio: Portfolio) -> None:
    set_policy(portfolio, mode="invest_cash", cash_reserve=Decimal(400))
    rebalance(portfolio)
    event = RebalancingEvent.objects.get()
    assert event.event_type == "cash_flow"
    assert (event.trigger["wanted"], event.trigger["excess"]) == ("1000.00", "1000.00")
    assert {action["side"] for action in event.actions} == {"buy"}


def test_a_schedule_is_due_once_in_its_period(portfolio: Portfolio) -> None:
    rebalance(portfolio)
    assert not RebalancingEvent.objects.exists()  # no line has a schedule
    PortfolioAllocation.objects.filter(asset__symbol="AAA").update(rebalance_frequency="quarterly")
    rebalance(portfolio)
    event = RebalancingEvent.objects.get()
    assert (event.event_type, event.trigger["period_start"]) == ("scheduled", "2024-01-01")
    RebalancingEvent.objects.update(status=EventStatus.REJECTED, valuation_date=DAY - dt.timedelta(days=40))
    rebalance(portfolio)
    assert RebalancingEvent.objects.count() == 1


def test_a_second_trigger_joins_the_open_event(portfolio: Portfolio) -> None:
    set_policy(portfolio, mode="bands")
    rebalance(portfolio)
    first = RebalancingEvent.objects.values().get()
    rebalance(portfolio)  # the same trigger fires again, which is nothing new
    assert RebalancingEvent.objects.values().get() == first
    asked = Trigger(EventType.MANUAL, {"why": "a client called"})
    again = event_propose(rebalancing_recommend(portfolio, DAY), asked, actor=portfolio.owner)
    assert again.pk == first["id"]
    joined: dict[str, Any] = dict(RebalancingEvent.objects.values().get())
    (entry,) = joined.pop("joined_triggers")
    assert (entry["event_type"], entry["evidence"]) == ("manual", {"why": "a client called"})
    assert joined == {name: value for name, value in first.items() if name != "joined_triggers"}
    assert AuditEvent.objects.filter(action="rebalancing.proposed").count() == 1
    audit = AuditEvent.objects.get(action="rebalancing.trigger_joined")
    assert portfolio.owner
    assert (audit.object_id, audit.actor) == (str(again.pk), portfolio.owner.username)
    assert ProposalVersion.objects.count() == 1


def test_what_was_rejected_is_not_proposed_again_from_the_same_inputs(portfolio: Portfolio) -> None:
    set_policy(portfolio, mode="bands")
    rebalance(portfolio)
    RebalancingEvent.objects.update(status=EventStatus.REJECTED)
    rebalance(portfolio)
    assert RebalancingEvent.objects.count() == 1


def test_only_what_is_ready_can_be_stored(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.update(is_active=False)
    with pytest.raises(ValueError, match="only a proposal that is ready"):
        event_propose(rebalancing_recommend(portfolio, DAY), Trigger(EventType.MANUAL, {}))
    assert not RebalancingEvent.objects.exists()


def test_stale_proposals_expire_with_an_audit_row(portfolio: Portfolio) -> None:
    set_policy(portfolio, mode="bands")
    rebalance(portfolio)
    assert events_expire() == 0
    RebalancingEvent.objects.update(expires_at=clock.now() - dt.timedelta(seconds=1))
    assert events_expire() == 1
    assert events_expire() == 0
    assert RebalancingEvent.objects.get().status == EventStatus.EXPIRED
    assert AuditEvent.objects.filter(action="rebalancing.expired").count() == 1
    assert audit_verify().is_intact


def test_an_executing_event_never_expires(portfolio: Portfolio) -> None:
    make.make_event(portfolio, status="executing", expires_at=clock.now() - dt.timedelta(days=1))
    assert events_expire() == 0
    assert RebalancingEvent.objects.get().status == EventStatus.EXECUTING


def test_the_same_inputs_make_the_same_hash(portfolio: Portfolio) -> None:
    set_policy(portfolio, mode="bands")
    first = rebalancing_recommend(portfolio, DAY).proposal_hash
    rebalance(portfolio)
    assert RebalancingEvent.objects.get().proposal_hash == first
    assert rebalancing_recommend(portfolio, DAY).proposal_hash == first
    set_policy(portfolio, fee_per_trade=Decimal(1))
    assert rebalancing_recommend(portfolio, DAY).proposal_hash != first
