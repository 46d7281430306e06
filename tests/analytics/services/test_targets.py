"""Whole sets of targets: saved at once, onto the set that was seen, or asked of a second person."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError

from analytics.models import ChangeRequest, PortfolioAllocation, RebalancingPolicy
from analytics.services.targets import (
    StandingTargets,
    TargetFaults,
    TargetsConflict,
    targets_may_change,
    targets_save,
)
from portfolios.models import Asset, AuditEvent, Portfolio, PortfolioRole
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def values(target: Any, **others: Any) -> dict[str, Any]:
    defaults = {
        "target_percentage": Decimal(target),
        "min_percentage": Decimal(0),
        "max_percentage": Decimal(100),
        "rebalance_threshold": None,
        "rebalance_threshold_relative": None,
        "band_rule": "either",
        "rebalance_frequency": "none",
        "is_active": True,
    }
    return defaults | {name: Decimal(value) for name, value in others.items()}


@pytest.fixture
def portfolio() -> Portfolio:
    """Half AAA, half cash."""
    portfolio = make.make_portfolio("P1")
    make.make_allocation(portfolio, make.make_asset("AAA"), 50)
    RebalancingPolicy.objects.create(portfolio=portfolio, cash_target_percentage=50)
    return portfolio


@pytest.fixture
def ann(portfolio: Portfolio) -> User:
    ann = make.make_user("ann")
    make.grant(ann, portfolio, PortfolioRole.MANAGER)
    return ann


def version(portfolio: Portfolio) -> str:
    return StandingTargets([portfolio.pk]).version(portfolio)


def aaa(**changes: Any) -> Mapping[Asset, Mapping[str, Any]]:
    return {Asset.objects.get(symbol="AAA"): values(**changes)}


def test_a_set_is_saved_with_its_audit_row(portfolio: Portfolio, ann: User) -> None:
    seen = version(portfolio)
    targets = {**aaa(target=60), make.make_asset("BBB"): values("30.5", min_percentage=20)}
    assert targets_save(
        portfolio, targets, Decimal("9.5"), actor=ann, reason="more risk", expected_version=seen
    )
    lines = PortfolioAllocation.objects.order_by("asset__symbol")
    assert list(lines.values_list("asset__symbol", "target_percentage", "min_percentage")) == [
        ("AAA", 60, 0),
        ("BBB", Decimal("30.5"), 20),
    ]
    assert RebalancingPolicy.objects.get().cash_target_percentage == Decimal("9.5")
    event = AuditEvent.objects.get(action="allocation.changed")
    assert (event.actor, event.reason) == ("ann", "more risk")
    assert version(portfolio) != seen


def test_a_set_that_was_changed_meanwhile_is_a_conflict(portfolio: Portfolio, ann: User) -> None:
    seen = version(portfolio)
    targets_save(portfolio, aaa(target=60), Decimal(40), actor=ann, expected_version=seen)
    with nothing_written(), pytest.raises(TargetsConflict, match="P1 were changed by somebody else"):
        targets_save(portfolio, aaa(target=70), Decimal(30), actor=ann, expected_version=seen)


def test_a_changed_cash_target_is_a_conflict_too(portfolio: Portfolio, ann: User) -> None:
    seen = version(portfolio)
    RebalancingPolicy.objects.update(cash_target_percentage=49)
    with nothing_written(), pytest.raises(TargetsConflict):
        targets_save(portfolio, aaa(target=70), Decimal(30), actor=ann, expected_version=seen)


def test_what_a_run_writes_is_no_other_version(portfolio: Portfolio) -> None:
    seen = version(portfolio)
    PortfolioAllocation.objects.update(current_percentage=3.0, drift_percentage=-47.0, is_breached=True)
    assert version(portfolio) == seen


def test_the_same_set_is_no_change(portfolio: Portfolio, ann: User) -> None:
    with nothing_written():
        assert targets_save(portfolio, aaa(target=50), Decimal(50), actor=ann) is False


def test_no_policy_and_no_cash_are_the_same(ann: User) -> None:
    bare = make.make_portfolio("P2", owner=ann)
    make.make_allocation(bare, make.make_asset("CCC"), 100)
    targets = {Asset.objects.get(symbol="CCC"): values(100)}
    with nothing_written():
        assert targets_save(bare, targets, Decimal(0), actor=ann) is False


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"target": 50, "min_percentage": 51}, "min_percentage", "is above the target, 50"),
        ({"target": 50, "min_percentage": -1}, "min_percentage", "must not be below 0"),
        ({"target": 50, "max_percentage": "49.5"}, "max_percentage", "is below the target, 50"),
        ({"target": 50, "max_percentage": 101}, "max_percentage", "is above 100"),
        ({"target": 50, "rebalance_threshold": -2}, "rebalance_threshold", "must not be below 0"),
    ],
)
def test_faults_name_line_field_and_reason(
    portfolio: Portfolio, ann: User, changes: dict[str, Any], field: str, reason: str
) -> None:
    with nothing_written(), pytest.raises(TargetFaults) as caught:
        targets_save(portfolio, aaa(**changes), Decimal(50), actor=ann)
    assert [(str(fault.asset), fault.field, fault.reason) for fault in caught.value.faults] == [
        ("AAA", field, reason)
    ]
    assert caught.value.messages == [f"AAA: {field} {reason}"]


def test_only_active_assets_become_targets_but_old_ones_may_stay(portfolio: Portfolio, ann: User) -> None:
    Asset.objects.update(is_active=False)
    gone = make.make_asset("GONE", is_active=False)
    with nothing_written(), pytest.raises(TargetFaults, match="GONE: asset is not active"):
        targets_save(portfolio, {**aaa(target=50), gone: values(40)}, Decimal(10), actor=ann)
    assert targets_save(portfolio, aaa(target=60), Decimal(40), actor=ann)


@pytest.mark.parametrize("two_persons", [False, True])
def test_targets_and_cash_must_make_100(portfolio: Portfolio, ann: User, two_persons: bool) -> None:
    RebalancingPolicy.objects.update(two_person_changes=two_persons)
    with nothing_written(), pytest.raises(ValidationError, match=r"P1 make 99\.5, not 100"):
        targets_save(portfolio, aaa(target=60), Decimal("39.5"), actor=ann)


def test_under_the_two_person_rule_a_set_is_asked_for(portfolio: Portfolio, ann: User) -> None:
    RebalancingPolicy.objects.update(two_person_changes=True)
    asked = targets_save(
        portfolio, aaa(target=60), Decimal(40), actor=ann, expected_version=version(portfolio)
    )
    assert isinstance(asked, ChangeRequest)
    assert (asked.payload["targets"][0]["target_percentage"], asked.payload["cash"]) == ("60", "40")
    assert PortfolioAllocation.objects.get().target_percentage == 50
    assert targets_save(portfolio, aaa(target=60), Decimal(40), actor=ann) == asked


@pytest.mark.parametrize("role", [PortfolioRole.VIEWER, PortfolioRole.MAKER, PortfolioRole.CHECKER])
def test_others_than_managers_change_no_targets(portfolio: Portfolio, role: PortfolioRole) -> None:
    user = make.make_user()
    make.grant(user, portfolio, role)
    assert not targets_may_change(user, portfolio)
    with nothing_written(), pytest.raises(PermissionDenied, match="may not change the targets of P1"):
        targets_save(portfolio, aaa(target=60), Decimal(40), actor=user)


def test_the_targets_of_a_closed_portfolio_stay(portfolio: Portfolio, ann: User) -> None:
    portfolio.status = "closed"
    portfolio.save()
    with nothing_written(), pytest.raises(PermissionDenied):
        targets_save(portfolio, aaa(target=60), Decimal(40), actor=ann)
