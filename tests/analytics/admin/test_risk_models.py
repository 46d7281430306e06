"""Backtests and risk contributions in the console."""

import pytest
from django.test import Client

from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, url_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


def test_a_backtest_shows_its_zone_and_what_is_missing(console: Client) -> None:
    row = make.make_var_backtest(
        make.make_portfolio(), var=0.0312, exceptions=6, observations=500, zone="yellow", zone_exceptions=6
    )
    make.make_var_backtest(row.portfolio, level=0.95, quality={"var": "no positions", "zone": "at 99% only"})
    page = console.get(url_of(row, "changelist")).content.decode()
    assert "Yellow" in page
    assert "3.12%" in page.replace("\u202f", "").replace("\xa0", "").replace(" %", "%")
    assert "at 99% only" in page
    assert "no positions" in page
    page = console.get(change_url(row)).content.decode()
    assert "Foretold against what came" in page


def test_lists_are_narrowed_down_by_method_level_and_zone(console: Client) -> None:
    portfolio = make.make_portfolio()
    green = make.make_var_backtest(portfolio, zone="green")
    red = make.make_var_backtest(portfolio, method="normal", zone="red")
    make.make_var_backtest(portfolio, level=0.95)
    queries: list[tuple[dict[str, str], set[int]]] = [
        ({"zone__exact": "red"}, {red.pk}),
        ({"method__exact": "historical", "level": "0.99"}, {green.pk}),
    ]
    for query, found in queries:
        page = console.get(url_of(green, "changelist"), query)
        assert {row.pk for row in page.context["cl"].result_list} == found


def test_contributions_of_foreign_portfolios_are_not_shown() -> None:
    reader = make_reader()
    own = make.make_risk_contribution(make.make_portfolio(owner=reader), make.make_asset("MINE"))
    foreign = make.make_risk_contribution(make.make_portfolio(), make.make_asset("THEIRS"))
    page = client_of(reader).get(url_of(own, "changelist"))
    assert {row.pk for row in page.context["cl"].result_list} == {own.pk}
    assert client_of(reader).get(change_url(foreign)).status_code == 302


def test_nothing_can_be_changed(console: Client) -> None:
    row = make.make_risk_contribution(make.make_portfolio(), make.make_asset(), weight=0.5)
    assert console.post(change_url(row), {"weight": 0.9}).status_code == 403
    assert console.get(url_of(row, "add")).status_code == 403
    row.refresh_from_db()
    assert row.weight == 0.5
