"""The holdings and the targets of a portfolio's page."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from analytics.models import ChangeRequest, PortfolioAllocation, RebalancingPolicy
from portfolios.models import Portfolio, PortfolioRole
from tests.support import factories as make
from tests.support.admin import client_of, make_reader, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def ann() -> User:
    return make_reader()


@pytest.fixture
def portfolio(ann: User) -> Portfolio:
    """40 AAA, bought at 80 and worth 100 each, and 6,000 in cash; 50 % of either is wanted."""
    portfolio = make.make_portfolio("P1")
    make.grant(ann, portfolio, PortfolioRole.MANAGER)
    make.make_transaction(portfolio, amount=9200)
    hold(portfolio, "AAA", 40, 80)
    line = PortfolioAllocation.objects.get()
    line.rebalance_threshold = Decimal(5)
    line.save()
    RebalancingPolicy.objects.create(portfolio=portfolio, cash_target_percentage=50)
    make.make_performance(portfolio, total_value=10_000, cash_value=6000)
    return portfolio


def hold(portfolio: Portfolio, symbol: str, quantity: int, price: int, target: int = 50) -> None:
    asset = make.make_asset(symbol, sector="=Energy")
    make.make_price(asset)
    make.make_transaction(
        portfolio, kind="buy", asset=asset, quantity=quantity, price=price, amount=quantity * price
    )
    make.make_allocation(portfolio, asset, target)


def address(portfolio: Portfolio, tab: str) -> str:
    return reverse(f"admin:portfolios_portfolio_{tab}", args=[portfolio.pk])


def entered(client: Client, portfolio: Portfolio, **changes: str) -> dict[str, str]:
    """What the form of the page sends, with some of it changed."""
    response = client.get(address(portfolio, "targets"))
    lines, head = response.context["lines"], response.context["head"]
    data = {"lines-TOTAL_FORMS": str(len(lines)), "lines-INITIAL_FORMS": str(len(lines)), "reason": ""}
    for form in [head, *lines]:
        for field in form:
            if field.name == "DELETE":
                continue
            value = field.value()
            data[field.html_name] = "" if value is None else str(value)
            data[field.html_initial_name] = data[field.html_name]
    return data | changes


def test_holdings_show_every_line_with_its_figures(ann: User, portfolio: Portfolio) -> None:
    page = client_of(ann).get(address(portfolio, "holdings"))
    table = page.context["content"].sections[0]
    line, cash, total = table.rows
    assert [line[column] for column in (2, 3, 6, 7, 8, 9, 11)] == [40, 100, 4000, 40, 50, -10, 800]
    assert (str(line[1]), cash[6], cash[9], total[6], total[11]) == ("below its band", 6000, 10, 10_000, 800)
    text = page.content.decode()
    assert "AAA: weight 40 %, target 50, min 0, max 100, band 45 to 55, outside its band" in text


def test_lots_are_shown_on_demand(ann: User, portfolio: Portfolio) -> None:
    client, asset = client_of(ann), PortfolioAllocation.objects.get().asset
    table = client.get(address(portfolio, "holdings"), {"lots": asset.pk}).context["content"].sections[1]
    assert table.rows == [[make.DAY, 40, 80, 3200, 4000, 800, Decimal("0.25"), 0, "short"]]
    assert client.get(address(portfolio, "holdings"), {"lots": "x"}).status_code == 404


def test_files_hold_words_in_place_of_pictures_and_no_formulas(ann: User, portfolio: Portfolio) -> None:
    client = client_of(ann)
    files = {
        name: client.get(address(portfolio, tab), {"table": name, "format": "csv"}).content.decode()
        for tab, name in (
            ("holdings", "holdings"),
            ("holdings", "sectors"),
            ("holdings", "currencies"),
            ("targets", "targets"),
        )
    }
    assert "<svg" not in files["holdings"]
    assert "band 45 to 55" in files["holdings"]
    assert "\r\n'=Energy,4000" in files["sectors"]
    assert "USD,10000" in files["currencies"]
    assert "AAA,50" in files["targets"]


@pytest.mark.parametrize("tab", ["holdings", "targets"])
def test_others_find_nothing_and_an_empty_portfolio_is_no_error(portfolio: Portfolio, tab: str) -> None:
    reader = make_reader()
    own = make.make_portfolio(owner=reader)
    assert client_of(reader).get(address(portfolio, tab)).status_code == 404
    assert client_of(reader).get(address(own, tab)).status_code == 200


@pytest.mark.parametrize("tab", ["holdings", "targets"])
def test_more_lines_are_no_more_queries(ann: User, portfolio: Portfolio, tab: str) -> None:
    client = client_of(ann)
    queries_of(client, address(portfolio, tab))
    few = queries_of(client, address(portfolio, tab))
    for symbol in ("BBB", "CCC", "DDD"):
        hold(portfolio, symbol, 1, 100, 0)
    assert queries_of(client, address(portfolio, tab)) == few


def test_a_set_is_saved_and_the_page_opened_again(ann: User, portfolio: Portfolio) -> None:
    client = client_of(ann)
    data = entered(client, portfolio, cash="40", **{"lines-0-target_percentage": "60"})
    response = client.post(address(portfolio, "targets"), data)
    assert (response.status_code, response.headers["Location"]) == (302, address(portfolio, "targets"))
    assert PortfolioAllocation.objects.get().target_percentage == 60


def test_a_fault_stands_beside_its_field_and_nothing_is_saved(ann: User, portfolio: Portfolio) -> None:
    client = client_of(ann)
    changes = {"lines-0-min_percentage": "70", "lines-0-target_percentage": "60"}
    response = client.post(address(portfolio, "targets"), entered(client, portfolio, **changes))
    assert response.context["lines"][0].errors == {"min_percentage": ["is above the target, 60"]}
    assert PortfolioAllocation.objects.get().target_percentage == 50


def test_who_comes_second_sees_both_sets_and_loses_nothing(ann: User, portfolio: Portfolio) -> None:
    client = client_of(ann)
    mine = entered(client, portfolio, cash="30", **{"lines-0-target_percentage": "70"})
    changes: Any = {"lines-0-target_percentage": "60", "lines-0-max_percentage": "80", "cash": "40"}
    client.post(address(portfolio, "targets"), entered(client, portfolio, **changes))
    response = client.post(address(portfolio, "targets"), mine)
    assert PortfolioAllocation.objects.get().target_percentage == 60
    assert response.context["conflict"][0].cells[0] == ("Target", "60", "70", True)
    together = response.context["lines"][0]
    assert [together[f"{name}_percentage"].value() for name in ("target", "max")] == ["70", "80"]
    client.post(address(portfolio, "targets"), response.context["lines"].data)
    line = PortfolioAllocation.objects.get()
    assert (line.target_percentage, line.max_percentage) == (70, 80)


def test_under_the_two_person_rule_it_waits(ann: User, portfolio: Portfolio) -> None:
    RebalancingPolicy.objects.update(two_person_changes=True)
    client = client_of(ann)
    data = entered(client, portfolio, cash="40", **{"lines-0-target_percentage": "60"})
    page = client.post(address(portfolio, "targets"), data, follow=True).content.decode()
    change = ChangeRequest.objects.get()
    assert page.count(reverse("admin:analytics_changerequest_change", args=[change.pk])) >= 2
    assert PortfolioAllocation.objects.get().target_percentage == 50


def test_viewers_read_only(portfolio: Portfolio) -> None:
    viewer = make_reader()
    make.grant(viewer, portfolio)
    client = client_of(viewer)
    assert client.get(address(portfolio, "targets")).context["lines"] is None
    assert client.post(address(portfolio, "targets"), {}).status_code == 403


def test_a_line_is_added_without_a_script(ann: User, portfolio: Portfolio) -> None:
    client = client_of(ann)
    data = entered(client, portfolio, add_line="1")
    assert len(client.post(address(portfolio, "targets"), data).context["lines"].forms) == 2
