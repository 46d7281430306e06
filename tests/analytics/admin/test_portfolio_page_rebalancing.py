"""The rebalancings of a portfolio and the rules they go by."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from analytics.models import Approval, Decision, RebalancingEvent, RebalancingPolicy
from portfolios.models import Portfolio
from tests.support import factories as make
from tests.support.admin import (
    change_url,
    client_of,
    make_full_event,
    make_reader,
    make_restriction,
    queries_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def url(portfolio: Portfolio, **query: Any) -> str:
    return reverse("admin:portfolios_portfolio_rebalancing", args=[portfolio.pk], query=query)


def lines_of(client: Client, portfolio: Portfolio, table: str) -> list[str]:
    answer = client.get(url(portfolio, table=table, format="csv"))
    assert answer.status_code == 200
    return answer.content.decode("utf-8-sig").splitlines()[1:]


def make_past_event(portfolio: Portfolio) -> RebalancingEvent:
    event = make.make_event(
        portfolio, status="completed", estimated_cost=12, actual_cost="13.5", drift_before=9, drift_after=0.5,
        requested_by=make.make_user(),
    )  # fmt: skip
    Approval.objects.create(event=event, user=make.make_user(), decision=Decision.APPROVED)
    return event


def test_a_portfolio_without_any_has_a_page_and_a_foreign_one_none() -> None:
    reader, mine, theirs = make_reader(), make.make_portfolio(), make.make_portfolio()
    make.grant(reader, mine)
    client = client_of(reader)
    page = client.get(url(mine)).content.decode()
    assert "No rebalancing is open." in page
    assert "No policy is stored" in page
    assert client.get(url(theirs)).status_code == 404


def test_the_open_event_comes_first_with_its_trades_and_the_way_to_its_review() -> None:
    portfolio, client = make.make_portfolio(), client_of(make.make_superuser())
    event = make_full_event(portfolio)
    assert f'href="{change_url(event)}"' in client.get(url(portfolio)).content.decode()
    assert lines_of(client, portfolio, "trades") == ["AAPL,sell,4500,159.54,,,,above its band"]


def test_a_past_event_says_who_decided_and_what_it_cost() -> None:
    portfolio, client = make.make_portfolio(), client_of(make.make_superuser())
    event = make_past_event(portfolio)
    (line,) = lines_of(client, portfolio, "events")
    decider = event.approvals.get().user
    assert f"Completed,{event.requested_by},{decider} (approved),0,12.0" in line
    assert ",13.5" in line
    assert line.endswith(",9.0,0.5")


def test_the_policy_is_said_in_words() -> None:
    portfolio = make.make_portfolio()
    RebalancingPolicy.objects.create(
        portfolio=portfolio, cost_rate="0.001", cash_reserve=500, two_person_changes=True
    )
    lines = lines_of(client_of(make.make_superuser()), portfolio, "policy")
    assert "Cash reserve,500 USD" in lines
    assert "Assumed costs,commission 0.1%" in lines
    assert lines[-1].endswith("need a second person")


def test_restrictions_in_force_are_its_own_and_those_of_all() -> None:
    portfolio, asset = make.make_portfolio(), make.make_asset("AAA")
    make_restriction(portfolio, asset=asset, kind="range", maximum=5, reason="=asked for")
    make_restriction(None, asset=None, sector="Tobacco")
    make_restriction(make.make_portfolio(), reason="of another")
    own, common = lines_of(client_of(make.make_superuser()), portfolio, "restrictions")
    assert own.startswith("AAA,Hold at most 5 % of the portfolio,this portfolio")
    assert own.endswith("'=asked for")
    assert common.startswith("sector Tobacco,Do not buy,all portfolios")


def test_queries_do_not_grow_with_events() -> None:
    portfolio, client = make.make_portfolio(), client_of(make.make_superuser())
    make_full_event(portfolio)
    make_past_event(portfolio)
    make_restriction(portfolio)
    few = queries_of(client, url(portfolio))
    for _ in range(4):
        make_past_event(portfolio)
        make_restriction(portfolio)
    assert queries_of(client, url(portfolio)) == few
