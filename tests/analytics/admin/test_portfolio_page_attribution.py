"""The attribution tab: the return of a period by its lines and its sectors."""

import datetime as dt
import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from analytics.admin.portfolio_page import attribution
from analytics.selectors.attribution.periods import period_explanation
from portfolios.models import Asset, InterestRate, Portfolio, TransactionKind
from tests.support import factories as make
from tests.support.admin import client_of, make_reader, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MONDAY, TUESDAY = dt.date(2024, 3, 4), dt.date(2024, 3, 5)


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


@pytest.fixture
def portfolio() -> Portfolio:
    """1000 on Monday: 600 of oil that gains 10 %, 300 of a bank that loses 5 %, 100 of cash."""
    portfolio = make.make_portfolio("SHOP", risk_free="RF")
    InterestRate.objects.create(name="RF", date=MONDAY, annual_rate=Decimal("0.05"))
    make.make_transaction(portfolio, amount=1_000, trade_date=MONDAY)
    for symbol, sector, closes in (("OIL", "Energy", ("60", "66")), ("BANK", "Banks", ("30", "28.5"))):
        asset = make.make_asset(symbol, sector=sector)
        for day, close in zip((MONDAY, TUESDAY), closes, strict=True):
            make.make_price(asset, day, Decimal(close))
        make.make_transaction(
            portfolio, kind=TransactionKind.BUY, asset=asset, quantity=10, price=closes[0], amount=None,
            trade_date=MONDAY,
        )  # fmt: skip
    make.make_performance(portfolio, TUESDAY, total_value=1045)
    return portfolio


def address(portfolio: Portfolio, query: str = "?period=all") -> str:
    return reverse("admin:portfolios_portfolio_attribution", args=[portfolio.pk]) + query


def rows_of(client: Client, portfolio: Portfolio, slug: str, query: str = "?period=all") -> list[list[Any]]:
    content = client.get(address(portfolio, query)).context["content"]
    return next([list(row) for row in table.rows] for table in content.tables if table.slug == slug)


def csv_of(client: Client, portfolio: Portfolio, slug: str) -> list[str]:
    response = client.get(address(portfolio, f"?period=all&table={slug}&format=csv"))
    assert response.status_code == 200
    return response.content.decode("utf-8-sig").splitlines()


def make_sectors_the_benchmark(portfolio: Portfolio) -> None:
    """Half energy, which gains 4 %, and half banks, which gain 2 %."""
    halves = {}
    for symbol, sector, close in (("ENERGY", "Energy", 104), ("BANKS", "Banks", 102)):
        asset = make.make_asset(symbol, sector=sector)
        make.make_price(asset, MONDAY - dt.timedelta(days=3), 100)
        make.make_price(asset, MONDAY, 100)
        make.make_price(asset, TUESDAY, close)
        halves[asset] = 50
    blend = make.make_blend(halves, "MIX", rebalance_frequency="daily")
    make.make_benchmark(portfolio, blend.asset, is_primary=True)


def test_the_lines_add_up_to_the_return(console: Client, portfolio: Portfolio) -> None:
    *lines, whole = rows_of(console, portfolio, "contributions")
    contributions = {line[0]: line[-1] for line in lines}
    assert contributions["OIL"] == pytest.approx(0.06)
    assert contributions["BANK"] == pytest.approx(-0.015)
    assert whole[0] == "Together"
    assert whole[-1] == pytest.approx(0.045)
    page = console.get(address(portfolio))
    assert "The lines add up to +4.50%, the return after costs." in page.content.decode()
    shown = dict(page.context["content"].figures)
    assert "+4.50%" in shown["Return from the first day to 2024-03-05"]


def test_lines_can_be_sectors(console: Client, portfolio: Portfolio) -> None:
    rows = rows_of(console, portfolio, "contributions", "?period=all&by=sector")
    assert [row[0] for row in rows] == ["Energy", "Banks", "Cash", "Together"]
    assert all(len(row) == 3 for row in rows)


