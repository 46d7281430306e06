"""The book of a portfolio, line by line."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from analytics.admin.portfolio_page import transactions
from portfolios.models import Portfolio, TransactionKind
from tests.support import factories as make
from tests.support.admin import client_of, make_reader, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def url(portfolio: Portfolio, **query: Any) -> str:
    return reverse("admin:portfolios_portfolio_transactions", args=[portfolio.pk], query=query)


def lines_of(client: Client, portfolio: Portfolio, **query: Any) -> list[str]:
    answer = client.get(url(portfolio, table="transactions", format="csv", **query))
    assert answer.status_code == 200
    return answer.content.decode("utf-8-sig").splitlines()[1:]


def test_an_empty_book_has_a_page_and_a_foreign_one_none() -> None:
    reader, mine, theirs = make_reader(), make.make_portfolio(), make.make_portfolio()
    make.grant(reader, mine)
    client = client_of(reader)
    assert transactions.EMPTY in client.get(url(mine)).content.decode()
    assert client.get(url(theirs)).status_code == 404


def test_a_line_tells_all_of_it() -> None:
    portfolio = make.make_portfolio()
    make.make_transaction(
        portfolio, kind=TransactionKind.BUY, asset=make.make_asset("AAA"), quantity=12, price="10.5",
        amount=126, fee=1, settle_date=make.DAY + dt.timedelta(days=2), source="=1+1",
    )  # fmt: skip
    (line,) = lines_of(client_of(make.make_superuser()), portfolio)
    assert line.startswith(f"Buy,{make.DAY},2024-03-30,AAA,12.0")
    assert line.endswith(",USD,Settled,'=1+1")


def test_a_reversed_line_and_its_reversal_are_struck_through_and_say_so() -> None:
    portfolio = make.make_portfolio()
    line = make.make_transaction(portfolio)
    reversal = make.make_transaction(portfolio, reverses=line)
    client = client_of(make.make_superuser())
    page = client.get(url(portfolio)).content.decode()
    assert page.count("<s><a") == 2
    newest, oldest = lines_of(client, portfolio)
    assert f"Reversal of line {line.pk} of {make.DAY}" in newest
    assert f"Settled, reversed by line {reversal.pk}" in oldest


def test_filters_narrow_the_lines() -> None:
    portfolio = make.make_portfolio()
    for age, kind in enumerate(("deposit", "fee", "deposit")):
        make.make_transaction(portfolio, kind=kind, trade_date=make.DAY - dt.timedelta(days=age))
    make.make_transaction(portfolio, status="cancelled")
    client = client_of(make.make_superuser())
    first = make.DAY - dt.timedelta(days=1)
    assert len(lines_of(client, portfolio, kind="fee")) == 1
    assert len(lines_of(client, portfolio, status="cancelled")) == 1
    assert len(lines_of(client, portfolio, **{"from": first, "to": first})) == 1
    assert len(lines_of(client, portfolio, **{"from": first})) == 3


def test_a_bad_filter_is_named_and_shows_nothing() -> None:
    portfolio = make.make_portfolio()
    make.make_transaction(portfolio, note="hidden")
    answer = client_of(make.make_superuser()).get(url(portfolio, **{"from": "yesterday", "kind": "magic"}))
    assert set(answer.context["filter_form"].errors) == {"from", "kind"}
    assert list(answer.context["content"].sections[0].rows) == []


def test_older_lines_follow_by_key_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "ON_SCREEN", 2)
    portfolio = make.make_portfolio()
    made = [
        make.make_transaction(portfolio, trade_date=make.DAY - dt.timedelta(days=age // 2))
        for age in range(5)
    ]
    client, address, seen = client_of(make.make_superuser()), url(portfolio), []
    while address:
        context = client.get(address).context
        seen += [row[0].url for row in context["content"].sections[0].rows]
        older = dict(context["links"]).get("Older", "")
        address = older and reverse("admin:portfolios_portfolio_transactions", args=[portfolio.pk]) + older
    assert len(seen) == len(set(seen)) == len(made)
    assert client.get(url(portfolio, before="nonsense")).status_code == 404


def test_queries_do_not_grow_with_lines() -> None:
    portfolio, client = make.make_portfolio(), client_of(make.make_superuser())
    make.make_transaction(portfolio, asset=make.make_asset(), kind=TransactionKind.BUY, quantity=1, price=1)
    few = queries_of(client, url(portfolio))
    for _ in range(5):
        line = make.make_transaction(
            portfolio, asset=make.make_asset(), kind=TransactionKind.BUY, quantity=1, price=1
        )
        make.make_transaction(portfolio, reverses=line)
    assert queries_of(client, url(portfolio)) == few
