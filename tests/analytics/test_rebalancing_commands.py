"""The commands that propose and restrict."""

import datetime as dt
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.models import RebalancingEvent, RebalancingPolicy, TradingRestriction
from portfolio_site.kernel import clock
from portfolios.models import Portfolio
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY
PUBLISHED = {
    "portfolio", "date", "status", "value", "cash_before", "cash_after", "tracking_distance", "turnover",
    "drift_before", "drift_after", "estimated_cost", "actions", "skipped", "reasons",
}  # fmt: skip


@pytest.fixture
def portfolio() -> Portfolio:
    """1,000 in cash, two shares of AAA at 100; AAA should be all of it."""
    portfolio = make.make_portfolio("HOME", owner=make.make_user("olga"))
    asset = make.make_asset("AAA", issuer="Acme")
    for day in (DAY - dt.timedelta(days=1), DAY):
        make.make_price(asset, day, close=Decimal(100))
    make.make_transaction(portfolio, kind="deposit", amount=1000, trade_date=DAY - dt.timedelta(days=1))
    make.make_transaction(
        portfolio, kind="buy", asset=asset, quantity=2, price=100, amount=200,
        trade_date=DAY - dt.timedelta(days=1),
    )  # fmt: skip
    make.make_allocation(portfolio, asset, 100)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full")
    return portfolio


def call(command: str, *arguments: str) -> Any:
    out = StringIO()
    call_command(command, *arguments, "--format", "json", stdout=out)
    return json.loads(out.getvalue())


def propose(*arguments: str) -> dict[str, Any]:
    (answer,) = call("propose_rebalancing", "--portfolio", "HOME", "--date", DAY.isoformat(), *arguments)
    return dict(answer)


@pytest.mark.parametrize("gear", ["exact", "fast"])
def test_a_proposal_has_the_published_form(portfolio: Portfolio, gear: str) -> None:
    answer = propose("--dry-run", "--gear", gear)
    assert answer.keys() >= PUBLISHED
    assert (answer["value"], answer["cash_before"], answer["cash_after"]) == (1000, 800, 0)
    (action,) = answer["actions"]
    assert {"symbol", "side", "quantity", "price", "amount", "cost", "reason"} <= action.keys()
    assert (action["symbol"], action["side"], action["quantity"]) == ("AAA", "buy", 8)
    assert not RebalancingEvent.objects.exists()


def test_what_is_ready_is_stored(portfolio: Portfolio) -> None:
    propose()
    event = RebalancingEvent.objects.get()
    assert (event.event_type, event.status, event.gear) == ("manual", "pending", "exact")


def test_what_is_in_balance_is_not_stored(portfolio: Portfolio) -> None:
    assert propose("--mode", "hold")["status"] == "in_balance"
    assert not RebalancingEvent.objects.exists()


def test_a_restriction_is_set_and_lifted(portfolio: Portfolio) -> None:
    answer = call(
        "restrict_trading", "--portfolio", "HOME", "--kind", "do_not_buy", "--symbol", "AAA",
        "--reason", "mandate", "--user", "olga", "--from", DAY.isoformat(),
    )  # fmt: skip
    restriction = TradingRestriction.objects.get()
    assert (answer["restriction"], answer["symbol"], answer["starts_on"]) == (
        restriction.pk, "AAA", DAY.isoformat(),
    )  # fmt: skip
    assert restriction.owner == portfolio.owner
    proposed = propose()
    assert proposed["actions"] == []
    assert "mandate" in proposed["skipped"][0]["reason"]
    call("restrict_trading", "--lift", str(restriction.pk), "--reason", "sold")
    restriction.refresh_from_db()
    assert restriction.ends_on == clock.today() - dt.timedelta(days=1)


def test_a_range_of_an_issuer_for_all_portfolios(portfolio: Portfolio) -> None:
    call(
        "restrict_trading", "--kind", "range", "--issuer", "Acme", "--maximum", "40", "--reason", "house",
        "--from", DAY.isoformat(),
    )  # fmt: skip
    (action,) = propose("--dry-run")["actions"]
    assert action["quantity"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--symbol", "AAA"),
        ("--kind", "do_not_buy", "--symbol", "NONE"),
        ("--kind", "do_not_buy", "--portfolio", "NONE"),
        ("--kind", "do_not_buy", "--user", "nobody"),
        ("--kind", "range", "--symbol", "AAA"),
        ("--kind", "do_not_buy", "--user", "olga"),
        ("--lift", "99"),
    ],
)
def test_a_restriction_that_cannot_be_set(portfolio: Portfolio, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call("restrict_trading", *arguments, "--reason", "mandate")
    assert not TradingRestriction.objects.exists()
