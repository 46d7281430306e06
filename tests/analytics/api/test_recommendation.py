"""The recommendation, from the books to the answer."""

import datetime as dt
from decimal import Decimal

import pytest

from analytics.models import RebalancingPolicy
from tests.support.api import client_of, portfolio_url
from tests.support.factories import (
    DAY,
    make_allocation,
    make_asset,
    make_event,
    make_performance,
    make_portfolio,
    make_price,
    make_run,
    make_transaction,
    make_user,
)

pytestmark = pytest.mark.django_db
DAY_BEFORE = DAY - dt.timedelta(days=1)


def test_the_nearest_whole_shares_are_recommended() -> None:
    """1,000 in cash, a share at 30: 33 of them are the nearest to a target of 100 %."""
    portfolio = make_portfolio("GROWTH", owner=make_user())
    asset = make_asset("AAPL")
    make_price(asset, DAY_BEFORE, close=Decimal(30))
    make_price(asset, DAY, close=Decimal(30))
    make_transaction(portfolio, kind="deposit", amount=1000, trade_date=DAY_BEFORE)
    make_transaction(
        portfolio, kind="buy", asset=asset, quantity=1, price=30, amount=30, trade_date=DAY_BEFORE
    )
    make_allocation(portfolio, asset, 100)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full")
    run = make_run("GROWTH")
    make_performance(portfolio, run=run, quality={"var_95": "insufficient data"})
    event = make_event(portfolio)
    url = portfolio_url(portfolio, "rebalancing-recommendation")
    response = client_of(portfolio.owner).get(url, {"date": DAY.isoformat()})
    assert response.status_code == 200
    answer = response.json()
    assert (answer["portfolio"], answer["date"], answer["status"]) == ("GROWTH", "2024-03-28", "ready")
    assert (answer["value"], answer["cash_before"], answer["cash_after"]) == ("1000.00", "970.00", "10.00")
    (action,) = answer["actions"]
    assert (action["symbol"], action["side"], Decimal(action["quantity"])) == ("AAPL", "buy", Decimal(32))
    assert action["amount"] == "960.00"
    assert (answer["calculation_date"], answer["run"]) == ("2024-03-28", run.pk)
    assert answer["quality"] == {"var_95": "insufficient data"}
    assert answer["open_event"] == event.pk
    assert (answer["estimated_tax"], answer["reason_codes"], answer["warnings"]) == ("0.00", [], [])


def test_what_cannot_be_proposed_says_why_in_a_code() -> None:
    portfolio = make_portfolio("GROWTH", owner=make_user())
    asset = make_asset("AAPL")
    make_price(asset, DAY)
    make_transaction(portfolio, kind="deposit", amount=1000, trade_date=DAY_BEFORE)
    make_transaction(
        portfolio, kind="buy", asset=asset, quantity=1, price=30, amount=30, trade_date=DAY_BEFORE
    )
    url = portfolio_url(portfolio, "rebalancing-recommendation")
    answer = client_of(portfolio.owner).get(url, {"date": DAY.isoformat()}).json()
    assert (answer["status"], answer["reason_codes"]) == ("blocked", ["no_targets"])
    assert (answer["estimated_tax"], answer["warnings"]) == (None, [])


def test_a_line_that_is_left_as_it_is_is_a_warning() -> None:
    portfolio = make_portfolio("GROWTH", owner=make_user())
    asset, unpriced = make_asset("AAPL"), make_asset("NEW")
    make_price(asset, DAY)
    make_transaction(portfolio, kind="deposit", amount=1000, trade_date=DAY_BEFORE)
    make_transaction(
        portfolio, kind="buy", asset=asset, quantity=1, price=30, amount=30, trade_date=DAY_BEFORE
    )
    make_allocation(portfolio, asset, 96)
    make_allocation(portfolio, unpriced, 4)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full")
    url = portfolio_url(portfolio, "rebalancing-recommendation")
    answer = client_of(portfolio.owner).get(url, {"date": DAY.isoformat()}).json()
    assert (answer["status"], answer["reason_codes"]) == ("needs_review", [])
    assert answer["warnings"] == ["NEW: no price in USD: it is left as it is"]
