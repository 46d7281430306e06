"""What gives rise to a proposal, and what keeps one from being made."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics.models import (
    AnalyticsRun,
    CashReserve,
    EventStatus,
    PortfolioAllocation,
    ProposalGear,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.selectors.portfolio_panels import PortfolioPanel, portfolio_panels
from analytics.services.allocation_analysis import AllocationState, allocations_analyse
from analytics.services.import_allocations import allocations_import
from analytics.services.rebalancing_events import ProposalOutcome, events_propose_if_due
from analytics.services.restrictions import restriction_add, restriction_lift
from analytics.services.triggers import triggers_due
from portfolio_site.kernel import clock
from portfolios.models import Asset, AuditEvent, Portfolio, PriceBar
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY
DAY_BEFORE = DAY - dt.timedelta(days=1)
HEADER = (
    "portfolio,symbol,target_percentage,min_percentage,max_percentage,rebalance_threshold,rebalance_frequency"
)


def make_house(code: str = "HOME", **policy: Any) -> Portfolio:
    """10,000: 60 AAA at 100, 10 BBB at 200, 2,000 in cash; targets 50, 40 and 10 in cash."""
    portfolio = make.make_portfolio(code, owner=make.make_user())
    make.make_transaction(portfolio, kind="deposit", amount=10000, trade_date=DAY_BEFORE)
    for symbol, price, quantity, target in (("AAA", 100, 60, 50), ("BBB", 200, 10, 40)):
        asset = Asset.objects.filter(symbol=symbol).first() or make.make_asset(symbol)
        for day in (DAY_BEFORE, DAY):
            if not PriceBar.objects.filter(asset=asset, date=day).exists():
                make.make_price(asset, day, close=Decimal(price))
        make.make_transaction(
            portfolio, kind="buy", asset=asset, quantity=quantity, price=price, amount=price * quantity,
            trade_date=DAY_BEFORE,
        )  # fmt: skip
        make.make_allocation(portfolio, asset, target, rebalance_threshold=5)
    RebalancingPolicy.objects.create(
        portfolio=portfolio, **{"mode": "full", "cash_target_percentage": 10} | policy
    )
    return portfolio


def states(*portfolios: Portfolio) -> list[AllocationState]:
    panels = [panel for panel in portfolio_panels(portfolios, DAY) if isinstance(panel, PortfolioPanel)]
    return allocations_analyse(panels)


def fired(portfolio: Portfolio) -> list[str]:
    return [str(trigger.event_type) for trigger in triggers_due(states(portfolio))[portfolio.pk]]


def sweep(*portfolios: Portfolio, gear: str = ProposalGear.EXACT) -> list[ProposalOutcome]:
    return events_propose_if_due(run(), states(*portfolios), gear=gear)


def run() -> AnalyticsRun:
    return make.make_run(stage="test")


def closed_event(portfolio: Portfolio, **fields: Any) -> RebalancingEvent:
    given = {"status": EventStatus.REJECTED, "valuation_date": DAY_BEFORE} | fields
    return make.make_event(portfolio, **given)


def import_targets(tmp_path: Path, *rows: str) -> None:
    path = tmp_path / "targets.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    report = allocations_import(path)
    assert not report.rejected


def test_changed_targets_fire_once_with_what_changed(tmp_path: Path) -> None:
    portfolio = make_house()
    assert fired(portfolio) == []
    import_targets(tmp_path, "HOME,AAA,55,0,100,5,none", "HOME,BBB,35,0,100,5,none", "HOME,CASH,10,,,,")
    (trigger,) = triggers_due(states(portfolio))[portfolio.pk]
    audit = AuditEvent.objects.get(action="allocation.changed")
    assert trigger.event_type == "targets"
    assert trigger.evidence == {
        "date": DAY.isoformat(), "changes": [audit.sequence], "symbols": ["AAA", "BBB"],
    }  # fmt: skip
    assert sweep(portfolio) == [ProposalOutcome(1)]
    event = RebalancingEvent.objects.get()
    assert (event.event_type, event.trigger) == ("targets", trigger.evidence)
    RebalancingEvent.objects.update(status=EventStatus.REJECTED)
    assert fired(portfolio) == []


def test_a_first_set_of_targets_is_no_change(tmp_path: Path) -> None:
    portfolio = make_house()
    PortfolioAllocation.objects.all().delete()
    import_targets(tmp_path, "HOME,AAA,55,0,100,5,none", "HOME,BBB,35,0,100,5,none", "HOME,CASH,10,,,,")
    assert fired(portfolio) == []


def test_a_changed_restriction_fires_until_something_is_proposed() -> None:
    portfolio = make_house()
    bbb = Asset.objects.get(symbol="BBB")
    restriction_add(portfolio, kind="do_not_buy", asset=make.make_asset("ZZZ"), reason="no part of it")
    assert fired(portfolio) == []
    restriction = restriction_add(
        None, kind="range", asset=bbb, maximum=30, reason="house rule", starts_on=DAY_BEFORE
    )
    (trigger,) = triggers_due(states(portfolio))[portfolio.pk]
    assert trigger.event_type == "restriction"
    assert [entry["restriction"] for entry in trigger.evidence["restrictions"]] == [restriction.pk]
    assert sweep(portfolio) == [ProposalOutcome(1)]
    RebalancingEvent.objects.update(status=EventStatus.REJECTED)
    assert fired(portfolio) == []
    restriction_lift(restriction, reason="gone", last_day=clock.today())
    assert fired(portfolio) == ["restriction"]


def test_a_range_that_is_left_is_a_breach() -> None:
    portfolio = make_house(mode="bands")
    PortfolioAllocation.objects.update(rebalance_threshold=50)
    restriction_add(
        portfolio, kind="range", asset=Asset.objects.get(symbol="AAA"), maximum=55, reason="mandate",
        starts_on=DAY_BEFORE,
    )  # fmt: skip
    closed_event(portfolio)
    (trigger,) = triggers_due(states(portfolio))[portfolio.pk]
    assert trigger.event_type == "threshold"
    assert trigger.evidence["breaches"] == [
        {"symbol": "AAA", "weight": "60.000000", "restriction": "at most 55 % (mandate)"}
    ]
    assert sweep(portfolio) == [ProposalOutcome(1)]
    (action,) = RebalancingEvent.objects.get(status="pending").actions
    assert (action["symbol"], action["side"], Decimal(action["quantity"])) == ("AAA", "sell", 10)


def test_what_is_held_without_a_target_gives_rise_to_liquidation() -> None:
    portfolio = make_house(mode="liquidate")
    assert fired(portfolio) == []
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(is_active=False)
    assert fired(portfolio) == ["threshold"]
    assert sweep(portfolio) == [ProposalOutcome(1)]
    (action,) = RebalancingEvent.objects.get().actions
    assert (action["symbol"], action["side"], action["quantity"]) == ("BBB", "sell", "10")


def test_hold_is_never_moved() -> None:
    portfolio = make_house(mode="hold")
    assert triggers_due(states(portfolio)) == {}
    assert sweep(portfolio) == [ProposalOutcome()]


@pytest.mark.parametrize("mode", ["bands", "full"])
@pytest.mark.parametrize(("days_ago", "expected"), [(0, False), (4, False), (5, True), (40, True)])
def test_nothing_is_proposed_while_a_rebalancing_cools_off(mode: str, days_ago: int, expected: bool) -> None:
    portfolio = make_house(mode=mode, cool_off_days=5)
    PortfolioAllocation.objects.update(rebalance_frequency="daily")
    done = dt.datetime.combine(DAY - dt.timedelta(days=days_ago), dt.time(12), dt.UTC)
    closed_event(portfolio, status=EventStatus.COMPLETED, completed_at=done)
    assert bool(fired(portfolio)) is expected
    assert sweep(portfolio) == [ProposalOutcome(int(expected))]


def test_cash_that_is_reserved_for_a_day_is_not_to_be_invested() -> None:
    portfolio = make_house(mode="invest_cash")
    assert fired(portfolio) == ["cash_flow"]
    reserve = CashReserve.objects.create(
        portfolio=portfolio,
        kind="fee",
        amount=10**9,
        due_date=DAY + dt.timedelta(days=30),
        note="of the year",
    )
    assert fired(portfolio) == []
    CashReserve.objects.filter(pk=reserve.pk).update(due_date=DAY + dt.timedelta(days=31))
    assert fired(portfolio) == ["cash_flow"]


def test_cash_to_invest_does_not_wait_for_the_cool_off() -> None:
    portfolio = make_house(mode="invest_cash", cool_off_days=5)
    done = dt.datetime.combine(DAY, dt.time(12), dt.UTC)
    closed_event(portfolio, status=EventStatus.COMPLETED, completed_at=done)
    assert fired(portfolio) == ["cash_flow"]


def test_a_schedule_that_joined_an_open_event_is_not_due_again() -> None:
    portfolio = make_house()
    PortfolioAllocation.objects.update(rebalance_frequency="quarterly")
    make.make_event(portfolio)
    assert sweep(portfolio) == [ProposalOutcome()]
    event = RebalancingEvent.objects.get()
    assert [entry["event_type"] for entry in event.joined_triggers] == ["scheduled"]
    assert AuditEvent.objects.filter(action="rebalancing.trigger_joined").count() == 1
    sweep(portfolio)
    assert RebalancingEvent.objects.values().get()["joined_triggers"] == event.joined_triggers
    RebalancingEvent.objects.update(status=EventStatus.REJECTED)
    assert fired(portfolio) == []


def test_triggers_that_fire_together_are_kept_together(tmp_path: Path) -> None:
    portfolio = make_house(mode="bands")
    import_targets(tmp_path, "HOME,AAA,45,0,100,5,none", "HOME,BBB,45,0,100,5,none", "HOME,CASH,10,,,,")
    assert sweep(portfolio) == [ProposalOutcome(1)]
    event = RebalancingEvent.objects.get()
    assert event.event_type == "threshold"
    assert [entry["event_type"] for entry in event.joined_triggers] == ["targets"]


def test_many_portfolios_need_no_more_questions_than_two(
    django_assert_max_num_queries: Any, django_assert_num_queries: Any
) -> None:
    portfolios = [make_house(f"P{number}", mode="bands") for number in range(5)]
    few, many = states(*portfolios[:2]), states(*portfolios[2:])
    with django_assert_max_num_queries(60) as asked:
        events_propose_if_due(run(), few, gear=ProposalGear.FAST)
    with django_assert_num_queries(len(asked)):
        events_propose_if_due(run(), many, gear=ProposalGear.FAST)
    assert RebalancingEvent.objects.count() == 5
    assert set(RebalancingEvent.objects.values_list("event_type", flat=True)) == {"threshold"}


def test_one_blocked_portfolio_does_not_stop_the_others() -> None:
    good, bad = make_house("GOOD", mode="bands"), make_house("BAD", mode="bands")
    make.make_transaction(
        bad, kind="buy", asset=make.make_asset("NEW"), quantity=1, price=1, amount=1, trade_date=DAY_BEFORE
    )
    outcomes = sweep(good, bad)
    assert outcomes[0] == ProposalOutcome(1)
    assert outcomes[1] == ProposalOutcome(0, ["no proposal: NEW: no price in USD"])
    assert RebalancingEvent.objects.get().portfolio == good
