"""How old the data in use are. The day is a Tuesday, and the weekday before it a Monday."""

import datetime as dt
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from portfolio_site.kernel import clock
from portfolios.models import InterestRate, PortfolioStatus, TransactionKind, TransactionStatus
from portfolios.selectors.staleness_report import Staleness, last_price_days, last_rate_days, staleness_report
from tests.support.factories import (
    make_asset,
    make_currency,
    make_exchange_rate,
    make_portfolio,
    make_price,
    make_transaction,
)

pytestmark = pytest.mark.django_db

DAY = dt.date(2024, 3, 19)


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    settings.PRICE_STALE_DAYS, settings.FX_MAX_CARRY_DAYS, settings.DEFAULT_RISK_FREE = 10, 7, ""


def ago(days: int) -> dt.date:
    return DAY - dt.timedelta(days)


def report(kind: str, day: dt.date = DAY) -> dict[str, Staleness]:
    return {line.subject: line for line in staleness_report(day) if line.kind == kind}


def seen(kind: str, day: dt.date = DAY) -> dict[str, tuple[int | None, str]]:
    """Age and state by subject."""
    return {subject: (line.age, line.state) for subject, line in report(kind, day).items()}


def use_pair(currency: str, base: str, **fields: Any) -> None:
    portfolio = make_portfolio(base_currency=base)
    make_transaction(portfolio, **{"currency": make_currency(currency), "trade_date": ago(40)} | fields)


@pytest.mark.parametrize(
    ("age", "state"),
    [(0, "fresh"), (1, "fresh"), (2, "carried"), (10, "carried"), (11, "stale"), (4000, "stale")],
)
def test_prices_by_their_age(age: int, state: str) -> None:
    asset = make_asset("AAA")
    make_price(asset, ago(age), source="web")
    make_price(asset, ago(age + 1), source="older")
    line = report("price")["AAA"]
    assert (line.last_date, line.age, line.state, line.source) == (ago(age), age, state, "web")
    assert line.is_stale == (state == "stale")


def test_a_price_that_is_not_there_or_comes_later_is_missing() -> None:
    make_asset("AAA")
    make_price(make_asset("BBB"), ago(-1))
    make_price(make_asset("OLD", is_active=False), ago(1))
    lines = report("price")
    assert list(lines) == ["AAA", "BBB"]
    for line in lines.values():
        assert (line.last_date, line.age, line.source, line.state) == (None, None, "", "missing")
        assert line.is_stale


@pytest.mark.parametrize(
    ("day", "state"),
    [
        (dt.date(2024, 3, 15), "fresh"),  # that Friday itself
        (dt.date(2024, 3, 16), "fresh"),
        (dt.date(2024, 3, 17), "fresh"),
        (dt.date(2024, 3, 18), "fresh"),  # Monday morning
        (dt.date(2024, 3, 19), "carried"),
    ],
)
def test_a_weekend_makes_no_price_older(day: dt.date, state: str) -> None:
    make_price(make_asset("AAA"), dt.date(2024, 3, 15))
    assert report("price", day)["AAA"].state == state


def test_two_assets_of_one_symbol_are_told_apart_by_their_exchange() -> None:
    make_price(make_asset("TWO", exchange="XNYS"), ago(1))
    make_asset("TWO", exchange="XLON")
    assert seen("price") == {"TWO XLON": (None, "missing"), "TWO XNYS": (1, "fresh")}


def test_portfolios_that_traded_an_asset_are_counted_once() -> None:
    asset, portfolios = make_asset("AAA"), [make_portfolio() for _ in "abc"]
    trade = {"kind": TransactionKind.BUY, "asset": asset, "quantity": 1, "price": 1, "trade_date": ago(5)}
    for portfolio in portfolios:
        make_transaction(portfolio, **trade)
        make_transaction(portfolio, **trade)
    make_transaction(make_portfolio(), **trade | {"status": TransactionStatus.DRAFT})
    make_transaction(make_portfolio(), **trade | {"trade_date": ago(-1)})
    make_transaction(make_portfolio(status=PortfolioStatus.CLOSED), **trade)
    assert report("price")["AAA"].used_by == 3


@pytest.mark.parametrize(
    ("age", "state"), [(0, "fresh"), (1, "fresh"), (2, "carried"), (7, "carried"), (8, "stale")]
)
@pytest.mark.parametrize("pair", [("EUR", "USD"), ("USD", "EUR")])
def test_rates_by_their_age_in_either_direction(pair: tuple[str, str], age: int, state: str) -> None:
    use_pair("EUR", "USD")
    make_exchange_rate(*pair, ago(age))
    make_exchange_rate(*pair, ago(age + 1))
    make_exchange_rate(*pair, ago(-1))
    line = report("exchange_rate")["EUR/USD"]
    assert (line.last_date, line.age, line.state, line.source, line.used_by) == (
        ago(age),
        age,
        state,
        "test",
        1,
    )


def test_a_crossed_rate_is_as_old_as_the_last_day_of_both_sides() -> None:
    use_pair("CHF", "USD")
    for age in (1, 5, 9):
        make_exchange_rate("EUR", "USD", ago(age))
    for age in (0, 4, 5, 9):
        make_exchange_rate("EUR", "CHF", ago(age))
    assert seen("exchange_rate") == {"CHF/USD": (5, "carried")}