def test_the_effects_of_the_sectors_add_up_to_the_active_return(
    console: Client, portfolio: Portfolio
) -> None:
    make_sectors_the_benchmark(portfolio)
    *effects, whole = rows_of(console, portfolio, "sectors")
    assert [row[0] for row in effects] == ["Banks", "Energy", "Cash"]
    assert whole[-1] == pytest.approx(0.045 - 0.03)
    assert sum(whole[3:6]) == pytest.approx(0.015)
    assert len(csv_of(console, portfolio, "sectors")) == 5


def test_without_known_sectors_of_the_benchmark_the_page_says_why(
    console: Client, portfolio: Portfolio
) -> None:
    page = console.get(address(portfolio)).content.decode()
    assert "Not shown: no primary benchmark and no stated weights." in page


def test_a_period_before_the_history_is_refused_in_words(console: Client, portfolio: Portfolio) -> None:
    page = console.get(address(portfolio, "?period=year"))
    assert page.status_code == 200
    assert "it begins on 2024-03-04. Choose another period." in page.content.decode()
    assert '<a href="?period=year" aria-current="true">One year</a>' in page.content.decode()


def test_a_period_of_no_name_is_the_year_to_date(console: Client, portfolio: Portfolio) -> None:
    assert (
        '<a href="?period=ytd" aria-current="true">'
        in console.get(address(portfolio, "?period=yesterday")).content.decode()
    )


def test_what_is_unknown_is_said(
    console: Client, portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = period_explanation(portfolio, "all", TUESDAY, "asset")
    found = replace(
        known,
        returns=known.returns | {"gross": math.nan},
        contributions=tuple(replace(line, contribution=math.nan) for line in known.contributions),
        quality={"gross": "unknown on Tuesday", "contributions": "everything was lost"},
    )
    monkeypatch.setattr(attribution, "period_explanation", lambda *_: found)
    page = console.get(address(portfolio)).content.decode()
    assert "The contributions are not known: everything was lost." in page
    assert rows_of(console, portfolio, "unexplained") == [
        ["Before fees and taxes", "unknown on Tuesday"],
        ["Contributions", "everything was lost"],
    ]


def test_days_without_a_known_value_are_left_out_and_said(console: Client, portfolio: Portfolio) -> None:
    make.make_transaction(portfolio, amount=10, currency=make.make_currency("CHF"), trade_date=TUESDAY)
    page = console.get(address(portfolio)).content.decode()
    assert "The value is not known after 2024-03-04: the period ends there." in page


def test_no_symbol_is_a_formula(console: Client, portfolio: Portfolio) -> None:
    asset = Asset.objects.get(symbol="OIL")
    asset.symbol = "=OIL"
    asset.save()
    assert any(line.startswith("'=OIL,") for line in csv_of(console, portfolio, "contributions"))


def test_nothing_computed_yet_is_said(console: Client) -> None:
    page = console.get(address(make.make_portfolio(), ""))
    assert page.status_code == 200
    assert "Nothing is computed yet" in page.content.decode()


def test_others_do_not_see_it(portfolio: Portfolio) -> None:
    reader = make_reader()
    assert client_of(reader).get(address(portfolio)).status_code == 404
    make.grant(reader, portfolio)
    assert client_of(reader).get(address(portfolio)).status_code == 200


def test_more_lines_take_no_more_queries(console: Client, portfolio: Portfolio) -> None:
    console.get(address(portfolio))
    few = queries_of(console, address(portfolio))
    for _ in range(4):
        asset = make.make_asset(sector="More")
        make.make_price(asset, MONDAY, 1)
        make.make_transaction(
            portfolio, kind=TransactionKind.BUY, asset=asset, quantity=1, price=1, amount=None,
            trade_date=MONDAY,
        )  # fmt: skip
    assert queries_of(console, address(portfolio)) == few
