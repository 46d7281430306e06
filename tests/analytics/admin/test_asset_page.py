"""The page of an asset: its chart, its figures, and who holds it."""

import datetime as dt
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from portfolios.models import Asset, CorporateAction, CorporateActionKind, Portfolio, TransactionKind
from tests.support import factories as make
from tests.support.admin import client_of, make_reader, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ONE_DAY = dt.timedelta(days=1)


def page_of(asset: Asset, query: str = "") -> str:
    return reverse("admin:portfolios_asset_overview", args=[asset.pk]) + query


def make_holding(portfolio: Portfolio, asset: Asset, quantity: int, whole: int) -> None:
    make.make_transaction(
        portfolio, kind=TransactionKind.BUY, asset=asset, quantity=quantity, price=10, trade_date=make.DAY
    )
    make.make_performance(portfolio, total_value=whole)


def table_of(client: Client, asset: Asset, slug: str) -> list[str]:
    answer = client.get(page_of(asset, f"?table={slug}&format=csv"))
    assert answer.status_code == 200
    return answer.content.decode("utf-8-sig").splitlines()


def test_an_asset_without_prices_has_a_page() -> None:
    answer = client_of(make_reader()).get(page_of(make.make_asset()))
    assert answer.status_code == 200
    assert "There are no prices" in answer.content.decode()


def test_bars_are_drawn_as_of_the_shares_of_today_with_the_indicators_of_their_day() -> None:
    asset = make.make_asset()
    make.make_price(asset, make.DAY - ONE_DAY, close=200, open=190, high=210, low=180, volume=10)
    make.make_price(asset, make.DAY, close=50, volume=40)
    make.make_asset_metrics(asset, rsi_14=61.5)
    CorporateAction.objects.create(
        asset=asset, ex_date=make.DAY, kind=CorporateActionKind.SPLIT, ratio_new=4, ratio_old=1
    )
    heads, newest, older = table_of(client_of(make_reader()), asset, "prices")
    assert heads.startswith("Day,Open (USD),High (USD),Low (USD),Close (USD),Volume,SMA 20")
    assert newest.startswith(f"{make.DAY},,,,50.0,40.0,")
    assert ",61.5," in newest
    assert older.startswith(f"{make.DAY - ONE_DAY},47.5,52.5,45.0,50.0,40.0,")


def test_the_range_cuts_what_is_older() -> None:
    asset = make.make_asset()
    make.make_price(asset, make.DAY - dt.timedelta(days=200))
    make.make_price(asset, make.DAY)
    client = client_of(make_reader())
    rows = {name: client.get(page_of(asset, f"?range={name}")).context["content"] for name in ("3m", "1y")}
    assert [len(content.sections[0].table.rows) for content in rows.values()] == [1, 2]
    assert client.get(page_of(asset, "?range=elsewhen")).context["current_range"] == "1y"


def test_holders_are_weighed_and_only_those_that_the_user_may_see_are_shown() -> None:
    asset, reader = make.make_asset(), make_reader()
    mine, theirs = make.make_portfolio("MINE"), make.make_portfolio("THEIRS")
    make.grant(reader, mine)
    make_holding(mine, asset, quantity=5, whole=2000)
    make_holding(theirs, asset, quantity=7, whole=2000)
    make.make_price(asset, close=100)
    lines = table_of(client_of(reader), asset, "holders")
    assert lines[1:] == [f"MINE,Book MINE,5.000000000000,500.0,USD,25.0,{make.DAY}"]


def test_a_holding_in_another_currency_needs_a_rate() -> None:
    asset, user = make.make_asset(), make.make_superuser()
    portfolio = make.make_portfolio(base_currency="EUR")
    make_holding(portfolio, asset, quantity=5, whole=2000)
    make.make_price(asset, close=100)
    client = client_of(user)
    assert "no exchange rate" in client.get(page_of(asset)).content.decode()
    make.make_exchange_rate(rate=Decimal("1.25"))
    assert ",400.0,EUR,20.0," in table_of(client, asset, "holders")[1]


def test_what_was_sold_is_held_no_more() -> None:
    asset, portfolio = make.make_asset(), make.make_portfolio()
    make_holding(portfolio, asset, quantity=5, whole=2000)
    make.make_transaction(portfolio, kind=TransactionKind.SELL, asset=asset, quantity=5, price=10)
    page = client_of(make.make_superuser()).get(page_of(asset)).content.decode()
    assert "None of the portfolios that you may see holds it." in page


def test_figures_and_findings_stand_on_the_page() -> None:
    asset = make.make_asset()
    make.make_asset_metrics(
        asset, close=100.0, return_1d=-0.0123, beta_1y=1.25, quality={"return_5y": "too short"}
    )
    make.make_finding(asset, detail="=1+1")
    client = client_of(make_reader())
    page = client.get(page_of(asset)).content.decode()
    assert "\N{MINUS SIGN}1.23" in page
    assert "1.25" in page
    assert 'title="too short"' in page
    assert "'=1+1" in table_of(client, asset, "findings")[1]


def test_queries_do_not_grow_with_holders_and_bars() -> None:
    asset, user = make.make_asset(), make.make_superuser()
    make_holding(make.make_portfolio(), asset, quantity=5, whole=2000)
    make.make_price(asset)
    client = client_of(user)
    few = queries_of(client, page_of(asset))
    for number in range(1, 6):
        make_holding(make.make_portfolio(), asset, quantity=5, whole=2000)
        make.make_price(asset, make.DAY - number * ONE_DAY)
        make.make_finding(asset, make.DAY - number * ONE_DAY)
    assert queries_of(client, page_of(asset)) == few


def test_without_the_permission_there_is_no_page() -> None:
    asset = make.make_asset()
    assert client_of(make.make_user(is_staff=True)).get(page_of(asset)).status_code == 404
