import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.core.management.base import CommandError

from analytics.models import PortfolioAllocation, RebalancingPolicy
from portfolios.models import Portfolio, PortfolioAccess
from portfolios.services.audit import audit_verify
from tests.support.imports import nothing_written, table_sizes

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_well_known_password_needs_debug(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DEBUG = False
    for password in ("", "demo-portfolio"):
        monkeypatch.setenv("DEMO_PASSWORD", password)
        with nothing_written(), pytest.raises(CommandError, match="set DEMO_PASSWORD"):
            call_command("load_demo")


def test_demo_loads_and_loading_it_again_changes_nothing(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setenv("DEMO_PASSWORD", "another-password")
    out = StringIO()
    call_command("load_demo", "--format", "json", stdout=out, stderr=StringIO())
    reports = json.loads(out.getvalue())
    assert len(reports) == 13
    assert all(report["created"] == report["read"] > 0 for report in reports.values())

    assert set(Portfolio.objects.values_list("code", flat=True)) == {"BALANCED", "TECH", "EURO", "NEW"}
    assert Portfolio.objects.get(code="EURO").name == "Euro investor"
    assert Portfolio.objects.get(code="EURO").base_currency_id == "EUR"
    policy = RebalancingPolicy.objects.get(portfolio__code="NEW")
    assert (policy.mode, policy.cash_reserve, policy.minimum_trade) == ("invest_cash", 1000, 500)
    for portfolio in Portfolio.objects.all():
        lines = PortfolioAllocation.objects.filter(portfolio=portfolio)
        cash = RebalancingPolicy.objects.get(portfolio=portfolio).cash_target_percentage
        assert sum(line.target_percentage for line in lines) + cash == 100
    assert PortfolioAccess.objects.count() == 8
    demo = authenticate(username="demo", password="another-password")
    assert demo is not None
    assert demo.is_superuser
    assert audit_verify().is_intact

    monkeypatch.setenv("DEMO_PASSWORD", "a-third-password")
    before = table_sizes()
    call_command("load_demo", stdout=StringIO(), stderr=StringIO())
    assert table_sizes() == before
    assert authenticate(username="demo", password="another-password") == demo
