from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from analytics.models import RebalancingPolicy
from analytics.services.policies import policy_update
from portfolios.models import AuditEvent
from tests.support.factories import make_portfolio
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db


def test_policy_begins_with_the_defaults_and_counts_versions() -> None:
    portfolio = make_portfolio()
    assert policy_update(portfolio, mode="full").version == 1
    assert policy_update(portfolio, cash_reserve=Decimal(500)).version == 2
    policy = RebalancingPolicy.objects.get()
    assert (policy.mode, policy.cash_reserve, policy.approvals_needed) == ("full", 500, 1)
    first, second = AuditEvent.objects.order_by("sequence")
    assert (first.before, first.after) == (None, {"mode": "full"})
    assert (second.before, second.after) == ({"cash_reserve": "0"}, {"cash_reserve": "500"})


def test_what_stands_there_already_is_no_change() -> None:
    portfolio = make_portfolio()
    policy_update(portfolio, mode="full")
    with nothing_written():
        assert policy_update(portfolio, mode="full").version == 1


def test_impossible_values_are_refused() -> None:
    portfolio = make_portfolio()
    with nothing_written():
        with pytest.raises(ValidationError):
            policy_update(portfolio, cost_rate=Decimal(2))
        with pytest.raises(TypeError, match="cash_target_percentage"):
            policy_update(portfolio, cash_target_percentage=Decimal(5))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("cost_rate", "1", "1: must be from 0 to below 1"),
        ("long_term_tax_rate", "-0.1", "-0.1: must be from 0 to below 1"),
        ("improvement_share", "1.5", "1.5: must be from 0 to 1"),
        ("turnover_cap", "-0.1", "-0.1: must not be negative"),
        ("cash_reserve_percentage", "101", "101: must be from 0 to 100"),
        ("cash_reserve", "NaN", "must be a decimal number"),
    ],
)
def test_a_refusal_names_field_value_and_reason(name: str, value: str, reason: str) -> None:
    portfolio = make_portfolio()
    changes: dict[str, Any] = {name: Decimal(value)}
    with nothing_written(), pytest.raises(ValidationError) as refused:
        policy_update(portfolio, **changes)
    assert list(refused.value.message_dict) == [name]
    assert reason in refused.value.message_dict[name][0]


def test_approvals_cannot_be_none_at_all() -> None:
    with pytest.raises(ValidationError, match="approvals_needed"):
        policy_update(make_portfolio(), approvals_needed=0)
