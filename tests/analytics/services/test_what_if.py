"""What if: options side by side, and one of them promoted."""

import datetime as dt
import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command

from analytics.models import ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services.rebalancing_recommendation import PolicyOverrides
from analytics.services.what_if import (
    MOST_SCENARIOS,
    Scenario,
    WhatIfError,
    what_if_compare,
    what_if_promote,
)
from portfolios.models import AuditEvent, Portfolio, PortfolioRole
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY
DAY_BEFORE = DAY - dt.timedelta(days=1)
SCENARIOS = (
    Scenario("all", PolicyOverrides(mode="full")),
    Scenario("cash", PolicyOverrides(mode="invest_cash")),
    Scenario("dear", PolicyOverrides(mode="full", cost_rate=Decimal("0.01"), turnover_cap=Decimal("0.1"))),
)


@pytest.fixture
def portfolio() -> Portfolio:
    """10,000: 60 AAA at 100, 10 BBB at 200, 2,000 in cash; targets 50, 40 and 10 in cash."""
    portfolio = make.make_portfolio("HOME", owner=make.make_user("olga"))
    make.make_transaction(portfolio, kind="deposit", amount=10000, trade_date=DAY_BEFORE)
    for symbol, price, quantity, target in (("AAA", 100, 60, 50), ("BBB", 200, 10, 40)):
        asset = make.make_asset(symbol)
        for day in (DAY_BEFORE, DAY):
            make.make_price(asset, day, close=Decimal(price))
        make.make_transaction(
            portfolio, kind="buy", asset=asset, quantity=quantity, price=price, amount=price * quantity,
            trade_date=DAY_BEFORE,
        )  # fmt: skip
        make.make_allocation(portfolio, asset, target, rebalance_threshold=5)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", cash_target_percentage=10)
    return portfolio


def test_scenarios_are_compared_on_one_snapshot_and_nothing_is_stored(portfolio: Portfolio) -> None:
    answer = what_if_compare(portfolio, SCENARIOS, DAY).as_json(number=float)
    rows = {row["name"]: row for row in answer["scenarios"]}
    assert list(rows) == ["all", "cash", "dear"]
    assert (rows["all"]["drift_after"], rows["all"]["turnover"], rows["all"]["cost"]) == (0, 0.3, 0)
    assert rows["cash"]["turnover"] == pytest.approx(0.2)
    assert rows["dear"]["turnover"] == pytest.approx(0.1)
    assert rows["dear"]["cost"] == pytest.approx(10)
    assert rows["dear"]["options"] == {"mode": "full", "cost_rate": "0.01", "turnover_cap": "0.1"}
    assert not RebalancingEvent.objects.exists()
    assert not AuditEvent.objects.exists()
    assert RebalancingPolicy.objects.get().cost_rate == 0


def test_the_one_that_is_promoted_is_found_exactly_and_stored(portfolio: Portfolio) -> None:
    comparison = what_if_compare(portfolio, SCENARIOS, DAY)
    event = what_if_promote(comparison, "dear", actor=portfolio.owner)
    assert (event.event_type, event.gear, event.requested_by) == ("manual", "exact", portfolio.owner)
    assert event.trigger["what_if"] == "dear"
    assert event.trigger["snapshot"] == comparison.snapshot
    assert event.turnover == pytest.approx(0.1)
    assert ProposalVersion.objects.get().inputs["policy"]["cost_rate"] == "0.01"


def test_what_cannot_be_promoted(portfolio: Portfolio) -> None:
    viewer = make.make_user()
    make.grant(viewer, portfolio, PortfolioRole.VIEWER)
    comparison = what_if_compare(portfolio, [*SCENARIOS, Scenario("none", PolicyOverrides(mode="hold"))], DAY)
    with pytest.raises(PermissionDenied):
        what_if_promote(comparison, "all", actor=viewer)
    with pytest.raises(WhatIfError, match="there is no other"):
        what_if_promote(comparison, "other")
    with pytest.raises(WhatIfError, match="none: in_balance"):
        what_if_promote(comparison, "none")
    assert not RebalancingEvent.objects.exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "0 given, from 1 to 20"),
        ([str(number) for number in range(MOST_SCENARIOS + 1)], "21 given, from 1 to 20"),
        (["same", "same"], "same is there more than once"),
    ],
)
def test_scenarios_that_cannot_be_compared(portfolio: Portfolio, names: list[str], message: str) -> None:
    with pytest.raises(WhatIfError, match=message):
        what_if_compare(portfolio, [Scenario(name, PolicyOverrides()) for name in names], DAY)


def test_a_portfolio_without_books_has_no_snapshot() -> None:
    comparison = what_if_compare(make.make_portfolio("EMPTY"), SCENARIOS, DAY)
    assert comparison.snapshot is None
    assert {row["status"] for row in comparison.as_json()["scenarios"]} == {"blocked"}
    with pytest.raises(WhatIfError, match="no settled transaction"):
        what_if_promote(comparison, "all")


def compare(*arguments: str) -> str:
    out = StringIO()
    call_command("compare_rebalancing", "HOME", "--date", DAY.isoformat(), *arguments, stdout=out)
    return out.getvalue()


def test_the_command_compares_and_promotes(portfolio: Portfolio) -> None:
    scenarios = ("--scenario", "all:mode=full", "--scenario", "dear:mode=full,cost_rate=0.01")
    answer = json.loads(compare(*scenarios, "--format", "json"))
    assert [row["name"] for row in answer["scenarios"]] == ["all", "dear"]
    assert answer["scenarios"][1]["cost"] == pytest.approx(30)
    assert answer["event"] is None
    assert not RebalancingEvent.objects.exists()
    text = compare(*scenarios, "--promote", "all", "--user", "olga")
    event = RebalancingEvent.objects.get()
    assert f"all is proposed: event {event.pk}" in text
    assert event.requested_by == portfolio.owner


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--scenario", ":mode=full"),
        ("--scenario", "a:colour=red"),
        ("--scenario", "a:mode=sideways"),
        ("--scenario", "a:cost_rate=much"),
        ("--scenario", "a", "--scenario", "a"),
        ("--scenario", "a", "--promote", "b"),
        ("--scenario", "a", "--promote", "a", "--user", "nobody"),
    ],
)
def test_the_command_names_what_is_wrong(portfolio: Portfolio, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        compare(*arguments)
    assert not RebalancingEvent.objects.exists()
