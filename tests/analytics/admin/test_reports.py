"""Fact sheets and memos, as pages and as files."""

import datetime as dt

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from portfolio_site.kernel import reports
from portfolio_site.kernel.line_pictures import line_picture
from portfolios.models import Portfolio
from tests.support import factories as make
from tests.support.admin import client_of, make_full_event

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


@pytest.fixture
def portfolio() -> Portfolio:
    portfolio = make.make_portfolio("GROWTH", name="<b>Growth</b>")
    for place in range(3):
        make.make_performance(
            portfolio,
            make.DAY - dt.timedelta(days=30 * place),
            total_value=1000,
            cumulative_return=0.1 - 0.05 * place,
        )
    return portfolio


def sheet(portfolio: Portfolio) -> str:
    return reverse("admin:portfolios_portfolio_fact-sheet", args=[portfolio.pk])


def test_the_fact_sheet_holds_all_that_it_shows(console: Client, portfolio: Portfolio) -> None:
    page = console.get(sheet(portfolio)).content.decode()
    assert "GROWTH: fact sheet" in page
    assert "1,000.00" in page
    assert '<svg class="picture"' in page
    assert "&lt;b&gt;Growth&lt;/b&gt;" in page
    assert "<script" not in page
    assert 'src="' not in page


def test_a_later_price_does_not_stand_on_the_sheet(console: Client, portfolio: Portfolio) -> None:
    asset = make.make_asset("ALPHA")
    before, after = make.DAY - dt.timedelta(days=1), make.DAY + dt.timedelta(days=1)
    for day, price in ((before, 10), (make.DAY, 11), (after, 77)):
        make.make_price(asset, day, price)
    make.make_transaction(portfolio, amount=10_000, trade_date=before)
    make.make_transaction(
        portfolio, kind="buy", asset=asset, quantity=100, price=10, amount=None, trade_date=before
    )
    page = console.get(sheet(portfolio)).content.decode()
    assert "1,100.00" in page
    assert "7,700.00" not in page


def test_an_empty_portfolio_has_a_fact_sheet_too(console: Client) -> None:
    answer = console.get(sheet(make.make_portfolio()))
    assert answer.status_code == 200
    assert "run analytics" in answer.content.decode()


def test_the_memo_tells_of_trades_and_lines(console: Client, portfolio: Portfolio) -> None:
    event = make_full_event(portfolio)
    page = console.get(reverse("admin:analytics_rebalancingevent_memo", args=[event.pk])).content.decode()
    for text in ("AAPL", "4,500", "above its band", "PG", event.proposal_hash):
        assert text in page


@pytest.mark.skipif(reports.pdf_writer() is None, reason="WeasyPrint is an extra")
def test_the_fact_sheet_as_pdf(console: Client, portfolio: Portfolio) -> None:
    answer = console.get(sheet(portfolio), {"format": "pdf"})
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")


def test_without_weasyprint_the_page_says_how_to_get_it(
    console: Client, portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "pdf_writer", lambda: None)
    answer = console.get(sheet(portfolio), {"format": "pdf"})
    assert answer["Content-Type"].startswith("text/html")
    assert "when WeasyPrint is installed" in answer.content.decode()


def test_another_s_portfolio_and_event_are_not_there(portfolio: Portfolio) -> None:
    client = client_of(make.make_user(is_staff=True))
    event = make_full_event(portfolio)
    assert client.get(sheet(portfolio)).status_code == 404
    assert client.get(reverse("admin:analytics_rebalancingevent_memo", args=[event.pk])).status_code == 404


def test_a_picture_leaves_gaps_where_nothing_is_known() -> None:
    days = np.arange("2024-01-01", "2024-01-06", dtype="datetime64[D]")
    picture = line_picture(days, [("X", np.array([1, 2, np.nan, 3, 4]))], "grows & grows")
    assert picture.count("M") == 2
    assert "grows &amp; grows" in picture
    assert line_picture(days, [("X", np.full(5, np.nan))], "") == ""