def test_a_direct_rate_is_used_before_a_younger_crossed_one() -> None:
    """As the valuation does; else the report would call fresh what the books carry."""
    use_pair("CHF", "USD")
    make_exchange_rate("CHF", "USD", ago(9))
    make_exchange_rate("EUR", "USD", ago(1))
    make_exchange_rate("EUR", "CHF", ago(1))
    assert seen("exchange_rate") == {"CHF/USD": (9, "stale")}


def test_pairs_come_from_bookings_exchanges_and_traded_assets() -> None:
    use_pair("EUR", "USD")
    use_pair("EUR", "USD", counter_currency=make_currency("GBP"), counter_amount=1, kind="currency_exchange")
    asset = make_asset("NESTLE", currency="CHF")
    use_pair("USD", "USD", kind=TransactionKind.BUY, asset=asset, quantity=1, price=1)
    use_pair("JPY", "USD", status=TransactionStatus.PENDING)
    use_pair("SEK", "USD", trade_date=ago(-1))
    lines = report("exchange_rate")
    assert {subject: line.used_by for subject, line in lines.items()} == {
        "CHF/USD": 1,
        "EUR/USD": 2,
        "GBP/USD": 1,
    }
    assert {line.state for line in lines.values()} == {"missing"}


def test_interest_rates_are_in_force_until_the_next_one(settings: Any) -> None:
    settings.DEFAULT_RISK_FREE = "DTB3"
    make_portfolio(risk_free="OWN")
    make_portfolio(risk_free="OWN")
    make_portfolio(risk_free="NONE")
    make_portfolio(risk_free="CLOSED", status=PortfolioStatus.CLOSED)
    make_portfolio()
    for name, age in [("DTB3", 1), ("DTB3", -1), ("OWN", 400), ("UNUSED", 1)]:
        InterestRate.objects.create(name=name, date=ago(age), annual_rate=Decimal("0.05"))
    assert seen("interest_rate") == {
        "DTB3": (1, "fresh"),
        "NONE": (None, "missing"),
        "OWN": (400, "carried"),
    }
    assert [line.used_by for line in report("interest_rate").values()] == [1, 1, 2]


def fill(number: int) -> None:
    for currency in ("EUR", "GBP", "CHF")[:number]:
        use_pair(currency, "USD", kind=TransactionKind.BUY, asset=make_asset(), quantity=1, price=1)
        use_pair("JPY", currency)
        make_exchange_rate(currency, "USD", ago(1))
        InterestRate.objects.create(name=currency, date=ago(1), annual_rate=0)
        make_portfolio(risk_free=currency)
        for age in range(3):
            make_price(make_asset(), ago(age))


@pytest.mark.parametrize("number", [1, 3])
def test_it_takes_six_queries_whatever_there_is(number: int, django_assert_num_queries: Any) -> None:
    fill(number)
    with django_assert_num_queries(6):
        lines = staleness_report(DAY)
    assert len(lines) == number * (4 + 2 + 1)


def test_last_days_to_fetch_from() -> None:
    make_price(make_asset("AAA"), ago(3))
    make_price(make_asset("BBB", is_active=False), ago(3))
    make_asset("CCC")
    assert last_price_days(DAY) == [("AAA", ago(3)), ("CCC", None)]
    make_exchange_rate("EUR", "USD", ago(4))
    make_exchange_rate("EUR", "USD", ago(3))
    make_exchange_rate("GBP", "CHF", ago(1))
    assert last_rate_days("EUR") == {"USD": ago(3)}


class TestCommand:
    @pytest.fixture(autouse=True)
    def facts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "today", lambda: DAY)
        make_price(make_asset("AAA"), ago(1), source="web")
        make_price(make_asset("BBB"), ago(11))
        make_asset("CCC")

    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("report_staleness", *arguments, stdout=out)
        return out.getvalue()

    def test_a_table_for_people(self) -> None:
        header, *rows = self.run().splitlines()
        assert header.split() == ["kind", "subject", "last", "days", "state", "used", "by", "source"]
        assert [row.split() for row in rows] == [
            ["price", "AAA", "2024-03-18", "1", "fresh", "0", "web"],
            ["price", "BBB", "2024-03-08", "11", "stale", "0"],
            ["price", "CCC", "-", "-", "missing", "0"],
        ]

    def test_json_for_programs_and_only_what_is_stale(self) -> None:
        assert len(json.loads(self.run("--format", "json"))) == 3
        assert json.loads(self.run("--format", "json", "--only-stale")) == [
            {
                "kind": "price",
                "subject": "BBB",
                "last_date": "2024-03-08",
                "age": 11,
                "source": "",
                "state": "stale",
                "used_by": 0,
            },
            {
                "kind": "price",
                "subject": "CCC",
                "last_date": None,
                "age": None,
                "source": "",
                "state": "missing",
                "used_by": 0,
            },
        ]
        assert len(self.run("--only-stale").splitlines()) == 3
